/** Deleting what has expired, a slice at a time: found through the index of the expiries, inside the transaction that deletes. */
import { DfdbError } from "../base/errors.ts";
import type { WallMs } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Delete } from "../document/operation.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";
import type { Plan } from "./plan.ts";
import type { TtlSetting } from "./ttl.ts";
import { ttlIndex } from "./ttl.ts";

/** A place in the order of expiry. */
export interface ExpiryPlace {
  readonly ms: number;
  readonly row: number;
}

export const firstExpiry: ExpiryPlace = { ms: -Number.MAX_VALUE, row: 0 };

export interface ExpiredSlice {
  readonly deleted: number;
  /** Those that a rule of another collection holds. */
  readonly held: number;
  /** Where to go on; null: there were no more. */
  readonly next: ExpiryPlace | null;
}

/** What is due in one collection. */
export interface Expiry {
  readonly collection: string;
  readonly setting: TtlSetting;
  /** What expired then or before is due. */
  readonly now: WallMs;
  readonly after: ExpiryPlace;
  /** Documents of a slice. */
  readonly most: number;
}

/** The first that is due; null also while the index is not there or not filled. */
export function firstDue(view: ReadView, expiry: Expiry): ExpiryPlace | null {
  for (const { place } of due(view, { ...expiry, most: 1 })) return place;
  return null;
}

/**
 * Deletes the next ones in one entry: as many as `most` says, or those whose bodies come to `limits.sliceBytes`. What a rule of the database
 * does not let go stays, and is passed over.
 */
export function expireSlice(expiry: Expiry): Plan<ExpiredSlice> {
  return {
    bytes: expiry.most * 64,
    run(tx, wallMs) {
      const found: Found[] = [];
      let bytes = 0, more = false;
      for (const document of due(tx, expiry)) {
        found.push(document);
        bytes += document.bytes;
        more = found.length === expiry.most || bytes >= limits.sliceBytes;
        if (more) break;
      }
      const deleted = remove(tx, found.map(({ operation }) => operation), wallMs);
      return { deleted, held: found.length - deleted, next: more ? found.at(-1)?.place ?? null : null };
    },
  };
}

interface Found {
  readonly place: ExpiryPlace;
  readonly operation: Delete;
  readonly bytes: number;
}

/** In the order of their expiry. */
function* due(view: ReadView, { collection, setting, now, after, most }: Expiry): Generator<Found> {
  const info = view.collection(collection), index = info === null ? null : ttlIndex(view, info, setting);
  if (info === null || index === null || !index.ready) return;
  const sql = `SELECT i.k1, d.row, d.id, d.seq, octet_length(d.body) FROM index_${index.number} i` +
    ` CROSS JOIN docs_${info.number} d ON d.row = i.row` +
    " WHERE i.k1 <= ? AND (i.k1, i.row) > (?, ?) ORDER BY i.k1, i.row LIMIT ?";
  for (const [ms, row, id, seq, bytes] of view.select(sql, [now, after.ms, after.row, most])) {
    yield {
      place: { ms: Number(ms), row: Number(row) },
      operation: {
        kind: "delete",
        collection: info.number,
        id: documentIdOf(String(id)),
        previous: seqOf(Number(seq)),
      },
      bytes: Number(bytes),
    };
  }
}

/** Returns how many went. */
function remove(tx: WriteTransaction, operations: readonly Delete[], wallMs: WallMs): number {
  for (let left = operations; left.length > 0;) {
    try {
      tx.append(left, wallMs);
      return left.length;
    } catch (error) {
      const held = heldOperation(error);
      if (held === null) throw error;
      left = left.filter((_, i) => i !== held);
    }
  }
  return 0;
}

/** Which operation a rule has refused before anything was written; null: it is another error. */
function heldOperation(error: unknown): number | null {
  if (!(error instanceof DfdbError) || !refusals.has(error.code)) return null;
  const { operation } = error.details;
  return typeof operation === "number" ? operation : null;
}

const refusals: ReadonlySet<string> = new Set(["conflict", "schema_violation"]);
