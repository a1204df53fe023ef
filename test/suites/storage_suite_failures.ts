import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { documentIdOf, seqOf } from "../../src/base/ids.ts";
import { coded, everything, inFolder, patient, put, start, testOptions, wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

/** Files of others, newer files, damaged files, a full disk. */
export function failureSuite({ openStorage }: StorageOpeners): void {
  const filled = async (path: string) => {
    const storage = await openStorage(testOptions(path)), c = start(storage);
    storage.write((tx) => {
      for (let i = 0; i < 2000; i++) tx.append([put(c, `d${i}`, 0, `{"pad":"${"p".repeat(400)}"}`)], wall);
    });
    storage.close();
    return c;
  };
  const change = (path: string, sql: string) => {
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
  };

  test(
    "failures: a database of another program, and a text file, are left as they are",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb");
        change(path, "CREATE TABLE notes (text)");
        const before = readFileSync(path);
        await assert.rejects(openStorage(testOptions(path)), coded("data_foreign"));
        change(path, "PRAGMA application_id = 77");
        await assert.rejects(openStorage(testOptions(path)), coded("data_foreign"));
        change(path, "PRAGMA application_id = 0");
        assert.equal(readFileSync(path).length, before.length);
        const text = join(folder, "text.dfdb");
        writeFileSync(text, "some text, much longer than the header of a database ".repeat(100));
        await assert.rejects(openStorage(testOptions(text)), coded("data_corrupt"));
        assert.match(readFileSync(text, "utf8"), /^some text/);
        const pages = join(folder, "pages.dfdb");
        change(
          pages,
          "PRAGMA page_size = 8192; PRAGMA application_id = 0x64666462; PRAGMA user_version = 1; CREATE TABLE meta (a)",
        );
        await assert.rejects(openStorage(testOptions(pages)), coded("data_foreign"));
      }),
  );

  test("failures: a newer format", patient, () =>
    inFolder(async (folder) => {
      const path = join(folder, "data.dfdb");
      await filled(path);
      change(path, "PRAGMA user_version = 2");
      await assert.rejects(openStorage(testOptions(path)), coded("data_newer"));
      change(path, "PRAGMA user_version = 0");
      await assert.rejects(openStorage(testOptions(path)), coded("data_corrupt"));
    }));

  test(
    "failures: a damaged header, a damaged page, a file cut short",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"), good = join(folder, "good.dfdb");
        const c = await filled(good), bytes = readFileSync(good);
        const damage = (at: number, length: number) => {
          writeFileSync(path, bytes);
          const file = openSync(path, "r+");
          writeSync(file, new Uint8Array(length).fill(0xa5), 0, length, at);
          closeSync(file);
        };
        damage(0, 100);
        await assert.rejects(openStorage(testOptions(path)), coded("data_corrupt"));
        damage(100, 4096 - 100);
        await assert.rejects(openStorage(testOptions(path)), coded("data_corrupt"));
        writeFileSync(path, bytes.subarray(0, 8 * 4096));
        await assert.rejects(
          openStorage(testOptions(path)).then((s) => {
            try {
              everything(s);
            } finally {
              s.close();
            }
          }),
          coded("data_corrupt"),
        );
        // All of the middle: opening may still go well; reading and writing there do not.
        damage(20 * 4096, bytes.length - 60 * 4096);
        const storage = await openStorage(testOptions(path));
        const readAll = () => {
          for (let i = 0; i < 2000; i++) storage.read((v) => v.document(c, documentIdOf(`d${i}`)));
        };
        assert.throws(readAll, coded("data_corrupt"));
        assert.throws(
          () => storage.log.entries(seqOf(0), { bytesMax: 1e9, entriesMax: 1e6 }),
          coded("data_corrupt"),
        );
        const writeAll = () =>
          storage.write((tx) => {
            for (let i = 0; i < 2000; i++) tx.append([put(c, `d${i}`, i + 3, "{}")], wall);
          });
        assert.throws(writeAll, coded("data_corrupt"));
        // After that nothing may be trusted, and nothing is written any more.
        assert.throws(() => storage.write(() => 1), coded("data_corrupt"));
        storage.close();
      }),
  );

  test("failures: parts of the file that contradict each other", patient, () =>
    inFolder(async (folder) => {
      const wrong = [
        "UPDATE meta SET database_id = 'x'",
        "DELETE FROM meta",
        "DELETE FROM terms",
        "UPDATE terms SET run = 'x'",
        "UPDATE terms SET first_seq = 90000",
        "DELETE FROM log WHERE seq = 1",
        "DELETE FROM log",
        "UPDATE meta SET trimmed_seq = 5",
        "UPDATE log SET term = 9 WHERE seq = (SELECT max(seq) FROM log)",
        "INSERT INTO collections VALUES (2, 'ORDERS', 0, 1)",
        "UPDATE meta SET next_collection = 9223372036854775807",
      ];
      for (const [i, sql] of wrong.entries()) {
        const path = join(folder, `${i}.dfdb`), storage = await openStorage(testOptions(path));
        start(storage);
        storage.close();
        change(path, sql);
        await assert.rejects(openStorage(testOptions(path)), coded("data_corrupt"), sql);
      }
    }));

  test(
    "failures: a full disk refuses cleanly, keeps everything, and goes on when there is space",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          c = await filled(path),
          pagesMax = statSync(path).size / 4096 + 5;
        const storage = await openStorage(testOptions(path, { pagesMax }));
        const before = everything(storage);
        const fill = () =>
          storage.write((tx) => {
            for (let i = 0; i < 200; i++) {
              tx.append([put(c, `more${i}`, 0, `{"pad":"${"p".repeat(400)}"}`)], wall);
            }
          });
        assert.throws(fill, coded("disk_full"));
        assert.deepEqual(everything(storage), before);
        storage.write((tx) => tx.append([put(c, "d0", 3, "{}")], wall));
        assert.throws(fill, coded("disk_full"));
        storage.close();
        const again = await openStorage(testOptions(path));
        assert.equal(again.log.last.seq, 2003);
        again.write((tx) => tx.append([put(c, "more0", 0)], wall));
        again.close();
      }),
  );

  test(
    "failures: a folder that is not there, a path that is a folder",
    patient,
    () =>
      inFolder(async (folder) => {
        await assert.rejects(openStorage(testOptions(folder)), coded("io_error"));
      }),
  );
}
