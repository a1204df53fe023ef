/** The nodes that a node knows: who is told, who is kept, and what that costs. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import type { DatabaseId, NodeId } from "../../src/base/ids.ts";
import { databaseIdOf, nodeIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { KnownNodes } from "../../src/node/known_nodes.ts";
import { knownNodes } from "../../src/node/known_nodes.ts";
import type { KnownPeer, NodeContact, NodeStore } from "../../src/storage/storage.ts";
import { knownNodesMax } from "../../src/wire/message.ts";
import { ManualClock } from "../tool/manual_clock.ts";

const id = (number: number): NodeId => nodeIdOf(number.toString(16).padStart(32, "0"));
const me = id(0);
const node = (number: number, more: Partial<NodeContact> = {}): NodeContact => ({
  nodeId: id(number),
  nodeName: `n${number}`,
  httpUrl: `http://n${number}:5000`,
  wireAddress: `n${number}:5500`,
  ...more,
});

/** `restart` begins anew with what the store has. */
function rig() {
  const lists = new Map<DatabaseId, Map<NodeId, KnownPeer>>(), clock = new ManualClock();
  const state = { databaseId: databaseIdOf("d".repeat(32)), writes: 0, failing: false };
  const warnings: string[] = [];
  const list = (of: DatabaseId): Map<NodeId, KnownPeer> => {
    const found = lists.get(of) ?? new Map<NodeId, KnownPeer>();
    lists.set(of, found);
    return found;
  };
  const write = (): void => {
    if (state.failing) throw new DfdbError("disk_full", "no space left");
    state.writes++;
  };
  const store = {
    nodeId: me,
    peers: (of: DatabaseId) => [...list(of).values()],
    keepPeer(of: DatabaseId, peer: KnownPeer) {
      write();
      list(of).set(peer.nodeId, peer);
    },
    forgetPeer(of: DatabaseId, nodeId: NodeId) {
      write();
      return list(of).delete(nodeId);
    },
  } as unknown as NodeStore;
  const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
  const open = (): KnownNodes => knownNodes({ databaseId: () => state.databaseId, store, clock, logger });
  return { nodes: open(), restart: open, state, warnings, clock };
}

const names = (nodes: readonly { readonly nodeName: string }[]): string[] =>
  nodes.map(({ nodeName }) => nodeName);

test("known nodes: what a node says of itself is kept, and written only when it is new", async () => {
  const { nodes, restart, state, clock } = rig();
  nodes.met(node(1));
  nodes.met(node(1));
  await clock.advance(limits.peerSeenEveryMs - 1);
  nodes.met(node(1));
  assert.equal(state.writes, 1);
  assert.equal(nodes.all()[0]?.seenMs, clock.wall(), "known at once, all the same");
  await clock.advance(1);
  nodes.met(node(1));
  assert.equal(state.writes, 2, "seen: once a minute");
  nodes.met(node(1, { wireAddress: "moved:5500" }));
  assert.equal(state.writes, 3);
  nodes.met(node(0));
  assert.deepEqual(restart().all(), nodes.all());
  assert.deepEqual(names(nodes.all()), ["n1"], "not itself");
});

test("known nodes: hearsay counts until the node has spoken itself", async () => {
  const { nodes, state, restart } = rig();
  nodes.heardOf([node(1), node(2), node(0)]);
  nodes.heardOf([node(1, { wireAddress: "newer:1" })]);
  assert.deepEqual(nodes.all().map(({ seenMs }) => seenMs), [0, 0]);
  nodes.met(node(2, { wireAddress: "own:2" }));
  nodes.heardOf([node(2, { wireAddress: "old:2" })]);
  assert.deepEqual(nodes.addresses(), ["own:2", "newer:1"]);
  assert.equal(state.writes, 4);
  const later = restart();
  later.heardOf([node(2, { wireAddress: "moved:2" })]);
  assert.deepEqual(later.addresses(), ["moved:2", "newer:1"], "what it said before the restart may be old");
});

test("known nodes: one candidate, kept before it is told so", () => {
  const { nodes, restart, state } = rig();
  nodes.met(node(1));
  nodes.met(node(2));
  assert.equal(nodes.accept(id(1), "n1", 10_000, false), null);
  assert.deepEqual(restart().candidates(), nodes.candidates());
  assert.deepEqual(names(nodes.candidates()), ["n1"]);
  const { writes } = state;
  assert.equal(nodes.accept(id(1), "n1", 10_000, false), null);
  nodes.met(node(1));
  assert.equal(state.writes, writes, "nothing new");
  assert.equal(nodes.candidates()[0]?.silenceMs, 10_000, "its hello does not take that away");
  const refusal = nodes.accept(id(2), "n2", 5_000, false);
  assert.equal(refusal?.code, "second_candidate");
  assert.match(refusal?.message ?? "", /"n1".*DELETE \/replication\/nodes\/0+1$/);
  assert.equal(restart().accept(id(2), "n2", 5_000, false)?.code, "second_candidate");
  assert.equal(nodes.accept(id(2), "n2", 5_000, true), null, "an outside authority chooses");
  assert.equal(nodes.candidates().length, 2);
  nodes.withdrew(id(1));
  nodes.withdrew(id(9));
  assert.deepEqual(names(restart().candidates()), ["n2"]);
});

test("known nodes: a forgotten candidate makes room for another", () => {
  const { nodes, restart, state } = rig();
  nodes.met(node(1));
  nodes.accept(id(1), "n1", 10_000, false);
  state.failing = true;
  assert.throws(() => nodes.forget(id(1)), /no space left/);
  assert.equal(nodes.candidates().length, 1, "nothing is forgotten");
  state.failing = false;
  assert.equal(nodes.forget(id(1)), true);
  assert.equal(nodes.forget(id(1)), false);
  assert.equal(nodes.accept(id(2), "n2", 5_000, false), null);
  assert.deepEqual(names(restart().all()), ["n2"]);
});

test("known nodes: a disk that is full is told once, and only a new candidate notices", () => {
  const { nodes, restart, state, warnings } = rig();
  nodes.met(node(1));
  state.failing = true;
  nodes.met(node(2));
  nodes.met(node(2));
  nodes.met(node(3));
  assert.equal(warnings.length, 1);
  assert.equal(nodes.all().length, 3, "they count");
  assert.equal(nodes.accept(id(1), "n1", 10_000, false)?.code, "disk_full");
  assert.deepEqual([nodes.candidates(), restart().all().length], [[], 1]);
  state.failing = false;
  nodes.met(node(2));
  assert.deepEqual(names(restart().all()), ["n1", "n2"], "tried again");
  state.failing = true;
  nodes.met(node(3));
  assert.equal(warnings.length, 2, "it had gone well in between");
});

test("known nodes: a message tells of the leader, candidates, and those seen latest", async () => {
  const { nodes, clock } = rig();
  for (let i = 1; i <= knownNodesMax + 4; i++) {
    nodes.met(node(i));
    await clock.advance(1);
  }
  nodes.met(node(99, { httpUrl: null, wireAddress: null }));
  nodes.accept(id(2), "n2", 10_000, false);
  assert.deepEqual(names(nodes.told(id(12), id(1))), ["n1", "n2", "n11", "n10", "n9", "n8", "n7", "n6"]);
  assert.deepEqual(names(nodes.told(null).slice(0, 3)), ["n2", "n12", "n11"]);
  assert.deepEqual(nodes.told(null)[0], node(2), "nothing but what a message has");
  assert.equal(nodes.addresses()[0], "n2:5500");
});

test("known nodes: there is room for some; the one seen longest ago goes, a candidate never, and not while all are alive", async () => {
  const { nodes, state, clock } = rig(), max = limits.knownPeersMax;
  nodes.met(node(1));
  nodes.accept(id(1), "n1", 10_000, true);
  await clock.advance(1);
  for (let i = 2; i <= max; i++) {
    nodes.met(node(i));
    await clock.advance(1);
  }
  const { writes } = state;
  nodes.met(node(max + 1));
  assert.deepEqual([nodes.all().length, state.writes], [max, writes], "all others were just here");
  await clock.advance(limits.peerSeenEveryMs);
  nodes.met(node(max + 2));
  assert.equal(nodes.all().length, max);
  assert.ok(!names(nodes.all()).includes("n2"));
  assert.ok(names(nodes.all()).includes("n1"));
  await clock.advance(limits.peerSeenEveryMs);
  for (let i = 3; i <= max + 2; i++) nodes.met(node(i));
  nodes.met(node(max + 3));
  assert.equal(nodes.accept(id(max + 3), "new", null, true), null, "a candidate always finds room");
  assert.equal(
    nodes.candidates().find(({ nodeName }) => nodeName === "new")?.wireAddress,
    `n${max + 3}:5500`,
  );
  assert.equal(nodes.all().length, max);
});

test("known nodes: another database, another list", () => {
  const { nodes, state } = rig(), first = state.databaseId;
  nodes.met(node(1));
  nodes.accept(id(1), "n1", 10_000, false);
  state.databaseId = databaseIdOf("e".repeat(32));
  assert.deepEqual(nodes.all(), []);
  nodes.met(node(2));
  assert.equal(nodes.accept(id(2), "n2", 10_000, false), null);
  state.databaseId = first;
  assert.deepEqual(names(nodes.candidates()), ["n1"]);
});
