import type { TaskContext } from "../../runtime/workers.ts";
import type { ChecksumInput, ChecksumProgress, ContentChecksum } from "./checksum.ts";
import { checksum } from "./checksum.ts";
import type { IndexProgress } from "./verify_indexes.ts";
import { verifyIndexes } from "./verify_indexes.ts";

export interface VerifyInput extends ChecksumInput {
  /** Also compare each index with its documents. */
  readonly indexes: boolean;
}

/** What the task reports, in order: all of the checksums, then the indexes. */
export type VerifyProgress = ChecksumProgress | IndexProgress;

export interface ContentVerified extends ContentChecksum {
  /** Indexes that were compared, and those of them that are not what their documents say; null: it was not asked for. */
  readonly indexes: number | null;
  readonly wrongIndexes: number | null;
}

/**
 * Task: checksums of the content at one position, then indexes. That an index is what its documents say does not depend on the position, so
 * each one is looked at in a later state, and the WAL is free in between.
 */
export function verifyContent(input: VerifyInput, context: TaskContext): ContentVerified {
  const sums = checksum(input, context);
  if (!input.indexes) return { ...sums, indexes: null, wrongIndexes: null };
  const { indexes, wrong } = verifyIndexes(input, context);
  return { ...sums, indexes, wrongIndexes: wrong.length };
}
