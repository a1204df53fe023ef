/** What no history may have, planted into logs in memory. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { type CollectionNumber, documentIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Operation } from "../../src/document/operation.ts";
import { DeletionsCheck, momentOf } from "./deletions_check.ts";
import { FakeLog, orders, remove, seenAs } from "./fake_log.ts";
import { History } from "./history.ts";
import { Replay } from "./replay.ts";
import { RulesCheck, schemaFault } from "./rules_check.ts";
import { Violation, type Write } from "./types.ts";

const settings = 2 as CollectionNumber, remembered = 3 as CollectionNumber;
const wallMs = 1_790_000_000_000;

function put(id: string, previous: number, json: unknown, collection: CollectionNumber = orders): Operation {
  return {
    kind: "put",
    collection,
    id: documentIdOf(id),
    previous: seqOf(previous),
    body: utf8(JSON.stringify(json)),
  };
}

const index = (unique: boolean, ...fields: readonly string[]): Operation => ({
  kind: "createIndex",
  collection: orders,
  name: "i",
  unique,
  time: false,
  paths: fields.map((field) => [field]),
});

/** Entries 1 to 4: a run, the collection, and the two reserved ones. */
function begun(): FakeLog {
  return new FakeLog().begin()
    .add([{ kind: "createCollection", collection: settings, name: "_settings" }])
    .add([{ kind: "createCollection", collection: remembered, name: "_remembered" }]);
}

function rig(wentBackMs = 0) {
  const history = new History(() => 10),
    replay = new Replay(history),
    rules = new RulesCheck({ history, replay });
  const deletions = new DeletionsCheck({ history, replay, wentBackMs: () => wentBackMs });
  return { rules, deletions, replay, history, see: (log: FakeLog) => history.observe(seenAs("n1", log)) };
}

function violates(run: () => void, message: RegExp): void {
  assert.throws(run, (thrown) => thrown instanceof Violation && message.test(thrown.message));
}

/** Each is one entry after {@linkcode begun}, from 5 on. */
const seen = (...entries: readonly (readonly Operation[])[]): void =>
  rig().see(entries.reduce((log, operations) => log.add(operations), begun()));

test("no two documents have one key in a unique index, whoever wrote them", () => {
  const a = put("a", 0, { tag: "1", serial: "x", kind: "k" });
  const b = (serial: unknown, kind = "k") => put("b", 0, { tag: "2", serial, kind });
  seen([a], [index(true, "serial")], [b("y")]);
  seen([a], [index(true, "serial", "kind")], [b("x", "l")]);
  seen([a], [index(false, "serial")], [b("x")]);
  seen([index(true, "serial")], [b(null), a], [put("c", 0, { tag: "3" })]);
  // One goes in the entry in which the other comes; and one that had the key before.
  seen([a], [index(true, "serial")], [remove("a", 5), b("x")]);
  seen([a], [index(true, "serial")], [put("a", 5, { tag: "3", serial: "z" })], [b("x")]);
  seen([a], [index(true, "serial")], [{ kind: "dropIndex", collection: orders, name: "I" }], [b("x")]);
  violates(() => seen([a], [index(true, "serial")], [b("x")]), /unique index i/);
  violates(() => seen([a, b("x")], [index(true, "serial")]), /unique index i/);
  violates(() => seen([index(true, "serial")], [a, b("x")]), /unique index i/);
  violates(() => seen([a], [index(true, "serial", "kind")], [b("x")]), /unique index i/);
  violates(() => seen([index(true, "serial")], [index(true, "kind")]), /createIndex i: it exists/);
  violates(() => seen([{ kind: "dropIndex", collection: orders, name: "i" }]), /does not exist/);
});

const schema = { required: ["tag"], types: { size: "int" }, checks: ["tag <> 'no'", "size < 10"], refs: [] };

test("what is written meets the schema that is set; what was there before need not", () => {
  const set = put("orders/schema", 0, schema, settings), bad = put("a", 0, { tag: "1", size: 11 });
  seen([bad], [set], [put("b", 0, { tag: "2", size: 9 })]);
  seen([set], [{
    kind: "delete",
    collection: settings,
    id: documentIdOf("orders/schema"),
    previous: seqOf(5),
  }], [
    bad,
  ]);
  violates(() => seen([set], [bad]), /against its schema: size < 10/);
  assert.equal(schemaFault(schema, { tag: "1" }), null);
  assert.equal(schemaFault(schema, { size: 1 }), "tag is not there");
  assert.equal(schemaFault(schema, { tag: "1", size: 1.5 }), "size is not int");
  assert.equal(schemaFault(schema, { tag: "no", size: 1 }), "tag <> 'no'");
});

test("one key is remembered once in a history, as long as it is remembered", () => {
  const note = (previous: number) => put("k", previous, { request: "r", body: "" }, remembered);
  violates(() => seen([note(0)], [note(5)]), /k is remembered already/);
  const late = begun().add([note(0)]).add([note(5)], { wallMs: wallMs + limits.rememberedMs + 10 });
  rig().see(late);
  // Of two histories each has its own.
  const { see, history } = rig(), first = begun(), other = first.copy();
  see(first.add([note(0)]));
  history.observe(seenAs("n2", other.term(2, "2", "b").add([note(0)])));
  const gone: Operation = {
    kind: "delete",
    collection: remembered,
    id: documentIdOf("k"),
    previous: seqOf(5),
  };
  violates(() => seen([note(0)], [gone]), /before its time/);
  rig().see(begun().add([note(0)]).add([gone], { wallMs: wallMs + limits.rememberedMs + 10 }));
});

const ttl = put("orders/ttl", 0, { field: "ends", intervalSeconds: 1 }, settings);
const write = (more: Partial<Write>): Write => ({
  machine: "n1",
  documents: [],
  sentAt: 5,
  knownAt: 20,
  outcome: "unknown",
  position: null,
  required: 0,
  ...more,
});

test("a document goes when a client asked for it, or when its time is over, by the leader's clock", () => {
  const ended = (ends: unknown) => begun().add([put("a", 0, { tag: "1", ends })]).add([ttl]);
  const swept = (ends: unknown, wentBackMs = 0): void => {
    const { see, deletions } = rig(wentBackMs);
    see(ended(ends).add([remove("a", 5)], { wallMs }));
    deletions.final();
    assert.equal(deletions.counts.expired, 1);
  };
  swept(wallMs);
  swept(new Date(wallMs - 1).toISOString());
  swept(wallMs + 500, 500);
  const open = /nobody asked for that/;
  violates(() => swept(wallMs + 1), open);
  violates(() => swept(wallMs + 501, 500), open);
  violates(() => swept(String(wallMs - 1)), open);
  violates(() => swept(undefined), open);
  const deleted = (log: FakeLog, ...asked: readonly Partial<Write>[]): void => {
    const { see, deletions } = rig();
    see(log.add([remove("a", 5)]));
    for (const one of asked) deletions.asked(write(one));
    deletions.final();
  };
  const plain = () => begun().add([put("a", 0, { tag: "1", ends: 1 })]).add([index(false, "kind")]);
  violates(() => deleted(plain()), open); // nothing is set
  deleted(plain(), { documents: [{ collection: "Orders", id: "a", tag: null }] });
  deleted(plain(), { deletesIn: "orders" });
  deleted(plain(), { deletesIn: "" });
  violates(() => deleted(plain(), { documents: [{ collection: "orders", id: "b", tag: null }] }), open);
  violates(() => deleted(plain(), { deletesIn: "people" }), open);
  violates(() => deleted(plain(), { deletesIn: "orders", sentAt: 11 }), open);
  const { see, deletions, history } = rig();
  see(plain().add([remove("a", 5)]));
  deletions.made(history.tip("n1"));
  deletions.final();
  assert.equal(momentOf({ ends: "2026-01-01" }, "ends"), null);
});
