/** Places, terms, keys and answers as they travel between masters. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import { databaseIdOf, epochOf, isHexId, runIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Term } from "../storage/log.ts";
import type { Cursor, Place, ReceiverAnswer } from "./outgoing_events.ts";
import type { HistoryRun } from "./receiver_history.ts";

/** Where keys without a collection in their text are. */
const unnamedCollection = "_docs";

const number = "(0|[1-9]\\d{0,15})", run = "([0-9a-f]{32})";
const term = new RegExp(`^${number}:${run}$`), place = new RegExp(`^${number}:${run}:${number}$`);
const historyRun = new RegExp(`^${run}:${number}$`);

/** `<epoch>:<run>`. */
export function termText({ epoch, run }: Term): string {
  return `${epoch}:${run}`;
}

/** Throws `bad_request` for all that {@linkcode termText} does not write. */
export function parseTerm(text: string): Term {
  const match = term.exec(text), epoch = Number(match?.[1]);
  if (match === null || !Number.isSafeInteger(epoch)) throw bad(text, "a term <epoch>:<run>");
  return { epoch: epochOf(epoch), run: runIdOf(match[2] as string) };
}

/** `<epoch>:<run>:<seq>`. */
export function placeText({ epoch, run, seq }: Place): string {
  return `${epoch}:${run}:${seq}`;
}

/** Throws `bad_request` for all that {@linkcode placeText} does not write. */
export function parsePlace(text: string): Place {
  const match = place.exec(text), epoch = Number(match?.[1]), seq = Number(match?.[3]);
  if (match === null || !Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq)) {
    throw bad(text, "a place <epoch>:<run>:<seq>");
  }
  return { epoch: epochOf(epoch), run: runIdOf(match[2] as string), seq: seqOf(seq) };
}

/** `<place>@<place>`: up to where, and when it was read. */
export function cursorText(cursor: Cursor): string {
  return `${placeText(cursor)}@${placeText(cursor.asOf)}`;
}

/** Throws `bad_request` for all that {@linkcode cursorText} does not write. */
export function parseCursor(text: string): Cursor {
  const at = text.indexOf("@");
  if (at < 0) throw bad(text, "a cursor <epoch>:<run>:<seq>@<epoch>:<run>:<seq>");
  return { ...parsePlace(text.slice(0, at)), asOf: parsePlace(text.slice(at + 1)) };
}

/** Null: it is no cursor. */
export function cursorOrNull(text: unknown): Cursor | null {
  if (typeof text !== "string" || !text.includes("@")) return null;
  try {
    return parseCursor(text);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return null;
  }
}

/** The key of a document among masters. */
export function keyText(name: string, id: string): string {
  return name === unnamedCollection && !id.includes("/") ? id : `${name}/${id}`;
}

/** What {@linkcode keyText} put together; neither is checked. */
export function parseKey(text: string): { readonly name: string; readonly id: string } {
  const at = text.indexOf("/");
  return at < 0 ? { name: unnamedCollection, id: text } : { name: text.slice(0, at), id: text.slice(at + 1) };
}

/**
 * What a receiver answers to each request; `source`: the sender's own URL, as it gave it. `terms`: of its log, oldest first; the newest ones are told, so that
 * a sender that has not heard of its present run knows which of its versions it still has.
 */
export function answerText(
  { databaseId, term, cursor }: ReceiverAnswer,
  source: string,
  terms: readonly HistoryRun[] = [],
): string {
  const told = terms.slice(-limits.masterHistoryRuns);
  return JSON.stringify({
    LastDocumentEtag: cursor === null ? null : cursorText(cursor),
    ServerInstanceId: databaseId,
    Source: source,
    Term: termText(term),
    ...(told.length === 0 ? {} : { History: told.map(({ run, firstSeq }) => `${run}:${firstSeq}`) }),
  });
}

/** The runs that an answer tells, oldest first; none where it tells none, or something else. */
export function readHistory(bytes: Uint8Array): readonly HistoryRun[] {
  const { History: told } = objectOf(bytes), runs: HistoryRun[] = [];
  if (!Array.isArray(told)) return [];
  for (const text of told) {
    const match = typeof text === "string" ? historyRun.exec(text) : null, firstSeq = Number(match?.[2]);
    const before = runs.at(-1)?.firstSeq ?? 0;
    if (match === null || !Number.isSafeInteger(firstSeq) || firstSeq <= before) return [];
    runs.push({ run: runIdOf(match[1] as string), firstSeq: seqOf(firstSeq) });
  }
  return runs;
}

/** Reads what {@linkcode answerText} wrote; members that it does not know are not looked at. Throws `bad_request` for all else. */
export function readAnswer(bytes: Uint8Array): ReceiverAnswer {
  const members = objectOf(bytes), { LastDocumentEtag: cursor, Term: term } = members;
  const id: DatabaseId | null = isHexId(members["ServerInstanceId"])
    ? databaseIdOf(members["ServerInstanceId"])
    : null;
  if (id === null || typeof term !== "string" || (cursor !== null && typeof cursor !== "string")) {
    throw new DfdbError(
      "bad_request",
      "the receiver's answer lacks LastDocumentEtag, ServerInstanceId or Term, or has others",
    );
  }
  return { databaseId: id, term: parseTerm(term), cursor: cursor === null ? null : parseCursor(cursor) };
}

function objectOf(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown = null;
  try {
    value = JSON.parse(utf8Text(bytes));
  } catch { /* said below */ }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new DfdbError("bad_request", "the receiver's answer is not a JSON object");
}

function bad(text: string, what: string): DfdbError {
  return new DfdbError("bad_request", `${JSON.stringify(text.slice(0, 100))} is not ${what}`);
}
