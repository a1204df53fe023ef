import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf, nodeIdOf, seqOf } from "../../src/base/ids.ts";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { rescue } from "../../src/node/rescue.ts";
import { rescuedFiles, rescuedOperations } from "../../src/node/rescued_files.ts";
import type { RescuedOperation } from "../../src/node/rescued_files.ts";
import type { Position } from "../../src/storage/log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  patient,
  put,
  remove,
  testOptions,
  wall,
} from "../suites/storage_fixture.ts";
import type { SmallDisk } from "../tool/resync_rig.ts";
import { database, inlineWorkers, smallDisk, stillClock, write } from "../tool/resync_rig.ts";

interface Rig {
  readonly storage: Storage;
  readonly collection: CollectionNumber;
  readonly folder: string;
  readonly files: SmallDisk;
  /** Thrown in place of a task. */
  fault: DfdbError | null;
  rescue(common: number | null): Promise<void>;
  listed(): string[];
}

function withDatabase(run: (rig: Rig) => Promise<void>): Promise<void> {
  return inFolder((root) => withRig(root, "data.dfdb", run));
}

/** The rescue files of all rigs in `root` are in one folder. */
async function withRig(root: string, name: string, run: (rig: Rig) => Promise<void>): Promise<void> {
  const dataPath = `${root}/${name}`, folder = `${root}/rescued`, files = smallDisk();
  const { storage, collection } = await database(dataPath, { documents: 5 });
  const workers = inlineWorkers(() => {
    if (rig.fault !== null) throw rig.fault;
  });
  const options = {
    runtime: { clock: stillClock(), files, workers, crashPoint: () => {} },
    storage,
    dataPath,
    rescuedFolder: folder,
    nodeId: nodeIdOf("b".repeat(32)),
    logger: silentLogger,
  };
  const rig: Rig = {
    storage,
    collection,
    folder,
    files,
    fault: null,
    rescue: (common) => rescue(options, common === null ? null : seqOf(common)),
    listed: () => readdirSync(folder),
  };
  try {
    await run(rig);
  } finally {
    storage.close();
  }
}

async function operations(rig: Rig, name: string): Promise<RescuedOperation[]> {
  const found: RescuedOperation[] = [];
  for await (const operation of rescuedOperations(rig.files, `${rig.folder}/${name}`)) found.push(operation);
  return found;
}

const awkward = '{"a":1.0,"big":12345678901234567890e-2,"t":"x,\\"doc\\":{\\u0000é\u2028","n":{"doc":[{}]}}';

test(
  "a tail is one line an operation, documents to the letter, with the etag that each replaced",
  patient,
  () =>
    withDatabase(async (rig) => {
      const { storage, collection } = rig, common = storage.log.last;
      storage.write((tx) => {
        tx.append([beginTerm(2, "2")], wall); // 8
        tx.append([put(collection, "d0", 3, awkward)], wall);
        const other = tx.newCollectionNumber();
        tx.append([{ kind: "createCollection", collection: other, name: "Later" }], wall);
        tx.append([put(other, "n", 0, "{}"), remove(collection, "d1", 4), put(collection, "d0", 9)], wall); // 11
        tx.append([{ kind: "dropCollection", collection: other }], wall);
      });
      await rig.rescue(common.seq);
      const [name] = rig.listed() as [string];
      assert.deepEqual(rig.listed(), ["20251009T085320Z-8-12.jsonl"]);
      const [file] = await rescuedFiles(rig.files, rig.folder);
      assert.deepEqual(file?.counts, { entries: 5, operations: 7, documents: 3 });
      assert.deepEqual(file?.header, {
        kind: "dfdb-rescue",
        version: 1,
        form: "tail",
        databaseId: storage.databaseId,
        nodeId: "b".repeat(32),
        from: 8,
        to: 12,
        common: 7,
        positions: { common, last: storage.log.last },
        made: "2025-10-09T08:53:20.000Z",
      });
      const told = (await operations(rig, name)).map((
        o,
      ) => [o.seq, o.op, o.collection, o.id, o.previous, o.etag, o.group]);
      assert.deepEqual(told, [
        [8, "term", undefined, undefined, undefined, "2.22222222-8", undefined],
        [9, "put", "orders", "d0", "1.11111111-3", "2.22222222-9", undefined],
        [10, "createCollection", "Later", undefined, undefined, "2.22222222-10", undefined],
        [11, "put", "Later", "n", null, "2.22222222-11", 11],
        [11, "delete", "orders", "d1", "1.11111111-4", "2.22222222-11", 11],
        [11, "put", "orders", "d0", "2.22222222-9", "2.22222222-11", 11],
        [12, "dropCollection", "Later", undefined, undefined, "2.22222222-12", undefined],
      ]);
      assert.deepEqual((await operations(rig, name)).map(({ doc }) => doc), [
        null,
        awkward,
        null,
        "{}",
        null,
        '{"id":"d0"}',
        null,
      ]);
      const text = readFileSync(`${rig.folder}/${name}`, "utf8");
      for (const line of text.trimEnd().split("\n")) JSON.parse(line);
      assert.ok(text.includes(`"doc":${awkward}}\n`));
    }),
);

test(
  "a long tail is written in slices and read back whole; the same is not written twice",
  patient,
  () =>
    withDatabase(async (rig) => {
      const { storage, collection } = rig, common = storage.log.last.seq;
      write(storage, collection, "long", 1_200, 3_000);
      await rig.rescue(common);
      const [name] = rig.listed() as [string], all = await operations(rig, name);
      assert.deepEqual(all.map(({ seq }) => seq), Array.from({ length: 1_200 }, (_, i) => common + 1 + i));
      storage.read((view) => {
        for (const { id, doc } of all) {
          assert.equal(doc, view.document(collection, documentIdOf(id as string))?.body);
        }
      });
      await rig.rescue(common);
      assert.equal(rig.listed().length, 1);
      write(storage, collection, "more", 1);
      await rig.rescue(common);
      assert.equal(rig.listed().length, 2, "another end is another tail");
      await rig.rescue(storage.log.last.seq);
      assert.equal(rig.listed().length, 2, "nothing is there after the end");
    }),
);

test(
  "a full disk: rejected, no file; what a crash left is removed",
  patient,
  () =>
    withDatabase(async (rig) => {
      const common = rig.storage.log.last.seq;
      write(rig.storage, rig.collection, "x", 10);
      rig.files.free = 1_000;
      await assert.rejects(rig.rescue(common), coded("disk_full"));
      rig.files.free = null;
      rig.files.full = true;
      await assert.rejects(rig.rescue(common), coded("disk_full"));
      assert.deepEqual(rig.listed(), []);
      rig.files.full = false;
      writeFileSync(`${rig.folder}/20200101T000000Z-1-2.jsonl.tmp`, "{");
      await rig.rescue(common);
      assert.equal(rig.listed().length, 1);
      rig.fault = new DfdbError("disk_full", "no room");
      await assert.rejects(rig.rescue(null), coded("disk_full"));
      assert.equal(rig.listed().length, 1);
    }),
);

for (const reason of ["the log is trimmed behind the common entry", "no common entry is known"] as const) {
  test(`${reason}: the whole database is kept, and opens`, patient, () =>
    withDatabase(async (rig) => {
      const { storage, collection } = rig;
      write(storage, collection, "x", 20);
      const trimmed = reason.startsWith("the log"), common = trimmed ? 5 : null;
      while (trimmed && storage.trimLog({ bytesMax: 1_000, age: null }));
      const before = everything(storage);
      await rig.rescue(common);
      await rig.rescue(common);
      const name = "20251009T085320Z-27.dfdb";
      assert.deepEqual(rig.listed(), [name, `${name}.json`]);
      const [file] = await rescuedFiles(rig.files, rig.folder);
      assert.equal(file?.header?.form, "database");
      assert.deepEqual(file?.header?.positions.last, storage.log.last);
      assert.equal(file?.header?.common, common);
      const copy = await openStorage(testOptions(`${rig.folder}/${name}`));
      assert.deepEqual(everything(copy), before);
      copy.close();
    }));
}

test(
  "another history of the same seqs within the same second has files of its own",
  patient,
  () =>
    inFolder((root) =>
      withRig(root, "data.dfdb", (first) =>
        withRig(root, "other.dfdb", async (second) => {
          const lasts: Position[] = [];
          for (const [index, { storage }] of [first, second].entries()) {
            storage.write((tx) => tx.append([beginTerm(2 + index, `${2 + index}`)], wall));
            lasts.push(storage.log.last);
          }
          for (const common of [7, null]) {
            for (const rig of [first, second, first, second]) await rig.rescue(common);
          }
          const tail = "20251009T085320Z-8-8", whole = "20251009T085320Z-8";
          const names = [`${tail}.jsonl`, `${tail}_2.jsonl`, `${whole}.dfdb`, `${whole}_2.dfdb`];
          const found = await rescuedFiles(first.files, first.folder);
          assert.deepEqual(found.map(({ name }) => name).sort(), names);
          const last = new Map(found.map(({ name, header }) => [name, header?.positions.last]));
          assert.deepEqual(names.map((name) => last.get(name)), [...lasts, ...lasts]);
          for (const [index, name] of [`${whole}.dfdb`, `${whole}_2.dfdb`].entries()) {
            const copy = await openStorage(testOptions(`${first.folder}/${name}`));
            assert.deepEqual(copy.log.last, lasts[index]);
            copy.close();
          }
        }))
    ),
);

test(
  "a file that was cut or changed is not taken for a whole one",
  patient,
  () =>
    withDatabase(async (rig) => {
      const common = rig.storage.log.last.seq;
      write(rig.storage, rig.collection, "x", 10);
      await rig.rescue(common);
      const [name] = rig.listed() as [string],
        path = `${rig.folder}/${name}`,
        text = readFileSync(path, "utf8");
      const lines = text.trimEnd().split("\n");
      for (
        const bad of [
          `${lines.slice(0, -1).join("\n")}\n`,
          text.slice(0, -1).slice(0, -5),
          text.replace('"op":"put"', '"op":"pat"'),
          `${text}${lines[3]}\n`,
          lines.slice(1).join("\n"),
        ]
      ) {
        writeFileSync(path, bad);
        await assert.rejects(operations(rig, name), coded("data_corrupt"));
      }
      writeFileSync(path, text.slice(0, -20));
      assert.equal((await rescuedFiles(rig.files, rig.folder))[0]?.counts, null);
    }),
);
