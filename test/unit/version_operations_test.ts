/** What feeds and rescue files make of operations on versions. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { databaseIdOf, documentIdOf, epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { Operation, ShownOfKey } from "../../src/document/operation.ts";
import type { Version } from "../../src/document/version_set.ts";
import { ChangeReader } from "../../src/engine/changes.ts";
import { CollectionNames } from "../../src/engine/collection_names.ts";
import { LogPieces } from "../../src/engine/log_pieces.ts";
import { RescueText } from "../../src/node/rescue_text.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import { versionId } from "../../src/document/version_id.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  coded,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "../suites/storage_fixture.ts";
import { append, follow, key, master, told } from "../suites/storage_suite_versions_fixture.ts";

const openers = { openStorage } as Parameters<typeof master>[0];
const runA = runIdOf("a".repeat(32)), runB = runIdOf("b".repeat(32));
const dotA = (seq: number) => ({ run: runA, seq: seqOf(seq) }),
  dotB = (seq: number) => ({ run: runB, seq: seqOf(seq) });
const theirs = (seq: number, body: string | null): Version => ({
  dot: dotB(seq),
  vector: [dotB(seq)],
  modifiedMs: wallMsOf(wall + seq),
  body: body === null ? null : utf8(body),
});
const set = (
  id: string,
  previous: number,
  kept: number[],
  added: Version[],
  shown: ShownOfKey,
): Operation => ({
  ...{
    kind: "setVersions",
    name: "orders",
    id: documentIdOf(id),
    previous: seqOf(previous),
    kept: kept.map(dotA),
    added,
  },
  shown,
});
const learn: Operation = {
  kind: "learnRuns",
  runs: [{
    database: databaseIdOf("e".repeat(32)),
    run: runB,
    epoch: epochOf(1),
    firstSeq: seqOf(1),
    parent: null,
  }],
};

/** Entries 4 to 12, each an operation on the collection `Orders` or on versions. */
async function filled(folder: string): Promise<Storage> {
  const { storage, orders } = await master(openers, folder, "a");
  const entries: readonly Operation[] = [
    learn,
    set("x", 0, [], [theirs(5, '{"b":1}')], { kind: "version", dot: dotB(5), body: null }),
    put(orders, "y", 0, '{"a":1}'),
    set("y", 6, [6], [theirs(7, '{"b":2}')], { kind: "version", dot: dotA(6), body: null }), // 7: a loser
    set("y", 6, [6], [theirs(8, '{"b":3}')], { kind: "made", body: utf8('{"all":1}') }),
    set("y", 8, [6], [theirs(9, '{"b":4}')], { kind: "conflict" }),
    set("y", 0, [6], [theirs(10, null)], { kind: "version", dot: dotA(6), body: utf8('{"a":1}') }),
    set("y", 10, [6], [theirs(11, null)], { kind: "deleted" }),
    set("z", 0, [], [theirs(12, null)], { kind: "deleted" }), // 12
  ];
  for (const operation of entries) append(storage, [operation]);
  return storage;
}

test(
  "a key in conflict is deleted without a document; one that is not in conflict is not",
  patient,
  () =>
    inFolder(async (folder) => {
      const { storage: leader, orders } = await master(openers, folder, "a");
      const follower = await openStorage(testOptions(`${folder}/follower.dfdb`));
      follower.adoptDatabaseId(leader.databaseId);
      append(leader, [learn]);
      append(leader, [put(orders, "x", 0)]);
      append(leader, [set("x", 5, [5], [theirs(9, '{"b":1}')], { kind: "conflict" })]);
      follow(leader, follower);
      append(leader, [remove(orders, "x", 0)]);
      const deleted = told(key(leader, "x"));
      assert.deepEqual(deleted, { change: 7, versions: ["a@7 [a@7 b@9] +10 deleted"], shown: "deleted" });
      follow(leader, follower);
      assert.deepEqual(told(key(follower, "x")), deleted);
      for (const id of ["x", "none"]) {
        assert.throws(() => append(leader, [remove(orders, id, 0)]), coded("diverged"));
      }
      for (const storage of [leader, follower]) {
        storage.close();
      }
      const plain = await openStorage(testOptions(`${folder}/plain.dfdb`)), number = start(plain);
      assert.throws(() => append(plain, [remove(number, "x", 0)]), coded("diverged"));
      plain.close();
    }),
);

test("a feed tells what a peer's versions made of documents", patient, () =>
  inFolder(async (folder) => {
    const storage = await filled(folder), from = storage.log.at(seqOf(3));
    assert.ok(typeof from !== "string");
    const lines = (only: string | null): unknown[] => {
      const source = { storage, names: new CollectionNames(storage), pieces: new LogPieces(storage.log) };
      const changes = [...new ChangeReader(source, from, only).read(seqOf(1e9))].filter((change) =>
        change !== null
      );
      return changes.map(({ seq, op, collection, id, body, conflicts }) => [
        ...[seq, op, collection.toLowerCase(), id, conflicts ?? (body === null ? null : utf8Text(body))],
      ]);
    };
    assert.deepEqual(lines("ORDERS"), [
      [5, "put", "orders", "x", '{"b":1}'],
      [6, "put", "orders", "y", '{"a":1}'],
      [8, "put", "orders", "y", '{"all":1}'],
      [9, "conflict", "orders", "y", [versionId(dotA(6)), versionId(dotB(9))]],
      [10, "put", "orders", "y", '{"a":1}'],
      [11, "delete", "orders", "y", null],
      [12, "delete", "orders", "z", null], // it may have been in conflict
    ]);
    assert.deepEqual(lines(null), lines("orders"));
    assert.deepEqual(lines("others"), []);
    storage.close();
  }));

test(
  "a rescue file has what peers sent, each body as it was stored",
  patient,
  () =>
    inFolder(async (folder) => {
      const storage = await filled(folder),
        orders = storage.read((view) => view.collection("orders"))?.number;
      append(storage, [
        { kind: "purgeTombstones", name: "orders", ids: [documentIdOf("z")] },
        remove(orders as never, "x", 5),
      ]);
      const entries = storage.log.entries(seqOf(1), {
        bytesMax: 1e9,
        entriesMax: 1e6,
      }) as readonly LogEntry[];
      const text = new RescueText(storage.log.terms, new Map());
      const lines = entries.map((entry) => {
        const operations = decodeEntry(entry.payload);
        assert.equal(text.misses(operations), false, "names are in the operations, or known");
        return text.lines(entry, operations);
      }).join("").trim().split("\n");
      const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const of = (seq: number) => parsed.find((line) => line["seq"] === seq) as Record<string, unknown>;
      assert.deepEqual([of(2)["op"], of(2)["bundle"]], ["activateBundle", "replication"]);
      assert.deepEqual([of(4)["op"], of(4)["runs"]], [
        "learnRuns",
        JSON.parse(JSON.stringify((learn as unknown as { runs: unknown }).runs)),
      ]);
      const { op, collection, id, previous, kept, added, shown, doc } = of(10);
      assert.deepEqual([op, collection, id, previous, kept, shown, doc], [
        ...["setVersions", "orders", "y", null, [dotA(6)], dotA(6), { a: 1 }],
      ]);
      assert.deepEqual(added, [{ ...dotB(10), vector: [dotB(10)], modifiedMs: wall + 10, doc: null }]);
      assert.deepEqual([of(8)["shown"], of(8)["doc"], of(9)["shown"], of(9)["doc"]], [
        "made",
        { all: 1 },
        "conflict",
        null,
      ]);
      assert.ok(lines.some((line) => line.includes('"doc":{"b":1}')), "to the letter");
      assert.deepEqual([of(13)["op"], of(13)["name"], of(13)["ids"], of(13)["group"]], [
        "purgeTombstones",
        "orders",
        ["z"],
        13,
      ]);
      assert.deepEqual(JSON.parse(text.end()), { op: "end", entries: 12, operations: 13, documents: 3 });
      storage.close();
    }),
);
