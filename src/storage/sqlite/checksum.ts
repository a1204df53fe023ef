import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import { ContentSum } from "../../document/content_hash.ts";
import { isReplicated } from "../../document/names.ts";
import type { IndexDefinition } from "../../document/operation.ts";
import type { TaskContext } from "../../runtime/workers.ts";
import type { Position } from "../log.ts";
import type { Bundle } from "./bundle.ts";
import { areVersions, sumVersions, versionsOf } from "./checksum_versions.ts";
import { connect, pragma } from "./connection.ts";
import { loadState } from "./load_state.ts";
import { tableOf } from "./schema.ts";
import { mapped } from "./sqlite_error.ts";
import type { CollectionState, State } from "./state.ts";
import { foldName } from "./fold_name.ts";
import { countWithin } from "./view.ts";

export interface ChecksumInput {
  readonly path: string;
  /** Only this collection, by name; null: all. */
  readonly collection: string | null;
  /** Also tell every document, in the order of ids; one collection only. */
  readonly documents: boolean;
  /** Only what is the same on each master: no collections that stay in one, and of versions not which entry brought them here. Default: all. */
  readonly masters?: boolean;
  /** Int32: batches of documents that the reader has taken. The worker is at most `batchesAhead` further. */
  readonly taken: SharedArrayBuffer;
}

/**
 * What the task reports, in order: `pinned` first, then for each collection its documents (if asked) and its sum. In a database with the
 * bundle the versions of each are told after all of them as those of a collection `<name> (versions)`, in which a key is a document.
 */
export type ChecksumProgress =
  | { readonly type: "pinned"; readonly position: Position }
  /** `lines`: NDJSON of `{id, seq, hash}`, made here to spare the main thread. */
  | { readonly type: "documents"; readonly lines: string }
  | ({ readonly type: "collection"; readonly indexes: readonly IndexTold[] } & CollectionChecksum)
  /** It goes on. */
  | { readonly type: "alive" };

/** What an index is at that position: this replicates. */
export interface IndexTold extends IndexDefinition {
  /** Filled, on this node. */
  readonly ready: boolean;
}

export interface CollectionChecksum {
  readonly name: string;
  /** Counted. */
  readonly count: number;
  /** What the catalog says. */
  readonly keptCount: number;
  /** 16 hex digits. */
  readonly checksum: string;
}

export interface ContentChecksum {
  readonly collections: number;
  readonly documents: number;
  /** Over names, counts and checksums of all collections. */
  readonly checksum: string;
  /** Collections whose kept count is not the real one. */
  readonly wrongCounts: number;
}

const sliceDocuments = 500, sliceBytes = 4 * 1024 * 1024, aliveSlices = 200;
/** Batches that wait for a slow reader, and how long one is waited for before the transaction is given up, ms. */
const batchesAhead = 64, readerMs = 30_000;

/**
 * Task: checksums of a data file's content at one position, on a connection of its own. Reads everything: for a worker.
 * Pins the WAL until it ends. Throws `collection_not_found` (before `pinned`), `timeout` (the reader takes nothing
 * any more), `closing` when it was stopped, `data_corrupt`, `io_error`.
 */
export function checksum(input: ChecksumInput, context: TaskContext): ContentChecksum {
  return context.hold(() =>
    mapped(`reading ${input.path}`, () => {
      const db = connect(input.path, true);
      try {
        pragma(db, "cache_size = -8192");
        db.prepare("BEGIN").run();
        return sums(db, input, context);
      } finally {
        db.close();
      }
    })
  );
}

function sums(db: DatabaseSync, input: ChecksumInput, context: TaskContext): ContentChecksum {
  // The first read is what begins the transaction: everything below sees the state of this position.
  const { state } = loadState(db, input.path);
  const versions = versionsOf(state, input.collection);
  const collections = versions.length > 0 && areVersions(input.collection)
    ? []
    : chosen(state.collections.values(), input);
  const report = (progress: ChecksumProgress): void => context.progress(progress);
  report({ type: "pinned", position: state.position });
  const whole = new ContentSum();
  let documents = 0, wrongCounts = 0;
  const add = (told: CollectionChecksum, indexes: readonly IndexTold[]): void => {
    report({ type: "collection", ...told, indexes });
    whole.add(told.name, `${told.count} ${told.checksum}`);
    if (told.count !== told.keptCount) wrongCounts++;
  };
  for (const collection of collections) {
    const sum = input.documents
      ? walk(db, collection, "id", context, toldTo(input, context))
      : walk(db, collection, "row", context, null);
    const { documents: count, checksum } = sum;
    const told = { name: collection.name as string, count, keptCount: collection.documents, checksum };
    add(told, indexesOf(state, collection));
    documents += told.count;
  }
  // Documents are told of one at a time.
  for (const { name, space, keptCount } of input.documents && collections.length > 0 ? [] : versions) {
    const tell = input.documents ? toldTo(input, context) : null;
    const own = { bundle: state.bundle as Bundle, space, masters: input.masters ?? false };
    const { documents: count, checksum } = sumVersions(db, own, context, tell);
    add({ name, count, keptCount, checksum }, []);
  }
  return { collections: collections.length, documents, checksum: whole.checksum, wrongCounts };
}

/** Linked collections, by name. */
function chosen(
  all: Iterable<CollectionState>,
  { collection: name, masters }: Pick<ChecksumInput, "collection" | "masters">,
): CollectionState[] {
  const linked = [...all].filter((each) =>
    each.name !== null && (masters !== true || isReplicated(each.name))
  );
  const wanted = name === null
    ? linked
    : linked.filter((each) => foldName(each.name ?? "") === foldName(name));
  if (name !== null && wanted.length === 0) {
    throw new DfdbError("collection_not_found", `There is no collection ${name}`);
  }
  return wanted.sort((a, b) => (a.name ?? "") < (b.name ?? "") ? -1 : 1);
}

/** By name. */
function indexesOf({ indexes }: State, { number }: CollectionState): readonly IndexTold[] {
  return indexes.of(number).map(({ name, unique, time, paths, state }) => ({
    name,
    unique,
    time,
    paths,
    ready: state === "ready",
  })).sort((a, b) => a.name < b.name ? -1 : 1);
}

interface Row {
  readonly row: number;
  readonly id: string;
  readonly seq: number;
  readonly body: string;
}

/** Called with each document of a slice once `sum` has it, then with null. */
type Tell = (document: Row | null, sum: ContentSum) => void;

/** Slice by slice in the order of `key`; what one slice holds is bounded by bytes as well. */
function walk(
  db: DatabaseSync,
  { number }: CollectionState,
  key: "row" | "id",
  context: TaskContext,
  tell: Tell | null,
): ContentSum {
  const where = `FROM ${tableOf(number)} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`;
  // One row instead of hundreds; a whole slice nearly always fits.
  const total = db.prepare(`SELECT sum(bytes) AS bytes FROM (SELECT octet_length(body) AS bytes ${where})`);
  const sizes = db.prepare(`SELECT octet_length(body) AS bytes ${where}`);
  // Each column costs: the fast way reads three.
  const page = db.prepare(`SELECT ${tell === null ? "row, id, body" : "row, id, seq, body"} ${where}`);
  const sum = new ContentSum();
  let after: number | string = key === "row" ? 0 : "";
  for (let slices = 1;; slices++) {
    if (context.stopped) throw new DfdbError("closing", "the verification was stopped");
    const { bytes } = total.get(after, sliceDocuments) as { bytes: number | null };
    if (bytes === null) return sum;
    let count = sliceDocuments;
    if (bytes > sliceBytes) {
      const next = sizes.all(after, sliceDocuments) as unknown as { bytes: number }[];
      count = countWithin(next, { most: sliceDocuments, bytesMax: sliceBytes });
    }
    const rows = page.all(after, count) as unknown as Row[];
    for (const row of rows) {
      sum.add(row.id, row.body);
      tell?.(row, sum);
    }
    tell?.(null, sum);
    after = (rows[rows.length - 1] as Row)[key];
    if (tell === null && slices % aliveSlices === 0) {
      context.progress({ type: "alive" } satisfies ChecksumProgress);
    }
  }
}

/** Reports a batch for each slice, and waits when the reader is too far behind. */
function toldTo({ taken }: ChecksumInput, context: TaskContext): Tell {
  const cell = new Int32Array(taken);
  let lines = "", batches = 0;
  return (document, sum) => {
    if (document !== null) {
      lines += `{"id":${JSON.stringify(document.id)},"seq":${document.seq},"hash":"${sum.last}"}\n`;
      return;
    }
    for (let waitedMs = 0; batches - Atomics.load(cell, 0) >= batchesAhead; waitedMs += 100) {
      if (context.stopped) throw new DfdbError("closing", "the verification was stopped");
      if (waitedMs >= readerMs) throw new DfdbError("timeout", `nothing was taken for ${readerMs / 1000} s`);
      Atomics.wait(cell, 0, Atomics.load(cell, 0), 100);
    }
    context.progress({ type: "documents", lines } satisfies ChecksumProgress);
    batches++;
    lines = "";
  };
}
