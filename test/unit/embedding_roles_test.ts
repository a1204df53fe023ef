/** Who leads among databases inside one process: handed over by the program, taken over when the leader is silent, refused by an authority. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EmbeddedDatabase, OpenDatabaseOptions } from "../../src/mod.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { inFolder as inEmptyFolder } from "../suites/storage_fixture.ts";
import { embedded } from "../tool/embedding.ts";
import { freePort, freePorts } from "../tool/ports.ts";
import { OneLeader } from "../tool/one_leader.ts";

const { clock } = embedded.currentRuntime();
const opened = new Set<EmbeddedDatabase>();
const quick = { heartbeatMs: 50, leaderStartMs: 1_000 };

type Options = Omit<OpenDatabaseOptions, "runtime">;
type Open = (name: string, options?: Options) => Promise<EmbeddedDatabase>;

function it(what: string, run: (open: Open) => Promise<void>): void {
  test(`embedded roles: ${what}`, () =>
    inEmptyFolder(async (folder) => {
      try {
        await run(async (name, options = {}) => {
          const settings = { nodeName: name, ...quick, ...options };
          const db = await embedded.openDatabase(`${folder}/${name}.dfdb`, settings);
          opened.add(db);
          return db;
        });
      } finally {
        for (const db of opened) await db.close();
        opened.clear();
      }
    }));
}

/** Resolves when `holds`; asks every 10 ms. */
async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => void clock.timer(10, resolve));
}

/** Leader `a` and follower `b`, which has all that is in `a`. */
async function pair(open: Open, options: Options = {}): Promise<[EmbeddedDatabase, EmbeddedDatabase]> {
  const a = await open("a", options), b = await open("b", options);
  const { port } = await a.startLogicalReplicationServer({ port: 0, sharedSecret: "s" });
  await b.startLogicalReplicationFollower("127.0.0.1", port, { sharedSecret: "s" });
  await a.put("orders", "1", { n: 1 });
  await b.reached(a.position, 30_000);
  return [a, b];
}

function failover(db: EmbeddedDatabase): Readonly<Record<string, unknown>> | null {
  return db.replicationStatus()["autoFailover"] as Readonly<Record<string, unknown>> | null;
}

it("a handover in two steps: writes stop, the probe reaches the end, the follower is promoted", async (open) => {
  const [a, b] = await pair(open);
  let probed = 0;
  const finalSeq = await a.beginPlannedHandover({
    followerLastSeqProbe: () => ++probed < 3 ? 0 : Promise.resolve(b.followerLastSeq),
    timeoutMs: 30_000,
  });
  assert.deepEqual([finalSeq, a.isReadOnly, probed], [2, true, 3]);
  const refusal = { code: "read_only", message: /^Database is in read-only mode/ };
  await assert.rejects(a.put("orders", "2", {}), refusal);
  const { port, term } = await b.promoteToLeader(0);
  assert.deepEqual([b.logicalLeaderPort, b.leaderTerm, term.epoch], [port, term, 2]);
  assert.equal(b.wasAutoFailoverPromoted, false);
  await b.put("orders", "2", { n: 2 });
  await a.reached(b.position, 30_000);
  assert.deepEqual([a.logicalReplicationRole, a.get("orders", "2")?.["n"]], ["follower", 2]);
  await assert.rejects(a.put("orders", "3", {}), { code: "not_leader" });
});

it("a probe that fails, or is too late, puts writes on again", async (open) => {
  const [a] = await pair(open);
  const failing = (): number => {
    throw new Error("no route");
  };
  const probes: [probe: () => number | Promise<number>, timeoutMs: number, message: RegExp][] = [
    [failing, 30_000, /no route/],
    [() => Promise.reject(new Error("refused")), 30_000, /refused/],
    // It is to be asked before the time is over.
    [() => 1, 2_000, /up to 1, and the time is over/],
    [() => new Promise<number>(() => {}), 150, /did not answer/],
  ];
  for (const [followerLastSeqProbe, timeoutMs, message] of probes) {
    const handover = a.beginPlannedHandover({ followerLastSeqProbe, timeoutMs });
    await assert.rejects(handover, { code: "not_caught_up", message });
    assert.equal(a.isReadOnly, false);
    await a.put("orders", "2", {});
  }
  await a.setReadOnly(true);
  const again = a.beginPlannedHandover({ followerLastSeqProbe: failing, timeoutMs: 150 });
  await assert.rejects(again, { code: "not_caught_up" });
  assert.equal(a.isReadOnly, true, "it was so before");
});

it("who does not lead gives nothing away; numbers are checked", async (open) => {
  const [a, b] = await pair(open), alone = await open("alone");
  const handover = { followerLastSeqProbe: () => 9, timeoutMs: 100 };
  await assert.rejects(b.beginPlannedHandover(handover), { code: "conflict" });
  await assert.rejects(alone.beginPlannedHandover(handover), { code: "conflict" });
  await alone.put("orders", "1", {});
  await assert.rejects(a.promoteToLeader(0), { code: "bad_request" });
  await assert.rejects(b.promoteToLeader(0), { code: "leader_active" });
  await assert.rejects(a.enableAutoFailover({ silenceTimeoutMs: 500 }), { code: "bad_request" });
  await assert.rejects(b.enableAutoFailover({ silenceTimeoutMs: 99 }), {
    code: "setting_invalid",
    message: /2 heartbeats/,
  });
  await assert.rejects(b.promoteToLeader(70_000), { code: "setting_invalid" });
  await assert.rejects(a.handover("b", 0.5), { code: "setting_invalid" });
  await assert.rejects(a.handover("nobody"), { code: "conflict" });
  await a.disableAutoFailover();
  await b.disableAutoFailover();
});

it("the role in one call, there and back", async (open) => {
  const [other, own] = await freePorts(2) as [number, number];
  const [a, b] = await pair(open, { autoFailoverNewPort: other });
  const given = await a.handover("b");
  assert.deepEqual([given.finalSeq, given.epoch, given.newLeader.nodeName], [2, 2, "b"]);
  await b.put("orders", "2", {});
  await eventually(() => b.logicalFollowerCount === 1);
  // On one machine each leader wants a port of its own.
  await assert.rejects(b.handover("a"), { code: "port_in_use" });
  await b.put("orders", "3", {});
  await a.close();
  const again = await open("a", { autoFailoverNewPort: own, replicationSecret: "s" });
  await again.startLogicalReplicationFollower("127.0.0.1", other);
  await eventually(() => b.logicalFollowerCount === 1);
  assert.equal((await b.handover("a")).epoch, 3);
  await again.put("orders", "4", {});
  await b.reached(again.position, 30_000);
  assert.deepEqual([again.wasAutoFailoverPromoted, b.logicalReplicationRole], [false, "follower"]);
  await assert.rejects(again.abortHandover(), { code: "conflict" });
});

it("a follower takes over when its leader has gone, with the secret it followed with; the old leader comes back as a follower", async (open) => {
  const [a, b] = await pair(open);
  const promoted: number[] = [], newLeaderPort = await freePort();
  await b.enableAutoFailover({
    newLeaderPort,
    silenceTimeoutMs: 300,
    onPromoted: (port) => promoted.push(port),
  });
  await assert.rejects(b.enableAutoFailover({ silenceTimeoutMs: 300 }), { code: "bad_request" });
  await eventually(() => failover(b)?.["state"] === "watching");
  await a.close();
  await eventually(() => promoted.length === 1);
  assert.deepEqual([b.wasAutoFailoverPromoted, b.logicalLeaderPort, failover(b)], [
    true,
    newLeaderPort,
    null,
  ]);
  await b.put("orders", "2", { n: 2 });
  const c = await open("c");
  await c.startLogicalReplicationFollower("127.0.0.1", newLeaderPort);
  await eventually(() => {
    const { lastError } = c.replicationStatus()["follower"] as { lastError: { code: string } | null };
    return lastError?.code === "bad_secret";
  });
  await c.close();
  // It knows that b may have taken over: it asks before it writes, and it finds out.
  const old = await open("a", { replicationSecret: "s" });
  assert.deepEqual([old.isReadOnly, old.logicalReplicationRole], [true, "none"]);
  await assert.rejects(old.put("orders", "3", {}), { code: "read_only" });
  await eventually(() => old.logicalReplicationRole === "follower");
  await old.reached(b.position, 30_000);
  assert.equal(old.get("orders", "2")?.["n"], 2);
});

it("switched off in time nobody takes over; opened again a follower follows nobody until it is told, and may be promoted", async (open) => {
  const [a, b] = await pair(open);
  await b.enableAutoFailover({ newLeaderPort: 0, silenceTimeoutMs: 300 });
  await eventually(() => failover(b)?.["state"] === "watching");
  await b.disableAutoFailover();
  assert.equal(failover(b), null);
  await a.close();
  await new Promise<void>((resolve) => void clock.timer(600, resolve));
  assert.deepEqual([b.logicalReplicationRole, b.wasAutoFailoverPromoted], ["follower", false]);
  await b.close();
  const again = await open("b");
  assert.deepEqual([again.logicalReplicationRole, again.logicalFollowerLeaderEndpoint], ["follower", null]);
  await assert.rejects(again.put("orders", "2", {}), { code: "not_leader" });
  await again.promoteToLeader(0);
  await again.put("orders", "2", {});
});

it("an authority of the program decides: who may not lead takes no writes and is never promoted", async (open) => {
  const place = new OneLeader(clock);
  const a = await open("a", { authority: place.authority() });
  await eventually(() => !a.isReadOnly);
  const b = await open("b", { authority: place.authority() });
  const { port } = await a.startLogicalReplicationServer({ port: 0 });
  await a.put("orders", "1", {});
  await assert.rejects(b.put("orders", "x", {}), { code: "read_only", details: { reason: "no_lease" } });
  await assert.rejects(b.startLogicalReplicationServer({ port: 0 }), { code: "no_lease" });
  await b.startLogicalReplicationFollower("127.0.0.1", port);
  await b.reached(a.position, 30_000);
  await assert.rejects(b.promoteToLeader(0, { force: true }), { code: "no_lease" });
  assert.equal(b.logicalReplicationRole, "follower");
  await b.enableAutoFailover({ newLeaderPort: 0, silenceTimeoutMs: 300 });
  assert.deepEqual(a.replicationStatus()["authority"], { kind: "one-leader", holds: true });
  await eventually(() => failover(b)?.["reason"] === null);
  place.revoke();
  await assert.rejects(
    a.put("orders", "2", {}),
    (error) => error instanceof DfdbError && ["read_only", "not_leader"].includes(error.code),
  );
  await eventually(() => b.wasAutoFailoverPromoted);
  await b.put("orders", "2", { by: "b" });
  assert.equal(b.leaderTerm.epoch > 2, true, "the authority counts");
  assert.equal(a.get("orders", "2"), null);
});

it("an authority that always says no: nothing is written, whatever is asked", async (open) => {
  const place = new OneLeader(clock);
  place.closed = true;
  const db = await open("a", { authority: place.authority() });
  await assert.rejects(db.put("orders", "1", {}), { code: "read_only" });
  await assert.rejects(db.setReadOnly(false, { force: true }), { code: "no_lease" });
  await assert.rejects(db.startLogicalReplicationServer({ port: 0 }), { code: "no_lease" });
  assert.deepEqual(db.replicationStatus()["authority"], { kind: "one-leader", holds: false });
  await db.close();
  assert.equal(place.closedAuthorities, 1, "it is closed with the database");
});
