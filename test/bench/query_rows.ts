/** P11, equality, range: queries through an index, over HTTP beside the limit, and in process beside SQLite alone. */
import type { RuntimeName } from "../tool/node_process.ts";
import { fill, makeIndexes } from "./fill.ts";
import type { Row } from "./measure.ts";
import { timedRun } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { benchQueries } from "./queries.ts";
import type { Subject } from "./request_rows.ts";
import { emptyRow } from "./request_rows.ts";
import { runInProcess } from "./run_in_process.ts";
import { dfdbServer, limitServer } from "./servers.ts";

export const indexedRows = ["P11", "equality", "range"] as const;
export type IndexedRow = typeof indexedRows[number];

type Report = (row: Row) => void;

const warmSeconds = 1, ordersMax = 50_000, ordersMin = 2_000, connections = 64;

/** The rows of one runtime: the server beside its limit, then the library beside SQLite. */
export async function indexedQueryRows(
  runtime: RuntimeName,
  names: readonly IndexedRow[],
  options: BenchOptions,
  report: Report,
): Promise<void> {
  const orders = ordersOf(options), limit = await limitServer(runtime);
  try {
    const server = await dfdbServer({ runtime });
    try {
      const dfdb: Subject = { name: "dfdb", runtime, server, driver: "http" };
      await fill(dfdb, orders);
      await makeIndexes(dfdb);
      const subjects: Subject[] = [{ name: "limit", runtime, server: limit, driver: "http" }, dfdb];
      await queryRows(subjects, names, options, report);
    } finally {
      await server.stop();
    }
  } finally {
    await limit.stop();
  }
  await runInProcess(runtime, { names, orders }, options, report);
}

/** The same of PostgreSQL, which is up and empty. */
export async function postgresQueryRows(
  peer: Subject,
  names: readonly IndexedRow[],
  options: BenchOptions,
  report: Report,
): Promise<void> {
  await fill(peer, ordersOf(options));
  await makeIndexes(peer);
  await queryRows([peer], names, options, report);
}

/** A run of each subject in turn. */
async function queryRows(
  subjects: readonly Subject[],
  names: readonly IndexedRow[],
  options: BenchOptions,
  report: Report,
): Promise<void> {
  const orders = ordersOf(options);
  for (const name of names) {
    const what = `${benchQueries[name].what}, ${connections} connections`;
    const rows = subjects.map((subject) => emptyRow(name, subject, what, "op/s"));
    const kind = { operation: "query", query: name, connections } as const;
    for (let run = 0; run < options.runs; run++) {
      for (const [i, subject] of subjects.entries()) {
        const limit = { seconds: options.seconds, warmSeconds, keys: orders, patience: options.patience };
        rows[i]!.runs.push((await timedRun(subject, kind, "", limit)).figures);
      }
    }
    rows.forEach(report);
  }
}

/** Fewer than usual where less is asked for; not fewer than each query needs. */
function ordersOf({ documents }: BenchOptions): number {
  return Math.max(ordersMin, Math.min(ordersMax, documents));
}
