import type { Seq } from "../base/ids.ts";
import { epochOf, seqOf } from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { Term, TermRecord } from "./log.ts";
import { origin } from "./log.ts";

/** First 8 of the 32 digits of a run: enough to tell runs apart in a token that people read. */
const runDigits = 8;

/** What a client's token says: the place of an entry in one history. */
export interface PositionToken {
  readonly epoch: number;
  /** 8 hex digits. */
  readonly run: string;
  readonly seq: Seq;
}

/** `<epoch>.<run, 8 hex>-<seq>`: the opaque form of positions and etags (replication contract, section 3). */
export function positionText(term: Term, seq: Seq): string {
  return `${term.epoch}.${term.run.slice(0, runDigits)}-${seq}`;
}

/** The term that entry `seq` belongs to; `terms` are oldest first. `origin` for 0. */
export function termAt(terms: readonly TermRecord[], seq: Seq): Term {
  if (seq === 0) return origin;
  // Nearly every document was written in one of the last runs.
  for (let i = terms.length - 1, steps = 0; i >= 0 && steps < 8; i--, steps++) {
    const term = terms[i];
    if (term !== undefined && term.firstSeq <= seq) return term;
  }
  let low = 0, high = terms.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((terms[middle] as TermRecord).firstSeq <= seq) low = middle;
    else high = middle - 1;
  }
  const term = terms[low];
  assert(term !== undefined && term.firstSeq <= seq, `entry ${seq} belongs to no known term`);
  return term;
}

/** The etag of a document whose last change was entry `seq`. */
export function etagText(terms: readonly TermRecord[], seq: Seq): string {
  return positionText(termAt(terms, seq), seq);
}

/** Reads a token; throws `bad_request` when it is not of our form. */
export function parsePosition(text: string): PositionToken {
  const match = /^(\d{1,15})\.([0-9a-f]{8})-(\d{1,16})$/.exec(text);
  const seq = Number(match?.[3]);
  if (match === null || !Number.isSafeInteger(seq)) {
    throw new DfdbError("bad_request", `"${text.slice(0, 80)}" is not a position like 1.0a1b2c3d-42`);
  }
  return { epoch: epochOf(Number(match[1])), run: match[2] as string, seq: seqOf(seq) };
}
