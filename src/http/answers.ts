/** The forms that answers have. Header objects are made anew: adapters may keep or change them. */
import type { Position } from "../storage/log.ts";
import { positionText } from "../storage/position_text.ts";

/** Extra headers of an answer, names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string>>;

/** An answer whose body is already JSON text. */
export function jsonText(text: string, status = 200, headers?: AnswerHeaders): Response {
  return new Response(text, { status, headers: { "content-type": "application/json", ...headers } });
}

/** An answer of a small value. */
export function json(value: unknown, status = 200, headers?: AnswerHeaders): Response {
  return jsonText(JSON.stringify(value), status, headers);
}

/** Header of every answer to a write: the log's end that holds it. */
export function positionHeader(position: Position): AnswerHeaders {
  return { "x-dfdb-position": positionText(position, position.seq) };
}

/** Path of a document, as `Location` gives it. */
export function documentPath(collection: string, id: string): string {
  return `/collections/${collection}/${encodeURIComponent(id)}`;
}
