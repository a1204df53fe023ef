import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { databaseIdOf, documentIdOf, epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Operation, SetVersions } from "../../src/document/operation.ts";
import type { Dot, RunNode } from "../../src/document/run_tree.ts";
import type { Version } from "../../src/document/version_set.ts";
import { versionSql } from "../../src/storage/sqlite/version_statements.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";
import type { Master } from "./storage_suite_versions_fixture.ts";
import {
  allChanged,
  append,
  key,
  master,
  rowsOf,
  settle,
  told,
  versionsOf,
} from "./storage_suite_versions_fixture.ts";

const activate: Operation = { kind: "activateBundle", bundle: "replication" };
const drop = (collection: number): Operation => ({ kind: "dropCollection", collection }) as Operation;

const dot = (digit: string, seq: number): Dot => ({ run: runIdOf(digit.repeat(32)), seq: seqOf(seq) });
/** The last of `seen` is what made it. */
const version = (body: string | null, ms: number, ...seen: readonly Dot[]): Version => ({
  dot: seen.at(-1) as Dot,
  vector: [...seen].sort((a, b) => a.run < b.run ? -1 : 1),
  modifiedMs: wallMsOf(wall + ms),
  body: body === null ? null : utf8(body),
});
/** Runs of another database: b, continued by c at entry 20, and a lost one, d, at 10. */
const others: readonly RunNode[] = [["b", 1, null], ["c", 20, "b"], ["d", 10, "b"]].map((
  [run, first, parent],
  i,
) => ({
  database: databaseIdOf("e".repeat(32)),
  run: runIdOf(String(run).repeat(32)),
  epoch: epochOf(i + 1),
  firstSeq: seqOf(Number(first)),
  parent: parent === null ? null : runIdOf(String(parent).repeat(32)),
}));
const learn: Operation = { kind: "learnRuns", runs: others };

type Change = Partial<Omit<SetVersions, "kind" | "id">>;
const set = (id: string, change: Change): Operation => ({
  ...{ kind: "setVersions", name: "orders", id: documentIdOf(id), previous: seqOf(0), kept: [], added: [] },
  shown: { kind: "conflict" },
  ...change,
});
const showing = (of: Dot, body: string | null = null): Change => ({
  shown: { kind: "version", dot: of, body: body === null ? null : utf8(body) },
});

/** What a database with the bundle holds beside its documents. */
export function versionsSuite(openers: StorageOpeners): void {
  const it = (name: string, run: (a: Master, folder: string) => Promise<void> | void): void =>
    void test(`versions: ${name}`, patient, () =>
      inFolder(async (folder) => {
        const a = await master(openers, folder, "a");
        try {
          await run(a, folder);
        } finally {
          a.storage.close();
        }
      }));
  activating(openers);
  local(it);
  fromPeers(it);
  refusing(it);
  dropping(it);
  reading(it);
}

type It = (name: string, run: (a: Master, folder: string) => Promise<void> | void) => void;

function documentOf(storage: Storage, id: string) {
  return storage.read((view) => {
    const found = view.document(view.collection("orders")?.number as never, documentIdOf(id));
    return found === null ? null : [found.body, found.seq, found.modifiedMs - wall];
  });
}

function activating({ openStorage }: StorageOpeners): void {
  test(
    "versions: a database without the bundle has none of it, and refuses what needs it",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          orders = start(storage);
        append(storage, [put(orders, "x", 0)]);
        const needing: readonly Operation[] = [
          learn,
          set("x", { added: [version("{}", 0, dot("b", 1))], ...showing(dot("b", 1)) }),
          { kind: "purgeTombstones", name: "orders", ids: [documentIdOf("x")] },
        ];
        const before = rowsOf(path) as [number, Record<string, unknown>];
        for (const operation of needing) assert.throws(() => append(storage, [operation]), coded("diverged"));
        assert.deepEqual(rowsOf(path), before);
        assert.deepEqual([before[0], Object.keys(before[1]).sort()], [
          0,
          ["collections", `docs_${orders}`, "indexes", "log", "terms"],
        ]);
        assert.equal(storage.read((view) => view.versions), null);
        storage.close();
      }),
  );

  test(
    "versions: the bundle is turned on while there are no documents, once",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          orders = start(storage);
        append(storage, [put(orders, "x", 0)]);
        assert.throws(() => append(storage, [activate]), coded("conflict"));
        append(storage, [remove(orders, "x", 3)]);
        append(storage, [activate]);
        assert.throws(() => append(storage, [activate]), coded("diverged"));
        append(storage, [put(orders, "x", 0, '{"n":1}')]);
        assert.deepEqual(told(key(storage, "x")), {
          change: 6,
          versions: ['1@6 [1@6] +0 {"n":1}'],
          shown: "1@6",
        });
        storage.close();
        const again = await openStorage(testOptions(path));
        assert.deepEqual(told(key(again, "x")), {
          change: 6,
          versions: ['1@6 [1@6] +0 {"n":1}'],
          shown: "1@6",
        });
        again.close();
      }),
  );

  test(
    "versions: an activation that is rolled back leaves nothing",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          orders = start(storage);
        const before = rowsOf(path), stop = new Error("stop");
        assert.throws(() =>
          storage.write((tx) => {
            tx.append([activate], wall);
            tx.append([put(orders, "x", 0)], wall);
            assert.notEqual(tx.versions?.get("orders", documentIdOf("x")), null);
            throw stop;
          }), stop);
        assert.deepEqual(rowsOf(path), before);
        assert.equal(storage.read((view) => view.versions), null);
        append(storage, [put(orders, "x", 0)]);
        storage.close();
      }),
  );
}

function local(it: It): void {
  it("a local change has seen all that is here, and is later than it", ({ storage, orders }) => {
    const at = (change: number, text: string, shown = text.split(" ")[0]) => ({
      change,
      versions: [text],
      shown,
    });
    append(storage, [put(orders, "x", 0, '{"n":1}')], wall + 50);
    assert.deepEqual(told(key(storage, "x")), at(4, 'a@4 [a@4] +50 {"n":1}'));
    // The clock went back.
    append(storage, [put(orders, "x", 4, '{"n":2}')]);
    assert.deepEqual(told(key(storage, "x")), at(5, 'a@5 [a@5] +51 {"n":2}'));
    assert.deepEqual(documentOf(storage, "x"), ['{"n":2}', 5, 51]);
    append(storage, [remove(orders, "x", 5)]);
    assert.deepEqual(told(key(storage, "x")), at(6, "a@6 [a@6] +52 deleted", "deleted"));
    assert.deepEqual(versionsOf(storage, (v) => v.counts("ORDERS")), { tombstones: 1, conflicts: 0 });
    // A new run continues the old one.
    append(storage, [beginTerm(2, "f")]);
    append(storage, [put(orders, "x", 0, "{}")]);
    assert.deepEqual(told(key(storage, "x")), at(8, "f@8 [f@8] +53 {}"));
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 0, conflicts: 0 });
    assert.equal(key(storage, "x")?.name, "Orders");
    assert.deepEqual([key(storage, "y"), key(storage, "x", "none")], [null, null]);
  });

  it("of several changes in one entry the last one counts", ({ storage, orders }) => {
    append(storage, [put(orders, "x", 0, '{"n":1}')], wall + 9);
    append(storage, [
      put(orders, "x", 4, '{"n":2}'),
      put(orders, "x", 5, '{"n":3}'),
      put(orders, "y", 0),
      remove(orders, "y", 5),
      remove(orders, "x", 5),
      put(orders, "x", 0, '{"n":4}'),
    ]);
    assert.deepEqual(told(key(storage, "x")), {
      change: 5,
      versions: ['a@5 [a@5] +10 {"n":4}'],
      shown: "a@5",
    });
    assert.deepEqual(told(key(storage, "y")), {
      change: 5,
      versions: ["a@5 [a@5] +0 deleted"],
      shown: "deleted",
    });
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 1, conflicts: 0 });
  });

  it("what belongs to one database has no versions", ({ storage }) => {
    const names = ["_settings", "_keys", "Raven", "_docs"];
    storage.write((tx) => {
      for (const name of names) {
        const collection = tx.newCollectionNumber();
        tx.append([{ kind: "createCollection", collection, name }, put(collection, "x", 0)], wall);
      }
    });
    assert.deepEqual(names.map((name) => key(storage, "x", name) !== null), [false, false, false, true]);
    assert.deepEqual(allChanged(storage).keys.map(({ name }) => name), ["_docs"]);
    append(storage, [learn]);
    const operation = set("x", {
      name: "raven",
      added: [version("{}", 0, dot("b", 1))],
      ...showing(dot("b", 1)),
    });
    assert.throws(() => append(storage, [operation]), coded("diverged"));
  });
}

function fromPeers(it: It): void {
  it("runs are learned with what they continue, once, and are there after opening", ({ storage }) => {
    const count = (): number => versionsOf(storage, ({ tree }) => tree.size);
    append(storage, [learn, learn]);
    assert.equal(count(), 4);
    assert.deepEqual(versionsOf(storage, ({ tree }) => tree.get(runIdOf("c".repeat(32)))), others[1]);
    const wrong: readonly RunNode[] = [
      { ...others[0] as RunNode, epoch: epochOf(9) },
      { ...others[0] as RunNode, run: runIdOf("9".repeat(32)), parent: runIdOf("8".repeat(32)) },
      { ...others[0] as RunNode, run: runIdOf("a".repeat(32)) },
    ];
    for (const node of wrong) {
      assert.throws(() => append(storage, [{ kind: "learnRuns", runs: [node] }]), coded("diverged"));
    }
    assert.equal(count(), 4);
    assert.throws(() => append(storage, [beginTerm(2, "c")]), coded("diverged"));
    append(storage, [beginTerm(2, "f")]);
    assert.equal(
      versionsOf(storage, ({ tree }) => tree.get(runIdOf("f".repeat(32))))?.parent,
      "a".repeat(32),
    );
  });

  it("taken, in conflict, resolved by a person", ({ storage, orders, path }) => {
    append(storage, [learn]); // 4
    append(storage, [set("x", { added: [version('{"b":1}', 3, dot("b", 5))], ...showing(dot("b", 5)) })]); // 5
    assert.deepEqual(told(key(storage, "x")), {
      change: 5,
      versions: ['b@5 [b@5] +3 {"b":1}'],
      shown: "b@5",
    });
    assert.deepEqual(documentOf(storage, "x"), ['{"b":1}', 5, 3]);
    append(storage, [put(orders, "x", 5, '{"a":1}')]); // 6
    assert.deepEqual(told(key(storage, "x"))?.valueOf(), {
      change: 6,
      versions: ['a@6 [a@6 b@5] +4 {"a":1}'],
      shown: "a@6",
    });
    const theirs = version('{"b":2}', 7, dot("b", 8));
    append(storage, [set("x", { previous: seqOf(6), kept: [dot("a", 6)], added: [theirs] })]); // 7
    assert.deepEqual(told(key(storage, "x")), {
      change: 7,
      versions: ['a@6 [a@6 b@5] +4 {"a":1}', 'b@8 [b@8] +7 {"b":2}'],
      shown: "conflict",
    });
    assert.equal(documentOf(storage, "x"), null);
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 0, conflicts: 1 });
    assert.equal(storage.read((view) => view.collection("orders"))?.documents, 0);
    append(storage, [put(orders, "x", 0, '{"a":2}')]); // 8
    assert.deepEqual(told(key(storage, "x")), {
      change: 8,
      versions: ['a@8 [a@8 b@8] +8 {"a":2}'],
      shown: "a@8",
    });
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 0, conflicts: 0 });
    // The next run of the other database continues b up to 19.
    append(storage, [
      set("x", {
        previous: seqOf(8),
        added: [version(null, 9, dot("a", 8), dot("c", 20))],
        shown: { kind: "deleted" },
      }),
    ]);
    assert.deepEqual(told(key(storage, "x")), {
      change: 9,
      versions: ["c@20 [a@8 c@20] +9 deleted"],
      shown: "deleted",
    });
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 1, conflicts: 0 });
    append(storage, [put(orders, "x", 0, "{}")]);
    assert.deepEqual(told(key(storage, "x")), {
      change: 10,
      versions: ["a@10 [a@10 c@20] +10 {}"],
      shown: "a@10",
    });
    assert.equal((rowsOf(path) as [1, { versions: [] }])[1].versions.length, 1);
  });

  it("what is shown may be another version, the same, one that a function made, or none", ({ storage, orders }) => {
    append(storage, [learn, put(orders, "x", 0, '{"a":1}')]); // 4
    const b = version('{"b":1}', 5, dot("b", 15)), d = version('{"d":1}', 6, dot("d", 12));
    // A loser comes: the document is not changed.
    append(storage, [
      set("x", { previous: seqOf(4), kept: [dot("a", 4)], added: [b], ...showing(dot("a", 4)) }),
    ]);
    const two = ['a@4 [a@4] +0 {"a":1}', 'b@15 [b@15] +5 {"b":1}'];
    assert.deepEqual(told(key(storage, "x")), { change: 5, versions: two, shown: "a@4" });
    assert.deepEqual(documentOf(storage, "x"), ['{"a":1}', 4, 0]);
    // The other one is to be seen now.
    append(storage, [
      set("x", {
        previous: seqOf(4),
        kept: [dot("b", 15), dot("a", 4)],
        ...showing(dot("b", 15), '{"b":1}'),
      }),
    ]);
    assert.deepEqual(told(key(storage, "x")), { change: 6, versions: two, shown: "b@15" }, "peers are told");
    assert.deepEqual(documentOf(storage, "x"), ['{"b":1}', 6, 5]);
    append(storage, [
      set("x", {
        ...{ previous: seqOf(6), kept: [dot("a", 4), dot("b", 15)], added: [d] },
        shown: { kind: "made", body: utf8('{"all":1}') },
      }),
    ]);
    const three = [...two, 'd@12 [d@12] +6 {"d":1}'];
    assert.deepEqual(told(key(storage, "x")), { change: 7, versions: three, shown: '{"all":1}' });
    assert.deepEqual(documentOf(storage, "x"), ['{"all":1}', 7, 6]);
    const kept = [dot("a", 4), dot("b", 15), dot("d", 12)];
    append(storage, [set("x", { previous: seqOf(7), kept, shown: { kind: "deleted" } })]);
    assert.deepEqual(told(key(storage, "x")), { change: 8, versions: three, shown: "deleted" });
    assert.equal(documentOf(storage, "x"), null);
    append(storage, [set("x", { kept, ...showing(dot("d", 12), '{"d":1}') })]);
    assert.deepEqual(told(key(storage, "x")), { change: 9, versions: three, shown: "d@12" });
    append(storage, [remove(orders, "x", 9)]);
    assert.deepEqual(told(key(storage, "x")), {
      change: 10,
      versions: ["a@10 [a@10 b@15 d@12] +7 deleted"],
      shown: "deleted",
    });
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 1, conflicts: 0 });
  });

  it("what was deleted there may be of a collection that never was here", ({ storage }) => {
    append(storage, [learn]);
    append(storage, [
      set("x", { name: "Invoices", added: [version(null, 0, dot("b", 5))], shown: { kind: "deleted" } }),
    ]);
    assert.deepEqual(told(key(storage, "x", "INVOICES")), {
      change: 5,
      versions: ["b@5 [b@5] +0 deleted"],
      shown: "deleted",
    });
    assert.equal(storage.read((view) => view.collection("invoices")), null);
    const collection = storage.write((tx) => {
      const number = tx.newCollectionNumber();
      tx.append([{ kind: "createCollection", collection: number, name: "Invoices" }], wall);
      return number;
    });
    append(storage, [put(collection, "x", 0, "{}")]);
    assert.deepEqual(told(key(storage, "x", "invoices")), {
      change: 7,
      versions: ["a@7 [a@7 b@5] +1 {}"],
      shown: "a@7",
    });
  });
}

function refusing(it: It): void {
  it("what does not fit is refused, and nothing of it stays", ({ storage, orders, path }) => {
    append(storage, [learn, put(orders, "x", 0), put(orders, "gone", 0)]); // 4
    append(storage, [remove(orders, "gone", 4)]); // 5
    const b = version("{}", 0, dot("b", 5)),
      b5 = showing(dot("b", 5)),
      kept = [dot("a", 4)],
      previous = seqOf(4);
    const taken = { previous, added: [b], ...b5 };
    const wrong: readonly (readonly [string, Operation])[] = [
      ["another previous", set("x", { ...taken, previous: seqOf(3) })],
      ["a document that is not there", set("new", taken)],
      ["one that is deleted", set("gone", taken)],
      ["a version that is not here", set("x", { ...taken, kept: [dot("b", 4)] })],
      ["of an unknown run", set("x", { ...taken, kept: [dot("9", 4)] })],
      ["one kept twice", set("x", { ...taken, kept: [...kept, ...kept] })],
      [
        "one that is here already",
        set("x", { ...taken, kept, added: [version("{}", 0, dot("a", 4))], ...showing(dot("a", 4)) }),
      ],
      ["two of one run", set("x", { ...taken, added: [b, version("{}", 0, dot("b", 6))] })],
      [
        "a run that nobody told of",
        set("x", { ...taken, added: [version("{}", 0, dot("9", 1))], ...showing(dot("9", 1)) }),
      ],
      ["a vector without the version", set("x", { ...taken, added: [{ ...b, vector: [dot("b", 6)] }] })],
      [
        "a vector with what it covers",
        set("x", { ...taken, added: [{ ...b, vector: [dot("b", 5), dot("c", 20)] }] }),
      ],
      [
        "a vector of what is not written yet",
        set("x", { ...taken, added: [{ ...b, vector: [dot("a", 6), dot("b", 5)] }] }),
      ],
      ["a time that is none", set("x", { ...taken, added: [{ ...b, modifiedMs: wallMsOf(2 ** 50) }] })],
      ["shown before, with a body", set("x", { previous, kept, ...showing(dot("a", 4), "{}") })],
      ["not shown before, without one", set("gone", { kept: [dot("a", 5)], ...showing(dot("a", 5)) })],
      ["a deletion that is shown", set("gone", { kept: [dot("a", 5)], ...showing(dot("a", 5), "{}") })],
      ["a document of no collection", set("x", { ...taken, name: "none", previous: seqOf(0) })],
      ["a conflict in none", set("x", { name: "none", added: [b] })],
      ["tombstones that are none", { kind: "purgeTombstones", name: "orders", ids: [documentIdOf("x")] }],
      ["of no document", { kind: "purgeTombstones", name: "orders", ids: [documentIdOf("new")] }],
      ["of no collection", { kind: "purgeTombstones", name: "none", ids: [documentIdOf("gone")] }],
      ["twice the same", {
        kind: "purgeTombstones",
        name: "orders",
        ids: ["gone", "gone"].map(documentIdOf),
      }],
    ];
    const before = rowsOf(path), state = everything(storage);
    for (const [what, operation] of wrong) {
      assert.throws(() => append(storage, [put(orders, "beside", 0), operation]), coded("diverged"), what);
      assert.deepEqual(rowsOf(path), before, what);
      assert.deepEqual(everything(storage), state, what);
      assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 1, conflicts: 0 });
    }
    append(storage, [set("x", taken)]);
  });

  it("a vector has room for the next local change", ({ storage, orders }) => {
    const most = limits.vectorEntriesMax - 1,
      id = (i: number): string => (0x1000 + i).toString(16).padStart(32, "0");
    const runs = Array.from({ length: most + 1 }, (_, i): RunNode => ({
      ...{
        database: databaseIdOf(id(i)),
        run: runIdOf(id(i)),
        epoch: epochOf(1),
        firstSeq: seqOf(1),
        parent: null,
      },
    }));
    append(storage, [{ kind: "learnRuns", runs: runs.slice(0, 300) }, {
      kind: "learnRuns",
      runs: runs.slice(300),
    }]);
    const seen = runs.map(({ run }): Dot => ({ run, seq: seqOf(1) }));
    const taking = (entries: readonly Dot[]): Operation =>
      set("x", { added: [version("{}", 0, ...entries)], ...showing(entries.at(-1) as Dot) });
    assert.throws(() => append(storage, [taking(seen)]), coded("diverged"));
    const change = append(storage, [taking(seen.slice(1))]);
    append(storage, [put(orders, "x", change)]);
    assert.equal(key(storage, "x")?.versions[0]?.vector.length, limits.vectorEntriesMax);
    append(storage, [put(orders, "x", change + 1)]);
    assert.equal(key(storage, "x")?.versions[0]?.vector.length, limits.vectorEntriesMax);
  });

  it("tombstones are purged, and the key begins anew", ({ storage, orders, path }) => {
    append(storage, [put(orders, "x", 0), put(orders, "y", 0)]);
    append(storage, [remove(orders, "x", 4), remove(orders, "y", 4)], wall + 5);
    append(storage, [{ kind: "purgeTombstones", name: "ORDERS", ids: ["x", "y"].map(documentIdOf) }]);
    assert.deepEqual([key(storage, "x"), key(storage, "y")], [null, null]);
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 0, conflicts: 0 });
    assert.deepEqual((rowsOf(path) as [1, { versions: [] }])[1].versions, []);
    append(storage, [put(orders, "x", 0, "{}")]);
    assert.deepEqual(told(key(storage, "x")), { change: 7, versions: ["a@7 [a@7] +0 {}"], shown: "a@7" });
  });
}

/** More rows than one slice of tombstones. */
const many = 3 * limits.reclaimRows + 7;
const idOf = (i: number): string => `d${String(i).padStart(5, "0")}`;

function pendingDrops(path: string): number {
  const db = new DatabaseSync(path, { readOnly: true }), rows = db.prepare("SELECT * FROM drops").all();
  db.close();
  return rows.length;
}

function dropping(it: It): void {
  it("a drop deletes all that the collection holds, with a small entry; its tombstones follow in slices", (a) => {
    const { storage, orders, path } = a;
    append(storage, [learn, ...Array.from({ length: many }, (_, i) => put(orders, idOf(i), 0))]); // 4
    append(storage, [
      remove(orders, idOf(0), 4), // 5
      set(idOf(1), { previous: seqOf(4), kept: [dot("a", 4)], added: [version("{}", 8, dot("b", 3))] }),
    ]);
    append(storage, [drop(orders)], wall + 2); // 6
    const entry = storage.log.entries(seqOf(5), { bytesMax: 1e6, entriesMax: 1 });
    assert.ok(entry !== "compacted" && (entry[0]?.payload.length as number) < 10);
    const expected = [
      { change: 5, versions: ["a@5 [a@5] +1 deleted"], shown: "deleted" },
      { change: 6, versions: ["a@6 [a@6 b@3] +9 deleted"], shown: "deleted" },
      { change: 6, versions: ["a@6 [a@6] +2 deleted"], shown: "deleted" },
    ];
    const look = (): void => {
      assert.deepEqual([0, 1, 2].map((i) => told(key(storage, idOf(i)))), expected);
      assert.deepEqual(told(key(storage, idOf(many - 1))), expected[2]);
      assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: many, conflicts: 0 });
      assert.deepEqual(versionsOf(storage, (v) => v.conflicts(null, { keysMax: 9, bytesMax: 1e6 })).keys, []);
    };
    let slices = 0;
    for (let more = true; more; slices++) {
      look();
      const { upTo, keys } = allChanged(storage);
      const pending = pendingDrops(path) === 1;
      assert.deepEqual([upTo.at(-1), keys.length], pending ? [5, 1] : [6, many]);
      more = storage.reclaim();
    }
    assert.ok(slices > 3, `${slices} slices`);
    look();
    assert.equal(allChanged(storage).keys.length, many);
    assert.equal(
      versionsOf(storage, (v) => v.tombstones(null, { keysMax: 1e6, bytesMax: 1e6 })).keys.length,
      many,
    );
  });

  it("what is written to a collection of that name after its drop has seen the deletion", ({ storage, orders, path }) => {
    append(storage, [put(orders, "x", 0), put(orders, "y", 0), put(orders, "z", 0)]); // 4
    append(storage, [put(orders, "w", 0), drop(orders)]); // 5
    const again = storage.write((tx) => {
      const number = tx.newCollectionNumber();
      const create: Operation = { kind: "createCollection", collection: number, name: "ORDERS" };
      tx.append([create, put(number, "x", 0, '{"n":2}'), put(number, "v", 0)], wall); // 6
      return number;
    });
    append(storage, [remove(again, "v", 6)]); // 7
    const x = { change: 6, versions: ['a@6 [a@6] +2 {"n":2}'], shown: "a@6" };
    assert.deepEqual(told(key(storage, "x")), x);
    append(storage, [drop(again)]); // 8, both drops are not written yet
    append(storage, [{ kind: "purgeTombstones", name: "orders", ids: [documentIdOf("z")] }]); // 9
    const expected = ["x", "y", "z", "w", "v"].map((id) => told(key(storage, id)));
    assert.deepEqual(expected, [
      { change: 8, versions: ["a@8 [a@8] +3 deleted"], shown: "deleted" },
      { change: 5, versions: ["a@5 [a@5] +1 deleted"], shown: "deleted" },
      null,
      { change: 5, versions: ["a@5 [a@5] +0 deleted"], shown: "deleted" },
      { change: 7, versions: ["a@7 [a@7] +1 deleted"], shown: "deleted" },
    ]);
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 4, conflicts: 0 });
    settle(storage);
    assert.deepEqual(["x", "y", "z", "w", "v"].map((id) => told(key(storage, id))), expected);
    const { versions, drops } = (rowsOf(path) as [1, Record<"versions" | "drops", { deleted: number }[]>])[1];
    assert.deepEqual([versions.length, versions.every(({ deleted }) => deleted === 1), drops], [4, true, []]);
  });

  it("dropped, made anew and dropped again in one entry", ({ storage, orders }) => {
    append(storage, [put(orders, "x", 0)]);
    storage.write((tx) => {
      const numbers = [tx.newCollectionNumber(), tx.newCollectionNumber()] as const;
      const create = (i: 0 | 1): Operation => ({
        kind: "createCollection",
        collection: numbers[i],
        name: "orders",
      });
      tx.append(
        [
          drop(orders),
          create(0),
          put(numbers[0], "y", 0),
          put(numbers[0], "z", 0),
          drop(numbers[0]),
          create(1),
          put(numbers[1], "z", 0, "{}"),
        ],
        wall,
      );
    });
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(["x", "y", "z"].map((id) => told(key(storage, id))), [
        { change: 5, versions: ["a@5 [a@5] +1 deleted"], shown: "deleted" },
        { change: 5, versions: ["a@5 [a@5] +0 deleted"], shown: "deleted" },
        { change: 5, versions: ["a@5 [a@5] +0 {}"], shown: "a@5" },
      ]);
      assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 2, conflicts: 0 });
      settle(storage);
    }
  });
}

function reading(it: It): void {
  it("keys in the order of their changes, in pages, each once", ({ storage, orders }) => {
    append(storage, [learn, ...[1, 2, 3, 4, 5].map((i) => put(orders, `k${i}`, 0))]); // 4
    append(storage, [put(orders, "k2", 4), put(orders, "new", 0)]); // 5
    append(storage, [
      set("k3", { previous: seqOf(4), kept: [dot("a", 4)], added: [version("{}", 8, dot("b", 3))] }),
    ]); // 6
    append(storage, [beginTerm(2, "f")]); // 7
    const order = [["k1", 4], ["k4", 4], ["k5", 4], ["k2", 5], ["new", 5], ["k3", 6]];
    const listed = ({ keys }: ReturnType<typeof allChanged>) => keys.map(({ id, change }) => [id, change]);
    for (const most of [1, 2, 3, 4, 5, 6, 100]) {
      const pages = allChanged(storage, 0, most);
      assert.deepEqual(listed(pages), order, `${most} a page`);
      assert.equal(pages.upTo.at(-1), 7);
      // A cursor put after a page loses nothing.
      for (const [i, upTo] of pages.upTo.entries()) {
        const after = allChanged(storage, upTo),
          told = pages.upTo.length === 1 ? order.length : (i + 1) * most;
        assert.ok(order.length - after.keys.length <= told, `${most} a page: up to ${upTo} after page ${i}`);
      }
    }
    assert.deepEqual(listed(allChanged(storage, 0, 100, 1)), order, "of one key each");
    assert.deepEqual(listed(allChanged(storage, 4)), order.slice(3));
    assert.deepEqual([listed(allChanged(storage, 6)), allChanged(storage, 99).upTo], [[], [7]]);
    const page = versionsOf(storage, (v) => v.changedSince(seqOf(4), { keysMax: 2, bytesMax: 1e6 }));
    assert.deepEqual([page.keys.length, page.upTo], [2, 5], "an entry that is whole in the page counts");
  });

  it("conflicts and tombstones in pages", ({ storage, orders }) => {
    append(storage, [learn, ...Array.from({ length: 7 }, (_, i) => put(orders, `k${i}`, 0))]); // 4
    for (const [i, id] of ["k1", "k3", "k5"].entries()) {
      append(storage, [
        set(id, { previous: seqOf(4), kept: [dot("a", 4)], added: [version("{}", 8, dot("b", 3 + i))] }),
        remove(orders, `k${2 * i}`, 4),
      ]);
    }
    for (const kind of ["conflicts", "tombstones"] as const) {
      const expected = kind === "conflicts" ? ["k1", "k3", "k5"] : ["k0", "k2", "k4"];
      for (
        const bounds of [{ keysMax: 1, bytesMax: 1e6 }, { keysMax: 2, bytesMax: 1e6 }, {
          keysMax: 9,
          bytesMax: 0,
        }]
      ) {
        const ids: string[] = [];
        let page = versionsOf(storage, (v) => v[kind](null, bounds));
        for (;;) {
          ids.push(...page.keys.map(({ id }) => id));
          const { next } = page;
          if (next === null) break;
          page = versionsOf(storage, (v) => v[kind](next, bounds));
        }
        assert.deepEqual(ids, expected);
      }
    }
    assert.deepEqual(versionsOf(storage, (v) => v.counts("orders")), { tombstones: 3, conflicts: 3 });
  });

  it("dots come in the order of the entries that brought them, each once, in pages of any size", ({ storage, orders }) => {
    append(storage, [learn]);
    append(storage, [put(orders, "x", 0), put(orders, "y", 0)]);
    append(storage, [set("z", { added: [version("1", 0, dot("b", 1)), version("2", 0, dot("d", 10))] })]);
    append(storage, [put(orders, "x", 5)]);
    for (const most of [1, 2, 3, 9]) {
      const found: string[] = [];
      let page = versionsOf(storage, (v) => v.dotsSince(seqOf(0), most));
      for (;;) {
        assert.ok(page.dots.length <= most);
        found.push(
          ...page.dots.map(({ change, dot: { run, seq } }) => `${change} ${run.slice(0, 1)}@${seq}`),
        );
        const { next } = page;
        if (next === null) break;
        page = versionsOf(storage, (v) => v.dotsSince(next, most));
      }
      assert.deepEqual(found.slice().sort(), ["5 a@5", "6 b@1", "6 d@10", "7 a@7"], `${most} at once`);
      assert.deepEqual(found.map((text) => text.slice(0, 1)), ["5", "6", "6", "7"]);
    }
    assert.deepEqual(versionsOf(storage, (v) => v.dotsSince(seqOf(6), 9).dots.map(({ change }) => change)), [
      7,
    ]);
  });

  it("pages and keys are found by an index", ({ path }) => {
    const db = new DatabaseSync(path, { readOnly: true });
    const plan = (name: keyof typeof versionSql, ...values: (string | number)[]): string =>
      db.prepare(`EXPLAIN QUERY PLAN ${versionSql[name]}`).all(...values).map(({ detail }) => String(detail))
        .join("; ");
    const search = (index: string): RegExp => new RegExp(`^SEARCH versions USING ${index} [^;]*$`);
    assert.match(plan("changed", 1, 1, "a", 9, 9), search("COVERING INDEX versions_change"));
    assert.match(plan("changedIn", 1, 1), search("COVERING INDEX versions_change"));
    assert.match(plan("dots", 1, 1, "a", 1, 9), search("INDEX versions_change"));
    assert.match(plan("hidden", 2, 1, "a", 9, 9), search("COVERING INDEX versions_hidden"));
    assert.match(plan("keys", 1, "a", 9), search("PRIMARY KEY"));
    for (const name of ["key", "judged", "whole", "removeKey"] as const) {
      assert.match(plan(name, 1, "a"), search("PRIMARY KEY"), name);
    }
    assert.match(plan("after", 1, "a", 9), search("PRIMARY KEY"));
    db.close();
  });
}
