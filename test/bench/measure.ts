/** Rows of figures: each measured several times against a server that is up. */
import { setTimeout as sleep } from "node:timers/promises";
import { generateLoad } from "./generate_load.ts";
import type { LoadResult, LoadSpec } from "./load_types.ts";
import type { RowName } from "./options.ts";
import { machineBusySeconds } from "./proc.ts";
import type { BenchServer } from "./servers.ts";

export interface Row {
  readonly row: RowName;
  /** "dfdb", "limit", "sqlite" or "postgresql". */
  readonly subject: string;
  /** Without it: over HTTP, or the protocol of the peer. */
  readonly place?: "in process";
  /** Runtime of the server; empty for a peer. */
  readonly runtime: string;
  readonly what: string;
  readonly unit: "op/s" | "docs/s";
  readonly runs: RunFigures[];
}

export interface RunFigures {
  readonly perSecond: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly errors: number;
  readonly firstError: string | null;
  /** CPU time of the server per document, microseconds. */
  readonly serverMicros: number | null;
  readonly serverMiB: number | null;
  readonly clientCores: number | null;
  /** Cores that the machine spent on other work meanwhile. */
  readonly otherCores: number | null;
  /** Further figures of the row. */
  readonly more?: Readonly<Record<string, number>>;
}

/** Lets work left over from the previous run (a checkpoint, garbage) end before the next. */
const restMs = 400;

/** A machine that uses less than this for other work is quiet. */
const quietCores = 0.1;

/** Waits until the machine is quiet, at most `patienceSeconds`. */
export async function quiet(patienceSeconds: number): Promise<void> {
  const deadline = performance.now() + patienceSeconds * 1000;
  while (true) {
    const busy = machineBusySeconds();
    await sleep(restMs);
    if (machineBusySeconds() - busy < quietCores * restMs / 1000 || performance.now() > deadline) return;
  }
}

/** The load of a row but for the server, the keys and the length. */
export type LoadKind = Pick<LoadSpec, "operation" | "connections" | "query" | "again">;

export interface Target {
  readonly server: BenchServer;
  readonly driver: LoadSpec["driver"];
}

export interface RunLimit {
  readonly seconds: number;
  readonly warmSeconds: number;
  /** Documents to write at most. */
  readonly count?: number;
  /** Documents that exist, for gets. */
  readonly keys?: number;
  /** Seconds to wait for a quiet machine. */
  readonly patience?: number;
}

/** One timed run. */
export async function timedRun(
  target: Target,
  kind: LoadKind,
  keyPrefix: string,
  limit: RunLimit,
  batch = 1_000,
): Promise<{ readonly figures: RunFigures; readonly load: LoadResult }> {
  await quiet(limit.patience ?? 0);
  const { server, driver } = target;
  const load = await generateLoad({
    ...kind,
    driver,
    port: server.port,
    seconds: limit.seconds,
    warmSeconds: limit.warmSeconds,
    count: limit.count ?? null,
    batch,
    keyPrefix,
    keys: limit.keys ?? 0,
    serverPid: server.pid,
  });
  const { perSecond, p50Ms, p99Ms, errors, firstError, serverMicros, clientCores, otherCores } = load;
  const latency = { p50Ms, p99Ms }, failures = { errors, firstError };
  const cost = { serverMicros, serverMiB: server.memoryMiB(), clientCores, otherCores };
  return { figures: { perSecond, ...latency, ...failures, ...cost }, load };
}

/** Other work of this many cores makes figures doubtful. */
const otherCoresMax = 0.15;

/** Something else used the machine while the row was measured. */
export function inDoubt(row: Row): boolean {
  return (figure(row, "otherCores") ?? 0) > otherCoresMax;
}

/** Median over the runs, null when the row has no such figure. */
export function figure(row: Row, key: keyof RunFigures): number | null {
  const values = row.runs.map((run) => run[key]).filter((value) => typeof value === "number");
  return values.length === 0 ? null : median(values);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
