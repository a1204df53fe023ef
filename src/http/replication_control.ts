/** Changes of the node's role by an operator: the reference's routes, and what came to them. */
import { DfdbError } from "../base/errors.ts";
import { isHexId } from "../base/ids.ts";
import { json } from "./answers.ts";
import {
  autoFailoverBody,
  bodyOf,
  followerBody,
  handoverBody,
  leaderBody,
  optionalBodyOf,
  promoteBody,
  readWriteBody,
} from "./control_body.ts";
import { roleChangeFailed } from "./failures.ts";
import type { Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies, NodeControl } from "./types.ts";

export function replicationControlRoutes({ control }: HttpDependencies): readonly Route[] {
  return [...roleRoutes(control), ...failoverRoutes(control), ...repairRoutes(control)];
}

const success = (): Response => json({ success: true });

const post = (name: string, handler: Handler): Route => ({
  path: `/replication/${name}`,
  post: told(handler),
});

function roleRoutes(control: NodeControl): readonly Route[] {
  return [
    post("start-leader", async (c) => {
      const { port, sharedSecret, force = false } = await bodyOf(c.req.raw, leaderBody);
      await control.startLeader(port, sharedSecret ?? undefined, force);
      return json({ success: true, role: "leader", port });
    }),
    post("start-follower", async (c) => {
      const { host, port, sharedSecret } = await bodyOf(c.req.raw, followerBody);
      await control.startFollower(host, port, sharedSecret ?? undefined);
      return json({ success: true, role: "follower", leader: `${host}:${port}` });
    }),
    post("promote", async (c) => {
      const { port: wanted, force = false } = await optionalBodyOf(c.req.raw, promoteBody);
      const { port, term: { epoch, run } } = await control.promote(wanted, force);
      return json({ success: true, newRole: "leader", port, term: { epoch, run } });
    }),
    {
      path: "/replication/handover",
      // Who asked may hang up: a handover that has begun is not theirs any more.
      post: told(async (c) => {
        const { to, timeoutSeconds } = await bodyOf(c.req.raw, handoverBody);
        const { finalSeq, epoch, newLeader, pausedMs } = await control.handover(
          to,
          Math.round(timeoutSeconds * 1_000),
        );
        const { nodeId, nodeName, httpUrl, wireAddress } = newLeader;
        return json({
          success: true,
          finalSeq,
          epoch,
          newLeader: { nodeId, nodeName, httpUrl, wireAddress },
          pausedMs: Math.round(pausedMs),
        });
      }, true),
      delete: async () => {
        await control.abortHandover();
        return success();
      },
    },
  ];
}

function failoverRoutes(control: NodeControl): readonly Route[] {
  return [
    post("auto-failover/enable", async (c) => {
      const given = await bodyOf(c.req.raw, autoFailoverBody);
      const { silenceMs, newLeaderPort } = await control.enableAutoFailover(
        Math.round(given.silenceSeconds * 1_000),
        given.newLeaderPort,
      );
      return json({ success: true, silenceSeconds: silenceMs / 1_000, newLeaderPort });
    }),
    post("auto-failover/disable", async () => {
      await control.disableAutoFailover();
      return success();
    }),
    {
      path: "/replication/nodes/:id",
      delete: async (c) => {
        const id = parameter(c, "id");
        if (!isHexId(id)) throw new DfdbError("bad_request", "A node id has 32 hex digits, lower case");
        await control.forgetNode(id);
        return success();
      },
    },
  ];
}

function repairRoutes(control: NodeControl): readonly Route[] {
  return [
    post("read-only", async () => {
      await control.setReadOnly(true);
      return json({ success: true, readOnly: true });
    }),
    post("read-write", async (c) => {
      const { force = false } = await optionalBodyOf(c.req.raw, readWriteBody);
      await control.setReadOnly(false, force);
      return json({ success: true, readOnly: false });
    }),
    post("accept-loss", async () => {
      const { epoch, run } = await control.acceptLoss();
      return json({ success: true, readOnly: false, term: { epoch, run } });
    }),
    post("resync", async () => {
      await control.resync();
      return success();
    }),
  ];
}

/** `elsewhere`: a port that is taken is not the caller's to choose. */
function told(handler: Handler, elsewhere = false): Handler {
  return async (c) => {
    try {
      return await handler(c);
    } catch (error) {
      throw roleChangeFailed(error, elsewhere);
    }
  };
}
