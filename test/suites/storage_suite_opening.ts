import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { databaseIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { startWriter } from "../crash/child.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  patient,
  plainFiles,
  put,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

/** Opening, closing, the lock, the mark of a clean close. */
export function openingSuite({ openStorage }: StorageOpeners): void {
  test(
    "opening: closed and opened again, everything is there and one file is whole",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "deep", "data.dfdb"), options = testOptions(path);
        let storage = await openStorage(options);
        const c = start(storage);
        storage.write((tx) => tx.append([put(c, "a", 0), put(c, "b", 0)], wall));
        storage.write((tx) => tx.append([put(c, "a", 3, "{}")], wall));
        const before = everything(storage);
        storage.close();
        storage.close();
        assert.ok(!readdirSync(join(folder, "deep")).some((name) => /-wal|-shm|-journal/.test(name)));
        storage = await openStorage(options);
        assert.deepEqual(everything(storage), before);
        // Row numbers and collection numbers go on where they were.
        storage.write((tx) => tx.append([put(c, "c", 0)], wall));
        const ids = storage.read((v) => v.page(c, 0, { documentsMax: 9, bytesMax: 1e6 })).documents.map((d) =>
          d.id
        );
        assert.deepEqual(ids, ["a", "b", "c"]);
        assert.ok(storage.write((tx) => tx.newCollectionNumber()) > c);
        storage.close();
        assert.throws(() => storage.read(() => 1), coded("closing"));
        assert.throws(() => storage.write(() => 1), coded("closing"));
      }),
  );

  test("opening: the file is what the format says", patient, () =>
    inFolder(async (folder) => {
      const path = join(folder, "data.dfdb");
      (await openStorage(testOptions(path))).close();
      const db = new DatabaseSync(path);
      const pragma = (name: string) => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
      assert.deepEqual(
        ["page_size", "auto_vacuum", "journal_mode", "application_id", "user_version"].map(pragma),
        [4096, 0, "wal", 0x64666462, 1],
      );
      db.close();
    }));

  test(
    "opening: a copy of a cleanly closed file is welcome, one taken while in use is not",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          copy = join(folder, "copy.dfdb"),
          strange = { known: () => false };
        let storage = await openStorage(testOptions(path, strange));
        const c = start(storage);
        storage.close();
        copyFileSync(path, copy);
        (await openStorage(testOptions(copy, strange))).close();
        storage = await openStorage(testOptions(path, strange));
        storage.write((tx) => tx.append([put(c, "a", 0)], wall));
        storage.checkpointIfDue();
        copyFileSync(path, copy);
        copyFileSync(`${path}-wal`, `${copy}-wal`);
        const asked: string[] = [];
        const known = (id: string) => asked.push(id) < 0;
        await assert.rejects(openStorage(testOptions(copy, { known })), coded("unclean_copy"));
        assert.deepEqual(asked, [storage.databaseId]);
        const again = await openStorage(testOptions(copy, { known: () => true }));
        assert.deepEqual(again.log.last, storage.log.last);
        again.close();
        storage.close();
        (await openStorage(testOptions(copy, strange))).close();
        // Freeing rows is a write too.
        storage = await openStorage(testOptions(path, strange));
        storage.write((tx) => tx.append([{ kind: "dropCollection", collection: c }], wall));
        storage.close();
        storage = await openStorage(testOptions(path, strange));
        assert.equal(storage.reclaim(), false);
        copyFileSync(path, join(folder, "third.dfdb"));
        copyFileSync(`${path}-wal`, join(folder, "third.dfdb-wal"));
        await assert.rejects(
          openStorage(testOptions(join(folder, "third.dfdb"), strange)),
          coded("unclean_copy"),
        );
        storage.close();
      }),
  );

  test(
    "opening: locked by this process, and by another, which is named",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"), options = testOptions(path);
        const storage = await openStorage(options);
        await assert.rejects(openStorage(options), coded("data_locked"));
        // Reading the message file and failing to open do not loosen the lock.
        const refused = await startWriter(folder, "hold").output;
        assert.match(refused.text, /data_locked/);
        storage.close();
        const child = startWriter(folder, "hold");
        await child.line("held");
        await assert.rejects(openStorage(options), (thrown: unknown) => {
          const { code, message, details } = thrown as {
            code: string;
            message: string;
            details: { pid: number };
          };
          assert.deepEqual([code, details.pid], ["data_locked", child.pid]);
          assert.match(message, new RegExp(`process ${child.pid} on writer-host`));
          return true;
        });
        writeFileSync(`${path}.lock.json`, "not json");
        await assert.rejects(openStorage(options), coded("data_locked"));
        child.kill();
        await child.output;
        (await openStorage(options)).close();
      }),
  );

  test("opening: a creation that was cut short is begun anew", patient, () =>
    inFolder(async (folder) => {
      for (const label of ["open:empty", "open:schema"]) {
        const path = join(folder, `${label.slice(5)}.dfdb`);
        const crashPoint = (at: string) => {
          if (at === label) throw new Error("stop here");
        };
        await assert.rejects(openStorage(testOptions(path, { crashPoint })), /stop here/);
        assert.ok(existsSync(path));
        (await openStorage(testOptions(path, { known: () => false }))).close();
      }
    }));

  test(
    "opening: a database at 0 takes over another id; one that is not does not",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "data.dfdb"), { known: () => false }),
          id = databaseIdOf("d".repeat(32));
        let storage = await openStorage(options);
        storage.adoptDatabaseId(id);
        assert.equal(storage.databaseId, id);
        storage.close();
        storage = await openStorage(options);
        assert.equal(storage.databaseId, id);
        storage.write((tx) => tx.append([beginTerm(1, "1")], wall));
        storage.adoptDatabaseId(id);
        assert.throws(() => storage.adoptDatabaseId(databaseIdOf("e".repeat(32))), coded("wrong_database"));
        assert.equal(storage.databaseId, id);
        storage.close();
      }),
  );

  test("opening: a failing lock message file releases the lock", patient, () =>
    inFolder(async (folder) => {
      const options = testOptions(join(folder, "data.dfdb"));
      const files = { ...plainFiles, writeAtomic: () => Promise.reject(new Error("no space")) };
      await assert.rejects(openStorage({ ...options, files }), /no space/);
      (await openStorage(options)).close();
    }));

  test(
    "opening: the WAL moves into the data file when it has grown, and does not stay large",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path)),
          c = start(storage);
        storage.checkpointIfDue();
        const size = () => statSync(path).size, small = size();
        for (let i = 0; i < 12; i++) {
          storage.write((tx) => tx.append([put(c, `d${i}`, 0, `{"pad":"${"p".repeat(1 << 20)}"}`)], wall));
        }
        assert.equal(storage.checkpointIfDue(), false);
        assert.ok(size() > small + (12 << 20));
        const wal = statSync(`${path}-wal`).size;
        storage.write((tx) => tx.append([put(c, "after", 0)], wall));
        assert.ok(statSync(`${path}-wal`).size <= wal);
        storage.close();
      }),
  );

  test(
    "opening: while dropped collections are freed the WAL grows no further than under commits",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"), documents = 20_000;
        let storage = await openStorage(testOptions(path));
        const c = start(storage);
        // In no order, as ids are: each slice then changes pages all over their index.
        const id = (i: number): string => `${i * 7_919 % documents}`.padStart(40, "0");
        for (let i = 0; i < documents; i += 500) {
          const some = Array.from(
            { length: 500 },
            (_, j) => put(c, id(i + j), 0, `{"pad":"${"p".repeat(400)}"}`),
          );
          storage.write((tx) => tx.append(some, wall));
        }
        storage.close();
        storage = await openStorage(testOptions(path));
        storage.write((tx) => tx.append([{ kind: "dropCollection", collection: c }], wall));
        const pages = (): number => statSync(`${path}-wal`).size / limits.pageBytes;
        for (let more = true; more;) {
          assert.equal(storage.checkpointIfDue(), false);
          more = storage.reclaim();
          assert.ok(pages() < 1.5 * limits.checkpointPages, `${pages()}`);
        }
        storage.close();
      }),
  );
}
