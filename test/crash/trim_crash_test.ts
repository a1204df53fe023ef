import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, testOptions } from "../suites/storage_fixture.ts";
import { startWriter } from "./child.ts";

for (const label of ["trim:rows", "trim:before", "trim:after"]) {
  test(
    `crash: kill -9 at ${label} leaves a log that is whole from its first entry`,
    { timeout: 120_000 },
    () =>
      inFolder(async (folder) => {
        let first = 0;
        for (const nth of [1, 2, 6]) {
          const { text, errors } = await startWriter(folder, "trim", label, String(nth)).output;
          assert.match(text, new RegExp(`dies at ${label}`), errors);
          const acknowledged = Math.max(...[...text.matchAll(/^ack (\d+)$/gm)].map(([, seq]) => Number(seq)));
          await assert.rejects(
            openStorage(testOptions(join(folder, "data.dfdb"), { known: () => false })),
            { code: "unclean_copy" },
          );
          const storage = await openStorage(testOptions(join(folder, "data.dfdb")));
          assert.ok(storage.log.last.seq >= acknowledged, `${storage.log.last.seq} >= ${acknowledged}`);
          assert.ok(storage.log.first >= first, "what was trimmed stays so");
          if (nth > 1 || label === "trim:after") assert.ok(storage.log.first > 1);
          ({ first } = storage.log);
          verify(storage);
          storage.close();
        }
      }),
  );
}

/** The chain from the entry before the first kept, the sizes, and the documents that the kept entries last changed. */
function verify(storage: Storage): void {
  const { log } = storage, before = log.at(seqOf(log.first - 1)) as Position;
  assert.equal(before.seq, log.first - 1);
  const entries = log.entries(before.seq, { bytesMax: 2 ** 30, entriesMax: 1e6 }) as readonly LogEntry[];
  assert.equal(entries.length, log.last.seq - before.seq);
  if (before.seq > 0) assert.equal(log.entries(seqOf(0), { bytesMax: 1, entriesMax: 1 }), "compacted");
  if (before.seq > 1) assert.equal(log.at(seqOf(1)), "compacted");
  const changed = new Map<string, number>();
  let { chain } = before, bytes = 0;
  for (const entry of entries) {
    chain = chainAfter(chain, entry.term, entry.seq, entry.wallMs, entry.payload);
    assert.equal(entry.chain, chain);
    bytes += entry.payload.length;
    for (const operation of decodeEntry(entry.payload)) {
      if (operation.kind === "put" || operation.kind === "delete") {
        changed.set(`${operation.collection}/${operation.id}`, operation.kind === "put" ? entry.seq : 0);
      }
    }
  }
  assert.equal(storage.stats().logBytes, bytes);
  storage.read((view) => {
    for (const { number, documents } of view.collections()) {
      const page = view.page(number, 0, { documentsMax: 1e6, bytesMax: 2 ** 30 });
      assert.equal(page.documents.length, documents);
      for (const { id, seq } of page.documents) {
        const key = `${number}/${id}`;
        if (seq >= log.first) assert.equal(changed.get(key), seq);
        else assert.ok(!changed.has(key), key);
      }
    }
  });
}
