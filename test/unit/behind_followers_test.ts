/** When a leader that may lack entries takes no writes, and what ends that. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { RoleKind } from "../../src/cluster/role.ts";
import { role as makeRole } from "../../src/cluster/role.ts";
import { behindFollowers } from "../../src/node/behind_followers.ts";
import { epochNote, keptState } from "../../src/node/kept_state.ts";
import type { DurableFollower, RefusedFollower } from "../../src/replication/types.ts";
import type { Position } from "../../src/storage/log.ts";
import type { NodeState, NodeStore, Storage } from "../../src/storage/storage.ts";

const run = (digit: string) => runIdOf(digit.repeat(32));
const at = (seq: number, digit: string): Position => ({
  epoch: epochOf(1),
  run: run(digit),
  seq: seqOf(seq),
  chain: 0,
});
const me = nodeIdOf("a".repeat(32));
const node = (digit: string) => nodeIdOf(digit.repeat(32));
const found = (digit: string, seq: number): DurableFollower => (
  { nodeId: node(digit), nodeName: digit, seq: seqOf(seq), candidate: false }
);
const mirror = { seq: 9, epoch: 1 };
const ahead = (digit: string): RefusedFollower => ({
  nodeId: node(digit),
  nodeName: digit,
  code: "ahead",
  message: "",
  position: at(9, "1"),
  atMs: 0,
});

/** A node whose last entry is of run 1; its own run is 2. */
function rig(kind: RoleKind) {
  let state: NodeState | null = null;
  const log = { last: at(5, "1") };
  const store = {
    nodeId: me,
    state: () => state,
    setState: (_: unknown, next: NodeState) => void (state = next),
  } as unknown as NodeStore;
  const role = makeRole(me);
  const kept = keptState(store, { databaseId: "d", log } as unknown as Storage, role);
  if (kind === "follower") role.follow();
  else role.lead(kind, { epoch: epochOf(1), run: run("2") });
  let followed = false;
  const upToDate = (): boolean => followed;
  const again = () =>
    behindFollowers({ role, kept, log: log as Storage["log"], logger: silentLogger, upToDate });
  const behind = again();
  const move = (position: Position): void => void (log.last = position);
  const catchUp = (): void => void (followed = true);
  return { behind, again, role, kept, move, catchUp, wrote: () => move(at(6, "2")) };
}

test("behind followers: a leader whose sidecar is ahead waits for a follower that knows what there was", () => {
  const { behind, role, kept } = rig("leader");
  behind.mirrorAhead(mirror);
  assert.equal(role.readOnly.reason, "behind_followers");
  assert.deepEqual(kept.readOnlyCauses, ["mirror_ahead"], "durable");
  behind.onFound(found("b", 0));
  assert.equal(role.readOnly.on, true, "an empty follower knows nothing");
  behind.onFound(found("b", 5));
  assert.equal(role.readOnly.on, true, "nor does it with the copy that it was given");
  behind.onStranger(node("c"));
  behind.onFound(found("c", 5));
  assert.equal(role.readOnly.on, true, "nor does one that came from another history");
  behind.onFound(found("d", 4));
  assert.equal(role.readOnly.on, false);
  assert.deepEqual(kept.readOnlyCauses, []);
});

test("behind followers: after a restart whoever is where this node is may have been given that", () => {
  const { behind, role, kept, again } = rig("leader");
  behind.mirrorAhead(mirror);
  const next = again();
  role.setReadOnly("mirror_ahead", true);
  next.mirrorAhead(mirror);
  next.onFound(found("b", 5));
  assert.deepEqual([role.readOnly.on, kept.readOnlyCauses], [true, ["mirror_ahead"]]);
  next.onFound(found("c", 4));
  assert.equal(role.readOnly.on, false, "nobody is given less than all");
});

test("behind followers: a node without followers is not held up until it serves some", () => {
  const { behind, role } = rig("none");
  behind.mirrorAhead(mirror);
  assert.equal(role.readOnly.on, false);
  role.leadAs("leader");
  behind.leads();
  assert.equal(role.readOnly.reason, "behind_followers");
});

test("behind followers: a node that wrote under its run before it serves followers is not held up", () => {
  const { behind, role, wrote } = rig("none");
  behind.mirrorAhead(mirror);
  wrote();
  role.leadAs("leader");
  behind.leads();
  assert.equal(role.readOnly.on, false);
});

test("behind followers: a follower that is ahead stops writes before the first one, and only shows after it", () => {
  const before = rig("leader");
  before.behind.onAhead(ahead("b"));
  before.behind.onAhead(ahead("c"));
  assert.equal(before.role.readOnly.reason, "behind_followers");
  before.behind.onFound(found("d", 5));
  assert.equal(before.role.readOnly.on, true, "another follower does not speak for it");
  before.behind.onFound(found("b", 5));
  assert.equal(before.role.readOnly.on, true, "one of the two is still ahead");
  before.behind.onFound(found("c", 0));
  assert.equal(before.role.readOnly.on, false, "each was found: it was filled anew");
  const after = rig("leader");
  after.wrote();
  after.behind.onAhead(ahead("b"));
  assert.equal(after.role.readOnly.on, false);
});

test("behind followers: an operator's read-only goes on when the other cause ends", () => {
  const { behind, role } = rig("leader");
  role.setReadOnly("operator", true);
  behind.mirrorAhead(mirror);
  assert.equal(role.readOnly.reason, "behind_followers");
  behind.onFound(found("b", 5));
  assert.equal(role.readOnly.reason, "operator");
});

test("behind followers: a follower is never held up by its sidecar", () => {
  const { behind, role } = rig("follower");
  behind.mirrorAhead(mirror);
  assert.deepEqual([role.readOnly.on, behind.suspicious], [false, true]);
});

test("behind followers: a sidecar that was ahead is doubted until a follower or a leader spoke, or this run wrote", () => {
  const follower = rig("follower");
  follower.behind.mirrorAhead(mirror);
  follower.move(at(8, "1"));
  assert.equal(follower.behind.suspicious, true, "it is not back where it was");
  follower.move(at(9, "1"));
  assert.equal(follower.behind.suspicious, false, "its leader brought it there");
  const short = rig("follower");
  short.behind.mirrorAhead({ seq: 1_000_000, epoch: 1 });
  short.catchUp();
  assert.equal(short.behind.suspicious, false, "its leader has no more");
  const other = rig("follower");
  other.behind.mirrorAhead(mirror);
  other.move({ ...at(7, "3"), epoch: epochOf(2) });
  assert.equal(other.behind.suspicious, false, "a higher epoch has decided");
  const changed = rig("leader");
  changed.behind.mirrorAhead(mirror);
  changed.role.follow();
  changed.behind.follows();
  assert.equal(changed.behind.suspicious, true, "that it follows says nothing yet");
  const none = rig("none");
  none.behind.mirrorAhead(mirror);
  assert.equal(none.behind.suspicious, true, "that it started says nothing");
  none.wrote();
  assert.equal(none.behind.suspicious, false);
  const found = rig("leader");
  found.behind.mirrorAhead(mirror);
  found.behind.onFound({ nodeId: node("b"), nodeName: "b", seq: seqOf(5), candidate: false });
  assert.equal(found.behind.suspicious, false);
});

test("behind followers: while what is missing is given up, one that is ahead of the old run does not count", async () => {
  const { behind, role, move } = rig("leader");
  behind.onAhead(ahead("b"));
  await behind.giveUp(async () => {
    role.setReadOnly("follower_ahead", false);
    role.lead("leader", { epoch: epochOf(2), run: run("4") });
    behind.onAhead(ahead("b"));
    behind.onAhead(ahead("c"));
    assert.equal(role.readOnly.on, false);
    await Promise.resolve();
    move({ ...at(6, "4"), epoch: epochOf(2) });
  });
  assert.equal(role.readOnly.on, false);
  const failing = rig("leader");
  await assert.rejects(failing.behind.giveUp(() => Promise.reject(new Error("disk"))), /disk/);
  failing.behind.onAhead(ahead("b"));
  assert.equal(failing.role.readOnly.on, true, "it did not begin: it counts again");
});

test("kept state: an epoch that was met is written once, and never falls", () => {
  const { kept } = rig("leader"), written: number[] = [];
  kept.save({ epoch: 3 });
  kept.saw(2);
  assert.equal(kept.highestEpoch, 3);
  kept.saw(7);
  assert.equal(kept.highestEpoch, 7);
  assert.deepEqual(kept.role, "leader", "the rest stays");
  const failing: typeof kept = {
    ...kept,
    saw: (epoch) => {
      written.push(epoch);
      throw new DfdbError("disk_full", "no space left");
    },
  };
  const warnings: string[] = [];
  const note = epochNote(failing, { ...silentLogger, warn: (message) => void warnings.push(message) });
  note(epochOf(8));
  note(epochOf(8));
  assert.deepEqual([written, warnings.length], [[8, 8], 1], "tried again, told once");
});
