import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { collectionNumberOf, documentIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { TermRecord } from "../../src/storage/log.ts";
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

/** Documents, collections, transactions. */
export function writeSuite({ openStorage }: StorageOpeners): void {
  const withStorage = (run: (storage: Storage) => void) =>
    inFolder(async (folder) => {
      const storage = await openStorage(testOptions(join(folder, "data.dfdb")));
      run(storage);
      storage.close();
    });

  test("storage: a document is put, changed, deleted", patient, () =>
    withStorage((storage) => {
      const c = start(storage), id = documentIdOf("a/b é日");
      storage.write((tx) => tx.append([put(c, id, 0, '{"n":1}')], wallMsOf(1000)));
      assert.equal(storage.read((v) => v.documentSeq(c, id)), 3);
      storage.write((tx) => tx.append([put(c, id, 3, '{"n":"é日😀\\u0000"}')], wallMsOf(2000)));
      assert.deepEqual(storage.read((v) => v.document(c, id)), {
        id,
        body: '{"n":"é日😀\\u0000"}',
        seq: 4,
        createdMs: 1000,
        modifiedMs: 2000,
      });
      assert.equal(storage.read((v) => v.collection("orders"))?.documents, 1);
      storage.write((tx) => tx.append([remove(c, id, 4)], wallMsOf(3000)));
      assert.equal(storage.read((v) => v.document(c, id)), null);
      assert.equal(storage.read((v) => v.documentSeq(c, id)), 0);
      assert.equal(storage.read((v) => v.collection("ORDERS"))?.documents, 0);
      assert.equal(storage.read((v) => v.position.seq), 5);
      assert.equal(storage.read((v) => v.document(collectionNumberOf(99), id)), null);
    }));

  test(
    "storage: a transaction knows the term that it begins; what is committed does not",
    patient,
    () =>
      withStorage((storage) => {
        const firsts = (of: { readonly terms: readonly TermRecord[] }) =>
          of.terms.map((term) => term.firstSeq);
        const begin = (run: string, before: readonly number[], after: readonly number[]): void =>
          storage.write((tx) => {
            assert.deepEqual(firsts(tx), before);
            tx.append([beginTerm(1, run)], wall);
            assert.deepEqual([firsts(tx), firsts(storage.log)], [after, before]);
            assert.deepEqual(storage.read(firsts), before);
          });
        begin("1", [], [1]);
        begin("2", [1], [1, 2]);
        const given = (): void =>
          storage.write((tx) => {
            tx.append([beginTerm(1, "3")], wall);
            throw new Error("given up");
          });
        assert.throws(given, /given up/);
        assert.deepEqual([storage.read(firsts), firsts(storage.log)], [[1, 2], [1, 2]]);
      }),
  );

  test(
    "storage: an entry of several operations is one seq; a transaction sees its own writes",
    patient,
    () =>
      withStorage((storage) => {
        const c = start(storage), a = documentIdOf("a"), b = documentIdOf("b");
        storage.write((tx) => {
          assert.equal(tx.append([put(c, a, 0), put(c, b, 0)], wall).seq, 3);
          assert.equal(tx.documentSeq(c, b), 3);
          assert.equal(tx.collection("orders")?.documents, 2);
          assert.equal(tx.position.seq, 3);
          assert.equal(tx.append([put(c, a, 3, "{}"), remove(c, b, 3)], wall).seq, 4);
          assert.equal(tx.document(c, a)?.body, "{}");
          // Reads outside the transaction do not see what is not committed.
          assert.equal(storage.read((v) => v.documentSeq(c, a)), 0);
          assert.equal(storage.log.last.seq, 2);
          assert.deepEqual(storage.log.entries(seqOf(2), { bytesMax: 1, entriesMax: 9 }), []);
          assert.equal(storage.log.at(seqOf(3)), "ahead");
        });
        assert.equal(storage.read((v) => v.collection("orders"))?.documents, 1);
      }),
  );

  test(
    "storage: what throws in a transaction leaves nothing, in memory and on disk",
    patient,
    () =>
      withStorage((storage) => {
        const c = start(storage);
        storage.write((tx) => tx.append([put(c, "kept", 0)], wall));
        const before = everything(storage);
        const attempt = () =>
          storage.write((tx) => {
            tx.append([beginTerm(2, "2")], wall);
            tx.append([put(c, "lost", 0), remove(c, "kept", 3)], wall);
            const number = tx.newCollectionNumber();
            tx.append([{ kind: "createCollection", collection: number, name: "lost" }], wall);
            tx.append([put(number, "x", 0)], wall);
            tx.append([{ kind: "dropCollection", collection: c }], wall);
            throw new Error("changed my mind");
          });
        assert.throws(attempt, /changed my mind/);
        assert.deepEqual(everything(storage), before);
        assert.throws(attempt, /changed my mind/);
        const number = storage.write((tx) => {
          const fresh = tx.newCollectionNumber();
          tx.append([{ kind: "createCollection", collection: fresh, name: "lost" }], wall);
          return fresh;
        });
        storage.write((tx) => tx.append([put(number, "x", 0)], wall));
        assert.equal(storage.read((v) => v.collection("lost"))?.documents, 1);
      }),
  );

  test(
    "storage: an entry left half applied is never committed, even when its error is caught",
    patient,
    () =>
      withStorage((storage) => {
        const c = start(storage), before = everything(storage);
        const attempt = () =>
          storage.write((tx) => {
            assert.throws(() => tx.append([put(c, "a", 0), put(c, "b", 77)], wall), coded("diverged"));
            assert.throws(() => tx.append([put(c, "z", 0)], wall), coded("diverged"));
          });
        assert.throws(attempt, coded("diverged"));
        assert.deepEqual(everything(storage), before);
      }),
  );

  test("storage: previous must be the document's last change", patient, () =>
    withStorage((storage) => {
      const c = start(storage);
      storage.write((tx) => tx.append([put(c, "a", 0)], wall));
      for (
        const wrong of [put(c, "a", 0), put(c, "a", 2), put(c, "b", 3), remove(c, "a", 2), remove(c, "b", 3)]
      ) {
        assert.throws(() => storage.write((tx) => tx.append([wrong], wall)), coded("diverged"));
      }
      const other = collectionNumberOf(9);
      assert.throws(() => storage.write((tx) => tx.append([put(other, "a", 0)], wall)), coded("diverged"));
      assert.equal(storage.log.last.seq, 3);
    }));

  test(
    "storage: too large an entry is refused before anything is written, and the transaction goes on",
    patient,
    () =>
      withStorage((storage) => {
        const c = start(storage),
          large = { ...put(c, "large", 0), body: new Uint8Array(limits.entryBytesMax) };
        storage.write((tx) => {
          assert.throws(() => tx.append([large], wall), coded("payload_too_large"));
          tx.append([put(c, "small", 0)], wall);
        });
        assert.equal(storage.log.last.seq, 3);
      }),
  );

  test("storage: a large body goes through whole", patient, () =>
    withStorage((storage) => {
      const c = start(storage), body = `{"text":"${"é".repeat(3_000_000)}"}`;
      storage.write((tx) => tx.append([put(c, "large", 0, body)], wall));
      assert.equal(storage.read((v) => v.document(c, documentIdOf("large")))?.body, body);
    }));

  test(
    "storage: names without regard to case, numbers never used twice",
    patient,
    () =>
      withStorage((storage) => {
        const first = start(storage, "Orders");
        const create = (name: string) =>
          storage.write((tx) => {
            const number = tx.newCollectionNumber();
            tx.append([{ kind: "createCollection", collection: number, name }], wall);
            return number;
          });
        assert.throws(() => create("oRDERS"), coded("diverged"));
        assert.deepEqual(storage.read((v) => v.collection("ORDERS")), {
          number: first,
          name: "Orders",
          documents: 0,
        });
        storage.write((tx) => tx.append([{ kind: "dropCollection", collection: first }], wall));
        assert.equal(storage.read((v) => v.collection("orders")), null);
        const second = create("orders");
        assert.ok(second > first);
        assert.deepEqual(storage.read((v) => v.collections()), [{
          number: second,
          name: "orders",
          documents: 0,
        }]);
        const again = { kind: "createCollection", collection: first, name: "other" } as const;
        assert.throws(() => storage.write((tx) => tx.append([again], wall)), coded("diverged"));
        assert.throws(() => storage.write((tx) => tx.append([put(first, "a", 0)], wall)), coded("diverged"));
        const pair = storage.write((tx) => [tx.newCollectionNumber(), tx.newCollectionNumber()]);
        assert.equal(new Set(pair).size, 2);
        // Created and dropped in one transaction.
        storage.write((tx) => {
          const number = tx.newCollectionNumber();
          tx.append(
            [{ kind: "createCollection", collection: number, name: "brief" }, put(number, "a", 0)],
            wall,
          );
          tx.append([{ kind: "dropCollection", collection: number }], wall);
          assert.equal(tx.collection("brief"), null);
        });
        assert.equal(storage.read((v) => v.collection("brief")), null);
      }),
  );

  test("storage: a dropped collection is freed in slices", patient, () =>
    withStorage((storage) => {
      const c = start(storage), count = 2 * limits.reclaimRows + 10;
      storage.write((tx) => {
        for (let i = 0; i < count; i++) tx.append([put(c, `d${i}`, 0)], wall);
      });
      assert.equal(storage.reclaim(), false);
      storage.write((tx) => tx.append([{ kind: "dropCollection", collection: c }], wall));
      assert.deepEqual([storage.reclaim(), storage.reclaim(), storage.reclaim()], [true, true, false]);
      assert.equal(storage.reclaim(), false);
      assert.equal(storage.log.last.seq, count + 3);
    }));

  test(
    "storage: pages follow the order of creation, and a row is never given twice",
    patient,
    () =>
      withStorage((storage) => {
        const c = start(storage), ids = ["z", "y", "x", "w"], all = { documentsMax: 10, bytesMax: 1e6 };
        storage.write((tx) =>
          ids.forEach((id) => tx.append([put(c, id, 0, `{"pad":"${"p".repeat(100)}"}`)], wall))
        );
        storage.write((tx) => tx.append([put(c, "z", 3, "{}")], wall));
        const page = (after: number, more: Partial<typeof all>) =>
          storage.read((v) => v.page(c, after, { ...all, ...more }));
        assert.deepEqual(page(0, {}).documents.map((d) => d.id), ids);
        assert.equal(page(0, {}).next, null);
        assert.equal(page(0, { documentsMax: 4 }).next, null);
        const two = page(0, { documentsMax: 2 });
        assert.deepEqual([two.documents.length, page(two.next as number, {}).documents.map((d) => d.id)], [
          2,
          [
            "x",
            "w",
          ],
        ]);
        assert.equal(page(0, { bytesMax: 0 }).documents.length, 1);
        assert.equal(page(0, { bytesMax: 3 }).documents.length, 2);
        assert.deepEqual(page(4, {}), { documents: [], next: null });
        assert.deepEqual(storage.read((v) => v.page(collectionNumberOf(9), 0, all)), {
          documents: [],
          next: null,
        });
        // The last row is deleted, another document comes: a reader that was there before finds the new one.
        const last = page(0, { documentsMax: 3 }).next as number;
        storage.write((tx) => tx.append([remove(c, "w", 6)], wall));
        storage.write((tx) => tx.append([put(c, "v", 0)], wall));
        assert.deepEqual(page(last + 1, {}).documents.map((d) => d.id), ["v"]);
      }),
  );

  test("storage: misuse is an InvariantError and changes nothing", patient, () =>
    withStorage((storage) => {
      const c = start(storage), before = everything(storage), broken = { name: "InvariantError" };
      assert.throws(() => storage.write(() => storage.write(() => 1)), broken);
      assert.throws(() => storage.read(() => storage.write(() => 1)), broken);
      assert.throws(() => storage.write(() => Promise.resolve()), broken);
      assert.throws(() => storage.write((tx) => tx.append([], wall)), broken);
      assert.throws(() => storage.write((tx) => tx.append([put(c, "\ud800", 0)], wall)), broken);
      const escaped = storage.write((tx) => tx);
      assert.throws(() => escaped.append([put(c, "a", 0)], wall), broken);
      assert.equal(storage.read((v) => storage.read((w) => w.position.seq + v.position.seq)), 4);
      assert.deepEqual(everything(storage), before);
    }));
}
