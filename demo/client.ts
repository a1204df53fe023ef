/** A small client of the HTTP API, with bounded waits. */
import { setTimeout as sleep } from "node:timers/promises";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON; null when there is none. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

export interface Client {
  readonly url: string;
  request(
    method: string,
    path: string,
    body?: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>;
  /** Documents per collection, from `GET /stats`. */
  counts(): Promise<ReadonlyMap<string, number>>;
}

/** Something that the demo was to show did not happen; the message is for the user. */
export class NotSeen extends Error {}

const requestMs = 30_000;

/** `stop` ends every request. */
export function client(url: string, stop: AbortSignal): Client {
  const request: Client["request"] = async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body ?? null,
      signal: AbortSignal.any([stop, AbortSignal.timeout(requestMs)]),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === "" ? null : JSON.parse(text),
    };
  };
  return {
    url,
    request,
    async counts() {
      const answer = await request("GET", "/stats");
      if (answer.status !== 200) throw new NotSeen(`GET ${url}/stats answered ${answer.status}`);
      const collections = answer.body?.["collections"] as { name: string; documentCount: number }[];
      return new Map(collections.map(({ name, documentCount }) => [name, documentCount]));
    },
  };
}

/** Calls `look` every `everyMs` until it is true; throws NotSeen with `what` after `timeoutMs`. */
export async function until(
  what: string,
  look: () => Promise<boolean>,
  stop: AbortSignal,
  timeoutMs: number,
  everyMs = 20,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!await look()) {
    stop.throwIfAborted();
    if (performance.now() > deadline) throw new NotSeen(`Not seen within ${timeoutMs / 1000} s: ${what}`);
    await sleep(everyMs);
  }
}
