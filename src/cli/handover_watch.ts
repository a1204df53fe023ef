/** Asks a leader to hand over, looks at it meanwhile, and stops it when the user wants that and it still can be. */
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { HandoverStatus } from "./cluster_status.ts";
import { handoverOf } from "./cluster_status.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf } from "./fields.ts";
import type { ProgressView } from "./handover_progress.ts";
import type { HttpClient } from "./http_client.ts";
import type { NodeStatus } from "./node_status.ts";
import { isNodeStatus } from "./node_status.ts";
import { isRefusal } from "./refusals.ts";

/** How the watch ended. */
export type HandoverEnd =
  | { readonly kind: "done"; readonly answer: Fields }
  /** `stopped`: by the user. */
  | { readonly kind: "refused"; readonly error: DfdbError; readonly stopped: boolean }
  /** The answer itself was lost; this is what the node says since. */
  | { readonly kind: "answerLost"; readonly status: NodeStatus; readonly stopped: boolean }
  /** Nor does the node answer any more. */
  | { readonly kind: "silent"; readonly error: DfdbError }
  /** The user does not want to wait for the end. */
  | { readonly kind: "left" };

export interface WatchOptions {
  /** For looks; their time limit is short. */
  readonly client: HttpClient;
  /** For the request that lasts as long as the handover. */
  readonly slow: HttpClient;
  readonly body: Readonly<Record<string, unknown>>;
  /** When a handover whose answer was lost is not waited for any more. */
  readonly giveUpMs: number;
  /** What the target is called. */
  readonly target: string;
  readonly view: ProgressView;
}

const lookMs = 150;
/** A node that does not answer for so long after its answer was lost is gone. */
const goneMs = 15_000;
const path = "/replication/handover";

/** Never rejects. */
export function watchHandover(runtime: Runtime, options: WatchOptions): Promise<HandoverEnd> {
  return new Watch(runtime, options).run();
}

class Watch {
  readonly #runtime: Runtime;
  readonly #options: WatchOptions;
  readonly #begun: number;
  /** Ends what is still being asked. */
  readonly #over = new AbortController();
  #end: HandoverEnd | null = null;
  #lost: DfdbError | null = null;
  #answeredAt: number;
  #signals = 0;
  #stopped = false;
  /** A request to stop it that was not answered yet. */
  #stopping: Promise<void> | null = null;
  /** As the leader told last. */
  #seen: HandoverStatus | null = null;
  #toldTooLate = false;
  #toldFailed = false;
  #wake = (): void => {};

  constructor(runtime: Runtime, options: WatchOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.#begun = this.#answeredAt = runtime.clock.monotonic();
  }

  async run(): Promise<HandoverEnd> {
    const unlisten = this.#runtime.process.onStopSignal(() => {
      this.#signals++;
      if (this.#signals > 1) this.#finish({ kind: "left" });
      this.#wake();
    });
    void this.#ask();
    while (this.#end === null) {
      const status = await statusOf(this.#options.client, this.#over.signal);
      if (this.#end === null) await this.#looked(status);
      if (this.#end === null) await this.#pause();
    }
    unlisten();
    this.#options.view.end();
    return this.#end;
  }

  #finish(end: HandoverEnd): void {
    this.#end ??= end;
    this.#over.abort(new DfdbError("closing", "it is over"));
    this.#wake();
  }

  async #ask(): Promise<void> {
    const { slow, body } = this.#options;
    try {
      this.#finish({
        kind: "done",
        answer: fieldsOf(await slow.json("POST", path, body, this.#over.signal)),
      });
    } catch (thrown) {
      if (this.#end !== null) return;
      const error = asError(thrown);
      await this.#stopping; // what was stopped by the user is told so, whichever answer comes first
      if (isRefusal(error)) return this.#finish({ kind: "refused", error, stopped: this.#stopped });
      this.#lost = error;
      this.#wake();
    }
  }

  async #looked(status: NodeStatus | null): Promise<void> {
    const now = this.#runtime.clock.monotonic(), elapsedMs = now - this.#begun;
    if (status !== null) {
      this.#answeredAt = now;
      this.#seen = handoverOf(status);
    }
    const handover = this.#seen, unansweredMs = now - this.#answeredAt;
    if (status !== null || unansweredMs >= goneMs / 5) {
      this.#options.view.show({ handover, elapsedMs, unansweredMs });
    }
    if (this.#lost !== null || this.#stopped) {
      if (status !== null && (handover === null || elapsedMs >= this.#options.giveUpMs)) {
        return this.#finish({ kind: "answerLost", status, stopped: this.#stopped });
      }
      if (unansweredMs >= goneMs) {
        return this.#finish({ kind: "silent", error: this.#lost ?? gone(this.#options.client.url) });
      }
    }
    if (this.#signals > 0 && !this.#stopped) {
      this.#stopping = this.#stop(handover);
      await this.#stopping;
    }
  }

  async #stop(handover: HandoverStatus | null): Promise<void> {
    const { client, view, target } = this.#options;
    if (handover?.step === "committing" || handover?.step === "in_doubt") {
      if (!this.#toldTooLate) {
        view.say(
          `It cannot be stopped any more: ${
            handover.to ?? target
          } was told to lead. Waiting for the outcome ` +
            "(once more: leave it to itself).",
        );
      }
      this.#toldTooLate = true;
      return;
    }
    try {
      await client.json("DELETE", path, undefined, this.#over.signal);
      this.#stopped = true;
    } catch (thrown) {
      // A conflict: it has not begun yet, is over, or cannot be stopped any more. The next look tells which.
      const error = asError(thrown);
      if (this.#end !== null || error.code === "conflict" || this.#toldFailed) return;
      this.#toldFailed = true;
      view.say(`Not stopped yet: ${error.message}. Trying again (once more: leave it to itself).`);
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#runtime.clock.timer(lookMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

function gone(url: string): DfdbError {
  return new DfdbError("unreachable", `${url} does not answer any more`);
}

const asError = (thrown: unknown): DfdbError =>
  thrown instanceof DfdbError ? thrown : new DfdbError("internal", messageOf(thrown), { cause: thrown });

/** Null when the node gave none. */
export async function statusOf(client: HttpClient, signal?: AbortSignal): Promise<NodeStatus | null> {
  try {
    const answer = await client.json("GET", "/replication/status", undefined, signal);
    return isNodeStatus(answer) ? answer : null;
  } catch {
    return null;
  }
}
