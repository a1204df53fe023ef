/** Changes of a node's role by an operator, over any way to reach its HTTP API; the nodes are whole. */
import assert from "node:assert/strict";
import { cpSync, renameSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { nodeIdOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { RoleKind } from "../../src/cluster/role.ts";
import type { NodeDatabase } from "../../src/node/database.ts";
import { openNodeDatabase } from "../../src/node/database.ts";
import { httpHandler } from "../../src/node/serve_http.ts";
import type { Settings } from "../../src/node/settings.ts";
import { defaultSettings } from "../../src/node/settings.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { freePorts } from "../tool/ports.ts";
import type { Body, TestNode, Transport } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { inFolder } from "./storage_fixture.ts";

export interface WholeNode {
  readonly database: NodeDatabase;
  readonly request: TestNode["request"];
  post(path: string, body?: unknown): Promise<Response>;
  put(id: string): Promise<Response>;
  status(): Promise<Body>;
}

export type With = (
  folder: string,
  settings: Partial<Settings>,
  run: (node: WholeNode) => Promise<void>,
) => Promise<void>;

/** Opens the node in `folder`, runs, closes: what is opened there again is the same node. */
export function withWholeNode(runtime: Runtime, transport: Transport): With {
  return async (folder, given, run) => {
    const settings = { ...defaultSettings(), ...given };
    const database = await openNodeDatabase({
      runtime,
      settings,
      logger: silentLogger,
      paths: {
        data: `${folder}/data.dfdb`,
        node: `${folder}/node.dfdb`,
        snapshots: `${folder}/snapshots`,
        rescued: `${folder}/rescued`,
      },
      httpUrl: "http://this-node:5000",
      role: settings.replicationRole as RoleKind,
    });
    const { handler, close } = httpHandler(database, runtime.clock.monotonic());
    try {
      await transport.serve(handler, (request) =>
        run({
          database,
          request,
          post: (path, body) =>
            request("POST", `/replication/${path}`, body === undefined ? {} : { body: JSON.stringify(body) }),
          put: (id) => request("PUT", `/collections/orders/${id}`, { body: '{"n":1}' }),
          status: async () => (await told(request("GET", "/replication/status"))).body,
        }));
    } finally {
      await close();
      await database.close();
    }
  };
}

/** Resolves when the state of a following is what is wanted. */
export async function until(runtime: Runtime, holds: () => Promise<boolean>): Promise<void> {
  while (!await holds()) await new Promise<void>((resolve) => void runtime.clock.timer(20, resolve));
}

export function following(node: WholeNode, runtime: Runtime, wanted: string): Promise<void> {
  return until(runtime, async () => (await node.status())["follower"]["state"] === wanted);
}

export function httpReplicationSuite(runtime: Runtime, transport: Transport): void {
  const withNode = withWholeNode(runtime, transport);
  const it = (what: string, run: (folder: string) => Promise<void>): void =>
    void test(`replication control, ${transport.name}: ${what}`, () => inFolder(run));

  it("start-leader adds a listener to the leadership that goes on", async (folder) => {
    const [port, other] = await freePorts(2) as [number, number];
    await withNode(folder, {}, async (node) => {
      const first = (await node.put("1")).headers.get("x-dfdb-position") as string;
      assert.deepEqual(await told(node.post("start-leader", { port })), {
        status: 200,
        body: { success: true, role: "leader", port },
      });
      const { role, leader } = await node.status();
      assert.deepEqual([role, leader["port"], leader["refused"], leader["minSyncReplicas"]], [
        "leader",
        port,
        [],
        0,
      ]);
      const second = (await node.put("2")).headers.get("x-dfdb-position") as string;
      assert.equal(second.split("-")[0], first.split("-")[0], "the same run");
      assert.match(
        (await refused(node.post("start-leader", { port: other }), 400, "bad_request"))["error"],
        /already/,
      );
      await refused(node.post("start-follower", { host: "127.0.0.1", port: other }), 409, "leader_active");
      await refused(node.post("resync"), 409, "conflict");
      await refused(node.post("accept-loss"), 409, "conflict");
      assert.equal((await told(node.request("GET", "/ready"))).status, 200);
      const { stall } = (await told(node.request("GET", "/stats"))).body;
      assert.deepEqual(Object.keys(stall), ["longestMs", "recentMs", "over"]);
      assert.ok(stall["longestMs"] >= stall["recentMs"]);
    });
  });

  it("a port that is taken is the caller's mistake and changes nothing", async (folder) => {
    const [port] = await freePorts(1) as [number];
    const listener = await runtime.net.listen({ hostname: "127.0.0.1", port, tls: null });
    await withNode(folder, {}, async (node) => {
      await refused(node.post("start-leader", { port }), 400, "port_in_use");
      assert.equal((await node.status())["role"], "none");
      assert.equal((await node.put("1")).status, 201);
    });
    await listener.close();
  });

  it("bodies are checked", async (folder) => {
    await withNode(folder, {}, async (node) => {
      const wrong: [path: string, body: string][] = [
        ["start-leader", "no JSON"],
        ["start-leader", "{}"],
        ["start-leader", "[]"],
        ["start-leader", '{"port":"5500"}'],
        ["start-leader", '{"port":0}'],
        ["start-leader", '{"port":65536}'],
        ["start-leader", '{"port":1.5}'],
        ["start-leader", '{"port":5500,"secret":"x"}'],
        ["start-leader", '{"port":5500,"sharedSecret":""}'],
        ["start-follower", '{"port":5500}'],
        ["start-follower", '{"host":" ","port":5500}'],
        ["start-follower", '{"host":["a"],"port":5500}'],
      ];
      for (const [path, body] of wrong) {
        await refused(node.request("POST", `/replication/${path}`, { body }), 400, "bad_request");
      }
      await refused(node.request("POST", "/replication/start-leader"), 400, "bad_request");
      await refused(node.request("GET", "/replication/read-only"), 405, "method_not_allowed");
      assert.equal((await node.status())["role"], "none");
    });
  });

  it("they want the API key as every other route does", async (folder) => {
    await withNode(folder, { apiKey: "k" }, async (node) => {
      for (
        const path of ["start-leader", "start-follower", "read-only", "read-write", "accept-loss", "resync"]
      ) {
        await refused(node.post(path, {}), 401, "unauthorized");
      }
      assert.equal(node.database.role.readOnly.on, false);
    });
  });

  it("read-only refuses writes, keeps reads, outlives a restart, and ends by read-write", async (folder) => {
    await withNode(folder, {}, async (node) => {
      assert.equal((await node.put("1")).status, 201);
      const queued = Array.from({ length: 20 }, (_, i) => node.put(`queued-${i}`));
      assert.deepEqual((await told(node.post("read-only"))).body, { success: true, readOnly: true });
      const end = node.database.storage.log.last.seq;
      for (const answer of await Promise.all(queued)) assert.ok([201, 503].includes(answer.status));
      assert.equal(node.database.storage.log.last.seq, end, "nothing is written after the answer");
      assert.match(
        (await refused(node.put("2"), 503, "read_only"))["error"],
        /^Database is in read-only mode/,
      );
      assert.equal((await node.request("GET", "/collections/orders/1")).status, 200);
      assert.equal((await told(node.request("GET", "/ready"))).status, 200, "it serves reads");
      assert.equal((await told(node.request("GET", "/health"))).body["readOnly"], true);
      assert.equal((await node.status())["readOnlyReason"], "operator");
      assert.equal((await node.post("read-only")).status, 200, "asked twice");
    });
    await withNode(folder, {}, async (node) => {
      await refused(node.put("2"), 503, "read_only");
      assert.deepEqual((await told(node.post("read-write"))).body, { success: true, readOnly: false });
      assert.equal((await node.put("2")).status, 201);
    });
    await withNode(folder, {}, async (node) => assert.equal((await node.put("3")).status, 201));
  });

  it("an old leader, read-only, follows the new one; its clients are sent there", async (folder) => {
    const [port] = await freePorts(1) as [number];
    await withNode(`${folder}/a`, {}, async (leader) => {
      await leader.post("start-leader", { port, sharedSecret: "s" });
      await leader.put("1");
      await withNode(`${folder}/b`, { replicationRole: "leader", replicationPort: 0 }, async (old) => {
        const answer = { success: true, role: "follower", leader: `127.0.0.1:${port}` };
        const body = { host: "127.0.0.1", port, sharedSecret: "s" };
        await refused(old.post("start-follower", body), 409, "leader_active");
        await old.post("read-only");
        assert.deepEqual(await told(old.post("start-follower", body)), { status: 200, body: answer });
        await following(old, runtime, "streaming");
        const { role, readOnly, follower } = await old.status();
        assert.deepEqual([role, readOnly, follower["leader"]], ["follower", true, {
          endpoint: `127.0.0.1:${port}`,
          httpEndpoint: "http://this-node:5000",
        }]);
        const moved = await old.put("2");
        assert.deepEqual([moved.status, moved.headers.get("x-dfdb-leader")], [421, "http://this-node:5000"]);
        await refused(old.post("start-follower", body), 400, "bad_request");
        await refused(old.post("start-leader", { port }), 409, "leader_active");
        await refused(old.post("accept-loss"), 409, "conflict");
        assert.equal((await old.request("GET", "/ready?maxLagSeq=0")).status, 200);
        await refused(old.request("GET", "/ready?maxLagMs=-1"), 400, "bad_request");
        await refused(old.request("GET", "/ready?maxLagSeq=many"), 400, "bad_request");
        assert.equal((await old.post("read-write")).status, 200, "a follower keeps the wish only");
        assert.equal((await leader.status())["leader"]["followerCount"], 1);
        assert.equal(old.database.kept.role, "follower");
      });
    });
  });

  it("a leader whose sidecar is ahead of its data takes no writes until its loss is accepted", async (folder) => {
    const settings = { replicationRole: "leader", replicationPort: (await freePorts(1))[0] as number };
    await withNode(folder, settings, async (node) => void await node.put("1"));
    writeFileSync(`${folder}/data.dfdb.followerseq`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    for (const start of ["first", "second"]) {
      await withNode(folder, settings, async (node) => {
        const { readOnly, readOnlyReason, term } = await node.status();
        assert.deepEqual([readOnly, readOnlyReason, term["epoch"]], [true, "behind_followers", 1], start);
        await refused(node.put("2"), 503, "read_only");
        await refused(node.request("GET", "/ready"), 503, "not_ready");
        await refused(node.post("read-write"), 409, "conflict");
      });
    }
    await withNode(folder, settings, async (node) => {
      const { body } = await told(node.post("accept-loss"));
      assert.deepEqual([body["success"], body["term"]["epoch"]], [true, 2]);
      const { terms, readOnly } = await node.status();
      assert.deepEqual(
        [terms.length, terms[1]["epoch"], terms[1]["firstSeq"], readOnly],
        [2, 2, 3, false],
        "durable at once",
      );
      assert.match((await node.put("2")).headers.get("x-dfdb-position") as string, /^2\./);
      await refused(node.post("accept-loss"), 409, "conflict");
    });
    await withNode(folder, settings, async (node) => assert.equal((await node.status())["term"]["epoch"], 2));
  });

  it("until the new epoch's first entry is there accept-loss is not done, and who is ahead does not stop it", async (folder) => {
    const settings = { replicationRole: "leader", replicationPort: (await freePorts(1))[0] as number };
    await withNode(folder, settings, async (node) => void await node.put("1"));
    await withNode(folder, settings, async ({ database, put, status }) => {
      const { behind, kept, replication, role, storage } = database, { last } = storage.log;
      const ahead = (digit: string): void =>
        behind.onAhead({
          nodeId: nodeIdOf(digit.repeat(32)),
          nodeName: digit,
          code: "ahead",
          message: "",
          position: last,
          atMs: 0,
        });
      ahead("b");
      assert.equal(role.readOnly.reason, "behind_followers");
      const accepted = replication.acceptLoss();
      while (role.leadership?.epoch !== 2) await Promise.resolve();
      assert.deepEqual([storage.log.last, role.readOnly.on], [last, false], "it is not written yet");
      assert.deepEqual(
        [kept.highestEpoch, kept.readOnlyCauses],
        [2, ["follower_ahead"]],
        "for who ends here",
      );
      ahead("b");
      ahead("c");
      assert.equal((await accepted).epoch, 2);
      assert.deepEqual([(await status())["readOnly"], kept.readOnlyCauses], [false, []]);
      assert.equal((await put("2")).status, 201);
    });
  });

  it("a follower that holds no more than the leader ends the doubt, an empty one does not", async (folder) => {
    const [port] = await freePorts(1) as [number];
    const leader = { replicationRole: "leader", replicationPort: port };
    const follower = { replicationRole: "follower", leaderHost: "127.0.0.1", leaderPort: port };
    await withNode(`${folder}/l`, leader, async (node) => {
      await node.put("1");
      await withNode(`${folder}/f`, follower, (known) => following(known, runtime, "streaming"));
    });
    writeFileSync(`${folder}/l/data.dfdb.followerseq`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    await withNode(`${folder}/l`, leader, async (node) => {
      await withNode(`${folder}/e`, follower, async (empty) => {
        await following(empty, runtime, "streaming");
        await refused(node.put("2"), 503, "read_only");
      });
      await withNode(`${folder}/f`, follower, async (known) => {
        await following(known, runtime, "streaming");
        assert.equal((await node.status())["readOnly"], false);
        assert.equal((await node.put("2")).status, 201);
      });
    });
  });

  it("a sidecar that is ahead is not forgotten by a start as another role that wrote nothing", async (folder) => {
    const [port] = await freePorts(1) as [number];
    const leader = { replicationRole: "leader", replicationPort: port };
    const follower = { replicationRole: "follower", leaderHost: "127.0.0.1", leaderPort: port };
    await withNode(folder, leader, async (node) => void await node.put("1"));
    writeFileSync(`${folder}/data.dfdb.followerseq`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    for (const other of [{}, follower]) await withNode(folder, other, () => Promise.resolve());
    await withNode(folder, { ...leader, forceRole: true }, async (node) => {
      assert.equal((await node.status())["readOnlyReason"], "behind_followers");
      await refused(node.put("2"), 503, "read_only");
    });
  });

  it("a leader that meets entries of a higher epoch that nobody leads goes above it, and accept-loss above all", async (folder) => {
    const [port] = await freePorts(1) as [number];
    const leader = { replicationRole: "leader", replicationPort: port };
    const follower = { replicationRole: "follower", leaderHost: "127.0.0.1", leaderPort: port };
    await withNode(`${folder}/l`, leader, async (node) => {
      await node.put("1");
      await withNode(`${folder}/f`, follower, (copy) => following(copy, runtime, "streaming"));
    });
    await withNode(`${folder}/f`, { forceRole: true }, async (copy) => {
      assert.match((await copy.put("2")).headers.get("x-dfdb-position") as string, /^2\./);
    });
    await withNode(`${folder}/l`, leader, async (node) => {
      await withNode(`${folder}/f`, follower, async (copy) => {
        await until(runtime, async () => (await node.status())["readOnlyReason"] === "fenced");
        await refused(node.put("3"), 503, "read_only");
        assert.equal(node.database.kept.highestEpoch, 2);
        await until(runtime, async () => (await node.status())["term"]["epoch"] === 3);
        await following(copy, runtime, "streaming");
        assert.equal((await copy.status())["follower"]["rescues"], 1);
      });
    });
    writeFileSync(`${folder}/l/data.dfdb.followerseq`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    await withNode(`${folder}/l`, leader, async (node) => {
      assert.deepEqual([node.database.kept.highestEpoch, (await node.status())["term"]["epoch"]], [3, 3]);
      assert.equal((await told(node.post("accept-loss"))).body["term"]["epoch"], 4);
    });
  });

  it("a leader whose files are put back from before its first write takes no writes once a follower has told it what there was", async (folder) => {
    const [port] = await freePorts(1) as [number];
    const leader = { replicationRole: "leader", replicationPort: port };
    const follower = { replicationRole: "follower", leaderHost: "127.0.0.1", leaderPort: port };
    await withNode(`${folder}/l`, leader, () => Promise.resolve());
    cpSync(`${folder}/l`, `${folder}/older`, { recursive: true });
    await withNode(`${folder}/l`, leader, async (node) => {
      await withNode(`${folder}/f`, follower, async (copy) => {
        await node.put("1");
        await until(runtime, async () => (await copy.request("GET", "/collections/orders/1")).status === 200);
      });
    });
    renameSync(`${folder}/l`, `${folder}/newer`);
    renameSync(`${folder}/older`, `${folder}/l`);
    await withNode(`${folder}/l`, leader, async (node) => {
      assert.deepEqual([(await node.status())["readOnly"], node.database.storage.log.last.seq], [false, 0]);
      await withNode(`${folder}/f`, follower, async (copy) => {
        const turnedAway = async (): Promise<string[]> =>
          (await node.status())["leader"]["refused"].map(({ code }: Body) => code);
        await until(runtime, async () => (await turnedAway()).length > 0);
        assert.deepEqual(await turnedAway(), ["ahead"]);
        assert.equal((await node.status())["readOnlyReason"], "behind_followers");
        await refused(node.put("2"), 503, "read_only");
        assert.equal(
          (await copy.request("GET", "/collections/orders/1")).status,
          200,
          "nothing is discarded",
        );
        assert.equal((await told(node.post("accept-loss"))).body["term"]["epoch"], 2);
        await following(copy, runtime, "streaming");
        assert.equal((await copy.status())["follower"]["rescues"], 1);
        assert.equal((await node.put("2")).status, 201);
      });
    });
  });

  it("a mirror that is deleted, cut or set back is written anew and changes nothing", async (folder) => {
    const settings = { replicationRole: "leader", replicationPort: (await freePorts(1))[0] as number };
    await withNode(folder, settings, async (node) => void await node.put("1"));
    for (const bytes of [[], [1, 2, 3], [1, 0, 0, 0, 0, 0, 0, 0]]) {
      writeFileSync(`${folder}/data.dfdb.followerseq`, Uint8Array.from(bytes));
      await withNode(folder, settings, async (node) => {
        assert.equal((await node.status())["readOnly"], false, `${bytes.length} bytes`);
        assert.equal((await node.put("2")).status < 300, true);
      });
    }
  });

  it("a follower whose sidecar is ahead says so until its leader has decided", async (folder) => {
    const [port] = await freePorts(1) as [number];
    const follower = { replicationRole: "follower", leaderHost: "127.0.0.1", leaderPort: port };
    await withNode(`${folder}/f`, follower, () => Promise.resolve());
    writeFileSync(`${folder}/f/data.dfdb.followerseq`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    await withNode(`${folder}/f`, follower, async (node) => {
      assert.match(
        (await node.status())["follower"]["lastError"]["message"],
        /older than its sidecar|refused|connect/,
      );
      await withNode(`${folder}/l`, { replicationRole: "leader", replicationPort: port }, async (leader) => {
        await leader.put("1");
        await following(node, runtime, "streaming");
        assert.doesNotMatch(JSON.stringify((await node.status())["follower"]["lastError"]), /sidecar/);
      });
    });
  });
}
