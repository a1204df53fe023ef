import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { prng } from "../../src/base/prng.ts";
import { documentIdOf, epochOf, nodeIdOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { utf8 } from "../../src/base/bytes.ts";
import type { BeginTerm, Delete, Put } from "../../src/document/operation.ts";
import type { CollectionNumber } from "../../src/base/ids.ts";
import type { StorageOptions } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { plainFiles } from "../tool/plain_files.ts";

export { plainFiles };

/** Options with a fixed clock and a seeded random; every file is known unless said otherwise. */
export function testOptions(path: string, more: Partial<StorageOptions> = {}): StorageOptions {
  const numbers = prng(1);
  return {
    path,
    random: { bytes: numbers.bytes, float: numbers.float },
    wall: () => wallMsOf(1_750_000_000_000),
    pid: process.pid,
    hostname: "test-host",
    files: plainFiles,
    crashPoint: () => {},
    known: () => true,
    ...more,
  };
}

/** Runs `run` with a folder that is removed afterwards. */
export async function inFolder(run: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "dfdb-storage-"));
  try {
    await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nothing here waits; a busy machine may still take longer than the 5 s that one test runner allows. */
export const patient = { timeout: 120_000 };

export const wall = wallMsOf(1_750_000_000_000);
export const nodeA = nodeIdOf("a".repeat(32));
export const nodeB = nodeIdOf("b".repeat(32));

export function beginTerm(epoch: number, runDigit: string, nodeId = nodeA): BeginTerm {
  return { kind: "term", epoch: epochOf(epoch), run: runIdOf(runDigit.repeat(32)), nodeId };
}

export function put(
  collection: CollectionNumber,
  id: string,
  previous: number,
  body: string = `{"id":"${id}"}`,
): Put {
  return { kind: "put", collection, id: documentIdOf(id), previous: seqOf(previous), body: utf8(body) };
}

export function remove(collection: CollectionNumber, id: string, previous: number): Delete {
  return { kind: "delete", collection, id: documentIdOf(id), previous: seqOf(previous) };
}

/** Begins epoch 1 and creates a collection: entries 1 and 2. */
export function start(storage: Storage, name = "orders"): CollectionNumber {
  return storage.write((tx) => {
    tx.append([beginTerm(1, "1")], wall);
    const collection = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection, name }], wall);
    return collection;
  });
}

/** Matcher for `assert.throws` and `assert.rejects`: a DfdbError with this code. */
export function coded(code: string): (thrown: unknown) => boolean {
  return (thrown) => {
    if ((thrown as { code?: unknown }).code === code) return true;
    throw new Error(`expected an error with code ${code}`, { cause: thrown });
  };
}

/** Everything that can be read of a storage, for comparing two states. */
export function everything(storage: Storage): unknown {
  const entries = storage.log.entries(seqOf(storage.log.first - 1), { bytesMax: 2 ** 30, entriesMax: 1e6 });
  return storage.read((view) => ({
    position: view.position,
    last: storage.log.last,
    terms: storage.log.terms,
    entries,
    collections: view.collections().map((info) => ({
      ...info,
      page: view.page(info.number, 0, { documentsMax: 1e6, bytesMax: 2 ** 30 }),
    })),
  }));
}
