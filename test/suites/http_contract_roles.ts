/** The table of endpoints that change a node's role, or tell it: a story of whole nodes, in which each is asked well and badly. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import * as v from "valibot";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { freePorts } from "../tool/ports.ts";
import {
  count,
  exactly,
  hexId,
  is,
  measured,
  no,
  orNull,
  statusShape,
  success,
  term,
  text,
  yes,
} from "./http_contract_shapes.ts";
import type { Bad, Good, Row, Shape } from "./http_contract_table.ts";
import { badFault, goodFault, send } from "./http_contract_table.ts";
import type { Transport } from "./http_fixture.ts";
import { following, until, withWholeNode } from "./http_replication_suite.ts";
import type { WholeNode } from "./http_replication_suite.ts";
import { inFolder, patient } from "./storage_fixture.ts";

export const roleRoutes: readonly string[] = [
  "GET /replication/status",
  ...[
    "start-leader",
    "start-follower",
    "promote",
    "handover",
    "auto-failover/enable",
    "auto-failover/disable",
    "read-only",
    "read-write",
    "accept-loss",
    "resync",
  ].map((name) => `POST /replication/${name}`),
  "DELETE /replication/handover",
  "DELETE /replication/nodes/:id",
];

/** Asks, judges, and keeps which route was asked how. */
class Story {
  readonly #asked = new Map<string, Set<"good" | "bad">>();

  async good(node: WholeNode, route: string, answer: Shape, more: Partial<Good> = {}): Promise<void> {
    const good: Good = { ...more, answer };
    await this.#judge(node, route, "good", good, (given) => goodFault(given, good));
  }

  async bad(
    node: WholeNode,
    route: string,
    status: number,
    code: string,
    more: Partial<Bad> = {},
  ): Promise<void> {
    const bad: Bad = { ...more, status, code };
    await this.#judge(node, route, "bad", bad, (given) => badFault(given, bad));
  }

  /** Throws unless each route was asked well and badly. */
  done(): void {
    assert.deepEqual([...this.#asked.keys()].sort(), [...roleRoutes].sort());
    for (const [route, how] of this.#asked) assert.equal(how.size, 2, `${route}: ${[...how]}`);
  }

  async #judge(
    node: WholeNode,
    route: string,
    how: "good" | "bad",
    asked: Good | Bad,
    fault: (answer: Response) => Promise<string | null>,
  ): Promise<void> {
    const row: Row = { route, good: [], bad: [] };
    const found = await fault(await send(node.request, row, asked));
    assert.equal(found, null, `${route}, ${how}: ${found}`);
    this.#asked.set(route, (this.#asked.get(route) ?? new Set()).add(how));
  }
}

const post = (name: string): string => `POST /replication/${name}`;
const status = "GET /replication/status";
const readOnlyShape = (on: boolean): Shape => exactly({ success: yes, readOnly: is(on) });

export function httpContractRolesSuite(runtime: Runtime, transport: Transport): void {
  test(
    `http contract, ${transport.name}: every row that changes a role`,
    patient,
    () =>
      inFolder(async (folder) => {
        const story = new Story(), nodes = withWholeNode(runtime, transport);
        const [portA, portB] = await freePorts(2) as [number, number];
        const quick = { heartbeatMs: 50, leaderStartMs: 2_000 };
        await nodes(`${folder}/a`, { ...quick, nodeName: "a", replicationPort: portA }, (a) =>
          nodes(`${folder}/b`, { ...quick, nodeName: "b", replicationPort: portB }, async (b) => {
            await begin(story, a, b, portA, runtime);
            await follow(story, a, b, portB, runtime);
            await handOver(story, a, b, runtime);
            await promote(story, a, b, portA, runtime);
          }));
        await doubt(story, nodes, `${folder}/c`);
        story.done();
      }),
  );
}

async function begin(
  story: Story,
  a: WholeNode,
  b: WholeNode,
  port: number,
  runtime: Runtime,
): Promise<void> {
  await story.good(a, status, statusShape("none"));
  await story.bad(a, status, 405, "method_not_allowed", { method: "PUT", more: { allow: is("GET, HEAD") } });
  await story.bad(a, post("accept-loss"), 409, "conflict");
  await story.bad(a, post("resync"), 409, "conflict");
  await story.good(a, post("start-leader"), exactly({ success: yes, role: is("leader"), port: is(port) }), {
    // As a client writes it that has no secret.
    body: { port, sharedSecret: null },
  });
  await story.bad(a, post("start-leader"), 400, "bad_request", { body: { port: port + 1 } });
  assert.equal((await a.put("1")).status, 201);
  const leader = `127.0.0.1:${port}`;
  await story.bad(b, post("start-follower"), 400, "bad_request", {
    body: { port },
    more: { field: is("host") },
  });
  await story.good(
    b,
    post("start-follower"),
    exactly({ success: yes, role: is("follower"), leader: is(leader) }),
    {
      body: { host: "127.0.0.1", port, sharedSecret: null },
    },
  );
  await following(b, runtime, "streaming");
  await story.good(a, status, statusShape("leader", { followers: 1 }));
  await story.good(b, status, statusShape("follower"));
}

async function follow(
  story: Story,
  a: WholeNode,
  b: WholeNode,
  port: number,
  runtime: Runtime,
): Promise<void> {
  const silenceSeconds = 60, body = { silenceSeconds, newLeaderPort: port };
  await story.good(
    b,
    post("auto-failover/enable"),
    exactly({ success: yes, silenceSeconds: is(silenceSeconds), newLeaderPort: is(port) }),
    { body },
  );
  await story.bad(b, post("auto-failover/enable"), 400, "bad_request", { body });
  await story.bad(a, post("auto-failover/enable"), 400, "bad_request", { body });
  await story.good(b, status, statusShape("follower", { autoFailover: true }));
  await story.good(b, post("auto-failover/disable"), success);
  const methods = { method: "GET", more: { allow: is("POST") } };
  await story.bad(b, post("auto-failover/disable"), 405, "method_not_allowed", methods);
  await following(b, runtime, "streaming");
  await story.good(b, post("resync"), success);
  await following(b, runtime, "streaming");
  await story.good(a, post("read-only"), readOnlyShape(true));
  await story.bad(a, post("read-only"), 405, "method_not_allowed", methods);
  await story.good(a, post("read-write"), readOnlyShape(false));
  await story.bad(a, post("read-write"), 400, "bad_request", {
    body: { force: 1 },
    more: { field: is("force") },
  });
}

const leads = (node: WholeNode) => (): Promise<boolean> =>
  Promise.resolve(node.database.role.kind === "leader");

async function handOver(story: Story, a: WholeNode, b: WholeNode, runtime: Runtime): Promise<void> {
  const give = post("handover"), abort = "DELETE /replication/handover";
  await story.bad(a, give, 409, "conflict", { body: { to: "nobody" } });
  await story.bad(a, abort, 409, "conflict");
  // The target takes nothing more for now, so that there is a handover to end.
  const { following: session } = b.database.replication;
  assert.ok(session !== null);
  session.holdAfter(b.database.storage.log.last.seq);
  assert.equal((await a.put("2")).status, 201);
  const ended = a.post("handover", { to: "b" });
  await until(runtime, async () => (await a.status())["handover"] !== null);
  await story.good(a, abort, success);
  assert.equal((await ended).ok, false);
  session.holdAfter(null);
  await until(runtime, async () => (await a.status())["handover"] === null);
  await until(runtime, async () => (await a.status())["leader"]["followers"][0]?.["lagSeq"] === 0);
  const newLeader = exactly({
    nodeId: hexId,
    nodeName: is("b"),
    httpUrl: orNull(text),
    wireAddress: orNull(text),
  });
  await story.good(
    a,
    give,
    exactly({ success: yes, finalSeq: count, epoch: is(2), newLeader, pausedMs: measured }),
    { body: { to: "b", timeoutSeconds: 60 } },
  );
  await until(runtime, leads(b));
  await following(a, runtime, "streaming");
}

async function promote(
  story: Story,
  a: WholeNode,
  b: WholeNode,
  port: number,
  runtime: Runtime,
): Promise<void> {
  const rise = post("promote");
  await story.bad(b, rise, 400, "bad_request", { body: { port } });
  await story.bad(a, rise, 409, "leader_active", { body: { port } });
  assert.equal((await b.post("read-only")).status, 200);
  await story.good(a, rise, exactly({ success: yes, newRole: is("leader"), port: is(port), term }), {
    body: { port },
  });
  await until(runtime, leads(a));
  await following(b, runtime, "streaming");
  const forget = "DELETE /replication/nodes/:id",
    nodeOf = (node: WholeNode): string => `/replication/nodes/${node.database.nodeStore.nodeId}`;
  await story.bad(a, forget, 400, "bad_request", { path: "/replication/nodes/x" });
  await story.bad(a, forget, 404, "not_found", { path: `/replication/nodes/${"0".repeat(32)}` });
  await story.good(b, forget, success, { path: nodeOf(a) });
}

/** A leader that may have been restored: only then is there a loss to accept. */
async function doubt(story: Story, nodes: ReturnType<typeof withWholeNode>, folder: string): Promise<void> {
  const settings = { replicationRole: "leader", replicationPort: (await freePorts(1))[0] as number };
  await nodes(folder, settings, async (node) => void await node.put("1"));
  writeFileSync(`${folder}/data.dfdb.followerseq`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
  await nodes(folder, settings, async (node) => {
    await story.good(node, post("accept-loss"), exactly({ success: yes, readOnly: no, term }));
    assert.equal(v.is(statusShape("leader"), await node.status()), true);
  });
}
