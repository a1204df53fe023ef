import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { CollectionNumber, IndexNumber } from "../../src/base/ids.ts";
import { indexNumberOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { IndexDefinition, Operation } from "../../src/document/operation.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { checkSnapshot } from "../../src/storage/sqlite/check_snapshot.ts";
import { copyDatabase } from "../../src/storage/sqlite/copy_database.ts";
import { verifyIndexes } from "../../src/storage/sqlite/verify_indexes.ts";
import { connect } from "../../src/storage/sqlite/connection.ts";
import type { SqlValue, Storage } from "../../src/storage/storage.ts";
import { applyLimits } from "../sim/small_limits.ts";
import { steps } from "../tool/query_database.ts";
import {
  beginTerm,
  coded,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import { all, snapshotOf } from "./storage_suite_snapshot.ts";
import type { StorageOpeners } from "./storage_suite.ts";

export const plainContext = {
  progress: () => {},
  stopped: false,
  hold: <Result>(run: () => Result) => run(),
};

/** An index of the paths, called by them unless told otherwise. */
export function indexOf(paths: string, more: Partial<IndexDefinition> = {}): IndexDefinition {
  const list = paths.split(",");
  return { name: `by_${paths}`, unique: false, time: false, paths: list.map(steps), ...more };
}

export function creation(collection: CollectionNumber, definition: IndexDefinition): Operation {
  return { kind: "createIndex", collection, ...definition };
}

/** Prepares, fills and links an index, as a leader does. */
export function makeIndex(
  storage: Storage,
  collection: CollectionNumber,
  definition: IndexDefinition,
): IndexNumber {
  const number = storage.prepareIndex(collection, definition);
  while (storage.built(number) !== 1) storage.buildSlice();
  storage.write((tx) => tx.append([creation(collection, definition)], wall));
  return number;
}

/** Keys and ids in the index of that name, in its order. */
export function keysOf(storage: Storage, collection: CollectionNumber, name: string): SqlValue[][] {
  return storage.read((view) => {
    const found = view.indexes(collection).find((index) => index.name === name);
    assert.ok(found !== undefined, `there is an index ${name}`);
    const columns = found.paths.map((_, i) => `x.k${i + 1}`).join(", ");
    const sql = `SELECT ${columns}, d.id FROM index_${found.number} x ` +
      `LEFT JOIN docs_${collection} d ON d.row = x.row ORDER BY ${columns}, x.row`;
    return [...view.select(sql, [])].map((row) => [...row]);
  });
}

/** Every index is what its documents say, whole or not: nothing is there that should not be. */
export function expectRight(path: string): void {
  assert.deepEqual(verifyIndexes({ path }, plainContext).wrong, []);
}

/** What a follower gets. */
function entriesOf(storage: Storage, after: number): readonly LogEntry[] {
  return storage.log.entries(seqOf(after), all) as readonly LogEntry[];
}

export function indexSuite({ openStorage }: StorageOpeners): void {
  test(
    "indexes: keys of every kind of value, kept through insert, update and delete",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        storage.write((tx) => {
          for (const paths of ["a", "a,b", "a.b[0]", "tags[*]", "tags[*].n", "b,tags[*]", "m[*].n[*]"]) {
            tx.append([creation(c, indexOf(paths))], wall);
          }
          tx.append([creation(c, indexOf("at", { time: true }))], wall);
          tx.append([put(c, "1", 0, '{"a":1,"b":"x"}')], wall);
          tx.append([put(c, "2", 0, '{"a":"1","b":null,"tags":[2,1,2,"x",null,true,{"n":5},[6]]}')], wall);
          tx.append([put(c, "3", 0, '{"a":{"b":["z"]},"tags":{"0":1},"at":1750000000123}')], wall);
          tx.append([
            put(
              c,
              "4",
              0,
              '{"a":9007199254740993,"tags":["{\\"n\\":1}"],"at":"2026-01-02T03:04:05.678+02:00"}',
            ),
          ], wall);
          tx.append([put(c, "5", 0, '{"a":true,"tags":[],"m":[{"n":[1,2]},{"n":[]},3],"at":"soon"}')], wall);
          tx.append([put(c, "6", 0, '{"b":-0.5,"at":true}')], wall);
          tx.append([put(c, "7", 0, '{"at":12.9,"a":-1e999}')], wall);
        });
        const none = -Infinity;
        assert.deepEqual(keysOf(storage, c, "by_a"), [
          [none, "6"],
          [none, "7"],
          [1, "1"],
          [1, "5"],
          [9007199254740993n, "4"],
          ["1", "2"],
          ['{"b":["z"]}', "3"],
        ]);
        assert.deepEqual(keysOf(storage, c, "by_a,b").slice(0, 4), [
          [none, none, "7"],
          [none, -0.5, "6"],
          [1, none, "5"],
          [1, "x", "1"],
        ]);
        assert.deepEqual(keysOf(storage, c, "by_a.b[0]").at(-1), ["z", "3"]);
        assert.deepEqual(keysOf(storage, c, "by_tags[*]"), [
          ...["1", "2", "3", "5", "6", "7"].map((id) => [none, id]),
          [1, "2"],
          [2, "2"],
          ["[6]", "2"],
          ["x", "2"],
          ['{"n":1}', "4"],
          ['{"n":5}', "2"],
        ]);
        assert.deepEqual(keysOf(storage, c, "by_tags[*].n").filter(([key]) => key !== none), [[5, "2"]]);
        assert.deepEqual(keysOf(storage, c, "by_b,tags[*]").at(-1), ["x", none, "1"]);
        assert.deepEqual(keysOf(storage, c, "by_m[*].n[*]").slice(-3), [[none, "7"], [1, "5"], [2, "5"]]);
        assert.deepEqual(keysOf(storage, c, "by_at"), [
          [12, "7"],
          [1_750_000_000_123, "3"],
          [Date.parse("2026-01-02T03:04:05.678+02:00"), "4"],
        ]);
        const entries = () => storage.read((view) => view.indexes(c).map((index) => index.entries));
        assert.deepEqual(entries(), [7, 7, 7, 12, 8, 12, 9, 3]);
        expectRight(path);
        storage.write((tx) => {
          const seq = (id: string) => tx.documentSeq(c, id as never);
          tx.append([put(c, "2", seq("2"), '{"tags":[2]}')], wall);
          tx.append([put(c, "4", seq("4"), '{"a":2,"at":"2026-01-02"}')], wall);
          tx.append(
            [remove(c, "3", seq("3")), put(c, "5", seq("5"), '{"a":true,"tags":[],"other":1}')],
            wall,
          );
        });
        assert.deepEqual(keysOf(storage, c, "by_tags[*]").filter(([key]) => key !== none), [[2, "2"]]);
        assert.deepEqual(keysOf(storage, c, "by_at"), [[12, "7"], [Date.parse("2026-01-02"), "4"]]);
        assert.deepEqual(entries(), [6, 6, 6, 6, 6, 6, 6, 2]);
        expectRight(path);
        storage.close();
      }),
  );

  test(
    "indexes: names in paths that would not fit SQL or JSON are only names",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        const names = [
          "'",
          "''; DROP TABLE log; --",
          '"',
          "a.b",
          "[0]",
          "$",
          "",
          "é😀",
          "\n",
          "\\",
          "*",
          "?1",
          "end;",
        ];
        storage.write((tx) => {
          for (const [i, name] of names.entries()) {
            tx.append([creation(c, { ...indexOf("x", { name: `n${i}` }), paths: [[name]] })], wall);
            tx.append([
              creation(c, { ...indexOf("x", { name: `e${i}` }), paths: [[name, "'", "*each", name]] }),
            ], wall);
          }
          const body = JSON.stringify(Object.fromEntries(names.map((name, i) => [name, i])));
          const deep = JSON.stringify(
            Object.fromEntries(names.map((name, i) => [name, { "'": [{ [name]: i }] }])),
          );
          tx.append([put(c, "1", 0, body)], wall);
          tx.append([put(c, "2", 0, deep)], wall);
        });
        for (const i of names.keys()) {
          assert.deepEqual(keysOf(storage, c, `n${i}`)[0], [i, "1"], names[i]);
          assert.deepEqual(keysOf(storage, c, `e${i}`).at(-1), [i, "2"], names[i]);
        }
        expectRight(path);
        storage.close();
      }),
  );

  test(
    "indexes: a leader prepares, fills and links; nobody sees it before",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        const undo = applyLimits({ indexSliceRows: 10 });
        try {
          storage.write((tx) => {
            for (let i = 0; i < 35; i++) tx.append([put(c, `d${i}`, 0, `{"a":${i % 7}}`)], wall);
          });
          const version = () => storage.read((view) => view.version), before = version();
          const number = storage.prepareIndex(c, indexOf("a"));
          assert.equal(storage.stats().indexesBuilding, 1);
          assert.throws(() => storage.prepareIndex(c, indexOf("b", { name: "BY_A" })), coded("conflict"));
          assert.throws(() => storage.prepareIndex(c, indexOf("a", { name: "other" })), coded("conflict"));
          assert.throws(() => storage.prepareIndex(99 as never, indexOf("a")), coded("collection_not_found"));
          assert.throws(() => storage.prepareIndex(c, { ...indexOf("b"), paths: [] }), coded("bad_request"));
          const shares = [storage.built(number)];
          for (let slices = 1; storage.buildSlice(); slices++) {
            shares.push(storage.built(number));
            storage.write((tx) => tx.append([put(c, `n${slices}`, 0, '{"a":9}')], wall));
            assert.deepEqual(storage.read((view) => view.indexes(c)), []);
          }
          assert.equal(storage.built(number), 1);
          assert.equal(shares.length, 4);
          assert.deepEqual(shares, [...shares].sort((a, b) => a! - b!));
          assert.equal(version(), before, "nobody sees a change");
          storage.write((tx) => {
            tx.append([creation(c, indexOf("a"))], wall);
            const [index] = tx.indexes(c);
            assert.deepEqual([index?.number, index?.ready, index?.entries], [number, true, 38]);
          });
          assert.notEqual(version(), before);
          assert.equal(storage.buildSlice(), false);
          assert.equal(keysOf(storage, c, "by_a").length, 38);
          expectRight(path);
          // of another definition, or not whole: it is filled like that of a follower
          storage.prepareIndex(c, indexOf("b"));
          storage.write((tx) => tx.append([creation(c, indexOf("b"))], wall));
          assert.deepEqual(storage.read((view) => view.indexes(c).map(({ ready }) => ready)), [true, false]);
          while (storage.buildSlice());
          assert.deepEqual(storage.read((view) => view.indexes(c).map(({ ready }) => ready)), [true, true]);
          while (storage.reclaim());
          expectRight(path);
          assert.equal(storage.stats().indexesBuilding, 0);
        } finally {
          undo();
          storage.close();
        }
      }),
  );

  test(
    "indexes: what was being prepared is given up, or forgotten by a restart, and its table freed",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"), options = testOptions(path);
        let storage = await openStorage(options);
        const c = start(storage);
        storage.write((tx) => {
          for (let i = 0; i < 20; i++) tx.append([put(c, `d${i}`, 0, `{"a":${i}}`)], wall);
        });
        const tables = () => {
          const db = connect(path, true);
          const found = db.prepare(
            "SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE 'index@_%' ESCAPE '@'",
          ).get();
          const { n } = db.prepare("SELECT count(*) AS n FROM indexes").get() as { n: number };
          db.close();
          return [Number(found?.["n"]), n];
        };
        const number = storage.prepareIndex(c, indexOf("a"));
        storage.abandonIndex(number);
        assert.equal(storage.built(number), null);
        storage.abandonIndex(number);
        storage.abandonIndex(indexNumberOf(77));
        storage.prepareIndex(c, indexOf("a"));
        storage.buildSlice();
        while (storage.reclaim());
        assert.deepEqual(tables(), [4, 1], "a table and three triggers");
        storage.close();
        storage = await openStorage(options);
        assert.equal(storage.stats().indexesBuilding, 0);
        const again = storage.prepareIndex(c, indexOf("a"));
        while (storage.reclaim());
        assert.deepEqual(tables(), [4, 1]);
        // while a large write is on its way it is given up as soon as there is a turn
        const open = storage.begin();
        assert.throws(() => storage.prepareIndex(c, indexOf("b")), coded("busy"));
        assert.equal(storage.buildSlice(), false);
        storage.abandonIndex(again);
        open.rollback();
        assert.equal(storage.buildSlice(), false);
        while (storage.reclaim());
        assert.deepEqual(tables(), [0, 0]);
        storage.close();
        storage.abandonIndex(again);
      }),
  );

  test(
    "indexes: a follower fills in slices, goes on after a restart, and writes come between",
    patient,
    () =>
      inFolder(async (folder) => {
        const undo = applyLimits({ indexSliceRows: 10 });
        const leader = await openStorage(testOptions(join(folder, "leader.dfdb"))), c = start(leader);
        const path = join(folder, "follower.dfdb");
        let follower = await openStorage(testOptions(path));
        const follow = () =>
          follower.write((tx) => entriesOf(leader, tx.position.seq).forEach((entry) => tx.apply(entry)));
        const reopen = async () => {
          follower.close();
          follower = await openStorage(testOptions(path));
        };
        try {
          leader.write((tx) => {
            for (let i = 0; i < 100; i++) {
              tx.append([put(c, `d${i}`, 0, `{"a":${i},"t":[${i},${i + 1}]}`)], wall);
            }
          });
          for (const paths of ["a", "t[*]"]) makeIndex(leader, c, indexOf(paths));
          makeIndex(leader, c, indexOf("a", { name: "unique", unique: true, paths: [["u"], ["a"]] }));
          // a follower may be preparing one of that name itself, since it led
          follow();
          const ready = () => follower.read((view) => view.indexes(c).map((index) => index.ready));
          assert.deepEqual(ready(), [false, false, false]);
          for (let i = 0; i < 25; i++) {
            assert.equal(follower.buildSlice(), true);
            leader.write((tx) => {
              const id = `d${(i * 17) % 100}`, previous = tx.documentSeq(c, id as never);
              if (i % 4 === 0) tx.append([remove(c, id, previous)], wall);
              else tx.append([put(c, id, previous, `{"a":${1000 + i},"t":[1,${i}]}`)], wall);
              if (i % 5 === 0) tx.append([put(c, `n${i}`, 0, '{"a":5,"t":[7,8,9]}')], wall);
            });
            follow();
            if (i % 8 === 3) await reopen();
          }
          while (follower.buildSlice());
          assert.deepEqual(ready(), [true, true, true]);
          expectRight(path);
          const shown = (storage: Storage) =>
            storage.read((view) => view.indexes(c).map(({ number: _, ...index }) => index));
          assert.deepEqual(shown(follower), shown(leader));
          for (const name of ["by_a", "by_t[*]", "unique"]) {
            assert.deepEqual(keysOf(follower, c, name), keysOf(leader, c, name));
          }
          await reopen();
          assert.deepEqual(shown(follower), shown(leader));
        } finally {
          undo();
          leader.close();
          follower.close();
        }
      }),
  );

  test(
    "indexes: an entry that links one of the same name ends what was being prepared",
    patient,
    () =>
      inFolder(async (folder) => {
        const leader = await openStorage(testOptions(join(folder, "leader.dfdb"))), c = start(leader);
        const path = join(folder, "follower.dfdb"), follower = await openStorage(testOptions(path));
        const follow = () =>
          follower.write((tx) => entriesOf(leader, tx.position.seq).forEach((entry) => tx.apply(entry)));
        leader.write((tx) => tx.append([put(c, "1", 0, '{"a":1}')], wall));
        follow();
        const own = follower.prepareIndex(c, indexOf("a"));
        while (follower.buildSlice());
        assert.equal(follower.built(own), 1);
        makeIndex(leader, c, indexOf("a"));
        follow();
        assert.equal(follower.built(own), null);
        assert.equal(follower.read((view) => view.indexes(c)[0]?.ready), false);
        while (follower.buildSlice() || follower.reclaim());
        assert.deepEqual(keysOf(follower, c, "by_a"), [[1, "1"]]);
        expectRight(path);
        leader.close();
        follower.close();
      }),
  );

  test("indexes: what does not fit the history is a divergence", patient, () =>
    inFolder(async (folder) => {
      const storage = await openStorage(testOptions(join(folder, "data.dfdb"))), c = start(storage);
      const refused = (operation: Operation) =>
        assert.throws(() => storage.write((tx) => tx.append([operation], wall)), coded("diverged"));
      refused(creation(9 as never, indexOf("a")));
      refused({ kind: "dropIndex", collection: 9 as never, name: "x" });
      refused({ kind: "dropIndex", collection: c, name: "by_a" });
      storage.write((tx) => tx.append([creation(c, indexOf("a"))], wall));
      refused(creation(c, indexOf("b", { name: "BY_A" })));
      storage.prepareIndex(c, indexOf("b"));
      refused({ kind: "dropIndex", collection: c, name: "by_b" });
      const undo = applyLimits({ indexesMax: 2 });
      try {
        assert.throws(() => storage.prepareIndex(c, indexOf("c")), coded("conflict"));
        storage.write((tx) => tx.append([creation(c, indexOf("c"))], wall));
        refused(creation(c, indexOf("d")));
      } finally {
        undo();
      }
      storage.write((tx) => {
        tx.append([{ kind: "dropIndex", collection: c, name: "BY_a" }], wall);
        tx.append([creation(c, indexOf("a"))], wall);
        assert.deepEqual(tx.indexes(c).map(({ name }) => name), ["by_c", "by_a"]);
      });
      storage.close();
    }));

  test(
    "indexes: dropped ones, and those of dropped collections, are freed in slices",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        const other = storage.write((tx) => {
          const number = tx.newCollectionNumber();
          tx.append([{ kind: "createCollection", collection: number, name: "other" }], wall);
          for (let i = 0; i < 1_200; i++) {
            tx.append(
              [put(c, `d${i}`, 0, `{"a":${i},"t":[1,2,3]}`), put(number, `d${i}`, 0, '{"a":2}')],
              wall,
            );
          }
          return number;
        });
        for (const paths of ["a", "t[*]"]) makeIndex(storage, c, indexOf(paths));
        makeIndex(storage, other, indexOf("a"));
        storage.write((tx) => {
          tx.append([{ kind: "dropIndex", collection: c, name: "by_t[*]" }], wall);
          tx.append([{ kind: "dropCollection", collection: other }], wall);
          assert.deepEqual(tx.indexes(c).map(({ name }) => name), ["by_a"]);
          assert.deepEqual(tx.indexes(other), []);
        });
        storage.write((tx) => tx.append([put(c, "n", 0, '{"a":1,"t":[9]}')], wall));
        let slices = 1;
        while (storage.reclaim()) slices++;
        assert.ok(slices >= 3_600 / limits.reclaimRows + 1_200 / limits.reclaimRows, `${slices} slices`);
        storage.close();
        const db = connect(path, true);
        const names = db.prepare(
          "SELECT name FROM sqlite_schema WHERE name LIKE 'index@_%' ESCAPE '@' ORDER BY name",
        ).all();
        assert.deepEqual(
          names.map(({ name }) => name),
          [1, 1, 1, 1].map((n, i) => `index_${n}${["", "_delete", "_insert", "_update"][i]}`),
        );
        assert.equal(db.prepare("SELECT count(*) AS n FROM indexes").get()?.["n"], 1);
        db.close();
        expectRight(path);
      }),
  );

  test(
    "indexes: a snapshot and a copy carry them, one being filled as far as it is",
    patient,
    () =>
      inFolder(async (folder) => {
        const undo = applyLimits({ indexSliceRows: 10 });
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        try {
          storage.write((tx) => {
            for (let i = 0; i < 45; i++) tx.append([put(c, `d${i}`, 0, `{"a":${i % 9},"t":[${i}]}`)], wall);
          });
          makeIndex(storage, c, indexOf("a"));
          makeIndex(storage, c, indexOf("gone"));
          storage.write((tx) => {
            tx.append([{ kind: "dropIndex", collection: c, name: "by_gone" }], wall);
            tx.append([creation(c, indexOf("t[*]"))], wall);
          });
          storage.buildSlice();
          storage.prepareIndex(c, indexOf("prepared"));
          const target = join(folder, "snapshot.dfdb"), copied = join(folder, "copy.dfdb");
          snapshotOf(path, target);
          checkSnapshot({ path: target, databaseId: storage.databaseId });
          copyDatabase({ path, target: copied });
          while (storage.buildSlice());
          for (const file of [target, copied]) {
            const other = await openStorage(testOptions(file));
            assert.deepEqual(other.read((view) => view.indexes(c).map(({ name, ready }) => [name, ready])), [
              ["by_a", true],
              ["by_t[*]", false],
            ]);
            other.write((tx) => tx.append([put(c, "new", 0, '{"a":3,"t":[100]}')], wall));
            while (other.buildSlice() || other.reclaim());
            other.write((tx) => {
              tx.append([remove(c, "new", tx.documentSeq(c, "new" as never))], wall);
            });
            for (const name of ["by_a", "by_t[*]"]) {
              assert.deepEqual(keysOf(other, c, name), keysOf(storage, c, name));
            }
            assert.deepEqual(
              other.read((view) => view.indexes(c).map(({ entries }) => entries)),
              [45, 45],
            );
            expectRight(file);
            const number = other.prepareIndex(c, indexOf("prepared"));
            assert.ok(other.read((view) => view.indexes(c).every((index) => index.number !== number)));
            other.close();
          }
        } finally {
          undo();
          storage.close();
        }
      }),
  );

  test(
    "indexes: installed with the content, also in place of what was being prepared",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        storage.write((tx) => tx.append([put(c, "1", 0, '{"a":1}')], wall));
        makeIndex(storage, c, indexOf("a"));
        const target = join(folder, "snapshot.dfdb");
        snapshotOf(path, target);
        storage.write((tx) => {
          tx.append([{ kind: "dropIndex", collection: c, name: "by_a" }], wall);
          tx.append([put(c, "2", 0, '{"a":2}')], wall);
        });
        const { backup } = await import("node:sqlite"), prepared = storage.prepareIndex(c, indexOf("b"));
        const versions = storage.read((view) => [view.version, view.settingsVersion]);
        await storage.exchange(async () => {
          const from = connect(target, true);
          await backup(from, path, { rate: 1_000_000 });
          from.close();
        });
        const now = storage.read((view) => [view.version, view.settingsVersion]);
        assert.ok(now[0]! > versions[0]! && now[1]! > versions[1]!);
        assert.equal(storage.built(prepared), null);
        assert.deepEqual(keysOf(storage, c, "by_a"), [[1, "1"]]);
        storage.write((tx) => tx.append([put(c, "3", 0, '{"a":0}')], wall));
        assert.deepEqual(keysOf(storage, c, "by_a"), [[0, "3"], [1, "1"]]);
        storage.close();
        expectRight(path);
      }),
  );

  test("indexes: a snapshot whose triggers are others is refused", patient, () =>
    inFolder(async (folder) => {
      const path = join(folder, "data.dfdb"),
        storage = await openStorage(testOptions(path)),
        c = start(storage);
      storage.write((tx) => tx.append([creation(c, indexOf("a"))], wall));
      for (
        const change of [
          "DROP TRIGGER index_1_update",
          "CREATE TRIGGER more AFTER INSERT ON log BEGIN SELECT 1; END",
        ]
      ) {
        const target = join(folder, `${change.slice(0, 4)}.dfdb`);
        snapshotOf(path, target);
        checkSnapshot({ path: target, databaseId: null });
        const db = connect(target, false);
        db.exec(change);
        db.close();
        assert.throws(() => checkSnapshot({ path: target, databaseId: null }), coded("corrupt"));
      }
      storage.close();
    }));

  test(
    "indexes: made anew under its number; until then it is not used",
    patient,
    () =>
      inFolder(async (folder) => {
        const undo = applyLimits({ indexSliceRows: 10 });
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        try {
          storage.write((tx) => {
            for (let i = 0; i < 30; i++) tx.append([put(c, `d${i}`, 0, `{"a":${i},"t":[1,${i}]}`)], wall);
          });
          const numbers = ["a", "t[*]"].map((paths) => makeIndex(storage, c, indexOf(paths)));
          const spoil = connect(path, false);
          spoil.prepare("DELETE FROM index_1 WHERE row % 2 = 0").run();
          spoil.prepare("INSERT INTO index_2 VALUES (7, 99999)").run();
          spoil.close();
          const [first, second] = verifyIndexes({ path }, plainContext).wrong;
          assert.deepEqual([first?.name, first?.missing, first?.tooMany, first?.entries], [
            "by_a",
            15,
            0,
            15,
          ]);
          assert.deepEqual([second?.name, second?.missing, second?.tooMany], ["by_t[*]", 0, 1]);
          for (const number of numbers) {
            storage.rebuildIndex(number);
            assert.ok((storage.built(number) ?? 2) < 1);
            const index = storage.read((view) => view.indexes(c).find((one) => one.number === number));
            assert.equal(index?.ready, false);
            while (storage.built(number) !== 1) storage.buildSlice();
          }
          while (storage.reclaim());
          expectRight(path);
          assert.equal(keysOf(storage, c, "by_t[*]").length, 59);
          storage.rebuildIndex(indexNumberOf(99));
          const later = storage.prepareIndex(c, indexOf("b"));
          assert.ok(later > Math.max(...numbers) + 2);
        } finally {
          undo();
          storage.close();
        }
      }),
  );

  test(
    "indexes: version and settingsVersion tell of their changes, and of no others",
    patient,
    () =>
      inFolder(async (folder) => {
        const storage = await openStorage(testOptions(join(folder, "data.dfdb"))), c = start(storage);
        const seen = new Set<number>();
        const changes = (run: () => void): string => {
          const before = storage.read((view) => [view.version, view.settingsVersion]);
          run();
          const after = storage.read((view) => [view.version, view.settingsVersion]);
          return after.map((value, i) => {
            if (value === before[i]) return "-";
            assert.ok(!seen.has(value), "never there before");
            seen.add(value);
            return "+";
          }).join("");
        };
        const write = (...operations: Operation[]) => () =>
          storage.write((tx) => tx.append(operations, wall));
        assert.equal(changes(write(put(c, "1", 0))), "--");
        assert.equal(
          changes(write({ kind: "createCollection", collection: 2 as never, name: "_Settings" })),
          "+-",
        );
        assert.equal(changes(write(put(2 as never, "x/ttl", 0))), "-+");
        const seq = storage.log.last.seq;
        assert.equal(changes(write(put(2 as never, "x/ttl", seq, '{"b":1}'))), "-+");
        assert.equal(changes(write(remove(2 as never, "x/ttl", seq + 1))), "-+");
        assert.equal(changes(write(creation(c, indexOf("a")))), "+-");
        assert.equal(changes(() => void storage.buildSlice()), "+-");
        assert.equal(changes(() => void storage.prepareIndex(c, indexOf("b"))), "--");
        assert.equal(changes(write({ kind: "dropIndex", collection: c, name: "by_a" })), "+-");
        assert.equal(changes(write({ kind: "dropCollection", collection: 2 as never })), "++");
        assert.equal(changes(write(beginTerm(2, "2"))), "--");
        const failing = () =>
          assert.throws(() =>
            storage.write((tx) => {
              const before = tx.version;
              tx.append([creation(c, indexOf("z"))], wall);
              assert.notEqual(tx.version, before);
              seen.add(tx.version);
              throw new Error("no");
            }), /no/);
        assert.equal(changes(failing), "--");
        storage.close();
      }),
  );
}
