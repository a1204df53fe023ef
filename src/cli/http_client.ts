/** How subcommands talk to nodes: JSON and NDJSON over HTTP, with time limits and errors that people understand. */
import type { ErrorDetails } from "../base/errors.ts";
import { DfdbError, isErrorCode, messageOf } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf } from "./fields.ts";

export interface HttpClientOptions {
  /** `http://host:port`; `host:port` alone will do. */
  readonly url: string;
  /** What errors call it; default: the URL. */
  readonly name?: string;
  /** Sent as a bearer token; null: none. */
  readonly apiKey: string | null;
  /** A whole JSON answer must be here in that time. */
  readonly timeoutMs?: number;
  /** A streamed answer must go on within that time. */
  readonly silenceMs?: number;
}

/**
 * Every call rejects with a DfdbError: the code that the node answered with (`details`: what else it told, and the HTTP
 * `status`), `unreachable` when nobody answers or the answer breaks off, `timeout`, or the reason of `signal`.
 */
export interface HttpClient {
  /** Base URL without a slash at its end. */
  readonly url: string;
  /** The parsed answer of a request; `body` is sent as JSON. */
  json<Answer>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer>;
  /** The answer of a GET as it is. */
  text(path: string, signal?: AbortSignal): Promise<string>;
  /** The answer of a request, also one that refuses; `sent` is JSON text. Rejects with `bad_frame` where the answer is no JSON. */
  answer(
    method: string,
    path: string,
    sent?: string,
    signal?: AbortSignal,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answered>;
  /** The lines of an NDJSON answer as they are, of a GET, or of a POST of `sent`, JSON text; leaving the loop hangs up. */
  textLines(path: string, sent?: string, signal?: AbortSignal): AsyncGenerator<string, void, undefined>;
  /** The parsed lines of an NDJSON answer, as they come; leaving the loop hangs up. */
  stream(path: string, signal?: AbortSignal): AsyncGenerator<unknown, void, undefined>;
  /** Calls `onLine` with each parsed line; reads on when its promise resolved. */
  lines(path: string, onLine: (line: unknown) => void | Promise<void>, signal?: AbortSignal): Promise<void>;
}

export interface Answered {
  readonly status: number;
  /** As it came, and parsed. */
  readonly text: string;
  readonly body: unknown;
  /** Without its quotes; null: it has none. */
  readonly etag: string | null;
  /** What it refuses with; null: it does not. */
  readonly error: DfdbError | null;
}

/** The key that a subcommand sends: its flag, else `DFDB_API_KEY`, else none. */
export function apiKeyOf({ process }: Pick<Runtime, "process">, flag: unknown): string | null {
  if (typeof flag === "string" && flag !== "") return flag;
  return process.env["DFDB_API_KEY"] || null;
}

/** Throws `bad_request` when the URL is none. */
export function httpClient(
  runtime: Pick<Runtime, "fetch" | "clock">,
  { url: given, name: called, apiKey, timeoutMs = 15_000, silenceMs = 60_000 }: HttpClientOptions,
): HttpClient {
  const url = baseUrl(given), name = called ?? url, { clock } = runtime;
  const auth: Record<string, string> = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };

  /** A call that is cut off by `signal`, or when `limit.restart` was not called for so long. */
  const call = (limitMs: number, signal: AbortSignal | undefined) => {
    const cut = new AbortController();
    const give = (): void =>
      cut.abort(new DfdbError("timeout", `${name} gave no answer for ${limitMs / 1000} s`));
    const stop = (): void => cut.abort(signal?.reason);
    let timer = clock.timer(limitMs, give);
    if (signal?.aborted === true) stop();
    signal?.addEventListener("abort", stop);
    return {
      signal: cut.signal,
      abort: () => cut.abort(new DfdbError("closing", "the answer is not wanted any more")),
      restart: () => {
        timer.cancel();
        timer = clock.timer(limitMs, give);
      },
      end: () => {
        timer.cancel();
        signal?.removeEventListener("abort", stop);
      },
      /** What a failed fetch or read means. */
      failure: (thrown: unknown, answered: boolean): unknown => {
        if (cut.signal.aborted) return cut.signal.reason;
        if (thrown instanceof DfdbError) return thrown;
        const what = answered ? `the answer of ${name} broke off` : `nobody answers at ${name}`;
        return new DfdbError("unreachable", `${what} (${causeOf(thrown)})`, { cause: thrown });
      },
    };
  };

  const posted = { ...auth, "content-type": "application/json" };

  const textLines: HttpClient["textLines"] = async function* (path, sent, signal) {
    const limit = call(silenceMs, signal);
    let answered = false;
    try {
      const response = await runtime.fetch(url + path, {
        ...(sent === undefined
          ? { headers: auth }
          : { method: "POST", headers: { ...posted, accept: ndjson }, body: sent }),
        signal: limit.signal,
      });
      answered = true;
      if (!response.ok || response.body === null) throw refusal(name, response.status, await response.text());
      yield* splitLines(response.body, limit.restart);
      answered = false; // the answer is whole: nothing is left to hang up on
    } catch (thrown) {
      throw limit.failure(thrown, answered);
    } finally {
      limit.end();
      if (answered) limit.abort();
    }
  };

  const stream: HttpClient["stream"] = async function* (path, signal) {
    for await (const text of textLines(path, undefined, signal)) yield parsed(name, text);
  };

  const request = async (
    method: string,
    path: string,
    sent: string | undefined,
    signal: AbortSignal | undefined,
    headers: Readonly<Record<string, string>> = {},
  ) => {
    const limit = call(timeoutMs, signal);
    let answered = false;
    try {
      const response = await runtime.fetch(url + path, {
        method,
        headers: { ...headers, ...(sent === undefined ? auth : posted) },
        signal: limit.signal,
        ...(sent === undefined ? {} : { body: sent }),
      });
      answered = true;
      const etag = response.headers.get("etag")?.replaceAll('"', "") ?? null;
      return { status: response.status, ok: response.ok, etag, text: await response.text() };
    } catch (thrown) {
      throw limit.failure(thrown, answered);
    } finally {
      limit.end();
    }
  };

  return {
    url,
    async json<Answer>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer> {
      const sent = body === undefined ? undefined : JSON.stringify(body);
      const { ok, status, text } = await request(method, path, sent, signal);
      if (!ok) throw refusal(name, status, text);
      return parsed(name, text) as Answer;
    },
    async text(path, signal) {
      const { ok, status, text } = await request("GET", path, undefined, signal);
      if (!ok) throw refusal(name, status, text);
      return text;
    },
    async answer(method, path, sent, signal, headers) {
      const { ok, status, text, etag } = await request(method, path, sent, signal, headers);
      if (ok) return { status, text, body: parsed(name, text), etag, error: null };
      const error = refusal(name, status, text);
      if (error.code === "bad_frame") throw error;
      return { status, text, body: JSON.parse(text), etag, error };
    },
    stream,
    textLines,
    async lines(path, onLine, signal) {
      for await (const line of stream(path, signal)) await onLine(line);
    },
  };
}

const ndjson = "application/x-ndjson";

function baseUrl(given: string): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`;
  if (!/^https?:/i.test(text) || !URL.canParse(text)) {
    throw new DfdbError("bad_request", `"${given}" is not a URL like http://localhost:5000`);
  }
  return text.replace(/\/+$/, "");
}

/** Lines without their ends, empty ones left out; `onBytes` is called whenever something came. */
async function* splitLines(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder(), reader = body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    onBytes();
    const lines = (rest + (done ? decoder.decode() : decoder.decode(value, { stream: true }))).split("\n");
    rest = done ? "" : lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield line;
    if (done) return;
  }
}

function parsed(url: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DfdbError("bad_frame", `${url} does not answer as a dfdb node does`, { cause });
  }
}

/** The error that a node answered with; whoever else answers is not a node. */
function refusal(url: string, status: number, text: string): DfdbError {
  let body: unknown = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Not one of our answers.
  }
  return errorOfBody(url, body, { status }) ??
    new DfdbError("bad_frame", `${url} answered ${status}, not as a dfdb node does`, { details: { status } });
}

/** The error in `{error, code, ...details}`, as answers and last lines carry it; null when there is none. */
export function errorOfBody(url: string, body: unknown, details: ErrorDetails = {}): DfdbError | null {
  const { error, code, ...more } = fieldsOf(body);
  if (typeof error !== "string") return null;
  return new DfdbError(isErrorCode(code) ? code : "internal", `${url}: ${error}`, {
    details: { ...plainDetails(more), ...details },
  });
}

function plainDetails(more: Fields): ErrorDetails {
  const kept: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(more)) {
    if (value === null || ["string", "number", "boolean"].includes(typeof value)) {
      kept[name] = value as string | number | boolean | null;
    }
  }
  return kept;
}

function causeOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  return messageOf(cause instanceof Error && cause.message !== "" ? cause : thrown);
}
