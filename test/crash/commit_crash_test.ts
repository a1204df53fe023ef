import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { storageCrashPoints } from "../../src/storage/sqlite/crash_points.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { verifyIndexes } from "../../src/storage/sqlite/verify_indexes.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, testOptions } from "../suites/storage_fixture.ts";
import { plainContext } from "../suites/storage_suite_indexes.ts";
import { startWriter } from "./child.ts";

/** When to die, the second and third time in an existing file. Some points are met once in a run. */
const hits: Readonly<Record<string, readonly number[]>> = {
  "apply:operation": [1, 4, 500],
  "apply:entry": [1, 2, 400],
  "commit:before": [1, 2, 9],
  "commit:after": [1, 2, 9],
  "index:linked": [1, 3, 5],
  "index:slice": [1, 2, 4],
  "reclaim:rows": [1, 2],
  "reclaim:table": [1, 2],
};

for (const label of storageCrashPoints) {
  // trim_crash_test.ts
  if (label.startsWith("trim:")) continue;
  test(
    `crash: kill -9 at ${label} loses nothing acknowledged`,
    { timeout: 120_000 },
    () =>
      inFolder(async (folder) => {
        let acknowledged = 0;
        for (const nth of hits[label] ?? [1]) {
          const { text, code, errors } = await startWriter(folder, "write", label, String(nth)).output;
          assert.match(text, new RegExp(`dies at ${label}`), errors);
          assert.notEqual(code, 0);
          for (const [, seq] of text.matchAll(/^ack (\d+)$/gm)) {
            acknowledged = Math.max(acknowledged, Number(seq));
          }
          assert.ok(existsSync(join(folder, "data.dfdb")) || label === "open:locked");
          const storage = await openStorage(testOptions(join(folder, "data.dfdb")));
          assert.ok(storage.log.last.seq >= acknowledged, `${storage.log.last.seq} >= ${acknowledged}`);
          verify(storage);
          while (storage.buildSlice());
          storage.close();
          assert.deepEqual(verifyIndexes({ path: join(folder, "data.dfdb") }, plainContext).wrong, []);
        }
      }),
  );
}

/** The chain over the whole log, and that the documents are exactly what the log's operations make. */
function verify(storage: Storage): void {
  const documents = new Map<string, number>(), collections = new Map<number, string>();
  let chain = 0;
  for (
    const entry of storage.log.entries(seqOf(0), {
      bytesMax: 2 ** 30,
      entriesMax: 1e6,
    }) as readonly LogEntry[]
  ) {
    chain = chainAfter(chain, entry.term, entry.seq, entry.wallMs, entry.payload);
    assert.equal(entry.chain, chain);
    for (const operation of decodeEntry(entry.payload)) {
      if (operation.kind === "createCollection") collections.set(operation.collection, operation.name);
      if (operation.kind === "dropCollection") collections.delete(operation.collection);
      if (operation.kind === "put") documents.set(`${operation.collection}/${operation.id}`, entry.seq);
      if (operation.kind === "delete") documents.delete(`${operation.collection}/${operation.id}`);
    }
  }
  assert.equal(storage.log.last.chain, chain);
  const expected = [...documents].filter(([key]) => collections.has(Number.parseInt(key, 10)));
  const found = storage.read((view) =>
    view.collections().flatMap(({ number, name, documents: count }) => {
      assert.equal(name, collections.get(number));
      const page = view.page(number, 0, { documentsMax: 1e6, bytesMax: 2 ** 30 });
      assert.equal(page.documents.length, count);
      return page.documents.map((d) => [`${number}/${d.id}`, d.seq] as [string, number]);
    })
  );
  assert.deepEqual(new Map(found), new Map(expected));
}
