/** A net of masters for `fetch`, in virtual time: it loses, delays, tears and refuses, and counts what it carries. */
import type { Prng } from "../../src/base/prng.ts";
import type { ManualClock } from "./manual_clock.ts";

/** Answers a request. */
export interface Answerer {
  readonly up: boolean;
  answer(method: string, url: URL, body: Uint8Array | null): Promise<Response>;
}

export interface Carried {
  readonly method: string;
  readonly url: URL;
  readonly body: Uint8Array | null;
}

export class SenderNet {
  /** By host name, without `.test`. */
  readonly hosts = new Map<string, Answerer>();
  readonly carried: Carried[] = [];
  faults = false;
  readonly #clock: ManualClock;
  readonly #random: Prng;

  constructor(clock: ManualClock, random: Prng) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Requests of that method so far. */
  count(method: string): number {
    return this.carried.filter((one) => one.method === method).length;
  }

  readonly fetch = (input: string, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(input), { method = "GET", signal } = init;
    const body = init.body === undefined || init.body === null ? null : init.body as Uint8Array;
    this.carried.push({ method, url, body });
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
      this.#carry(method, url, body, resolve, reject);
    });
  };

  #carry(
    method: string,
    url: URL,
    body: Uint8Array | null,
    resolve: (response: Response) => void,
    reject: (error: unknown) => void,
  ): void {
    const trouble = this.faults ? this.#random.below(20) : 20;
    // Now and then so slow that nobody waits for it any more.
    const delay = (): number => trouble === 1 ? 400 + this.#random.below(2_000) : 1 + this.#random.below(20);
    if (trouble === 0) return;
    this.#clock.timer(delay(), () => {
      const host = this.hosts.get(url.hostname.replace(".test", ""));
      if (host === undefined || !host.up || trouble === 2) {
        return reject(new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") }));
      }
      if (trouble === 3) return resolve(new Response("<h1>Bad gateway</h1>", { status: 502 }));
      if (trouble === 4) return resolve(Response.json({ error: "busy", code: "busy" }, { status: 503 }));
      void host.answer(method, url, body).then(async (answer) => {
        const text = await answer.text();
        // What was asked for is done by then.
        if (trouble === 5) return;
        const torn = trouble === 6 ? text.slice(0, this.#random.below(text.length)) : text;
        this.#clock.timer(delay(), () => resolve(new Response(torn, { status: answer.status })));
      });
    });
  }
}
