import type { CollectionNumber, DocumentId } from "../base/ids.ts";
import { collectionKey } from "../document/names.ts";
import type { Operation } from "../document/operation.ts";
import { decodeEntry, decodeEntryInSlices, isLarge } from "../storage/entry_codec.ts";
import type { LogReader, Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";

/** One slice of reading. */
const bounds = { bytesMax: 512 * 1024, entriesMax: 500 } as const;

/** A collection of which entries speak by its number, or, of versions, by its name. */
export interface EntriesOf {
  readonly number: CollectionNumber;
  readonly name: string;
}

/**
 * The documents of a collection that committed entries after `from` have changed; yields after each slice. Null: the log does not
 * have them any more, or is another one.
 */
export function* changedSince(
  log: LogReader,
  from: Position,
  collection: EntriesOf,
): Generator<void, ReadonlySet<DocumentId> | null, void> {
  const changed = new Set<DocumentId>();
  const here = log.at(from.seq);
  if (typeof here === "string" || !samePosition(here, from)) return null;
  let after = from.seq;
  for (;;) {
    const entries = log.entries(after, bounds);
    if (entries === "compacted") return null;
    for (const { seq, payload } of entries) {
      after = seq;
      const operations = isLarge(payload) ? yield* decodeEntryInSlices(payload) : decodeEntry(payload);
      add(changed, operations, collection);
    }
    if (after >= log.last.seq) return changed;
    yield;
  }
}

function add(changed: Set<DocumentId>, operations: readonly Operation[], { number, name }: EntriesOf): void {
  for (const operation of operations) {
    if (operation.kind === "setVersions") {
      if (collectionKey(operation.name) === collectionKey(name)) changed.add(operation.id);
    } else if (operation.kind === "put" || operation.kind === "delete") {
      if (operation.collection === number) changed.add(operation.id);
    }
  }
}
