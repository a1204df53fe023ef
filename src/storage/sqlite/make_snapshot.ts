import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { CollectionNumber, DatabaseId } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { TaskContext } from "../../runtime/workers.ts";
import type { Position } from "../log.ts";
import { copyFormerIds } from "./former_ids.ts";
import { connect, isEmpty, pragma, transaction } from "./connection.ts";
import { loadState } from "./load_state.ts";
import { createIndexTable, createTriggers, indexTableOf } from "./index_sql.ts";
import { createDocuments, createTables, markKind, tableOf } from "./schema.ts";
import { mapped } from "./sqlite_error.ts";
import { createVersionTables, versionTables } from "./version_schema.ts";

/** What a snapshot is made of. */
export interface SnapshotOrder {
  /** The data file, which goes on being written. */
  readonly path: string;
  /** A new file. */
  readonly target: string;
  /** The newest entries of the log travel along, up to one of these; always the last one. */
  readonly logEntriesMax: number;
  readonly logBytesMax: number;
}

export interface SnapshotMade {
  readonly bytes: number;
  readonly position: Position;
  readonly databaseId: DatabaseId;
}

/** Bytes between two reports. */
const reportBytes = 16 * 1024 * 1024;

/**
 * Copies the state of this moment into a new file: documents, indexes, catalog, all terms, the end of the log; nothing of dropped
 * collections. One read transaction; whoever writes goes on, and the WAL grows meanwhile. The file is on disk when
 * this returns, its name only after a sync of the folder (`Files.rename` does one). Reports bytes written so far.
 * A file that was not finished has no mark of ours and is opened by nothing; the caller removes it.
 */
export function makeSnapshot(
  order: SnapshotOrder,
  context: Pick<TaskContext, "progress" | "stopped">,
  crashPoint: CrashPoint = () => {},
): SnapshotMade {
  const { path, target } = order;
  return mapped(`making a snapshot of ${path} in ${target}`, () => {
    const db = connect(target, false);
    try {
      prepareTarget(db, target);
      db.prepare("ATTACH ? AS source").run(readOnlyUri(path));
      transaction(db, () => {
        fill(db, order, context);
        crashPoint("snapshot:filled");
      });
      crashPoint("snapshot:copied");
      // Alone and last: whatever has the mark is whole.
      transaction(db, () => markKind(db));
      crashPoint("snapshot:made");
      const { databaseId, state } = loadState(db, target);
      return { bytes: bytesOf(db), position: state.position, databaseId };
    } finally {
      db.close();
    }
  });
}

function prepareTarget(db: DatabaseSync, target: string): void {
  if (!isEmpty(db)) throw new DfdbError("io_error", `${target} exists already`);
  pragma(db, `page_size = ${limits.pageBytes}`);
  pragma(db, "auto_vacuum = 0");
  // An unfinished file is thrown away; COMMIT still syncs it. OFF is not allowed (SQLITE_DBCONFIG_DEFENSIVE).
  pragma(db, "journal_mode = MEMORY");
  pragma(db, "synchronous = FULL");
  pragma(db, "fullfsync = ON");
}

function fill(
  db: DatabaseSync,
  order: SnapshotOrder,
  context: Pick<TaskContext, "progress" | "stopped">,
): void {
  createTables(db);
  // The first read of the source: everything after sees the same state.
  const cut = logCut(db, order);
  db.prepare(
    "INSERT INTO main.meta SELECT 1, database_id, created_ms, NULL, next_collection, next_index, ?, ?, ?, ?, replication FROM source.meta",
  ).run(cut.seq, cut.term, cut.chain, cut.end_bytes);
  db.prepare("INSERT INTO main.terms SELECT * FROM source.terms").run();
  copyFormerIds(db);
  db.prepare("INSERT INTO main.collections SELECT * FROM source.collections WHERE name IS NOT NULL").run();
  db.prepare("INSERT INTO main.log SELECT * FROM source.log WHERE seq > ? ORDER BY seq").run(cut.seq);
  db.prepare(
    "INSERT INTO main.indexes SELECT * FROM source.indexes WHERE name IS NOT NULL AND state <> 'preparing'",
  ).run();
  const numbers = db.prepare("SELECT number FROM main.collections ORDER BY number").all();
  let reported = 0;
  const copied = (): void => {
    const bytes = bytesOf(db);
    if (bytes - reported < reportBytes) return;
    context.progress(bytes);
    reported = bytes;
  };
  for (const { number } of numbers) {
    if (context.stopped) throw new DfdbError("closing", `the snapshot ${order.target} was given up`);
    const collection = number as CollectionNumber;
    createDocuments(db, collection);
    // In this form SQLite copies rows and index as they are, in order.
    db.prepare(`INSERT INTO main.${tableOf(collection)} SELECT * FROM source.${tableOf(collection)}`).run();
    copied();
  }
  if (db.prepare("SELECT replication FROM main.meta").get()?.["replication"] === 1) {
    createVersionTables(db);
    for (const table of versionTables) {
      if (context.stopped) throw new DfdbError("closing", `the snapshot ${order.target} was given up`);
      db.prepare(`INSERT INTO main.${table} SELECT * FROM source.${table}`).run();
      copied();
    }
  }
  for (const index of loadState(db, order.target).state.indexes.all()) {
    if (context.stopped) throw new DfdbError("closing", `the snapshot ${order.target} was given up`);
    const table = indexTableOf(index.number);
    createIndexTable(db, index);
    db.prepare(`INSERT INTO main.${table} SELECT * FROM source.${table}`).run();
    createTriggers(db, index);
    copied();
  }
}

interface Cut {
  readonly seq: number;
  readonly term: number;
  readonly chain: number;
  readonly end_bytes: number;
}

/** The entry before the first one that travels along. */
function logCut(db: DatabaseSync, { logEntriesMax, logBytesMax }: SnapshotOrder): Cut {
  const trimmed = db.prepare(
    "SELECT trimmed_seq AS seq, trimmed_term AS term, trimmed_chain AS chain, trimmed_end_bytes AS end_bytes " +
      "FROM source.meta",
  ).get() as unknown as Cut;
  const last = db.prepare("SELECT seq, end_bytes FROM source.log ORDER BY seq DESC LIMIT 1").get() as
    | Pick<Cut, "seq" | "end_bytes">
    | undefined;
  if (last === undefined) return trimmed;
  const seqMin = last.seq - Math.max(1, logEntriesMax), bytesMin = last.end_bytes - logBytesMax;
  if (trimmed.seq >= seqMin && trimmed.end_bytes >= bytesMin) return trimmed;
  const found = db.prepare(
    "SELECT seq, term, chain, end_bytes FROM source.log " +
      "WHERE seq >= ? AND seq < ? AND (end_bytes >= ? OR seq = ?) ORDER BY seq LIMIT 1",
  ).get(seqMin, last.seq, bytesMin, last.seq - 1) as Cut | undefined;
  // Not found: the last entry is the only one.
  return found ?? trimmed;
}

function bytesOf(db: DatabaseSync): number {
  return Number(pragma(db, "page_count")) * limits.pageBytes;
}

/** `path` as a URI that SQLite opens for reading only: such a connection never checkpoints, not even when it is the last. */
function readOnlyUri(path: string): string {
  const windows = /^[A-Za-z]:[\\/]/.test(path);
  const slashed = windows ? `///${path.replaceAll("\\", "/")}` : path;
  return `file:${slashed.replace(/[%?#]/g, (sign) => encodeURIComponent(sign))}?mode=ro`;
}
