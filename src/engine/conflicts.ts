/** Keys in conflict, as writes and reads see them: there is no document, but versions of which a person has to say what they make. */
import type { ErrorDetails } from "../base/errors.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { versionId } from "../document/version_id.ts";
import type { ReadView } from "../storage/storage.ts";
import type { KeyVersions } from "../storage/versions.ts";

type Versions = Pick<ReadView, "versions">;

/**
 * The versions of a key in conflict, null: it is not. To be asked where no document was found; costs one comparison in a database without
 * the bundle, and one look into memory where nothing in the collection is in conflict.
 */
export function conflictAt({ versions }: Versions, collection: string, id: DocumentId): KeyVersions | null {
  if (versions === null || versions.counts(collection).conflicts === 0) return null;
  const found = versions.get(collection, id);
  return found?.shown.kind === "conflict" ? found : null;
}

/** The last change of a key in conflict, 0: it is not. With its term it is the etag of the conflict. */
export function conflictSeq(view: Versions, collection: string, id: DocumentId): Seq {
  return conflictAt(view, collection, id)?.change ?? seqOf(0);
}

/** A document is asked for, or a part of it changed, of which there are several versions. */
export class InConflict extends DfdbError {
  /** Ids of the versions. */
  readonly versions: readonly string[];

  constructor({ name, id, versions }: KeyVersions, details: ErrorDetails = {}) {
    const message =
      `The document "${id}" of "${name}" is in conflict: ${versions.length} versions of it were written independently of each other; ` +
      "PUT what it is to be, or DELETE it";
    super("conflict", message, { details: { id, ...details } });
    this.versions = versionIds(versions);
  }
}

/** In the order of the set, so alike on all nodes. */
export function versionIds(versions: KeyVersions["versions"]): readonly string[] {
  return versions.map(({ dot }) => versionId(dot));
}

/** How many keys of the collection are in conflict: lists and queries leave them out. */
export function conflictCount({ versions }: Versions, collection: string): number {
  return versions === null ? 0 : versions.counts(collection).conflicts;
}
