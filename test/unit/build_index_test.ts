import assert from "node:assert/strict";
import { test } from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf } from "../../src/base/ids.ts";
import type { LogFields } from "../../src/base/logger.ts";
import { fieldSteps } from "../../src/document/field_path.ts";
import {
  clientIndexes,
  createIndex,
  defaultIndexName,
  dropIndex,
  rebuildIndexes,
} from "../../src/engine/build_index.ts";
import { deleteDocument, dropCollection, putDocument } from "../../src/engine/commands.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { monotonicMsOf, seqOf } from "../../src/base/ids.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import type { DatabaseRig } from "../tool/database_rig.ts";
import { withDatabase } from "../tool/database_rig.ts";

const definition = (name: string, field: string, unique = false) => ({
  name,
  unique,
  time: false,
  paths: field.split(",").map((path) => fieldSteps(path.trim())),
});

const indexes = ({ storage }: DatabaseRig, collection = "c") =>
  storage.read((view) => {
    const info = view.collection(collection);
    return info === null ? null : clientIndexes(view, info.number).map(({ name, entries, ready }) => ({
      name,
      entries,
      ready,
    }));
  });

const operations = ({ storage }: DatabaseRig) => {
  const entries = storage.log.entries(seqOf(0), { bytesMax: 1e9, entriesMax: 1e6 });
  assert.ok(entries !== "compacted");
  return entries.flatMap(({ payload }) => decodeEntry(payload)).map(({ kind }) => kind);
};

const fails = (promise: Promise<unknown>, code: string, message?: RegExp): Promise<void> =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof DfdbError, String(error));
    assert.equal(error.code, code, error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  });

const many = (count: number): Record<string, unknown> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`d${i}`, { n: i, same: 1 }]));

test("an index is filled before its entry is written, and goes by an entry of its own", () =>
  withDatabase(async (rig) => {
    await rig.insert("C", many(2_500));
    const before = rig.storage.log.last.seq;
    const made = await createIndex(rig, "c", definition("ByN", "n"));
    assert.deepEqual([made.name, made.collection, made.entries, made.indexes], ["ByN", "C", 2_500, 1]);
    assert.equal(made.position.seq, before + 1);
    assert.deepEqual(indexes(rig), [{ name: "ByN", entries: 2_500, ready: true }]);
    assert.deepEqual(await dropIndex(rig, "c", "byn").then(({ name }) => name), "ByN");
    assert.deepEqual(indexes(rig), []);
    assert.deepEqual(operations(rig).slice(-2), ["createIndex", "dropIndex"]);
  }));

test("what is written while it is filled is in it", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(3_000));
    const making = createIndex(rig, "c", definition("byN", "n"));
    for (let i = 0; i < 50; i++) {
      const document = { id: documentIdOf(`x${i}`), body: utf8(`{"n":${i}}`) };
      await rig.engine.submit(putDocument("c", document, () => {}));
      await rig.engine.submit(deleteDocument("c", documentIdOf(`d${i}`), () => {}));
    }
    assert.equal((await making).entries, 3_000);
  }));

test("names and paths that are taken are refused, also by one that is still being filled", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(2_000));
    const first = createIndex(rig, "c", definition("a", "n"));
    await Promise.all([
      fails(createIndex(rig, "c", definition("A", "other")), "conflict", /"a"/),
      fails(createIndex(rig, "c", definition("b", "n")), "conflict", /same paths/),
      first,
    ]);
    await fails(createIndex(rig, "c", definition("A", "other")), "conflict", /"a"/);
    await fails(createIndex(rig, "c", definition("b", "n", true)), "conflict", /same paths/);
    await createIndex(rig, "c", definition("ab", "n, other"));
    assert.deepEqual(indexes(rig)?.map(({ name }) => name), ["a", "ab"]);
  }));

test("definitions that cannot be are refused before anything is written", () =>
  withDatabase(async (rig) => {
    const bad = [
      definition("", "n"),
      definition("_a", "n"),
      definition("1a", "n"),
      definition('a"; DROP', "n"),
      definition("a".repeat(257), "n"),
      definition("a", "_id"),
      definition("a", "_etag.b"),
      definition("a", "a[*].b, c[*]"),
      definition("a", "a, a"),
      { ...definition("a", "n"), paths: [] },
      { ...definition("a", "n"), paths: [["a\u0000"]] },
    ];
    for (const one of bad) {
      await fails(createIndex(rig, "c", one, { createsCollection: true }), "bad_request");
    }
    assert.equal(rig.storage.log.last.seq, 0);
    await fails(createIndex(rig, "c", definition("a", "n")), "collection_not_found");
    await createIndex(rig, "c", definition("a", "n"), { createsCollection: true });
    await createIndex(rig, "c", definition("_ours", "m"), { reserved: true });
    assert.deepEqual(indexes(rig)?.map(({ name }) => name), ["a"]);
    await fails(dropIndex(rig, "c", "_ours"), "not_found");
    await fails(dropIndex(rig, "c", "none"), "not_found");
    await fails(dropIndex(rig, "none", "a"), "collection_not_found");
    assert.equal((await dropIndex(rig, "c", "_OURS", { reserved: true })).name, "_ours");
  }));

test("a unique index of what is there twice is refused with both, and nothing is left of it", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", { ...many(1_500), a: { k: "x" }, b: { k: "x" }, none: {} });
    const before = rig.storage.log.last.seq;
    await assert.rejects(createIndex(rig, "c", definition("byK", "k", true)), (error) => {
      assert.ok(error instanceof DfdbError);
      assert.equal(error.code, "duplicate_key");
      assert.match(error.message, /Duplicate key/);
      const { index, id, otherId } = error.details;
      assert.deepEqual([index, [id, otherId].sort()], ["byK", ["a", "b"]]);
      return true;
    });
    assert.deepEqual([indexes(rig), rig.storage.log.last.seq], [[], before]);
    await rig.engine.submit(deleteDocument("c", documentIdOf("b"), () => {}));
    await createIndex(rig, "c", definition("byK", "k", true));
    await fails(rig.insert("c", { again: { k: "x" } }), "duplicate_key");
    await rig.insert("c", { free: { k: "y" } });
  }));

test("a node that may not write, or may no more, makes none", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(5_000));
    const before = rig.storage.log.last.seq;
    rig.refusal = new DfdbError("read_only", "read-only");
    await fails(createIndex(rig, "c", definition("a", "n")), "read_only");
    rig.refusal = null;
    let slices = 0;
    const storage = Object.assign(Object.create(rig.storage) as typeof rig.storage, {
      read: rig.storage.read.bind(rig.storage),
      prepareIndex: rig.storage.prepareIndex.bind(rig.storage),
      built: rig.storage.built.bind(rig.storage),
      abandonIndex: rig.storage.abandonIndex.bind(rig.storage),
      buildSlice() {
        if (++slices === 2) rig.refusal = new DfdbError("not_leader", "follows");
        return rig.storage.buildSlice();
      },
    });
    await fails(createIndex({ ...rig, storage }, "c", definition("a", "n")), "not_leader");
    rig.refusal = null;
    assert.deepEqual([indexes(rig), rig.storage.log.last.seq, rig.storage.stats().indexesBuilding], [
      [],
      before,
      0,
    ]);
    await createIndex(rig, "c", definition("a", "n"));
  }));

test("a collection that goes while its index is filled takes it along", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(3_000));
    const making = fails(createIndex(rig, "c", definition("a", "n")), "conflict", /dropped/);
    await rig.engine.submit(dropCollection("c"));
    await rig.insert("c", many(10));
    await making;
    assert.deepEqual(indexes(rig), []);
    await createIndex(rig, "c", definition("a", "n"));
  }));

test("closing ends the filling", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(3_000));
    const making = fails(createIndex(rig, "c", definition("a", "n")), "closing");
    await rig.engine.close();
    await making;
  }));

test("an index can be filled anew, also where nothing may be written", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(3_000));
    await createIndex(rig, "c", definition("a", "n"));
    await createIndex(rig, "c", definition("u", "m", true));
    const before = rig.storage.log.last.seq;
    rig.refusal = new DfdbError("not_leader", "follows");
    assert.equal(await rebuildIndexes(rig, "C", null), 2);
    assert.equal(await rebuildIndexes(rig, "c", "A"), 1);
    await fails(rebuildIndexes(rig, "c", "none"), "not_found");
    await fails(rebuildIndexes(rig, "none", null), "collection_not_found");
    assert.equal(rig.storage.log.last.seq, before);
    assert.deepEqual(indexes(rig), [{ name: "a", entries: 3_000, ready: true }, {
      name: "u",
      entries: 3_000,
      ready: true,
    }]);
  }));

test("a long filling says how far it is", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(5_000));
    const told: LogFields[] = [];
    let now = 0;
    const clock = {
      ...rig.clock,
      macrotask: rig.clock.macrotask,
      monotonic: () => monotonicMsOf(now += 4_000),
    };
    const logger = { ...rig.logger, info: (_: string, fields: LogFields = {}) => void told.push(fields) };
    await createIndex({ ...rig, clock, logger }, "c", definition("a", "n"));
    assert.ok(told.length >= 2, String(told.length));
    assert.ok(told.slice(0, -1).every(({ percent }) => typeof percent === "number" && percent < 100));
    assert.equal(typeof told.at(-1)?.["ms"], "number");
  }));

test("default names are of the collection and the paths", () => {
  const name = (field: string): string => defaultIndexName("my-c.d", definition("", field).paths);
  assert.equal(name("a.b[0].c"), "idx_my-c_d_a_b_0_c");
  assert.equal(name("a[*].b, c"), "idx_my-c_d_a__b_c");
  assert.equal(name("äh x"), "idx_my-c_d_hx");
});
