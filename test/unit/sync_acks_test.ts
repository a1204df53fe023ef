import assert from "node:assert/strict";
import { test } from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { type NodeId, nodeIdOf, seqOf } from "../../src/base/ids.ts";
import type { SyncAcksOptions, SyncSettings } from "../../src/replication/sync_acks.ts";
import { syncAcks } from "../../src/replication/sync_acks.ts";
import type { DurableFollower } from "../../src/replication/types.ts";
import { origin } from "../../src/storage/log.ts";
import { ManualClock } from "../tool/manual_clock.ts";

const follower = (digit: string, seq: number, candidate = false): DurableFollower => ({
  nodeId: nodeIdOf(digit.repeat(32)),
  nodeName: `node-${digit}`,
  seq: seqOf(seq),
  candidate,
});
const at = (seq: number) => ({ ...origin, seq: seqOf(seq) });

/** Acks over followers that the test names. */
function rig(
  given: Partial<SyncSettings> = {},
  list: Pick<SyncAcksOptions, "members" | "from"> = {},
) {
  const clock = new ManualClock(), listeners = new Set<() => void>();
  const settings = { required: 1, timeoutMs: 5_000, candidates: "required" as const, ...given };
  let followers: readonly DurableFollower[] = [];
  const acks = syncAcks({ clock, settings: () => settings, ...list });
  acks.attach({
    durable: () => followers,
    onAcknowledged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  });
  /** From now on these are connected. */
  const hold = (...now: readonly DurableFollower[]): void => {
    followers = now;
    listeners.forEach((listener) => listener());
  };
  /** What has become of a wait when all promises that can settle have. */
  const outcomes: Record<string, string> = {};
  const wait = (seq: number): void => {
    outcomes[seq] = "waits";
    const waiting = acks.wait(at(seq));
    if (waiting === null) outcomes[seq] = "at once";
    else {
      waiting.then(() => outcomes[seq] = "held", (error: DfdbError) => {
        outcomes[seq] = error.code;
        assert.equal(error.details["seq"] ?? seq, seq);
      });
    }
  };
  const settled = async () => {
    for (let i = 0; i < 5; i++) await Promise.resolve();
    return outcomes;
  };
  return { acks, clock, settings, listeners, hold, wait, settled };
}

test("sync acks: without a wanted number nothing waits", () => {
  const { acks } = rig({ required: 0 });
  assert.equal(acks.wait(at(7)), null);
  assert.equal(acks.state().waiting, 0);
});

test("sync acks: one follower is enough for one, and what it holds already is not waited for", async () => {
  const { acks, hold, wait, settled } = rig();
  wait(3);
  wait(5);
  assert.deepEqual([await settled(), acks.state().waiting], [{ 3: "waits", 5: "waits" }, 2]);
  hold(follower("b", 4));
  assert.deepEqual([await settled(), acks.state().waiting], [{ 3: "held", 5: "waits" }, 1]);
  hold(follower("b", 5));
  wait(4);
  assert.deepEqual([await settled(), acks.state().confirmedSeq], [{ 3: "held", 4: "at once", 5: "held" }, 5]);
});

test("sync acks: two want two nodes, and a node with two connections is one that holds the lower", async () => {
  const { hold, wait, settled } = rig({ required: 2 });
  wait(5);
  hold(follower("b", 9), follower("b", 9));
  assert.deepEqual(await settled(), { 5: "waits" });
  hold(follower("b", 9), follower("b", 4), follower("c", 9));
  assert.deepEqual(await settled(), { 5: "waits" });
  hold(follower("b", 5), follower("c", 9));
  assert.deepEqual(await settled(), { 5: "held" });
});

test("sync acks: what an ended session had acknowledged does not count", async () => {
  const { clock, hold, wait, settled } = rig({ required: 2 });
  wait(5);
  hold(follower("b", 5));
  hold(follower("c", 5));
  assert.deepEqual(await settled(), { 5: "waits" }, "never two at a time");
  await clock.advance(5_000);
  assert.deepEqual(await settled(), { 5: "replication_timeout" });
});

test("sync acks: the candidate must be among them, also when it is away", async () => {
  const { acks, clock, hold, wait, settled } = rig();
  hold(follower("b", 1, true), follower("c", 1));
  acks.found(follower("b", 1, true));
  wait(2);
  hold(follower("b", 1, true), follower("c", 2));
  assert.deepEqual(await settled(), { 2: "waits" });
  hold(follower("c", 2));
  assert.deepEqual([await settled(), acks.state().candidates], [{ 2: "waits" }, ["node-b"]]);
  await clock.advance(5_000);
  assert.deepEqual(await settled(), { 2: "replication_timeout" });
  wait(3);
  hold(follower("b", 3, true), follower("c", 2));
  assert.deepEqual(await settled(), { 2: "replication_timeout", 3: "held" });
});

test("sync acks: a candidate that is forgotten, or comes back without auto-failover, is waited for no longer", async () => {
  for (const end of ["forgotten", "back"]) {
    const { acks, hold, wait, settled } = rig();
    acks.found(follower("b", 1, true));
    wait(2);
    hold(follower("c", 2));
    assert.deepEqual(await settled(), { 2: "waits" });
    if (end === "forgotten") acks.forget(nodeIdOf("b".repeat(32)));
    else {
      acks.found(follower("b", 1));
      hold(follower("b", 1), follower("c", 2));
    }
    assert.deepEqual(await settled(), { 2: "held" });
  }
});

test("sync acks: a candidate that is known from before counts as missing until it comes or is forgotten", async () => {
  for (const end of ["comes", "comes without auto-failover", "is forgotten"]) {
    const { acks, hold, wait, settled } = rig();
    acks.remember(nodeIdOf("b".repeat(32)), "node-b");
    wait(2);
    hold(follower("c", 2));
    assert.deepEqual([await settled(), acks.state().candidates], [{ 2: "waits" }, ["node-b"]], end);
    if (end === "is forgotten") acks.forget(nodeIdOf("b".repeat(32)));
    else {
      const back = follower("b", 2, end === "comes");
      acks.found(back);
      hold(back, follower("c", 2));
    }
    assert.deepEqual(await settled(), { 2: "held" }, end);
  }
});

test("sync acks: the name of a candidate that is here is the newer one", () => {
  const { acks } = rig(), nodeId = nodeIdOf("b".repeat(32));
  acks.found(follower("b", 1, true));
  acks.remember(nodeId, "an older name");
  assert.deepEqual(acks.state().candidates, ["node-b"]);
});

test("sync acks: where any follower will do, the candidate is one like the others", async () => {
  const { acks, hold, wait, settled } = rig({ candidates: "any" });
  acks.found(follower("b", 1, true));
  wait(2);
  hold(follower("c", 2));
  assert.deepEqual([await settled(), acks.state().candidates], [{ 2: "held" }, []]);
});

test("sync acks: a timeout tells what was wanted and what was reached; later ones go on waiting", async () => {
  const { acks, clock, hold, wait, settled } = rig({ required: 2 });
  const first = assert.rejects(acks.wait(at(4)) ?? Promise.resolve(), (error) => {
    assert.ok(error instanceof DfdbError);
    assert.deepEqual([error.code, error.status], ["replication_timeout", 504]);
    assert.deepEqual(error.details, { seq: 4, required: 2, achieved: 1 });
    return true;
  });
  await clock.advance(2_000);
  wait(6);
  hold(follower("b", 9));
  await clock.advance(3_000);
  await first;
  assert.deepEqual(await settled(), { 6: "waits" });
  hold(follower("b", 9), follower("c", 6));
  assert.deepEqual(await settled(), { 6: "held" });
});

test("sync acks: a smaller number wanted frees those who wait", async () => {
  const { acks, settings, hold, wait, settled } = rig({ required: 2 });
  wait(2);
  hold(follower("b", 2));
  settings.required = 1;
  acks.recheck();
  assert.deepEqual(await settled(), { 2: "held" });
  wait(3);
  settings.required = 0;
  acks.recheck();
  assert.deepEqual(await settled(), { 2: "held", 3: "held" });
});

test("sync acks: lost leadership is outcome_unknown for all, a stop is replication_timeout, and nothing listens on", async () => {
  const lost = rig();
  lost.wait(2);
  lost.acks.end(new DfdbError("outcome_unknown", "another node leads"));
  lost.wait(3);
  assert.deepEqual(await lost.settled(), { 2: "outcome_unknown", 3: "outcome_unknown" });
  const stopped = rig();
  stopped.wait(2);
  stopped.acks.close();
  stopped.wait(3);
  assert.deepEqual(await stopped.settled(), { 2: "replication_timeout", 3: "replication_timeout" });
  assert.deepEqual([lost.listeners.size, stopped.listeners.size], [0, 0]);
  await lost.clock.advance(60_000);
});

test("sync acks: where an authority names who may lead next, all of these must hold a write, candidates need not", async () => {
  let members: NodeId[] | null = [nodeIdOf("c".repeat(32))];
  const { acks, hold, wait, settled } = rig({}, { members: () => members });
  wait(3);
  hold(follower("b", 3, true), follower("c", 2, true));
  assert.deepEqual(await settled(), { 3: "waits" });
  hold(follower("b", 2, true), follower("c", 3, true));
  assert.deepEqual(await settled(), { 3: "held" });
  wait(4);
  members = [nodeIdOf("b".repeat(32))];
  hold(follower("b", 2, true), follower("c", 4, true));
  assert.deepEqual(await settled(), { 3: "held", 4: "waits" });
  members = null;
  hold(follower("b", 4, true), follower("c", 4, true));
  acks.recheck();
  assert.deepEqual(await settled(), { 3: "held", 4: "waits" }, "nobody says who may lead next");
  assert.equal(acks.state().confirmedSeq, 0);
  members = [];
  acks.recheck();
  assert.deepEqual(await settled(), { 3: "held", 4: "held" });
});

test("sync acks: the newest entry that was answered is known, what was there before counts as answered", async () => {
  const { acks, hold, wait, settled, settings } = rig({}, { from: seqOf(2) });
  assert.equal(acks.answeredSeq, 2);
  wait(4);
  assert.equal(acks.answeredSeq, 2);
  hold(follower("b", 4));
  await settled();
  assert.equal(acks.answeredSeq, 4);
  wait(3);
  assert.equal(acks.answeredSeq, 4);
  settings.required = 0;
  wait(9);
  assert.equal(acks.answeredSeq, 9);
});
