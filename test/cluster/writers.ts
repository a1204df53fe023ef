/** Clients that write to a leader and remember what they were promised. */
import { setTimeout as pause } from "node:timers/promises";
import { prng } from "../../src/base/prng.ts";
import type { Member } from "./cluster.ts";
import { json } from "./cluster.ts";

/** The content of a document (its counter), or null: it does not exist. */
type Content = number | null;

interface Promised {
  /** What the last answered write left. */
  acknowledged: Content;
  /** Outcomes of later writes whose answer never came: each may have happened. */
  readonly possible: Set<Content>;
}

export interface Writers {
  /** Writes answered so far. */
  readonly acknowledged: number;
  /** Writes whose answer never came. */
  readonly unanswered: number;
  /** Latency of every answered write, ms, in order of the answers. */
  readonly latencies: readonly number[];
  /** Ends the writers after the write they are at. */
  stop(): Promise<void>;
  /** Sentences about promised writes that are not on the node. */
  broken(member: Member): Promise<readonly string[]>;
}

export interface WriterPlan {
  readonly leader: () => string;
  readonly writers: number;
  readonly seed: number;
  /** Documents that each writer writes to, again and again. */
  readonly documentsEach: number;
  readonly collection?: string;
  /** Extra text in every document. */
  readonly padding?: number;
  /** Pause of each writer after each write, ms; 0 by default: as fast as they can. */
  readonly pauseMs?: number;
}

/** Starts them; each has one request in flight and waits a little after a failed one. */
export function writers(plan: WriterPlan): Writers {
  const collection = plan.collection ?? "promises", padding = "x".repeat(plan.padding ?? 100);
  const { pauseMs = 0 } = plan;
  const promises = new Map<string, Promised>();
  const latencies: number[] = [];
  let running = true, unanswered = 0, counter = 0;
  const write = async (id: string, remove: boolean): Promise<boolean> => {
    const content: Content = remove ? null : ++counter;
    const promised = promises.get(id) ?? { acknowledged: null, possible: new Set<Content>() };
    promises.set(id, promised);
    const startedAt = performance.now();
    let status = 0;
    try {
      const response = await fetch(`${plan.leader()}/collections/${collection}/${id}`, {
        method: remove ? "DELETE" : "PUT",
        ...(remove ? {} : { body: JSON.stringify({ n: content, padding }) }),
        signal: AbortSignal.timeout(30_000),
      });
      await response.arrayBuffer();
      status = response.status;
    } catch {
      promised.possible.add(content);
      unanswered++;
      return false;
    }
    const refused = status === 503 || status === 421;
    if (![200, 201, 404].includes(status) && !refused) throw new Error(`${id}: unexpected answer ${status}`);
    if (refused) return false;
    latencies.push(performance.now() - startedAt);
    promised.acknowledged = content;
    promised.possible.clear();
    return true;
  };
  const tasks = Array.from({ length: plan.writers }, async (_, writer) => {
    const chance = prng(plan.seed * 1000 + writer);
    while (running) {
      const id = `w${writer}-${chance.below(plan.documentsEach)}`;
      if (!await write(id, chance.below(10) === 0)) await pause(20);
      else if (pauseMs > 0) await pause(pauseMs);
    }
  });
  return {
    get acknowledged() {
      return latencies.length;
    },
    get unanswered() {
      return unanswered;
    },
    latencies,
    async stop() {
      running = false;
      await Promise.all(tasks);
    },
    async broken(member) {
      const wrong: string[] = [];
      for (const [id, { acknowledged, possible }] of promises) {
        const found = await json<{ n?: number; code?: string }>(
          `${member.url}/collections/${collection}/${id}`,
        );
        const content = found.n ?? null;
        if (content !== acknowledged && !possible.has(content)) {
          wrong.push(
            `${id}: promised ${acknowledged}, found ${content} (possible: ${[...possible].join(" ")})`,
          );
        }
      }
      return wrong;
    },
  };
}
