/** A page of `GET /collections/{c}` taken apart without parsing its documents anew: their text stays as the node sent it. */
import { DfdbError } from "../base/errors.ts";

export interface ListPage {
  /** JSON texts, each with its `_id` and without `_etag`. */
  readonly texts: readonly string[];
  /** For `after` of the next page; null: this is the last. */
  readonly next: string | null;
  /** Keys of the collection that are in conflict, so that they have no document. */
  readonly conflicts: number;
}

/** Throws `bad_frame` when it is none. */
export function documentTexts(page: string): ListPage {
  let facts: { readonly documents?: unknown; readonly next?: unknown; readonly conflicts?: unknown };
  try {
    facts = JSON.parse(page) as typeof facts;
  } catch (cause) {
    throw new DfdbError("bad_frame", "the node does not answer as a dfdb node does", { cause });
  }
  const { documents, next = null, conflicts = 0 } = facts;
  if (!Array.isArray(documents) || !(next === null || typeof next === "string" || typeof next === "number")) {
    throw new DfdbError("bad_frame", "the node does not answer as a dfdb node does");
  }
  const texts = elementTexts(page, /"documents"\s*:\s*\[/.exec(page)).map(withoutEtag);
  if (texts.length !== documents.length) {
    throw new DfdbError("bad_frame", "the node does not answer as a dfdb node does");
  }
  return { texts, next: next === null ? null : String(next), conflicts: Number(conflicts) };
}

const quote = 0x22,
  openArray = 0x5b,
  backslash = 0x5c,
  closeArray = 0x5d,
  openObject = 0x7b,
  closeObject = 0x7d;

/** The elements, each an object, of the array that begins with `opening`, in JSON that parses. */
function elementTexts(json: string, opening: RegExpExecArray | null): string[] {
  const texts: string[] = [];
  if (opening === null) return texts;
  let depth = 0, from = 0;
  for (let at = opening.index + opening[0].length; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === quote) at = stringEnd(json, at);
    else if (code === openObject || code === openArray) {
      if (depth++ === 0) from = at;
    } else if (code === closeObject || code === closeArray) {
      if (depth === 0) break;
      if (--depth === 0) texts.push(json.slice(from, at + 1));
    }
  }
  return texts;
}

/** Where the quote stands that ends the string which begins at `at`. */
function stringEnd(json: string, at: number): number {
  for (let end = json.indexOf('"', at + 1); end >= 0; end = json.indexOf('"', end + 1)) {
    let escapes = 0;
    while (json.charCodeAt(end - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return end;
  }
  return json.length;
}

const leading = /^\{("_id":"(?:[^"\\]|\\.)*"),"_etag":"(?:[^"\\]|\\.)*"/;

/** As nodes write them, `_etag` comes right after `_id`. */
export function withoutEtag(text: string): string {
  return text.replace(leading, "{$1");
}
