/** Where each sender stands: the documents `Raven/Replication/Sources/…`, which an operator may remove to have everything sent again. */
import { hex, utf8 } from "../base/bytes.ts";
import type { DatabaseId, DocumentId } from "../base/ids.ts";
import { databaseIdOf, documentIdOf, isHexId } from "../base/ids.ts";
import type { Crypto } from "../runtime/runtime.ts";
import type { ReadView } from "../storage/storage.ts";
import { cursorOrNull, cursorText } from "./batch_text.ts";
import type { Sender } from "./incoming_types.ts";
import type { Cursor } from "./outgoing_events.ts";
import { systemDocument, systemDocuments } from "./system_documents.ts";

/** A sender that was here, as its document says. */
export interface Source {
  readonly databaseId: DatabaseId;
  /** Where it was last. */
  readonly url: string;
  readonly filter: string;
  /** Null: what stands there is no cursor, so it begins from the start. */
  readonly cursor: Cursor | null;
}

const prefix = "Replication/Sources/";
/** Of the hash of a filter, which may be longer than an id. */
const filterDigits = 32;
/** More than that are not told of; each is remembered nonetheless. */
const sourcesMax = 1_000;

/** Of one sender and filter: a changed filter begins anew. */
export function sourceId({ databaseId, filter }: Sender, sha256: Crypto["sha256"]): DocumentId {
  const of = filter === "" ? "" : `/${hex(sha256(utf8(filter))).slice(0, filterDigits)}`;
  return documentIdOf(`${prefix}${databaseId}${of}`);
}

export function sourceText({ databaseId, url, filter }: Sender, cursor: Cursor): string {
  return JSON.stringify({
    Source: url,
    ServerInstanceId: databaseId,
    Filter: filter,
    LastDocumentEtag: cursorText(cursor),
  });
}

/** Null: the sender was never here, or its document was removed or made unreadable. */
export function cursorOf(view: ReadView, sender: Sender, sha256: Crypto["sha256"]): Cursor | null {
  const text = systemDocument(view, sourceId(sender, sha256));
  return text === null ? null : sourceOf(text)?.cursor ?? null;
}

/** All senders, in the order of their ids; what is no such document is left out. */
export function sources(view: ReadView, most: number = sourcesMax): readonly Source[] {
  return systemDocuments(view, prefix, most).flatMap(({ body }) => sourceOf(body) ?? []);
}

function sourceOf(text: string): Source | null {
  const members = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const { Source: url, ServerInstanceId: id, Filter: filter = "", LastDocumentEtag: cursor } = members;
  if (typeof url !== "string" || !isHexId(id) || typeof filter !== "string") return null;
  return { databaseId: databaseIdOf(id), url, filter, cursor: cursorOrNull(cursor) };
}
