/** Calls of etcd's JSON gateway: one endpoint after the other, each with a time limit. */
import { DfdbError, messageOf } from "../../base/errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";

export type Json = Readonly<Record<string, unknown>>;

/** etcd answered, and said no: another endpoint would say the same. */
export class EtcdRefusal extends Error {
  override readonly name = "EtcdRefusal";
  /** As gRPC numbers them: 5 is "not found". */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The code of a lease that is not known. */
export const notFound = 5;

/** What another endpoint may do better: cancelled, unknown, deadline, exhausted, aborted, internal, unavailable. */
const elsewhere: ReadonlySet<number> = new Set([1, 2, 4, 8, 10, 13, 14]);

export interface GatewayOptions {
  readonly runtime: Pick<Runtime, "fetch" | "clock">;
  /** Base URLs without a slash at the end. */
  readonly endpoints: readonly string[];
}

export class EtcdGateway {
  readonly #options: GatewayOptions;
  readonly #running = new Set<AbortController>();
  /** The endpoint that answered last comes first. */
  #first = 0;
  #closed = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /**
   * Throws `unreachable` when no endpoint answered within `limitMs` each: the call may have been carried out, even more
   * than once. Throws {@linkcode EtcdRefusal}: it was not.
   */
  async call(path: string, body: Json, limitMs: number): Promise<Json> {
    const { endpoints } = this.#options, text = JSON.stringify(body), failures: string[] = [];
    for (let i = 0; i < endpoints.length && !this.#closed; i++) {
      const at = (this.#first + i) % endpoints.length, endpoint = endpoints[at] as string;
      try {
        const answer = await this.#ask(endpoint + path, text, limitMs);
        this.#first = at;
        return answer;
      } catch (thrown) {
        if (thrown instanceof EtcdRefusal) {
          this.#first = at;
          throw thrown;
        }
        failures.push(`${endpoint}: ${messageOf(thrown)}`);
      }
    }
    const what = this.#closed ? "this node is stopping" : failures.join("; ");
    throw new DfdbError("unreachable", `etcd did not answer (${what})`);
  }

  /** Ends what runs; further calls throw. */
  close(): void {
    this.#closed = true;
    for (const abort of this.#running) abort.abort(new Error("this node is stopping"));
  }

  async #ask(url: string, body: string, limitMs: number): Promise<Json> {
    const { runtime } = this.#options, { clock } = runtime, abort = new AbortController();
    const limit = clock.timer(limitMs, () => abort.abort(new Error(`no answer within ${limitMs} ms`)));
    this.#running.add(abort);
    try {
      const headers = { "content-type": "application/json" };
      const response = await runtime.fetch(url, {
        method: "POST",
        body,
        headers,
        signal: abort.signal,
        redirect: "error",
      });
      return answerOf(response.status, await response.text());
    } finally {
      limit.cancel();
      this.#running.delete(abort);
    }
  }
}

function answerOf(status: number, text: string): Json {
  const answer = objectOf(text);
  if (status >= 200 && status < 300 && answer !== null) return answer;
  const code = answer?.["code"], message = answer?.["message"] ?? answer?.["error"];
  if (typeof code === "number" && !elsewhere.has(code)) {
    throw new EtcdRefusal(code, typeof message === "string" ? message : `refused with ${status}`);
  }
  throw new Error(typeof message === "string" ? message : `answered ${status} in a form that is not etcd's`);
}

function objectOf(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : null;
  } catch {
    return null;
  }
}
