import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, patient, put, start, testOptions, wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

export function selectSuite({ openStorage }: StorageOpeners): void {
  const opened = (run: (storage: Storage) => void) => () =>
    inFolder(async (folder) => {
      const storage = await openStorage(testOptions(join(folder, "data.dfdb")));
      try {
        run(storage);
      } finally {
        storage.close();
      }
    });

  test(
    "select: values come as JavaScript has them; whole numbers beyond 2^53 as bigint",
    patient,
    opened((storage) => {
      const found = storage.read((view) => [
        ...view.select(
          "SELECT 1, -9007199254740991, 9007199254740993, 2.5, -9e999, 'ü\u{1F600}', NULL, ?, ?, ?",
          [
            null,
            2n ** 62n,
            "x",
          ],
        ),
      ]);
      assert.deepEqual(found, [
        [1, -9007199254740991, 9007199254740993n, 2.5, -Infinity, "ü\u{1F600}", null, null, 2n ** 62n, "x"],
      ]);
      assert.equal(storage.read((view) => [...view.select("SELECT 1 WHERE 0", [])].length), 0);
    }),
  );

  test(
    "select: two of one text at once, one left in the middle, and writes afterwards",
    patient,
    opened((storage) => {
      const c = start(storage), sql = `SELECT id FROM docs_${c} WHERE id > ? ORDER BY id`;
      storage.write((tx) => {
        for (const id of ["a", "b", "c", "d"]) tx.append([put(c, id, 0)], wall);
      });
      storage.read((view) => {
        const one = view.select(sql, [""]), other = view.select(sql, ["b"]);
        assert.deepEqual([one.next().value, other.next().value, one.next().value], [["a"], ["c"], ["b"]]);
        assert.deepEqual([...one], [["c"], ["d"]]);
        assert.deepEqual([...one], []);
        assert.deepEqual(other.return?.(), { done: true, value: undefined });
        assert.equal(other.next().done, true);
        for (const [id] of view.select(sql, [""])) {
          if (id === "b") break;
        }
        // left open: the end of the read closes it
        view.select(sql, [""]).next();
        storage.read((inner) => assert.deepEqual([...inner.select(sql, ["c"])], [["d"]]));
        const kept = view.select(sql, [""]);
        kept.next();
        storage.read(() => {});
        assert.equal(kept.next().value?.[0], "b");
      });
      storage.write((tx) => {
        tx.append([put(c, "e", 0)], wall);
        assert.deepEqual([...tx.select(sql, ["c"])], [["d"], ["e"]]);
        // beside the transaction: the committed state
        assert.deepEqual(storage.read((view) => [...view.select(sql, ["c"])]), [["d"]]);
        tx.select(sql, [""]).next();
        storage.read((view) => view.select(sql, [""]).next());
      });
      assert.throws(() =>
        storage.write((tx) => {
          tx.select(sql, [""]).next();
          tx.append([put(c, "f", 0)], wall);
          throw new Error("no");
        }), /no/);
      storage.write((tx) => tx.append([put(c, "f", 0)], wall));
      assert.deepEqual(storage.read((view) => [...view.select(sql, ["d"])]), [["e"], ["f"]]);
    }),
  );

  test(
    "select: an error comes from where it is, and the next statement is fine; a plan is told",
    patient,
    opened((storage) => {
      const c = start(storage), sql = "SELECT value ->> '$' FROM json_each(?)";
      storage.write((tx) => tx.append([put(c, "a", 0)], wall));
      storage.read((view) => {
        assert.throws(() => view.select("SELEC", []), /syntax error/);
        assert.throws(() => [...view.select(sql, ['["1","x"]'])], /malformed JSON/);
        assert.deepEqual([...view.select(sql, ['["1",2]'])], [[1], [2]]);
        assert.match(
          view.explain(`SELECT * FROM docs_${c} WHERE id = ?`, ["x"]).join(),
          /SEARCH docs_1 USING INDEX/,
        );
      });
    }),
  );

  test(
    "select: of more texts than are kept each is right",
    patient,
    opened((storage) => {
      for (let round = 0; round < 2; round++) {
        storage.read((view) => {
          for (let i = 0; i < 500; i++) {
            const pad = i % 100 === 0 ? `/* ${"x".repeat(100_000)} */` : "";
            assert.deepEqual([...view.select(`SELECT ${i}, ? ${pad}`, [round])], [[i, round]]);
          }
        });
      }
    }),
  );
}
