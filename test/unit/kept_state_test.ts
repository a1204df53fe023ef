/** What a node keeps of itself, and what that costs. */
import assert from "node:assert/strict";
import test from "node:test";
import type { DatabaseId } from "../../src/base/ids.ts";
import { databaseIdOf, epochOf, nodeIdOf, runIdOf } from "../../src/base/ids.ts";
import type { ReadOnlyCause } from "../../src/cluster/role.ts";
import { role as makeRole } from "../../src/cluster/role.ts";
import { keptState } from "../../src/node/kept_state.ts";
import type { NodeState, NodeStore, Storage } from "../../src/storage/storage.ts";

const old = databaseIdOf("1".repeat(32)), other = databaseIdOf("2".repeat(32));
const target = { nodeId: nodeIdOf("b".repeat(32)), nodeName: "b", httpUrl: null, wireAddress: "b:5500" };
const handover = { id: "f".repeat(32), target };
const term = { epoch: epochOf(9), run: runIdOf("9".repeat(32)) };

function rig() {
  const states = new Map<DatabaseId, NodeState>(), storage = { databaseId: old };
  const written: NodeState[] = [];
  const store = {
    state: (id: DatabaseId) => states.get(id) ?? null,
    setState(id: DatabaseId, state: NodeState) {
      written.push(state);
      states.set(id, structuredClone(state));
    },
  } as unknown as NodeStore;
  const role = makeRole(nodeIdOf("a".repeat(32)));
  role.lead("leader", { epoch: epochOf(1), run: runIdOf("1".repeat(32)) });
  return { kept: keptState(store, storage as Storage, role), role, storage, written, states };
}

test("kept state: what is not said stays; role and causes are those in force", () => {
  const { kept, role } = rig();
  assert.deepEqual([kept.state], [null]);
  kept.save();
  kept.save({ origin: "failover", leadPort: 5501, term, leaderAddress: "a:5500", role: "follower" });
  assert.equal(kept.role, "follower", "what is about to be");
  role.setReadOnly("operator", true);
  kept.save({ leadPort: 5502 });
  assert.deepEqual(kept.state, {
    role: "leader",
    highestEpoch: 9,
    readOnly: true,
    readOnlyReason: "operator",
    origin: "failover",
    leadPort: 5502,
    term,
    leaderAddress: "a:5500",
    handover: null,
  });
  kept.save({ term: null, leadPort: null });
  assert.deepEqual([kept.state?.term, kept.state?.leadPort, kept.highestEpoch], [null, null, 9]);
});

test("kept state: nothing is written when nothing changes", () => {
  const { kept, role, written } = rig();
  kept.save();
  role.setReadOnly("operator", true);
  role.setReadOnly("mirror_ahead", true);
  kept.save({ term, handover, leaderAddress: "a:5500", epoch: 12 });
  assert.equal(written.length, 2);
  kept.save();
  kept.save({ term: { ...term }, handover: { ...handover, target: { ...target } }, epoch: 3 });
  role.setReadOnly("operator", false);
  role.setReadOnly("operator", true);
  role.setReadOnly("unconfirmed", true);
  kept.save();
  kept.saw(12);
  assert.equal(written.length, 2, "the order of causes, and those that are not kept, are nothing new");
  kept.save({ handover: { ...handover, id: "e".repeat(32) } });
  kept.saw(13);
  assert.equal(written.length, 4);
});

test("kept state: some causes outlive a restart, others are found anew", () => {
  const { kept, role } = rig();
  const all: ReadOnlyCause[] = [
    "operator",
    "mirror_ahead",
    "follower_ahead",
    "unconfirmed",
    "handover",
    "in_doubt",
    "fenced",
    "no_lease",
  ];
  for (const cause of all) role.setReadOnly(cause, true);
  kept.save();
  assert.deepEqual(kept.readOnlyCauses, ["operator", "mirror_ahead", "follower_ahead", "fenced"]);
  for (const cause of all) role.setReadOnly(cause, false);
  role.setReadOnly("handover", true);
  kept.save();
  assert.deepEqual([kept.readOnlyCauses, kept.state?.readOnly], [[], false]);
});

test("kept state: in doubt is kept with its handover, before it is in force and until it is settled", () => {
  const { kept, role } = rig();
  kept.save({ handover });
  assert.deepEqual([kept.readOnlyCauses, kept.state?.readOnly], [["in_doubt"], true]);
  role.setReadOnly("in_doubt", true);
  kept.save();
  assert.deepEqual(kept.state?.handover, handover);
  kept.save({ handover: null });
  assert.deepEqual([kept.readOnlyCauses, kept.state?.handover], [[], null]);
});

test("kept state: a cause of another version counts as an operator's", () => {
  const { kept, states } = rig();
  kept.save();
  states.set(old, { ...states.get(old) as NodeState, readOnly: true, readOnlyReason: "tired,sleepy" });
  assert.deepEqual(kept.readOnlyCauses, ["operator"]);
  states.set(old, { ...states.get(old) as NodeState, readOnlyReason: "tired,fenced" });
  assert.deepEqual(kept.readOnlyCauses, ["fenced"]);
});

test("kept state: all of it goes on under the id of a leader, and the highest epoch of both counts", () => {
  const { kept, storage, states } = rig();
  kept.save({ origin: "operator", leaderAddress: "a:5500", epoch: 5, role: "follower" });
  const before = kept.state as NodeState;
  kept.adopt(other);
  assert.deepEqual([states.get(other), kept.state], [before, before]);
  states.set(other, { ...before, highestEpoch: 8 });
  kept.adopt(other);
  storage.databaseId = other;
  assert.deepEqual([kept.highestEpoch, kept.state?.leaderAddress], [8, "a:5500"]);
});
