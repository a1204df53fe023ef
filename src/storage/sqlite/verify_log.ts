import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { Seq } from "../../base/ids.ts";
import { seqOf, wallMsOf } from "../../base/ids.ts";
import type { TaskContext } from "../../runtime/workers.ts";
import { chainAfter } from "../chain.ts";
import { connect } from "./connection.ts";
import { loadState } from "./load_state.ts";
import { mapped } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { termOf } from "./state.ts";

export interface LogVerified {
  /** First entry kept, and the last one, when it began. */
  readonly first: Seq;
  readonly last: Seq;
  /** Entries whose chain was computed again and is right. */
  readonly entries: number;
  /** The first entry that is missing or whose bytes do not make its chain; null when all is well. */
  readonly bad: Seq | null;
}

/** One slice, and one read transaction, ends after the first of these. */
const sliceEntries = 20_000, sliceBytes = 32 * 1024 * 1024;

/**
 * Computes the chain of all kept entries again, from the bytes that are on the disk. In slices, each with a read transaction and
 * a hold of its own, so that the WAL is not held back; what is trimmed meanwhile is left out.
 */
export function verifyLog({ path }: { readonly path: string }, context: TaskContext): LogVerified {
  let last: Seq | null = null, first = seqOf(0), entries = 0, suspect: Seq | null = null;
  let at: Place | null = null;
  for (;;) {
    const slice: Slice = context.hold(() => nextSlice(path, at, last));
    if (last === null) ({ first, last } = slice);
    entries += slice.entries;
    if (slice.bad === null && slice.at.seq >= last) return { first, last, entries, bad: null };
    if (slice.bad !== null) {
      // The content may have been exchanged between two slices: only what fails from the start on, too, is bad.
      if (at === null || slice.bad === suspect) return { first, last, entries, bad: slice.bad };
      ({ bad: suspect } = slice);
      at = last = null;
      entries = 0;
      continue;
    }
    ({ at } = slice);
    if (context.stopped) throw new DfdbError("closing", `verifying the log of ${path} was given up`);
  }
}

interface Place {
  readonly seq: Seq;
  readonly chain: number;
  readonly endBytes: number;
}

interface Slice {
  readonly first: Seq;
  readonly last: Seq;
  readonly at: Place;
  readonly entries: number;
  readonly bad: Seq | null;
}

function nextSlice(path: string, from: Place | null, upTo: Seq | null): Slice {
  return mapped(`reading the log of ${path}`, () => {
    const db = connect(path, true);
    try {
      db.prepare("BEGIN").run();
      const { state } = loadState(db, path);
      const { position, endBytes } = state.trimmed,
        start = { seq: position.seq, chain: position.chain, endBytes };
      const last = upTo ?? state.position.seq;
      const at = from === null || from.seq < start.seq ? start : from;
      return { first: seqOf(start.seq + 1), last, ...check(db, state, at, last) };
    } finally {
      db.close();
    }
  });
}

function check(
  db: DatabaseSync,
  state: State,
  from: Place,
  last: Seq,
): Pick<Slice, "at" | "entries" | "bad"> {
  const rows = db.prepare(
    "SELECT seq, term, chain, wall_ms, end_bytes, payload FROM log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
  ).iterate(from.seq, last, sliceEntries);
  let at = from, entries = 0;
  for (const row of rows) {
    const next = seqOf(at.seq + 1),
      term = termOf(state, Number(row["term"])),
      payload = row["payload"] as Uint8Array;
    if (row["seq"] !== next || term === undefined) return { at, entries, bad: next };
    const chain = chainAfter(at.chain, term, next, wallMsOf(Number(row["wall_ms"])), payload);
    const endBytes = at.endBytes + payload.length;
    if (chain !== row["chain"] || endBytes !== row["end_bytes"]) return { at, entries, bad: next };
    at = { seq: next, chain, endBytes };
    entries++;
    if (endBytes - from.endBytes > sliceBytes) return { at, entries, bad: null };
  }
  const missing = entries < sliceEntries && at.seq < last;
  return { at, entries, bad: missing ? seqOf(at.seq + 1) : null };
}
