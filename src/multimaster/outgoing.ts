/**
 * The outgoing task of one database while it leads: who is sent to, and in which passes who is tried. Each destination has a run of its own,
 * so that none waits for another.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, MonotonicMs } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { ThinningBand } from "./backoff.ts";
import { isDue, thinningDefault } from "./backoff.ts";
import type { Destination, DestinationProblem, Destinations } from "./destinations.ts";
import { databaseUrl, sameDestination } from "./destinations.ts";
import type { DestinationStatus, Outgoing, OutgoingEffect, OutgoingInput } from "./outgoing_events.ts";
import { DestinationRun } from "./outgoing_run.ts";

export interface OutgoingOptions {
  /** Of this database. */
  readonly databaseId: DatabaseId;
  /** What each request to a destination may take. */
  readonly requestMs?: number;
  /** After so long without a pass every destination is tried. */
  readonly quietMs?: number;
  readonly thinning?: readonly ThinningBand[];
  readonly batchItems?: number;
  readonly batchBytes?: number;
  /** After so many versions that moved no cursor at the receiver it is told the cursor by itself. */
  readonly cursorVersions?: number;
}

export function outgoing(options: OutgoingOptions): Outgoing {
  return new Task(options);
}

class Task implements Outgoing {
  problems: readonly DestinationProblem[] = [];
  passes = 0;
  readonly #options: OutgoingOptions;
  readonly #thinning: readonly ThinningBand[];
  readonly #quietMs: number;
  #runs: readonly DestinationRun[] = [];
  #phase: "new" | "started" | "stopped" = "new";
  #enabled: readonly DestinationRun[] = [];
  #requests = 0;
  #quietAt = 0;
  #effects: OutgoingEffect[] = [];

  constructor(options: OutgoingOptions) {
    this.#options = options;
    this.#thinning = options.thinning ?? thinningDefault;
    this.#quietMs = options.quietMs ?? limits.masterQuietMs;
  }

  get status(): readonly DestinationStatus[] {
    return this.#runs.map(({ status }) => status);
  }

  get deadline(): MonotonicMs | null {
    if (this.#phase !== "started" || this.#enabled.length === 0) return null;
    return monotonicMsOf(Math.min(this.#quietAt, ...this.#runs.map(({ deadline }) => deadline)));
  }

  step(input: OutgoingInput, now: MonotonicMs): readonly OutgoingEffect[] {
    this.#effects = [];
    if (this.#phase !== "stopped") this.#take(input, now);
    return this.#effects;
  }

  #take(input: OutgoingInput, now: MonotonicMs): void {
    switch (input.type) {
      case "start":
        return this.#start(input, now);
      case "destinations":
        if (this.#phase !== "started") return;
        this.#list(input, new Map());
        return this.#pass(now, false);
      case "committed":
        return this.#pass(now, false);
      case "heartbeat":
        return this.#heartbeat(input, now);
      case "stop":
        for (const run of this.#runs) run.cancel();
        this.#phase = "stopped";
        return;
      case "tick":
        for (const run of this.#runs) run.tick(now);
        if (this.deadline !== null && now >= this.#quietAt) this.#pass(now, true);
        return;
      default:
        if (input.request > 0) this.#runs.find(({ request }) => request === input.request)?.take(input, now);
    }
  }

  #start(input: Extract<OutgoingInput, { type: "start" }>, now: MonotonicMs): void {
    const { sources, failures } = input;
    this.#phase = "started";
    this.#list(input, failures);
    const keys = new Map<string, string | null>(sources.map((url) => [url, null]));
    for (const { destination } of this.#enabled) keys.set(destination.url, destination.apiKey);
    for (const [url, apiKey] of keys) this.#effects.push({ type: "heartbeat", url, apiKey });
    this.#pass(now, true);
  }

  /** Tries everybody, or all but those that fail often. */
  #pass(now: MonotonicMs, everybody: boolean): void {
    if (this.#phase !== "started" || this.#enabled.length === 0) return;
    this.passes++;
    this.#quietAt = now + this.#quietMs;
    for (const run of this.#enabled) {
      if (everybody || isDue(run.failures, this.passes, this.#thinning)) run.wake(now);
    }
  }

  /** Takes the document as it is now; what is under way for those that stay as they are goes on. */
  #list({ destinations, problems }: Destinations, failures: ReadonlyMap<string, number>): void {
    const old = new Map(this.#runs.map((run) => [keyOf(run.destination), run]));
    this.#runs = destinations.map((destination) => {
      const key = keyOf(destination), run = old.get(key);
      if (run === undefined) return this.#run(destination, failures.get(destination.url) ?? 0);
      old.delete(key);
      if (!sameDestination(run.destination, destination)) run.change(destination);
      return run;
    });
    for (const run of old.values()) run.remove();
    this.#enabled = this.#runs.filter(({ destination }) => !destination.disabled);
    this.#tell(problems);
  }

  /** Each problem once, however often the document is written. */
  #tell(problems: readonly DestinationProblem[]): void {
    const told = new Set(this.problems.map(({ message }) => message));
    this.problems = problems;
    for (const { message } of problems) {
      if (told.has(message)) continue;
      const fields = { document: "Raven/Replication/Destinations", problem: message };
      this.#effects.push({
        type: "log",
        level: "warn",
        message: "A destination of replication is wrong",
        fields,
      });
    }
  }

  /** It is there again, whatever it did before. Where nobody is known by its URL or id, it may be one that this task has not met: each of those is tried. */
  #heartbeat(
    { url, databaseId }: Extract<OutgoingInput, { type: "heartbeat" }>,
    now: MonotonicMs,
  ): void {
    if (this.#phase !== "started") return;
    const known = this.#enabled.filter((run) =>
      run.databaseId === databaseId || sameUrl(run.destination.url, url)
    );
    for (const run of known) run.heartbeat(now);
    if (known.length > 0) return;
    for (const run of this.#enabled) if (run.databaseId === null) run.wake(now);
  }

  #run(destination: Destination, failures: number): DestinationRun {
    const { databaseId, requestMs, batchItems, batchBytes, cursorVersions } = this.#options;
    return new DestinationRun(destination, failures, {
      databaseId,
      requestMs: requestMs ?? limits.masterRequestMsDefault,
      batchItems: batchItems ?? limits.masterBatchItems,
      batchBytes: batchBytes ?? limits.masterBatchBytes,
      cursorVersions: cursorVersions ?? limits.masterCursorVersions,
      emit: (effect) => void this.#effects.push(effect),
      nextRequest: () => ++this.#requests,
    });
  }
}

/** Whose cursor it is. */
function keyOf({ url, filter }: Destination): string {
  return `${filter} ${url}`;
}

/** `other` as somebody else wrote it. */
function sameUrl(url: string, other: string): boolean {
  try {
    return url === databaseUrl(other);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return false;
  }
}
