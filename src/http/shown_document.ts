/** What is answered for a key: its document with what is known of its versions, its conflict, or one of its versions. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { DocumentKey } from "../document/document_key.ts";
import { documentText, idText } from "../document/document_text.ts";
import { parseVersionId } from "../document/version_id.ts";
import { conflictAt, InConflict, versionIds } from "../engine/conflicts.ts";
import { etagText } from "../storage/position_text.ts";
import type { Storage } from "../storage/storage.ts";
import type { KeyVersions, VersionView } from "../storage/versions.ts";
import { jsonText } from "./answers.ts";
import {
  metadataHeaders,
  sameDot,
  shownMetadata,
  textWithMetadata,
  versionMembers,
  versionMetadata,
} from "./version_text.ts";

export interface Wanted {
  /** In the body, as `@metadata`. */
  readonly metadata: boolean;
  /** As headers. */
  readonly headers: boolean;
}

type Documents = Pick<Storage, "read" | "log">;

/** The document, with its metadata where the database keeps any; else as {@linkcode absentAnswer}. */
export function documentAnswer(storage: Documents, key: DocumentKey, wanted: Wanted): Response {
  const { collection, id } = key;
  const { document, members } = storage.read((view) => {
    const info = view.collection(collection), { versions } = view;
    const document = info === null ? null : view.document(info.number, id);
    const held = document === null || versions === null ? null : versions.get(collection, id);
    const members = held === null || versions === null ? null : shownMetadata(versions.tree, held);
    return { document, members };
  });
  if (document === null) return absentAnswer(storage, key);
  const etag = etagText(storage.log.terms, document.seq);
  return jsonText(
    members !== null && wanted.metadata
      ? textWithMetadata(document, etag, members, document.body)
      : documentText(document.id, etag, document.body),
    200,
    { etag: `"${etag}"`, ...(members !== null && wanted.headers ? metadataHeaders(members) : {}) },
  );
}

/**
 * For a key that has no document: 409 with all versions where it is in conflict, 404 with all of them where a policy chose its deletion from
 * several. Throws `not_found` otherwise.
 */
export function absentAnswer(storage: Documents, { collection, id }: DocumentKey): Response {
  const gone = new DfdbError("not_found", `There is no document "${id}" in "${collection}"`);
  const found = storage.read((view) => {
    const { versions } = view;
    if (versions === null) return null;
    const key = conflictAt(view, collection, id) ?? chosenDeletion(versions, collection, id);
    return key === null ? null : { key, members: versionMembers(versions.tree, key, limits.listBytesMax) };
  });
  if (found === null) throw gone;
  const { key, members } = found, open = key.shown.kind === "conflict";
  const { message, code, status } = open ? new InConflict(key) : gone;
  const ids = open ? `"Conflicts":${JSON.stringify(versionIds(key.versions))},` : "";
  const text = `{"error":${JSON.stringify(message)},"code":"${code}","id":${idText(id)},${ids}${members}}`;
  return jsonText(text, status, open ? { etag: `"${etagText(storage.log.terms, key.change)}"` } : {});
}

/** Null: the key is not deleted, or nothing else was ever written beside the deletion. */
function chosenDeletion(versions: VersionView, collection: string, id: DocumentId): KeyVersions | null {
  if (versions.counts(collection).tombstones === 0) return null;
  const key = versions.get(collection, id);
  return key?.shown.kind === "deleted" && key.versions.some(({ body }) => body !== null) ? key : null;
}

/** One version, whatever the key shows; `_etag` belongs to documents. Throws `bundle_not_active`, `not_found`. */
export function versionAnswer(storage: Documents, { collection, id }: DocumentKey, text: string): Response {
  const dot = parseVersionId(text);
  return storage.read(({ versions }) => {
    if (versions === null) {
      throw new DfdbError("bundle_not_active", "This database was made without the replication bundle");
    }
    const key = versions.get(collection, id);
    const version = key?.versions.find((one) => dot !== null && sameDot(one.dot, dot));
    if (key === null || version === undefined) {
      throw new DfdbError("not_found", `There is no such version of "${id}" in "${collection}"`);
    }
    const members = versionMetadata(versions.tree, key, version);
    const body = version.body === null ? "{}" : utf8Text(version.body);
    const headers = { etag: `"${text}"`, ...metadataHeaders(members) };
    return jsonText(textWithMetadata(key, null, members, body), 200, headers);
  });
}
