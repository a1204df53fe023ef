/** Nodes as a subcommand meets them: scripted answers in virtual time, and what was printed. */
import type { NodeStatus } from "../../src/cli/node_status.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { errorStatus } from "../../src/base/errors.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { currentRuntime } from "./current_runtime.ts";
import { ManualClock } from "./manual_clock.ts";

export interface ScriptedAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
}

/** `undefined` in place of an answer: the connection breaks. A promise: the answer comes later. */
type Script = (body: unknown) => ScriptedAnswer | undefined | Promise<ScriptedAnswer | undefined>;

export const ok = (body: unknown): ScriptedAnswer => ({ status: 200, body });

/** What a node answers when it refuses. */
export function refusal(code: ErrorCode, error = "Not now", details: object = {}): ScriptedAnswer {
  return { status: errorStatus[code], body: { error, code, ...details } };
}

/** The status of a node that leads, with changes. */
export function nodeStatus(more: object = {}): NodeStatus {
  return {
    node: "a",
    nodeId: "a".repeat(32),
    databaseId: "d".repeat(32),
    role: "leader",
    readOnly: false,
    readOnlyReason: null,
    position: "2.9f3c11aa-1200",
    term: { epoch: 2, run: "9f3c11aa".repeat(4) },
    log: { lastSeq: 1_200 },
    leader: { followers: [] },
    follower: { state: null, lagSeq: null, lagMs: null, lastError: null },
    handover: null,
    ...more,
  } as NodeStatus;
}

/** A command line in front of nodes that answer by script. */
export class FakeHttpNodes {
  readonly clock = new ManualClock();
  readonly runtime: Runtime;
  /** `METHOD url body`, looks at the status left out. */
  readonly asked: string[] = [];
  /** `METHOD url` → its answer; whatever has none refuses the connection. */
  readonly scripts = new Map<string, Script>();
  out = "";
  err = "";
  readonly #stops = new Set<(signal: "SIGINT" | "SIGTERM") => void>();

  /** `columns` null: no terminal. */
  constructor(columns: number | null = null) {
    const real = currentRuntime();
    this.runtime = {
      ...real,
      clock: this.clock,
      process: {
        ...real.process,
        env: {},
        columns,
        stdoutIsTerminal: columns !== null,
        stdout: (text) => void (this.out += text),
        stderr: (text) => void (this.err += text),
        onStopSignal: (run) => {
          this.#stops.add(run);
          return () => void this.#stops.delete(run);
        },
      },
      fetch: (url, init = {}) => this.#fetch(url, init),
    };
  }

  /** How many listen for it; SIGINT. */
  interrupt(): number {
    for (const stop of this.#stops) stop("SIGINT");
    return this.#stops.size;
  }

  /** Lets time pass until `done` has an outcome. */
  async ended<Outcome>(done: Promise<Outcome>, limitMs?: number): Promise<Outcome> {
    let over = false;
    done.then(() => over = true, () => over = true);
    await this.clock.until(() => over, "the end of the command", limitMs);
    return await done;
  }

  async #fetch(url: string, { method = "GET", body, signal }: RequestInit): Promise<Response> {
    if (!url.endsWith("/replication/status")) {
      this.asked.push(`${method} ${url}${typeof body === "string" ? ` ${body}` : ""}`);
    }
    const broken = () => new TypeError("connection refused");
    const script = this.scripts.get(`${method} ${url}`);
    const answer = await Promise.race([
      Promise.resolve(script?.(typeof body === "string" ? JSON.parse(body) : undefined)),
      new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(broken()))),
    ]);
    if (answer === undefined) throw broken();
    const { status, body: told } = answer, ok = status < 300;
    const text = typeof told === "string" ? told : JSON.stringify(told);
    // A Response proper reads its body in macrotasks that virtual time knows nothing of.
    const headers = new Headers(answer.headers);
    return { ok, status, headers, text: () => Promise.resolve(text) } as unknown as Response;
  }
}
