/**
 * Clients that insert documents of which each is its own, and find out who leads as a program would: they follow the hint of `not_leader`
 * and try again after `read_only`. Nothing is inserted again unless a node said that it did not write it, so what is there twice
 * was refused and written all the same.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Member } from "./cluster.ts";
import { json } from "./cluster.ts";

export interface Accepted {
  readonly op: string;
  readonly url: string;
  readonly epoch: number;
  /** Of `performance.now()`. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

export interface Tally {
  /** Answered, and not there. */
  readonly lost: readonly string[];
  readonly duplicated: readonly string[];
}

export interface Inserters {
  readonly accepted: readonly Accepted[];
  /** How often each error code came. */
  readonly errors: ReadonlyMap<string, number>;
  /** Outcomes that nobody knows: the connection broke, the time was over, or the node said so. */
  readonly unknown: number;
  /** Waits until `count` more writes were accepted. */
  more(count: number): Promise<void>;
  /** The longest time without an accepted write since `fromMs`, ms. */
  longestPauseMs(fromMs: number): number;
  stop(): Promise<void>;
  /** What a node has of it. */
  tally(member: Member): Promise<Tally>;
}

export interface InserterPlan {
  readonly members: readonly Member[];
  readonly clients: number;
  readonly collection?: string;
  /** Per request, ms. */
  readonly timeoutMs?: number;
  /** Each client stays with its node, in turn, whatever the nodes say. */
  readonly faithful?: boolean;
}

const retryMs = 5, moreMsMax = 60_000;

/** Codes of writes whose outcome is not known. */
const uncertain: ReadonlySet<string> = new Set(["replication_timeout", "outcome_unknown", "internal"]);

export function inserters(plan: InserterPlan): Inserters {
  return new Clients(plan);
}

class Clients implements Inserters {
  readonly accepted: Accepted[] = [];
  readonly errors = new Map<string, number>();
  unknown = 0;
  readonly #plan: InserterPlan;
  readonly #collection: string;
  readonly #tasks: readonly Promise<void>[];
  #running = true;

  constructor(plan: InserterPlan) {
    this.#plan = plan;
    this.#collection = plan.collection ?? "inserted";
    this.#tasks = Array.from({ length: plan.clients }, (_, i) => this.#client(i));
  }

  async more(count: number): Promise<void> {
    const until = this.accepted.length + count, end = performance.now() + moreMsMax;
    while (this.accepted.length < until) {
      if (performance.now() > end) {
        throw new Error(`${count} more writes were not accepted within ${moreMsMax} ms (${this.#shown()})`);
      }
      await pause(retryMs);
    }
  }

  longestPauseMs(fromMs: number): number {
    const times = this.accepted.filter(({ answeredMs }) => answeredMs >= fromMs).map((each) =>
      each.answeredMs
    );
    let longest = 0, before = fromMs;
    for (const time of times.sort((a, b) => a - b)) {
      longest = Math.max(longest, time - before);
      before = time;
    }
    return longest;
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#tasks);
  }

  async tally({ url }: Member): Promise<Tally> {
    const counts = new Map<string, number>();
    for (let after: string | null = null, more = true; more;) {
      const cursor: string = after === null ? "" : `&after=${encodeURIComponent(after)}`;
      const page: { documents: { op: string }[]; next?: string | null } = await json(
        `${url}/collections/${this.#collection}?limit=5000${cursor}`,
      );
      for (const { op } of page.documents) counts.set(op, (counts.get(op) ?? 0) + 1);
      after = page.next ?? null;
      more = after !== null;
    }
    return {
      lost: this.accepted.filter(({ op }) => !counts.has(op)).map(({ op }) => op),
      duplicated: [...counts].filter(([, count]) => count > 1).map(([op]) => op),
    };
  }

  async #client(index: number): Promise<void> {
    const urls = this.#plan.members.map(({ url }) => url);
    let at = urls[this.#plan.faithful === true ? index % urls.length : 0] as string;
    const elsewhere = (hint: string | null): void => {
      if (this.#plan.faithful === true) return;
      const port = hint === null ? null : new URL(hint).port;
      const hinted = urls.find((url) => new URL(url).port === port);
      at = hinted ?? urls[(urls.indexOf(at) + 1) % urls.length] as string;
    };
    for (let n = 0; this.#running; n++) {
      const op = `${this.#collection}-${index}-${n}`;
      while (this.#running) {
        const outcome = await this.#insert(at, op);
        if (outcome === "over") break;
        if (outcome === "gone") {
          elsewhere(null);
          await pause(retryMs);
          break;
        }
        if (outcome !== "again") elsewhere(outcome.leader);
        await pause(retryMs);
      }
    }
  }

  /** `over`: there, or its outcome is unknown. `gone`: so is it, and nobody answers. `again`: not written. */
  async #insert(url: string, op: string): Promise<"over" | "gone" | "again" | { leader: string | null }> {
    const sentMs = performance.now();
    let answer: Response, body: { code?: string; leader?: string | null };
    try {
      answer = await fetch(`${url}/collections/${this.#collection}`, {
        method: "POST",
        body: JSON.stringify({ op }),
        headers: { "content-type": "application/json" },
        signal: AbortSignal.timeout(this.#plan.timeoutMs ?? 30_000),
      });
      body = await answer.json() as typeof body;
    } catch (error) {
      const { cause, name } = error as { cause?: { code?: string }; name: string };
      this.#count(`connection: ${cause?.code ?? name}`);
      // Nobody listens: it was not sent.
      if (cause?.code === "ECONNREFUSED") return { leader: null };
      this.unknown++;
      return "gone";
    }
    if (answer.status === 201) {
      const epoch = Number(/^(\d+)\./.exec(answer.headers.get("x-dfdb-position") ?? "")?.[1]);
      this.accepted.push({ op, url, epoch, sentMs, answeredMs: performance.now() });
      return "over";
    }
    const code = body.code ?? String(answer.status);
    this.#count(code);
    if (uncertain.has(code)) {
      this.unknown++;
      return "over";
    }
    return code === "not_leader" ? { leader: body.leader ?? null } : "again";
  }

  #count(code: string): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }

  #shown(): string {
    return JSON.stringify([...this.errors]);
  }
}

/** The part of `values` that is not above it, 0 to 1. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}
