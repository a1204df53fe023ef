/**
 * The documents of a collection in the order of their creation, page by page. A short answer is one text; a long one
 * is a stream that reads the next slice when the client has taken the last, so that neither memory nor the event loop
 * depends on how much is listed. Each slice is one consistent state; a document changed between two slices appears
 * once, as it was when its slice was read.
 */
import { utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { documentText } from "../document/document_text.ts";
import { conflictCount } from "../engine/conflicts.ts";
import { etagText } from "../storage/position_text.ts";
import type { Storage } from "../storage/storage.ts";
import { jsonText } from "./answers.ts";

const sliceDocuments = 500, sliceBytes = 1024 * 1024;

export interface ListOptions {
  readonly collection: string;
  readonly limit: number;
  /** 0, or `next` of an earlier answer. */
  readonly after: number;
}

interface Slice {
  readonly texts: readonly string[];
  readonly bytes: number;
  readonly next: number | null;
}

/** How far a list has come. */
interface Progress {
  documents: number;
  bytes: number;
  next: number | null;
}

export function documentList(storage: Storage, options: ListOptions): Response {
  const { collection, limit } = options;
  const progress: Progress = { documents: 0, bytes: 0, next: options.after };
  const advance = (): string => {
    const slice = readSlice(storage, collection, progress.next ?? 0, {
      documentsMax: Math.min(limit - progress.documents, sliceDocuments),
      bytesMax: sliceBytes,
    });
    const text = (progress.documents > 0 && slice.texts.length > 0 ? "," : "") + slice.texts.join(",");
    progress.documents += slice.texts.length;
    progress.bytes += slice.bytes;
    progress.next = slice.next;
    return text;
  };
  const isLast = (): boolean =>
    progress.next === null || progress.documents >= limit || progress.bytes >= limits.listBytesMax;
  const head = `{"collection":"${collection}","documents":[`;
  const tail = (): string => {
    const next = progress.next === null ? "" : `,"next":"${progress.next}"`;
    const inConflict = storage.read((view) => conflictCount(view, collection));
    const conflicts = inConflict === 0 ? "" : `,"conflicts":${inConflict}`;
    return `],"count":${progress.documents}${conflicts}${next}}`;
  };
  const first = head + advance();
  if (isLast()) return jsonText(first + tail());
  return new Response(stream(first, advance, isLast, tail), {
    headers: { "content-type": "application/json" },
  });
}

function readSlice(
  storage: Storage,
  name: string,
  after: number,
  bounds: { documentsMax: number; bytesMax: number },
): Slice {
  const page = storage.read((view) => {
    const collection = view.collection(name);
    return collection === null ? null : view.page(collection.number, after, bounds);
  });
  if (page === null) return { texts: [], bytes: 0, next: null };
  const { terms } = storage.log;
  const texts = page.documents.map(({ id, seq, body }) => documentText(id, etagText(terms, seq), body));
  const bytes = texts.reduce((sum, text) => sum + text.length, 0);
  return { texts, bytes, next: page.next };
}

function stream(
  first: string,
  advance: () => string,
  isLast: () => boolean,
  tail: () => string,
): ReadableStream<Uint8Array> {
  let text: string | null = first;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(utf8(text ?? advance()));
      text = null;
      if (!isLast()) return;
      controller.enqueue(utf8(tail()));
      controller.close();
    },
  }, { highWaterMark: 0 });
}
