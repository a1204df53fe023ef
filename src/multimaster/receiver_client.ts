/** What a sender asks of a receiver over HTTP, and what it makes of the answers. */
import { concat, utf8Text } from "../base/bytes.ts";
import type { ErrorCode } from "../base/errors.ts";
import { DfdbError, isErrorCode, messageOf } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import { databaseIdOf, isHexId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { cursorText, readAnswer, readHistory, termText } from "./batch.ts";
import type { SaidOfItself } from "./confirmations_kept.ts";
import { readReceived } from "./confirmations_kept.ts";
import type { Cursor, Receiver, ReceiverAnswer } from "./outgoing_events.ts";
import type { ToldHistory } from "./receiver_history.ts";
import type { Reliance } from "./reliance.ts";
import { Relied } from "./reliance.ts";

export interface ReceiverClientOptions {
  readonly fetch: Runtime["fetch"];
  /** Base URL of this database, by which receivers know it. Looked at anew for each request. */
  readonly ownUrl: () => string;
  readonly databaseId: DatabaseId;
  readonly reliance: Reliance;
}

/** Where a request goes. */
export interface Address {
  /** Of the database there. */
  readonly url: string;
  readonly apiKey: string | null;
  /** Of the destination: a cursor belongs to it. */
  readonly filter: string;
}

export interface Answered extends SaidOfItself {
  readonly answer: ReceiverAnswer;
  /** The newest runs of its history, as far as it tells them. */
  readonly history: ToldHistory;
}

export interface Failed {
  readonly error: DfdbError;
  /** Of a follower. */
  readonly leader?: { readonly url: string; readonly databaseId: DatabaseId | null };
}

/** A request ends with an answer or a failure; it never rejects. `signal` gives it up. */
export type Reply = Answered | Failed;

export class ReceiverClient {
  readonly #options: ReceiverClientOptions;
  readonly #relied: Relied;

  constructor(options: ReceiverClientOptions) {
    this.#options = options;
    this.#relied = new Relied(options.reliance);
  }

  lastEtag(to: Address, signal: AbortSignal): Promise<Reply> {
    return this.#request(to, "GET", "lastEtag", {}, null, signal);
  }

  /** `cursor`: that of the batch's end. */
  post(
    to: Address,
    receiver: Receiver,
    cursor: Cursor,
    batch: Uint8Array,
    signal: AbortSignal,
  ): Promise<Reply> {
    return this.#request(to, "POST", "replicateDocs", target(receiver, cursor), batch, signal);
  }

  putCursor(to: Address, receiver: Receiver, cursor: Cursor, signal: AbortSignal): Promise<Reply> {
    return this.#request(to, "PUT", "lastEtag", target(receiver, cursor), null, signal);
  }

  /** Null: it was taken. */
  async heartbeat(to: Omit<Address, "filter">, signal: AbortSignal): Promise<DfdbError | null> {
    const failure = await this.#exchange(
      { ...to, filter: "" },
      "POST",
      "heartbeat",
      {},
      null,
      signal,
      () => null,
    );
    return failure?.error ?? null;
  }

  /** Each side has to have what the other one has purged by. */
  async #request(
    to: Address,
    method: string,
    path: string,
    more: Readonly<Record<string, string>>,
    body: Uint8Array | null,
    signal: AbortSignal,
  ): Promise<Reply> {
    const { url } = to, ask = (): Promise<Reply> => this.#once(to, method, path, more, body, signal);
    const first = await ask();
    const reply = "error" in first && this.#relied.looksFor(url, first.error) ? await ask() : first;
    if ("error" in reply) return reply;
    const check = this.#relied.toCheck(url, reply.answer, reply.formerly);
    if (check === null) return reply;
    if (check instanceof DfdbError) return { error: check };
    const checked = await this.#once(to, "GET", "lastEtag", check, null, signal);
    if ("error" in checked) return checked;
    this.#relied.checked(url, checked.answer, check.relies);
    return reply;
  }

  #once(
    to: Address,
    method: string,
    path: string,
    more: Readonly<Record<string, string>>,
    body: Uint8Array | null,
    signal: AbortSignal,
  ): Promise<Reply> {
    const all = { ...this.#relied.parameters(to.url), ...more };
    return this.#exchange(to, method, path, all, body, signal, (bytes): Answered => ({
      answer: readAnswer(bytes),
      history: readHistory(bytes),
      ...readReceived(bytes),
    }));
  }

  async #exchange<Result>(
    { url, apiKey, filter }: Address,
    method: string,
    path: string,
    more: Readonly<Record<string, string>>,
    body: Uint8Array | null,
    signal: AbortSignal,
    read: (bytes: Uint8Array) => Result,
  ): Promise<Result | Failed> {
    const { ownUrl, databaseId } = this.#options;
    const query = new URLSearchParams({ from: ownUrl(), dbid: databaseId, filter, ...more });
    const headers: Record<string, string> = { accept: "application/json" };
    if (apiKey !== null) headers["authorization"] = `Bearer ${apiKey}`;
    if (body !== null) headers["content-type"] = "application/json";
    let response: Response, bytes: Uint8Array;
    try {
      response = await this.#options.fetch(`${url}/replication/${path}?${query}`, {
        method,
        headers,
        // The key is for this place only.
        redirect: "manual",
        signal,
        ...(body === null ? {} : { body: body as Uint8Array<ArrayBuffer> }),
      });
      bytes = await readBounded(response.body);
    } catch (thrown) {
      if (thrown instanceof DfdbError) return { error: thrown };
      return { error: notReached(url, thrown) };
    }
    if (!response.ok) return refused(response, bytes);
    try {
      return read(bytes);
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      return {
        error: notOurs(`It answers with ${response.status}, but not as a database does: ${thrown.message}`),
      };
    }
  }
}

function target({ databaseId, term }: Receiver, cursor: Cursor): Readonly<Record<string, string>> {
  return { to: databaseId, term: termText(term), docEtag: cursorText(cursor) };
}

/** Throws `bad_frame` beyond `limits.masterAnswerBytesMax`; what is still to come is not read. */
async function readBounded(body: ReadableStream<Uint8Array> | null): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader(), chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concat(chunks);
    length += value.length;
    chunks.push(value);
    if (length > limits.masterAnswerBytesMax) {
      reader.cancel().catch(() => {}); // what is still to come belongs to nobody
      throw notOurs(`Its answer is longer than ${limits.masterAnswerBytesMax} bytes`);
    }
  }
}

/** Where the answer does not name the code. */
const codes: Readonly<Record<number, ErrorCode>> = {
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  413: "payload_too_large",
  421: "not_leader",
};

function refused({ status, headers }: Response, bytes: Uint8Array): Failed {
  const body = objectOf(bytes);
  if (body === null) return { error: refusedInWords(status) };
  const { code: given, error: said, leader, databaseId, relies } = body;
  const code = isErrorCode(given) ? given : codes[status] ?? "internal";
  const message = typeof said === "string" ? said.slice(0, 500) : `It answers with ${status}`;
  const error = new DfdbError(code, message, {
    details: { status, ...(typeof relies === "string" ? { relies } : {}) },
  });
  const url = typeof leader === "string" ? leader : headers.get("x-dfdb-leader");
  if (code !== "not_leader" || url === null) return { error };
  return { error, leader: { url, databaseId: isHexId(databaseId) ? databaseIdOf(databaseId) : null } };
}

/** What stands between, or another program. */
function refusedInWords(status: number): DfdbError {
  const code = codes[status];
  if (code === "not_found") {
    return new DfdbError(code, "There is a server, but no database with replication at this URL (404)", {
      details: { status },
    });
  }
  if (code !== undefined) return new DfdbError(code, `It answers with ${status}`, { details: { status } });
  const redirects = status >= 300 && status < 400;
  return notOurs(
    redirects
      ? `It answers with ${status}, a redirect, which is not followed: put the URL that it leads to in its place`
      : `It answers with ${status} and no JSON`,
  );
}

function objectOf(bytes: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(utf8Text(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as Readonly<Record<string, unknown>>
      : null;
  } catch {
    return null;
  }
}

/** The standard does not say why a fetch failed; the runtimes do, in a cause or a code. */
function notReached(url: string, thrown: unknown): DfdbError {
  const reasons: string[] = [];
  for (let at = thrown, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const { code } = at as { readonly code?: unknown };
    reasons.push(
      typeof code === "string" && !at.message.includes(code) ? `${at.message} (${code})` : at.message,
    );
  }
  const reason = reasons.length === 0 ? messageOf(thrown) : reasons.join(": ");
  const code = /certificate|CERT_|self.signed/i.test(reason) ? "certificate_invalid" : "unreachable";
  const place = URL.canParse(url) ? new URL(url).origin : url;
  return new DfdbError(code, `${place} cannot be reached: ${reason.slice(0, 500)}`, { cause: thrown });
}

function notOurs(message: string): DfdbError {
  return new DfdbError("bad_frame", message);
}
