/** What one master sends another: a JSON array of versions, each a document's text with a first member `@metadata`. */
import { assert } from "../base/assert.ts";
import { concat, hex, utf8 } from "../base/bytes.ts";
import type { DocumentId } from "../base/ids.ts";
import { vectorText } from "../document/change_vector.ts";
import type { RunNode, RunTree } from "../document/run_tree.ts";
import type { Version } from "../document/version_set.ts";
import { keyText, placeText } from "./batch_text.ts";
import type { Place } from "./outgoing_events.ts";

export {
  answerText,
  cursorText,
  keyText,
  parseCursor,
  parseTerm,
  readAnswer,
  readHistory,
  termText,
} from "./batch_text.ts";

/** A key with all that it holds at the sender. */
export interface SentKey {
  /** Of the collection. */
  readonly name: string;
  readonly id: DocumentId;
  /** The sender's last change of it. */
  readonly change: Place;
  /** In the order of the set; one at least. */
  readonly versions: readonly Version[];
  /** `contentHash` of what the sender shows; null: a conflict. Told of a key with several versions only. */
  readonly shown: Uint8Array | null;
}

export interface SentBatch {
  /** To be learned before the versions are looked at, parents first; none without a key to go with. */
  readonly runs: readonly RunNode[];
  /** In the order of their changes. */
  readonly keys: readonly SentKey[];
}

/** Names of members of `@metadata`: part of the format. */
export const metadata = {
  id: "@id",
  etag: "@etag",
  modified: "Last-Modified",
  source: "Raven-Replication-Source",
  version: "Raven-Replication-Version",
  run: "Raven-Replication-Run",
  vector: "Raven-Replication-Vector",
  deleted: "Raven-Delete-Marker",
  shown: "Raven-Replication-Shown",
  runs: "Raven-Replication-Runs",
} as const;

const arrayStart = utf8("["), arrayEnd = utf8("]"), comma = utf8(","), objectEnd = utf8("}");

/** All runs of the versions are in `tree`. Bodies are copied, never parsed. */
export function writeBatch(tree: RunTree, { runs, keys }: SentBatch): Uint8Array {
  assert(runs.length === 0 || keys.length > 0, "runs travel with a version");
  const parts: Uint8Array[] = [arrayStart];
  for (const key of keys) {
    assert(key.versions.length > 0, "a key that is sent has versions");
    for (const [i, version] of key.versions.entries()) {
      const first = parts.length === 1;
      if (!first) parts.push(comma);
      parts.push(utf8(`{"@metadata":${metadataText(tree, key, version, i, first ? runs : [])}`));
      const { body } = version;
      // The shortest body is "{}".
      if (body === null || body.length === 2) parts.push(objectEnd);
      else parts.push(comma, body.subarray(1));
    }
  }
  parts.push(arrayEnd);
  return concat(parts);
}

function metadataText(
  tree: RunTree,
  { name, id, change, versions, shown }: SentKey,
  { dot, vector, modifiedMs, body }: Version,
  place: number,
  runs: readonly RunNode[],
): string {
  const node = tree.get(dot.run);
  assert(node !== undefined, `run ${dot.run} of a version is known`);
  return JSON.stringify({
    [metadata.id]: keyText(name, id),
    [metadata.etag]: placeText(change),
    [metadata.modified]: new Date(modifiedMs).toISOString(),
    [metadata.source]: node.database,
    [metadata.version]: dot.seq,
    [metadata.run]: dot.run,
    [metadata.vector]: vectorText(tree, vector),
    ...(body === null ? { [metadata.deleted]: true } : {}),
    ...(place === 0 && versions.length > 1 ? { [metadata.shown]: shown === null ? null : hex(shown) } : {}),
    ...(runs.length > 0 ? { [metadata.runs]: runs.map(runMembers) } : {}),
  });
}

/** In this order, whatever order `node` has. */
function runMembers({ database, run, epoch, firstSeq, parent }: RunNode): RunNode {
  return { database, run, epoch, firstSeq, parent };
}
