import assert from "node:assert/strict";
import { copyFileSync, existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { checkSnapshot } from "../../src/storage/sqlite/check_snapshot.ts";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { verifyLog } from "../../src/storage/sqlite/verify_log.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  put,
  start,
  testOptions,
  wall,
} from "../suites/storage_fixture.ts";
import { fillSample, snapshotOf } from "../suites/storage_suite_snapshot.ts";
import { runtimeNames } from "../tool/runtime_binary.ts";
import { startSnapshotWriter } from "./child.ts";

const context = { progress: () => {}, stopped: false, hold: <Result>(run: () => Result) => run() };

/** A data file, `padding` bytes of documents beside the sample; the snapshot of another; what both hold. */
async function prepare(folder: string, padding: number) {
  const path = join(folder, "data.dfdb"),
    snapshot = join(folder, "snapshot.dfdb"),
    other = join(folder, "other.dfdb");
  const storage = await openStorage(testOptions(path));
  storage.write((tx) => tx.append([beginTerm(1, "7")], wall));
  const old = everything(storage);
  storage.close();
  const source = await openStorage(testOptions(other));
  const orders = fillSample(source);
  for (let done = 0; done < padding; done += 1e6) {
    source.write((tx) => {
      for (let i = 0; i < 100; i++) tx.append([put(orders, `p${done + i}`, 0, `"${"w".repeat(1e4)}"`)], wall);
    });
  }
  snapshotOf(other, snapshot, { logEntriesMax: 20 });
  source.close();
  copyFileSync(snapshot, other);
  const opened = await openStorage(testOptions(other, { known: () => false })), fresh = everything(opened);
  opened.close();
  return { path, snapshot, old, fresh };
}

/** Opens what a crash left: sound, and exactly one of the two contents. True: the new one. */
async function reopened(path: string, { old, fresh }: { old: unknown; fresh: unknown }): Promise<boolean> {
  const check = new DatabaseSync(path);
  assert.equal(check.prepare("PRAGMA quick_check").get()?.["quick_check"], "ok");
  check.close();
  const storage = await openStorage(testOptions(path)), found = everything(storage);
  const isNew = isDeepStrictEqual(found, fresh);
  assert.ok(isNew || isDeepStrictEqual(found, old), "neither the old content nor the new");
  assert.equal(verifyLog({ path }, context).bad, null);
  const { seq } = storage.log.last;
  assert.equal(storage.write((tx) => tx.append([beginTerm(60, "6")], wall)).seq, seq + 1);
  storage.close();
  return isNew;
}

for (const [label, isNew] of [["install:before", false], ["install:after", true]] as const) {
  test(
    `crash: kill -9 at ${label} leaves the ${isNew ? "new" : "old"} content`,
    { timeout: 120_000 },
    () =>
      inFolder(async (folder) => {
        const contents = await prepare(folder, 0);
        const { text, errors } = await startSnapshotWriter([folder, "install", label]).output;
        assert.match(text, new RegExp(`dies at ${label}`), errors);
        assert.equal(await reopened(contents.path, contents), isNew);
      }),
  );
}

test(
  "crash: kill -9 while a snapshot is installed leaves the old content or the new",
  { timeout: 120_000 },
  () =>
    inFolder(async (folder) => {
      const contents = await prepare(folder, 2e7), { path } = contents, wal = `${path}-wal`;
      const before = join(folder, "before.dfdb");
      copyFileSync(path, before);
      let cut = 0;
      for (const bytes of [1, 2e6, 8e6, 1.6e7]) {
        for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
        copyFileSync(before, path);
        const child = startSnapshotWriter([folder, "install", "none"]);
        await child.line("installing");
        // What is installed before anybody looks may have no WAL any more.
        let over = false;
        child.line("installed").then(() => over = true, () => over = true);
        while (!over && (statSync(wal, { throwIfNoEntry: false })?.size ?? 0) < bytes) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        child.kill();
        const { text, signal } = await child.output;
        assert.equal(signal, "SIGKILL");
        if (text.includes("wrote")) continue;
        const isNew = await reopened(path, contents);
        assert.ok(isNew || !text.includes("installed"), "what was installed stays so");
        if (!isNew) cut++;
      }
      assert.ok(cut > 0, "at least one was cut in the middle");
    }),
);

test(
  "crash: kill -9 while a snapshot is made leaves no file that is taken for one",
  { timeout: 120_000 },
  () =>
    inFolder(async (folder) => {
      const { path, snapshot, ...contents } = await prepare(folder, 0);
      const check = () => checkSnapshot({ path: snapshot, databaseId: null });
      for (const label of ["snapshot:filled", "snapshot:copied", "snapshot:made"]) {
        rmSync(snapshot, { force: true });
        const { text, errors } = await startSnapshotWriter([folder, "make", label]).output;
        assert.match(text, new RegExp(`dies at ${label}`), errors);
        assert.ok(existsSync(snapshot));
        if (label !== "snapshot:made") assert.throws(check, coded("corrupt"), label);
        else assert.equal(check().position.seq, 1);
      }
      assert.equal(await reopened(path, contents), false, "the source is as it was");
    }),
);

test(
  "crash: kill -9 while a snapshot is opened as a data file changes nothing",
  { timeout: 120_000 },
  () =>
    inFolder(async (folder) => {
      const { snapshot, ...contents } = await prepare(folder, 0);
      const untouched = join(folder, "untouched.dfdb");
      copyFileSync(snapshot, untouched);
      for (const label of ["copied:marked", "copied:wal"]) {
        for (const end of ["", "-wal", "-shm"]) rmSync(`${snapshot}${end}`, { force: true });
        copyFileSync(untouched, snapshot);
        const { text, errors } = await startSnapshotWriter([folder, "open", label]).output;
        assert.match(text, new RegExp(`dies at ${label}`), errors);
        const storage = await openStorage(testOptions(snapshot, { known: () => false }));
        assert.ok(isDeepStrictEqual(everything(storage), contents.fresh));
        storage.close();
      }
    }),
);

test(
  "snapshots made on one runtime are installed on another",
  { timeout: 120_000 },
  () =>
    inFolder(async (folder) => {
      const target = join(folder, "target.dfdb"),
        source = join(folder, "snapshot.dfdb"),
        path = join(folder, "data.dfdb");
      const made = await openStorage(testOptions(path));
      fillSample(made);
      made.close();
      const live = await openStorage(testOptions(target));
      start(live, "other");
      for (const runtime of runtimeNames) {
        rmSync(source, { force: true });
        const { text, errors } = await startSnapshotWriter([folder, "make", "none"], runtime).output;
        assert.match(text, /^made$/m, errors);
        const { position } = checkSnapshot({ path: source, databaseId: null });
        await live.exchange(async () => void await installSnapshot({ source, target }));
        assert.deepEqual(live.log.last, position);
        const expected = live.read((view) => view.collections());
        assert.deepEqual(expected.map(({ name }) => name), ["orders", "Zweite"]);
        assert.equal(verifyLog({ path: target }, context).bad, null);
        const term = 10 + position.seq + runtimeNames.indexOf(runtime);
        live.write((tx) =>
          tx.append([beginTerm(term, "abc"[runtimeNames.indexOf(runtime)] as string)], wall)
        );
      }
      live.close();
    }),
);
