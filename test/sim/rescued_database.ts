/** A whole database that was kept before a node took another copy. */
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { differenceOf } from "./content_check.ts";
import { ancestorAt, type Entry } from "./history_tree.ts";
import type { Replay } from "./replay.ts";
import type { Violation } from "./types.ts";

export interface RescuedDatabase {
  readonly replay: Replay;
  /** The entry at which it was kept. */
  readonly last: Entry;
  readonly wrong: (what: string) => Violation;
}

type Row = Readonly<Record<string, unknown>>;

/** Compares documents and log of the data file `bytes` with the history up to `last`. */
export function checkRescuedDatabase(bytes: Uint8Array, expected: RescuedDatabase): void {
  const folder = mkdtempSync(join(tmpdir(), "dfdb-rescued-"));
  try {
    const path = join(folder, "rescued.dfdb");
    writeFileSync(path, bytes);
    const db = new DatabaseSync(path);
    try {
      const rows = (sql: string): readonly Row[] => db.prepare(sql).all() as Row[];
      checkLog(rows, expected);
      checkDocuments(rows, expected);
    } finally {
      db.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Rows = (sql: string) => readonly Row[];

function checkLog(rows: Rows, { last, wrong }: RescuedDatabase): void {
  const log = rows("SELECT seq, chain, payload FROM log ORDER BY seq");
  if (log.at(-1)?.["seq"] !== last.seq) {
    throw wrong(`its log ends at ${String(log.at(-1)?.["seq"])}, not ${last.seq}`);
  }
  for (const { seq, chain, payload } of log) {
    const entry = ancestorAt(last, Number(seq));
    const same = entry !== null && entry.chain === chain &&
      Buffer.compare(entry.payload, payload as Uint8Array) === 0;
    if (!same) throw wrong(`entry ${String(seq)} of its log is not what it was`);
  }
}

function checkDocuments(rows: Rows, { replay, last, wrong }: RescuedDatabase): void {
  const expected = replay.documentsAt(last);
  const found = rows("SELECT number, name FROM collections WHERE name IS NOT NULL");
  if (found.length !== expected.size) throw wrong(`it has ${found.length} collections, not ${expected.size}`);
  for (const { number, name } of found) {
    const collection = expected.get(String(name));
    if (collection === undefined || collection.number !== number) {
      throw wrong(`collection ${String(name)} is not known`);
    }
    const documents = rows(`SELECT id, seq, created_ms, modified_ms, body FROM docs_${String(number)}`);
    if (documents.length !== collection.documents.size) {
      throw wrong(`${String(name)} has ${documents.length} documents, not ${collection.documents.size}`);
    }
    for (const { id, seq, created_ms, modified_ms, body } of documents) {
      const stored = {
        seq: Number(seq),
        createdMs: Number(created_ms),
        modifiedMs: Number(modified_ms),
        body: String(body),
      };
      const difference = differenceOf(stored, collection.documents.get(String(id)));
      if (difference !== null) throw wrong(`${String(name)}/${String(id)} ${difference}`);
    }
  }
}
