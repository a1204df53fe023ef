/** Masters that all send to each other, each over a line of its own that can be treated badly. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prng } from "../../src/base/prng.ts";
import type { RuntimeName } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import type { ChaosProxy } from "./chaos_proxy.ts";
import { chaosProxy } from "./chaos_proxy.ts";
import type { Member } from "./cluster.ts";
import { eventually, member } from "./cluster.ts";
import { dfdb } from "./group.ts";

// deno-lint-ignore no-explicit-any -- answers of every shape
export type Body = Record<string, any>;

export interface Mesh {
  readonly masters: readonly Member[];
  /** From each to each other one. */
  readonly lines: readonly ChaosProxy[];
  /** Ends all processes and removes the data; the exit codes of those that were running. */
  stop(): Promise<readonly (number | null)[]>;
}

export interface MeshPlan {
  readonly runtimes: readonly RuntimeName[];
  readonly seed?: number;
  /** Members of each destination besides its URL. */
  readonly destination?: Readonly<Record<string, unknown>>;
  /** How long a request to another master may take, ms: machines of tests are busy. */
  readonly requestMs?: number;
}

/** Starts all, and tells each where the others are. */
export async function mesh({ runtimes, seed = 1, destination = {}, requestMs = 10_000 }: MeshPlan): Promise<
  Mesh
> {
  const root = mkdtempSync(join(tmpdir(), "dfdb-mesh-")), ports = await freePorts(runtimes.length);
  const flags = ["--replication-bundle", "--replication-request-timeout", String(requestMs)];
  const masters = runtimes.map((runtime, i) =>
    member(root, `master-${i + 1}`, { flags }, runtime, ports[i] as number, [])
  );
  const lines: ChaosProxy[] = [];
  const stop: Mesh["stop"] = async () => {
    const codes = await Promise.all(masters.map((each) => each.stop()));
    await Promise.all(lines.map((line) => line.close()));
    rmSync(root, { recursive: true, force: true });
    return codes;
  };
  try {
    await Promise.all(masters.map((each) => each.start()));
    for (const from of masters) {
      const Destinations: unknown[] = [];
      for (const to of masters) {
        if (to === from) continue;
        const line = await chaosProxy(to.httpPort, prng(seed + lines.length));
        lines.push(line);
        Destinations.push({ Url: `http://127.0.0.1:${line.port}`, ...destination });
      }
      await done(from, "PUT", "/docs/Raven/Replication/Destinations", { Destinations });
    }
  } catch (error) {
    // Processes that are left keep the test's own from its end.
    await stop();
    throw error;
  }
  return { masters, lines, stop };
}

export interface Answer {
  readonly status: number;
  readonly body: Body;
}

export async function ask(at: Member, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${at.url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  });
  return { status: response.status, body: await response.json() as Body };
}

/** The body of an answer that does not refuse. */
export async function done(at: Member, method: string, path: string, body?: unknown): Promise<Body> {
  const answer = await ask(at, method, path, body);
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

export function info(at: Member): Promise<Body> {
  return done(at, "GET", "/replication/info");
}

/** Waits until each has sent all that it has to each other; ms that it took. */
export async function sentAll(masters: readonly Member[], msMax = 60_000): Promise<number> {
  const from = performance.now();
  let infos: Body[] = [];
  await eventually("all is sent", async () => {
    infos = await Promise.all(masters.map(info));
    return infos.every(({ Stats, MostRecentDocumentEtag: last }) =>
        (Stats as Body[]).every(({ state, LastReplicatedEtag: at }) => state === "idle" && at === last)
      )
      ? true
      : null;
  }, msMax).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${JSON.stringify(infos, null, 1)}`);
  });
  return performance.now() - from;
}

/** `dfdb verify --masters`: what it prints where they differ; null: they are equal. `collection`: of this one alone. */
export async function differ(masters: readonly Member[], collection?: string): Promise<string | null> {
  const only = collection === undefined ? [] : ["--collection", collection];
  const urls = masters.map(({ url }) => url);
  const { code, output } = await dfdb("node", ["verify", "--masters", ...only, ...urls]);
  return code === 0 ? null : output;
}

/** Entries of each log, and bytes on all lines: what does not grow while nobody writes. */
export async function traffic({ masters, lines }: Mesh): Promise<readonly number[]> {
  const infos = await Promise.all(masters.map(info));
  const seqs = infos.map(({ MostRecentDocumentEtag: last }) => Number(String(last).split(":").at(-1)));
  return [...seqs, lines.reduce((sum, { done: { passed } }) => sum + passed, 0)];
}

export async function openConflicts(masters: readonly Member[]): Promise<readonly number[]> {
  return (await Promise.all(masters.map(info))).map(({ conflicts }) => conflicts as number);
}
