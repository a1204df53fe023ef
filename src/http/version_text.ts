/** Versions of documents as clients see them: members of `@metadata`, and headers. Nothing of a body is parsed. */
import { utf8Text } from "../base/bytes.ts";
import type { WallMs } from "../base/ids.ts";
import type { ChangeVector } from "../document/change_vector.ts";
import { vectorText } from "../document/change_vector.ts";
import { keyText } from "../document/document_key.ts";
import { idText } from "../document/document_text.ts";
import type { Dot, RunTree } from "../document/run_tree.ts";
import { versionId } from "../document/version_id.ts";
import type { Version } from "../document/version_set.ts";
import { vectorOfSet } from "../document/version_set.ts";
import { versionIds } from "../engine/conflicts.ts";
import type { KeyVersions } from "../storage/versions.ts";
import type { AnswerHeaders } from "./answers.ts";

/** Members of `@metadata`; those that begin with `Raven-` are headers, too. */
export type Metadata = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** Longer ones are in `@metadata` only: clients limit what all headers of an answer may have together. */
const headerCharsMax = 4_096;

/** Of the document that is shown of a key. One that a policy made has no writer. */
export function shownMetadata(tree: RunTree, key: KeyVersions): Metadata {
  const { versions, shown } = key, dot = shown.kind === "version" ? shown.dot : null;
  const written = versions.find((version) => dot !== null && sameDot(version.dot, dot));
  const changed = Math.max(...(written === undefined ? versions : [written]).map((one) => one.modifiedMs));
  return {
    ...metadata(tree, key, dot, vectorOfSet(tree, versions), changed as WallMs),
    ...(versions.length > 1 ? { "Raven-Replication-Versions": versionIds(versions) } : {}),
  };
}

export function versionMetadata(tree: RunTree, key: KeyVersions, version: Version): Metadata {
  const { dot, vector, modifiedMs, body } = version;
  const deleted = body === null ? { "Raven-Delete-Marker": true } : {};
  return { ...metadata(tree, key, dot, vector, modifiedMs), ...deleted };
}

function metadata(
  tree: RunTree,
  { name, id }: KeyVersions,
  dot: Dot | null,
  vector: ChangeVector,
  modifiedMs: WallMs,
): Metadata {
  const writer = dot === null ? undefined : tree.get(dot.run)?.database;
  return {
    "@id": keyText({ collection: name, id }),
    "Last-Modified": new Date(modifiedMs).toISOString(),
    ...(dot === null || writer === undefined ? {} : {
      "Raven-Replication-Source": writer,
      "Raven-Replication-Version": dot.seq,
      "Raven-Replication-Run": dot.run,
    }),
    "Raven-Replication-Vector": vectorText(tree, vector),
  };
}

export function metadataHeaders(members: Metadata): AnswerHeaders {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(members)) {
    const text = Array.isArray(value) ? value.join(", ") : String(value);
    if (name.startsWith("Raven-") && text.length <= headerCharsMax) headers[name.toLowerCase()] = text;
  }
  return headers;
}

/** A document's text with `@metadata` after `_id` and `_etag`, which a version has not: it is no document. */
export function textWithMetadata(
  { id }: Pick<KeyVersions, "id">,
  etag: string | null,
  members: Metadata,
  body: string,
): string {
  const before = `{"_id":${idText(id)}${etag === null ? "" : `,"_etag":"${etag}"`}`;
  // The shortest body is "{}": it takes no comma.
  return `${before},"@metadata":${JSON.stringify(members)}${body.length === 2 ? "" : ","}${body.slice(1)}`;
}

/** The member `Versions`, all of a key; of bodies beyond `bytesMax` only the size is told. */
export function versionMembers(tree: RunTree, key: KeyVersions, bytesMax: number): string {
  let bytes = 0;
  const texts = key.versions.map((version, i) => {
    const { dot, body } = version, size = body?.length ?? 0;
    bytes += size;
    const document = body === null
      ? `"document":null`
      : i > 0 && bytes > bytesMax
      ? `"bytes":${size}`
      : `"document":${utf8Text(body)}`;
    return `{"id":"${versionId(dot)}",${document},"@metadata":${
      JSON.stringify(versionMetadata(tree, key, version))
    }}`;
  });
  return `"Versions":[${texts.join(",")}]`;
}

export function sameDot(a: Dot, b: Dot): boolean {
  return a.seq === b.seq && a.run === b.run;
}
