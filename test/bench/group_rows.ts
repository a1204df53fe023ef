/**
 * "group": a query that looks at all documents, one at a time, over HTTP and in process: how many documents a second, and what the puts of
 * 64 connections and the main thread notice of it. The server has one core for both.
 */
import process from "node:process";
import type { RuntimeName } from "../tool/node_process.ts";
import { fill, orderPrefix } from "./fill.ts";
import { httpConnection } from "./http_connection.ts";
import type { Row, RunFigures, Target } from "./measure.ts";
import { median, quiet, timedRun } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { postgresConnection } from "./postgres_connection.ts";
import { cpuSeconds, machineBusySeconds } from "./proc.ts";
import { benchQueries } from "./queries.ts";
import type { Subject } from "./request_rows.ts";
import { emptyRow } from "./request_rows.ts";
import { runInProcess } from "./run_in_process.ts";
import { dfdbServer } from "./servers.ts";
import { longestStall } from "./targets.ts";

type Report = (row: Row) => void;

const putKind = { operation: "put", again: true, connections: 64 } as const;

export async function groupRows(runtime: RuntimeName, options: BenchOptions, report: Report): Promise<void> {
  const server = await dfdbServer({ runtime });
  try {
    const subject: Subject = { name: "dfdb", runtime, server, driver: "http" };
    await groupRow(subject, options, report, () => recentStallMs(server.url));
  } finally {
    await server.stop();
  }
  await runInProcess(runtime, { names: ["group"], orders: options.orders }, options, report);
}

/** Of a server that is empty. `stallMs`: of its main thread since it was last asked. */
export async function groupRow(
  subject: Subject,
  options: BenchOptions,
  report: Report,
  stallMs: () => Promise<number | null> = () => Promise.resolve(null),
): Promise<void> {
  const row = emptyRow("group", subject, benchQueries.group.what, "docs/s");
  await fill(subject, options.orders);
  const asker = await queryAsker(subject);
  try {
    await asker.ask(); // the first one starts a thread and warms the caches
    for (let run = 0; run < options.runs; run++) {
      await quiet(options.patience);
      const alone = await scans(subject, asker.ask, options);
      const puts = await putsBeside(subject, options, stallMs, null);
      const both = await putsBeside(subject, options, stallMs, asker.ask);
      const errors = puts.errors + both.errors, firstError = puts.firstError ?? both.firstError;
      row.runs.push({
        ...alone,
        errors,
        firstError,
        more: {
          "puts/s without the query": puts.perSecond,
          "puts/s beside it": both.perSecond,
          "ms a query beside puts": both.queryMs,
          ...(puts.longestMs === null ? {} : { "ms longest stall of puts alone": puts.longestMs }),
          ...(both.longestMs === null ? {} : { [longestStall]: both.longestMs }),
        },
      });
    }
  } finally {
    asker.close();
  }
  report(row);
}

/** One query after another, nothing else. */
async function scans(
  { server }: Target,
  ask: () => Promise<number>,
  { seconds, orders }: BenchOptions,
): Promise<RunFigures> {
  const times: number[] = [], startedAt = performance.now(), cpu = cpuSeconds(server.pid);
  const ownCpu = process.cpuUsage(), busy = machineBusySeconds();
  do times.push(await ask()); while (performance.now() - startedAt < seconds * 1000);
  const took = (performance.now() - startedAt) / 1000, documents = times.length * orders;
  const { user, system } = process.cpuUsage(ownCpu), spent = cpuSeconds(server.pid) - cpu;
  const others = machineBusySeconds() - busy - spent - (user + system) / 1e6;
  return {
    perSecond: documents / took,
    p50Ms: median(times),
    p99Ms: null,
    errors: 0,
    firstError: null,
    serverMicros: spent * 1e6 / documents,
    serverMiB: server.memoryMiB(),
    clientCores: null,
    otherCores: Math.max(0, others) / took,
  };
}

interface PutsBeside extends Pick<RunFigures, "perSecond" | "errors" | "firstError"> {
  /** Mean time of a query meanwhile; NaN without one. */
  readonly queryMs: number;
  readonly longestMs: number | null;
}

/** Documents that are there are written again, and asked for all the while unless `ask` is null. */
async function putsBeside(
  target: Target,
  options: BenchOptions,
  stallMs: () => Promise<number | null>,
  ask: (() => Promise<number>) | null,
): Promise<PutsBeside> {
  const limit = { seconds: options.seconds, warmSeconds: 1, keys: options.orders };
  let writing = true;
  await stallMs();
  const load = timedRun(target, putKind, orderPrefix, limit).finally(() => writing = false);
  const times: number[] = [];
  while (ask !== null && writing) times.push(await ask());
  const { figures: { perSecond, errors, firstError } } = await load;
  const queryMs = times.reduce((sum, ms) => sum + ms, 0) / times.length;
  return { perSecond, errors, firstError, queryMs, longestMs: await stallMs() };
}

/** Asks on one connection; answers how long it took, ms. */
async function queryAsker(
  { server, driver }: Target,
): Promise<{ ask(): Promise<number>; close(): void }> {
  const connection = await (driver === "http" ? httpConnection : postgresConnection)(server.port);
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const from = performance.now();
      connection.query("group", [], (problem) => {
        if (problem === null) resolve(performance.now() - from);
        else reject(new Error(problem));
      });
    });
  return { ask, close: () => connection.close() };
}

async function recentStallMs(url: string): Promise<number> {
  const response = await fetch(`${url}/stats`, { signal: AbortSignal.timeout(30_000) });
  return (await response.json() as { readonly stall: { readonly recentMs: number } }).stall.recentMs;
}
