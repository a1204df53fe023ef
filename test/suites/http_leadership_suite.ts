/** Who leads, moved and lost over HTTP: whole nodes on real ports. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { openNodeStore } from "../../src/storage/sqlite/open_node_store.ts";
import type { Body } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { testOptions } from "./storage_fixture.ts";
import type { ServedNode, WholeNodes } from "./whole_nodes.ts";
import { withNodes } from "./whole_nodes.ts";

async function ok(answer: Promise<Response>): Promise<Body> {
  const { status, body } = await told(answer);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/** Leader `a` and follower `b`, which has what `a` has. */
async function pair(nodes: WholeNodes): Promise<[ServedNode, ServedNode]> {
  const a = await nodes.lead("a"), b = await nodes.follow("b", "a");
  assert.equal((await a.put("1")).status, 201);
  await nodes.until(() => b.node.storage.log.last.seq === a.node.storage.log.last.seq);
  return [a, b];
}

const follows = (node: ServedNode, leader: ServedNode) => (): boolean =>
  node.node.role.kind === "follower" &&
  leader.node.replication.server?.followers().some(({ nodeId }) => nodeId === node.node.nodeId) === true;

export function httpLeadershipSuite(runtime: Runtime): void {
  const it = (what: string, run: (nodes: WholeNodes) => Promise<void>): void =>
    void test(`leadership over HTTP: ${what}`, () => withNodes(runtime, run));

  it("two steps: the leader is read-only, the follower is promoted; the old leader follows and sends clients there", async (nodes) => {
    const [a, b] = await pair(nodes);
    await refused(b.post("promote", { port: b.wirePort }), 409, "leader_active");
    await refused(a.post("promote", { port: a.wirePort }), 400, "bad_request");
    await ok(a.post("read-only"));
    const port = b.wirePort, promoted = await ok(b.post("promote", { port }));
    assert.deepEqual([promoted["success"], promoted["newRole"], promoted["port"]], [true, "leader", port]);
    assert.equal(promoted["term"]["epoch"], 2);
    assert.equal((await b.put("2")).status, 201);
    await nodes.until(follows(a, b));
    const moved = await a.put("3");
    assert.deepEqual([moved.status, moved.headers.get("x-dfdb-leader")], [421, b.node.httpUrl]);
    const { role, roleOrigin, configuredRole, readOnly } = await a.status();
    assert.deepEqual([role, roleOrigin, configuredRole, readOnly], ["follower", "handover", "leader", true]);
    const now = await b.status();
    assert.deepEqual([now["role"], now["roleOrigin"], now["configuredRole"]], [
      "leader",
      "handover",
      "follower",
    ]);
    assert.deepEqual([now["handover"], now["follower"]["leader"], now["authority"]], [null, null, {
      kind: "silence",
      holds: true,
    }]);
    await refused(a.post("read-write", { force: "yes" }), 400, "bad_request");
    await refused(a.post("start-leader", { port }), 409, "leader_active");
  });

  it("one request: the role moves, and back; what it says of both", async (nodes) => {
    const [a, b] = await pair(nodes);
    await refused(a.post("handover", { to: "nobody" }), 409, "conflict");
    await refused(b.post("handover", { to: "a" }), 409, "conflict");
    await refused(a.request("DELETE", "/replication/handover"), 409, "conflict");
    const given = await ok(a.post("handover", { to: "b" }));
    assert.deepEqual([given["finalSeq"], given["epoch"], given["newLeader"]], [2, 2, {
      nodeId: b.node.nodeId,
      nodeName: "b",
      httpUrl: b.node.httpUrl,
      wireAddress: `127.0.0.1:${b.wirePort}`,
    }]);
    assert.equal(typeof given["pausedMs"], "number");
    assert.equal((await b.put("2")).status, 201);
    await nodes.until(follows(a, b));
    const back = await ok(b.post("handover", { to: a.node.httpUrl }));
    assert.deepEqual([back["epoch"], back["newLeader"]["nodeName"]], [3, "a"]);
    assert.equal((await a.put("3")).status, 201);
    await nodes.until(follows(b, a));
  });

  it("a target that cannot: the leader goes on, and the answer keeps the other node's word", async (nodes) => {
    const [a] = await pair(nodes), [, port] = await nodes.ports("b");
    const held = await runtime.net.listen({ hostname: "127.0.0.1", port, tls: null });
    const answer = await refused(a.post("handover", { to: "b" }), 409, "port_in_use");
    assert.match(answer["error"], new RegExp(`${port}`));
    assert.equal((await a.put("2")).status, 201, "writes are on again");
    await held.close();
    assert.equal((await ok(a.post("handover", { to: "b" })))["epoch"], 2);
  });

  it("a port of its own that is taken, a time that is too short: 400 with the code", async (nodes) => {
    const [a, b] = await pair(nodes), [, port] = await nodes.ports("c");
    await refused(b.post("auto-failover/enable", { silenceSeconds: 0.1 - 0.001 }), 400, "bad_request");
    const slow = await nodes.follow("d", "a", { heartbeatMs: 200 });
    const answer = await refused(
      slow.post("auto-failover/enable", { silenceSeconds: 0.3 }),
      400,
      "setting_invalid",
    );
    assert.match(answer["error"], /^silenceSeconds: .*2 heartbeats/);
    await a.stop();
    await nodes.until(() => b.node.replication.following?.status().state === "waiting");
    const held = await runtime.net.listen({ hostname: "127.0.0.1", port, tls: null });
    await refused(b.post("promote", { port }), 400, "port_in_use");
    assert.equal((await b.status())["role"], "follower");
    await held.close();
    assert.equal((await ok(b.post("promote", { port })))["port"], port);
  });

  it("a follower that lacks entries of its leader leads only by force", async (nodes) => {
    const [a, b] = await pair(nodes);
    b.node.replication.following?.holdAfter(b.node.storage.log.last.seq);
    assert.equal((await a.put("2")).status, 201);
    await nodes.until(() => (b.node.replication.following?.status().leaderSeq ?? 0) > 2);
    await a.stop();
    await nodes.until(() => b.node.replication.following?.status().state === "waiting");
    const answer = await refused(b.post("promote"), 409, "behind_final_position");
    assert.deepEqual([answer["seq"], answer["leaderSeq"]], [2, 3]);
    const { port, term } = await ok(b.post("promote", { force: true }));
    assert.deepEqual([port, term["epoch"]], [b.wirePort, 2]);
    assert.equal((await b.put("3")).status, 201);
    // What it alone had is kept beside its data.
    const old = await nodes.lead("a");
    await nodes.until(async () => (await old.request("GET", "/collections/orders/3")).status === 200);
    assert.equal((await old.request("GET", "/collections/orders/2")).status, 404);
    assert.equal((await old.status())["follower"]["rescues"], 1);
  });

  it("force beside a leader that takes writes: that one is fenced and follows", async (nodes) => {
    const [a, b] = await pair(nodes);
    assert.equal((await ok(b.post("promote", { force: true })))["term"]["epoch"], 2);
    await nodes.until(follows(a, b));
    assert.deepEqual([(await a.status())["roleOrigin"], (await a.put("2")).status], ["fenced", 421]);
  });

  it("a promoted node started with its old command line leads, and says why; --force-role makes it what it says", async (nodes) => {
    const [a, b] = await pair(nodes), [, leaderPort] = await nodes.ports("a");
    const asFollower = { replicationRole: "follower", leaderHost: "127.0.0.1", leaderPort };
    await ok(a.post("handover", { to: "b" }));
    await nodes.until(follows(a, b));
    await b.stop();
    const again = await nodes.start("b", asFollower);
    assert.equal(again.node.roleNote, "promoted; configured as follower");
    const { role, roleNote, configuredRole, term } = await again.status();
    assert.deepEqual([role, roleNote, configuredRole, term["epoch"]], [
      "leader",
      "promoted; configured as follower",
      "follower",
      2,
    ]);
    assert.equal((await again.put("2")).status, 201);
    await nodes.until(follows(a, again));
    await a.stop();
    const old = await nodes.lead("a");
    assert.equal(old.node.roleNote, "following since it handed over; configured as leader");
    await nodes.until(follows(old, again));
    await again.stop();
    await old.stop();
    const forced = await nodes.lead("a", { forceRole: true });
    assert.match((await forced.put("3")).headers.get("x-dfdb-position") as string, /^3\./, "a new epoch");
    const undone = await nodes.start("b", { ...asFollower, forceRole: true });
    await nodes.until(follows(undone, forced));
  });

  it("a read-only old leader follows whom it is told to", async (nodes) => {
    const [a, b] = await pair(nodes);
    await a.post("read-only");
    await ok(b.post("promote"));
    await nodes.until(follows(a, b));
    const c = await nodes.lead("c");
    await refused(c.post("start-follower", { host: "127.0.0.1", port: b.wirePort }), 409, "leader_active");
    await refused(a.post("start-follower", { host: "127.0.0.1", port: b.wirePort }), 400, "bad_request");
  });

  it("auto-failover: pending, grace, watching, off again; one follower of a leader has it", async (nodes) => {
    const [a, b] = await pair(nodes), c = await nodes.follow("c", "a");
    const state = async (node: ServedNode): Promise<string | null> =>
      (await node.status())["autoFailover"]?.["state"] ?? null;
    const body = { silenceSeconds: 1, newLeaderPort: b.wirePort };
    await refused(a.post("auto-failover/enable", body), 400, "bad_request");
    assert.equal(await state(b), null);
    assert.deepEqual(await ok(b.post("auto-failover/enable", body)), { success: true, ...body });
    await refused(b.post("auto-failover/enable", body), 400, "bad_request");
    assert.ok(["pending", "grace", "watching"].includes(await state(b) ?? ""));
    await nodes.until(async () => await state(b) === "watching");
    const candidates = (await a.status())["nodes"].filter((each: Body) => each["candidate"]);
    assert.deepEqual(candidates.map((each: Body) => [each["nodeName"], each["silenceSeconds"]]), [["b", 1]]);
    await ok(c.post("auto-failover/enable", body));
    await nodes.until(async () =>
      (await c.status())["follower"]["lastError"]?.["code"] === "second_candidate"
    );
    const { autoFailover, follower } = await c.status();
    assert.equal(autoFailover["state"], "pending");
    assert.match(follower["lastError"]["message"], new RegExp(`DELETE /replication/nodes/${b.node.nodeId}`));
    for (const node of [c, b, a, b]) await ok(node.post("auto-failover/disable"));
    assert.deepEqual([await state(b), await state(c)], [null, null]);
    await nodes.until(async () => (await a.status())["nodes"].every((each: Body) => !each["candidate"]));
  });

  it("a follower takes over when its leader has gone; a third node finds it; the old leader comes back and follows", async (nodes) => {
    const [a, b] = await pair(nodes), c = await nodes.follow("c", "a");
    await ok(b.post("auto-failover/enable", { silenceSeconds: 0.5, newLeaderPort: b.wirePort }));
    await nodes.until(async () => (await b.status())["autoFailover"]["state"] === "watching");
    await nodes.until(() =>
      a.node.replication.server?.followers().every(({ state }) => state === "streaming") ?? false
    );
    await a.stop();
    await nodes.until(async () => (await b.status())["follower"]["autoFailoverPromoted"]);
    const { role, roleOrigin, autoFailover } = await b.status();
    assert.deepEqual([role, roleOrigin, autoFailover], ["leader", "failover", null]);
    assert.equal((await b.put("2")).status, 201);
    await nodes.until(follows(c, b));
    const old = await nodes.lead("a");
    await nodes.until(follows(old, b));
    assert.equal((await old.request("GET", "/collections/orders/2")).status, 200);
    assert.equal((await old.status())["roleOrigin"], "fenced");
  });

  it("a leader that starts waits for its candidate, is not ready meanwhile, and an operator may end that or forget the candidate", async (nodes) => {
    const [a, b] = await pair(nodes);
    await ok(b.post("auto-failover/enable", { silenceSeconds: 60, newLeaderPort: b.wirePort }));
    await nodes.until(async () => (await b.status())["autoFailover"]["state"] === "watching");
    await b.stop();
    await a.stop();
    const waiting = { leaderStartMs: 600_000 };
    const alone = await nodes.lead("a", waiting);
    assert.equal((await alone.status())["readOnlyReason"], "unconfirmed_leadership");
    await refused(alone.put("2"), 503, "read_only");
    assert.match((await refused(alone.request("GET", "/ready"), 503, "not_ready"))["error"], /asks whether/);
    await refused(alone.post("read-write"), 409, "conflict");
    assert.equal((await ok(alone.post("read-write", { force: true })))["readOnly"], false);
    assert.match((await alone.put("2")).headers.get("x-dfdb-position") as string, /^2\./);
    await alone.stop();
    const again = await nodes.lead("a", waiting);
    const forget = (id: string) => again.request("DELETE", `/replication/nodes/${id}`);
    await refused(forget("0".repeat(32)), 404, "not_found");
    await ok(forget(b.node.nodeId));
    assert.deepEqual((await again.status())["nodes"], []);
    await again.stop();
    const free = await nodes.lead("a", waiting);
    assert.equal((await free.put("3")).status < 300, true, "nobody is known any more");
  });

  it("a handover in doubt: no writes, not ready, until the target is heard or an operator forces it", async (nodes) => {
    const [a, b] = await pair(nodes);
    await b.stop();
    await a.stop();
    await inDoubt(nodes.folderOf("a"), b, b.wirePort);
    const old = await nodes.lead("a");
    const { readOnlyReason, handover } = await old.status();
    assert.deepEqual([readOnlyReason, handover["step"], handover["to"]["nodeName"]], [
      "handover_in_doubt",
      "in_doubt",
      "b",
    ]);
    await refused(old.put("2"), 503, "read_only");
    assert.match((await refused(old.request("GET", "/ready"), 503, "not_ready"))["error"], /gave its role/);
    await refused(old.post("read-write"), 409, "stale_epoch");
    await refused(old.request("DELETE", "/replication/handover"), 409, "conflict");
    await refused(old.post("handover", { to: "b" }), 409, "conflict");
    assert.equal((await ok(old.post("read-write", { force: true })))["readOnly"], false);
    assert.match((await old.put("2")).headers.get("x-dfdb-position") as string, /^3\./, "above the target's");
    assert.equal((await old.status())["handover"], null);
    await old.stop();
    // The target comes as a follower: it never took over, and the doubt is over.
    await inDoubt(nodes.folderOf("a"), b, b.wirePort);
    const doubting = await nodes.lead("a");
    await refused(doubting.put("3"), 503, "read_only");
    await nodes.follow("b", "a");
    await nodes.until(async () => !(await doubting.status())["readOnly"]);
    assert.equal((await doubting.put("3")).status, 201);
  });
}

/** As a crash after the doubt was made durable, before the target's answer, leaves it. */
export async function inDoubt(
  folder: string,
  { node, name, url }: ServedNode,
  wirePort: number,
): Promise<void> {
  const store = await openNodeStore(testOptions(`${folder}/node.dfdb`));
  const { databaseId } = node.storage, state = store.state(databaseId);
  assert.ok(state !== null);
  const wireAddress = `127.0.0.1:${wirePort}`;
  const target = { nodeId: node.nodeId, nodeName: name, httpUrl: url, wireAddress };
  const handover = { id: "f".repeat(32), target };
  store.setState(databaseId, { ...state, handover, readOnly: true, readOnlyReason: "in_doubt" });
  store.close();
}
