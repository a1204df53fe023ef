import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { documentIdOf, seqOf } from "../../src/base/ids.ts";
import type { Operation } from "../../src/document/operation.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import type { Storage, WriteTransaction } from "../../src/storage/storage.ts";
import { applyLimits } from "../sim/small_limits.ts";
import {
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
import { creation, expectRight, indexOf, keysOf, makeIndex } from "./storage_suite_indexes.ts";
import { all } from "./storage_suite_snapshot.ts";
import type { StorageOpeners } from "./storage_suite.ts";

const unique = (paths: string) => indexOf(paths, { unique: true });

/** A `duplicate_key` with these details. */
function duplicate(index: string, id: string, operation = 0): (thrown: unknown) => boolean {
  return (thrown) => {
    assert.ok(thrown instanceof DfdbError, String(thrown));
    assert.equal(thrown.code, "duplicate_key");
    assert.deepEqual(thrown.details, { index, id, operation });
    return true;
  };
}

export function uniqueSuite({ openStorage }: StorageOpeners): void {
  const opened = (run: (storage: Storage, c: CollectionNumber, path: string) => void | Promise<void>) => () =>
    inFolder(async (folder) => {
      const path = join(folder, "data.dfdb"), storage = await openStorage(testOptions(path));
      try {
        await run(storage, start(storage), path);
        expectRight(path);
      } finally {
        storage.close();
      }
    });
  const append = (storage: Storage, ...operations: Operation[]) =>
    storage.write((tx) => tx.append(operations, wall));
  const taken = (steps: Generator<void, unknown, void>): void => {
    while (steps.next().done !== true);
  };

  test(
    "unique: one document is refused before anything is written, and the transaction goes on",
    patient,
    opened((storage, c) => {
      append(storage, creation(c, unique("a")));
      append(storage, put(c, "1", 0, '{"a":"x"}'));
      storage.write((tx) => {
        const { position } = tx;
        assert.throws(() => tx.append([put(c, "2", 0, '{"a":"x"}')], wall), duplicate("by_a", "1"));
        assert.equal(tx.position, position);
        tx.append([put(c, "2", 0, '{"a":"y"}')], wall);
        const previous = tx.documentSeq(c, documentIdOf("2"));
        assert.throws(() => tx.append([put(c, "2", previous, '{"a":"x"}')], wall), duplicate("by_a", "1"));
        tx.append([put(c, "2", previous, '{"a":"y","b":1}')], wall); // its own key
        tx.append([remove(c, "1", tx.documentSeq(c, documentIdOf("1")))], wall);
        tx.append([put(c, "3", 0, '{"a":"x"}')], wall);
      });
      assert.deepEqual(keysOf(storage, c, "by_a"), [["x", "3"], ["y", "2"]]);
    }),
  );

  test(
    "unique: what is equal and what is not",
    patient,
    opened((storage, c) => {
      append(storage, creation(c, unique("a")));
      append(storage, creation(c, unique("b,c")));
      append(storage, creation(c, unique("t[*]")));
      let n = 0;
      const goes = (body: string) => append(storage, put(c, `d${++n}`, 0, body));
      const refused = (body: string, index: string) => {
        const before = everything(storage);
        assert.throws(() => goes(body), (thrown) => (thrown as DfdbError).details["index"] === index, body);
        assert.deepEqual(everything(storage), before);
      };
      goes('{"a":1}');
      refused('{"a":1.0}', "by_a");
      refused('{"a":true}', "by_a"); // the key of true is 1
      goes('{"a":"1"}');
      goes('{"a":9007199254740993}');
      refused('{"a":9007199254740993}', "by_a");
      goes('{"a":9007199254740992}');
      goes('{"a":{"x":1}}');
      refused('{"a":{"x":1}}', "by_a");
      goes('{"a":"É"}');
      refused('{"a":"\\u00c9"}', "by_a");
      // null is nobody's
      for (let i = 0; i < 3; i++) goes('{"a":null}');
      for (let i = 0; i < 3; i++) goes('{"b":1}');
      for (let i = 0; i < 2; i++) goes('{"a":-1e999}');
      goes('{"b":1,"c":2}');
      goes('{"b":2,"c":1}');
      refused('{"c":2,"b":1}', "by_b,c");
      // no element in common with another document; within one it may be twice
      goes('{"t":[1,2,2,null]}');
      goes('{"t":[3,null]}');
      goes('{"t":[]}');
      goes('{"t":{"0":1}}');
      refused('{"t":[4,2]}', "by_t[*]");
      refused('{"t":["x",3]}', "by_t[*]");
      goes('{"t":["2"]}');
    }),
  );

  test(
    "unique: an entry of several is looked at as a whole: nothing of the transaction is kept",
    patient,
    opened((storage, c) => {
      append(storage, creation(c, unique("a")));
      append(storage, put(c, "1", 0, '{"a":1}'), put(c, "2", 0, '{"a":2}'));
      const { seq } = storage.log.last, before = everything(storage);
      const tries: (readonly [readonly Operation[], string, number])[] = [
        [[put(c, "3", 0, '{"a":3}'), put(c, "4", 0, '{"a":1}')], "1", 1],
        [[put(c, "3", 0, '{"a":3}'), put(c, "4", 0, '{"a":3}')], "4", 0],
        [[remove(c, "1", seq), put(c, "4", 0, '{"a":2}')], "2", 1],
      ];
      for (const [operations, id, operation] of tries) {
        const runs: ((tx: WriteTransaction) => void)[] = [
          (tx) => void tx.append(operations, wall),
          (tx) => taken(tx.appendInSlices(operations, wall)),
        ];
        for (const run of runs) {
          assert.throws(() =>
            storage.write((tx) => {
              const { position } = tx;
              tx.append([put(c, "first", 0, '{"a":100}')], wall);
              assert.throws(() => run(tx), duplicate("by_a", id, operation));
              assert.notEqual(tx.position, position);
              assert.throws(() => tx.append([put(c, "later", 0, '{"a":101}')], wall), coded("duplicate_key"));
            }), duplicate("by_a", id, operation));
          assert.deepEqual(everything(storage), before);
        }
      }
      // keys change hands
      append(storage, put(c, "1", seq, '{"a":2}'), put(c, "2", seq, '{"a":1}'));
      append(storage, remove(c, "1", storage.log.last.seq), put(c, "5", 0, '{"a":2}'));
      assert.deepEqual(keysOf(storage, c, "by_a"), [[1, "2"], [2, "5"]]);
    }),
  );

  test(
    "unique: a follower applies what the leader wrote, without a look",
    patient,
    () =>
      inFolder(async (folder) => {
        const leader = await openStorage(testOptions(join(folder, "leader.dfdb"))), c = start(leader);
        const path = join(folder, "follower.dfdb"), follower = await openStorage(testOptions(path));
        const undo = applyLimits({ indexSliceRows: 5 });
        try {
          leader.write((tx) => {
            for (let i = 0; i < 20; i++) tx.append([put(c, `d${i}`, 0, `{"a":${i}}`)], wall);
          });
          makeIndex(leader, c, unique("a"));
          leader.write((tx) => tx.append([put(c, "new", 0, '{"a":77}')], wall));
          const entries = leader.log.entries(seqOf(0), all) as readonly LogEntry[];
          follower.write((tx) => entries.forEach((entry) => tx.apply(entry)));
          // promoted before it is whole: nobody knows yet who has a key
          assert.throws(() => append(follower, put(c, "x", 0, '{"a":-1}')), coded("busy"));
          assert.throws(() => append(follower, put(c, "x", 0), put(c, "y", 0)), coded("busy"));
          append(follower, remove(c, "d3", follower.read((view) => view.documentSeq(c, documentIdOf("d3")))));
          while (follower.buildSlice());
          assert.throws(() => append(follower, put(c, "x", 0, '{"a":77}')), duplicate("by_a", "new"));
          append(follower, put(c, "x", 0, '{"a":3}'));
          expectRight(path);
        } finally {
          undo();
          leader.close();
          follower.close();
        }
      }),
  );

  test(
    "unique: while it is prepared, keys that are there twice are found in slices, and none is added",
    patient,
    opened((storage, c) => {
      storage.write((tx) => {
        for (let i = 0; i < 4_500; i += 3) {
          const body = (k: number) => `{"a":${k},"b":"${k % 5}","t":[${k},${k}]}`;
          tx.append([0, 1, 2].map((k) => put(c, `d${i + k}`, 0, body(i + k))), wall);
        }
        for (let i = 0; i < 2_000; i += 500) {
          tx.append(Array.from({ length: 500 }, (_, k) => put(c, `n${i + k}`, 0)), wall);
        }
      });
      const goesWell = (paths: string) => {
        const number = storage.prepareIndex(c, unique(paths));
        const shares: number[] = [];
        for (let share = storage.built(number); share !== 1; share = storage.built(number)) {
          assert.ok(share !== null);
          shares.push(share);
          storage.buildSlice();
        }
        assert.ok(shares.length > 8, `${shares.length} slices`);
        assert.deepEqual(shares, shares.toSorted((a, b) => a - b));
        return number;
      };
      goesWell("a");
      assert.throws(() => append(storage, put(c, "x", 0, '{"a":17}')), duplicate("by_a", "d17"));
      append(storage, creation(c, unique("a")));
      goesWell("b,a");
      storage.abandonIndex(goesWell("t[*]"));
      append(storage, put(c, "x", 0, '{"t":[17]}'));
      const fails = (paths: string, ids: readonly string[]) => {
        const number = storage.prepareIndex(c, unique(paths));
        while (storage.buildSlice());
        assert.throws(() => storage.built(number), (thrown) => {
          assert.ok(thrown instanceof DfdbError && thrown.code === "duplicate_key");
          const { index, id, otherId } = thrown.details;
          assert.equal(index, `by_${paths}`);
          assert.deepEqual([id, otherId].sort(), [...ids].sort());
          return true;
        });
        assert.equal(storage.built(number), null);
      };
      fails("t[*]", ["d17", "x"]);
      const seq = storage.read((view) => view.documentSeq(c, documentIdOf("d4499")));
      append(storage, put(c, "d4499", seq, '{"a":4499,"b":"0","z":"1"}'), put(c, "y", 0, '{"z":"1"}'));
      fails("z", ["d4499", "y"]);
      while (storage.reclaim());
    }),
  );

  test(
    "unique: between the filling and the end of the search a write cannot slip in",
    patient,
    opened((storage, c) => {
      storage.write((tx) => {
        for (let i = 0; i < 6_000; i += 500) {
          tx.append(Array.from({ length: 500 }, (_, k) => put(c, `d${i + k}`, 0, `{"a":${i + k}}`)), wall);
        }
      });
      const number = storage.prepareIndex(c, unique("a"));
      append(storage, put(c, "before", 0, '{"a":-1}'));
      while ((storage.built(number) ?? 0) < 0.8) storage.buildSlice();
      assert.ok((storage.built(number) ?? 1) < 1);
      const again = (id: string) => () => append(storage, put(c, id, 0, '{"a":-1}'));
      assert.throws(again("x"), duplicate("by_a", "before"));
      assert.throws(again("x"), /the unique index "by_a", which is being made$/);
      append(storage, put(c, "x", 0, '{"a":-2}'));
      while (storage.buildSlice());
      assert.equal(storage.built(number), 1);
      append(storage, creation(c, unique("a")));
      assert.throws(again("y"), /the unique index "by_a"$/);
    }),
  );

  test(
    "unique: one that is given up while a large write is open refuses nothing after it",
    patient,
    opened((storage, c) => {
      append(storage, put(c, "1", 0, '{"a":1}'));
      for (const [ends, id] of [["commit", "2"], ["rollback", "3"]] as const) {
        const number = storage.prepareIndex(c, unique("a"));
        while (storage.built(number) !== 1) storage.buildSlice();
        const open = storage.begin();
        open.slice((tx) => tx.append([put(c, ends, 0, "{}")], wall));
        storage.abandonIndex(number);
        open[ends]();
        append(storage, put(c, id, 0, '{"a":1}'));
        assert.equal(storage.built(number), null);
        append(storage, remove(c, id, storage.log.last.seq));
      }
    }),
  );
}
