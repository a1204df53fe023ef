/** Writes that only the state before them explains, held against logs that are right and against logs that are wrong. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { type CollectionNumber, documentIdOf, seqOf } from "../../src/base/ids.ts";
import type { Operation } from "../../src/document/operation.ts";
import { FakeLog, orders, remove, seenAs } from "./fake_log.ts";
import { History } from "./history.ts";
import { Promises } from "./promises.ts";
import { IndexMakings } from "./index_makings.ts";
import { checkState } from "./read_check.ts";
import { Replay } from "./replay.ts";
import { type Observed, type StateSeen, Violation, type Write } from "./types.ts";
import { WrittenTags } from "./written_tags.ts";

const settings = 2 as CollectionNumber, remembered = 3 as CollectionNumber;

function put(id: string, previous: number, json: unknown, collection: CollectionNumber = orders): Operation {
  const body = utf8(JSON.stringify(json));
  return { kind: "put", collection, id: documentIdOf(id), previous: seqOf(previous), body };
}

/** Entries 1 to 5: the run, the collections, and two documents. */
const begun = (): FakeLog =>
  new FakeLog().begin()
    .add([{ kind: "createCollection", collection: settings, name: "_settings" }])
    .add([{ kind: "createCollection", collection: remembered, name: "_remembered" }])
    .add([put("a", 0, { tag: "a5", size: 1 }), put("b", 0, { tag: "b5", size: 2 })]);

function rig(log: FakeLog) {
  const clock = { now: 10 }, history = new History(() => clock.now), replay = new Replay(history);
  const tags = new WrittenTags(history), promises = new Promises({ history, replay, tags });
  const leader = { ...seenAs("n1", log), nodeId: "a".repeat(32), followers: () => [] } as unknown as Observed;
  history.observe(leader);
  return { clock, history, replay, tags, promises, leader };
}

const write = (more: Partial<Write>): Write => ({
  machine: "n1",
  documents: [],
  sentAt: 5,
  knownAt: 20,
  outcome: "promised",
  position: "1.11111111-6",
  required: 0,
  ...more,
});

function violates(run: () => void, message: RegExp): void {
  assert.throws(run, (thrown) => thrown instanceof Violation && message.test(thrown.message));
}

const grown: Write["model"] = (before) =>
  before.documents("orders").map(({ id, json }) => ({
    collection: "orders",
    id,
    json: { ...json, tag: "u*", size: Number(json["size"]) + 1 },
  }));
const update = write({ documents: [{ collection: "orders", id: null, tag: "u*" }], model: grown });

test("a statement changes what its condition meant, all of it, and nothing else", () => {
  const a = put("a", 5, { tag: "u*", size: 2 }), b = put("b", 5, { tag: "u*", size: 3 });
  rig(begun().add([a, b])).promises.record(update);
  violates(() => rig(begun().add([a])).promises.record(update), /does not change orders\/b/);
  violates(
    () => rig(begun().add([a, put("b", 5, { tag: "u*", size: 9 })])).promises.record(update),
    /of orders\/b, not/,
  );
  violates(
    () => rig(begun().add([a, b, put("c", 0, { tag: "c" })])).promises.record(update),
    /changes orders\/c, too/,
  );
  violates(() => rig(begun().add([a]).add([b])), /written twice/);
  const { promises, leader } = rig(begun().add([a]));
  promises.record({ ...update, outcome: "unknown", position: null });
  violates(() => promises.final({ leader, rescued: [], mayLack: () => false }), /does not change orders\/b/);
});

const document = { documents: [{ collection: "orders", id: "c", tag: "c+" }] };
const note = (body = "yes") => put("k", 0, { request: "r", status: 201, headers: {}, body }, remembered);
const made = put("c", 0, { tag: "c+" });
const once = { key: "k", answer: { status: 201, text: "yes" } };

test("the answer under a key is in the entry of its write, to the letter, and in no other", () => {
  rig(begun().add([made, note()])).promises.record(write({ ...document, once }));
  violates(
    () => rig(begun().add([made]).add([note()])).promises.record(write({ ...document, once })),
    /does not remember k/,
  );
  violates(
    () => rig(begun().add([made, note("no")])).promises.record(write({ ...document, once })),
    /remembers no, the answer was yes/,
  );
  violates(() => rig(begun().add([made, note()])).promises.record(write(document)), /remembers k/);
  violates(
    () =>
      rig(begun().add([made, note()])).promises.record(write({ ...document, once: { ...once, key: "l" } })),
    /does not remember l/,
  );
});

test("what is sent again may be in two histories, never twice in one", () => {
  const log = begun(), other = log.copy().term(2, "2", "b").add([made, note()]);
  const { history, promises, tags } = rig(log.add([made, note()]));
  history.observe(seenAs("n2", other));
  assert.equal(tags.entries("c+").length, 2);
  promises.record(write({ ...document, once }));
  promises.record(write({ ...document, once, machine: "n2", position: "2.22222222-7", repeated: true }));
  promises.record(
    write({ ...document, once: { ...once, answer: null }, machine: "n2", outcome: "kept", position: null }),
  );
  violates(() => rig(begun().add([made]).add([put("d", 0, { tag: "c+" })])), /c\+ was written twice/);
  const plain = put("c", 0, { tag: "c" });
  const twice = rig(begun().add([plain]));
  const branch = begun().copy(5).term(2, "2", "b").add([plain]);
  violates(() => twice.history.observe(seenAs("n2", branch)), /c was written twice/);
});

test("a collection goes with what is set for it, and an index is the entry's only change", () => {
  const ttl = put("orders/ttl", 0, { field: "ends", intervalSeconds: 1.5 }, settings);
  const drop: Operation = { kind: "dropCollection", collection: orders };
  const gone: Operation = {
    kind: "delete",
    collection: settings,
    id: documentIdOf("orders/ttl"),
    previous: seqOf(6),
  };
  const dropped = write({ drops: "orders", position: "1.11111111-7" });
  rig(begun().add([ttl]).add([drop, gone])).promises.record(dropped);
  violates(
    () => rig(begun().add([ttl]).add([drop])).promises.record(dropped),
    /drops the settings , not orders\/ttl/,
  );
  violates(
    () => rig(begun().add([made]).add([drop, remove("a", 5)])).promises.record(dropped),
    /replay|delete|settings/,
  );
  const set = write({
    documents: [{ collection: "_settings", id: "orders/ttl", tag: "ttl 1.5" }],
    position: null,
  });
  rig(begun().add([ttl])).promises.record(set);
  const index = {
    kind: "createIndex",
    collection: orders,
    name: "i_1",
    unique: true,
    time: false,
    paths: [["s"]],
  } as const;
  const change = (unique: boolean, name = "i_1") =>
    write({ index: { collection: "orders", name, made: { unique, paths: [["s"]] } } });
  rig(begun().add([index])).promises.record(change(true));
  violates(() => rig(begun().add([index])).promises.record(change(false)), /is no createIndex of i_1/);
  violates(() => rig(begun().add([index, made])).promises.record(change(true)), /is no createIndex/);
  const refused = rig(begun().add([index]));
  refused.promises.record({ ...change(true), outcome: "refused", position: null });
  violates(
    () => refused.promises.final({ leader: refused.leader, rescued: [], mayLack: () => false }),
    /i_1 was refused/,
  );
  const droppedIndex = write({
    index: { collection: "orders", name: "i_1", made: null },
    position: "1.11111111-7",
  });
  rig(begun().add([index]).add([{ kind: "dropIndex", collection: orders, name: "i_1" }])).promises.record(
    droppedIndex,
  );
});

test("what was told of a state was so at some time; a write sees the states within a commit", () => {
  const log = begun(), { clock, history, replay } = rig(log);
  clock.now = 30;
  history.observe(seenAs("n1", log.add([remove("a", 5)]).add([put("c", 0, { tag: "c" })])));
  const count = (expected: number, more: Partial<StateSeen> = {}): StateSeen => ({
    client: "c1",
    machine: "n1",
    what: `there are ${expected}`,
    holds: (state) => state.documents("orders").length === expected,
    within: false,
    sentAt: 20,
    knownAt: 40,
    ...more,
  });
  const see = (seen: StateSeen): void => checkState(seen, { history, replay });
  see(count(2));
  see(count(1, { within: true }));
  violates(() => see(count(1)), /there are 1; that was never so/);
  violates(() => see(count(3, { within: true })), /never so/);
  violates(() => see(count(1, { within: true, sentAt: 35 })), /never so/);
  // an index that is being made is in no state
  const index = { collection: "orders", name: "i", made: { unique: true, paths: [["s"]] } };
  const told = (makings: IndexMakings, more: Partial<StateSeen> = {}) => (): void =>
    checkState(count(9, { making: ({ name }) => name === "i", ...more }), { history, replay, makings });
  const makings = new IndexMakings();
  violates(told(makings), /never so/);
  makings.asks("n1", 10, { ...index, made: { ...index.made, unique: false } });
  violates(told(makings), /never so/);
  makings.asks("n1", 30, index);
  told(makings)();
  violates(told(makings, { knownAt: 29 }), /never so/);
  violates(told(makings, { machine: "n2", sentAt: 31 }), /./);
  violates(told(makings, { making: ({ name }) => name === "j" }), /never so/);
  makings.ended("n1", 31);
  makings.over({ index, outcome: "unknown" }, 32);
  told(makings, { sentAt: 35 })();
  makings.ended("n2", 33);
  told(makings, { sentAt: 35 })();
  makings.ended("n1", 34);
  violates(told(makings, { sentAt: 35 }), /never so/);
  makings.asks("n1", 36, index);
  makings.over({ index: { ...index, made: null }, outcome: "promised" }, 37);
  told(makings, { sentAt: 39 })();
  makings.over({ index, outcome: "refused" }, 38);
  told(makings, { sentAt: 38 })();
  violates(told(makings, { sentAt: 39 }), /never so/);
  violates(() => see(count(0, { machine: "n2", holds: (state) => state.has("orders") })), /never so/);
});
