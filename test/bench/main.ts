/** `npm run bench`: see README.md. */
import fs from "node:fs";
import process from "node:process";
import { catchUpRow } from "./catch_up.ts";
import { groupRow, groupRows } from "./group_rows.ts";
import { machineFacts } from "./machine.ts";
import type { Row } from "./measure.ts";
import { replicationRows } from "./replication_rows.ts";
import type { BenchOptions } from "./options.ts";
import { readOptions } from "./options.ts";
import { postgresFolder, postgresServer } from "./postgres_server.ts";
import { indexedQueryRows, indexedRows, postgresQueryRows } from "./query_rows.ts";
import { machineText, reportText, rowText } from "./report.ts";
import type { Subject } from "./request_rows.ts";
import { bulkRow, requestRows, runtimeRows } from "./request_rows.ts";
import { dfdbServer } from "./servers.ts";
import { slowFsync } from "./slow_fsync.ts";

type Report = (row: Row) => void;

// Ends through "exit", where servers are killed and folders removed.
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => process.exit(130));

process.exit(await main(readOptions(process.argv)));

async function main(options: BenchOptions): Promise<number> {
  const machine = machineFacts(), rows: Row[] = [];
  say(`${machineText(machine)}\n`);
  const report: Report = (row) => {
    rows.push(row);
    say(rowText(row));
  };
  try {
    await measureAll(options, report);
  } finally {
    say(`\n${reportText(rows)}`);
    if (options.json !== null) {
      fs.writeFileSync(options.json, `${JSON.stringify({ machine, options, rows }, null, 1)}\n`);
    }
  }
  return rows.some((row) => row.runs.some((run) => run.errors > 0)) ? 1 : 0;
}

async function measureAll(options: BenchOptions, report: Report): Promise<void> {
  const plain = options.rows.filter((name) => name === "P1" || name === "P2" || name === "P3");
  const slow = options.rows.includes("P1b") ? slowFsync() : null;
  if (slow !== null && "missing" in slow) say(`P1b is left out: ${slow.missing}`);
  for (const runtime of options.runtimes) {
    if (plain.length > 0) await runtimeRows(runtime, plain, {}, options, report);
    if (slow !== null && "env" in slow) await runtimeRows(runtime, ["P1b"], slow.env, options, report);
    if (options.rows.includes("P4")) {
      const subject = { name: "dfdb", runtime, driver: "http" } as const;
      await bulkRow(subject, () => dfdbServer({ runtime }), options, report);
    }
    if (options.rows.includes("P5")) await catchUpRow("P5", runtime, options, report);
    if (options.rows.includes("P6")) await catchUpRow("P6", runtime, options, report);
    const queries = indexedRows.filter((name) => options.rows.includes(name));
    if (queries.length > 0) await indexedQueryRows(runtime, queries, options, report);
    if (options.rows.includes("group")) await groupRows(runtime, options, report);
    for (const name of options.rows) await replicationRows[name]?.(runtime, options, report);
  }
  if (options.peers) await postgresRows(options, slow !== null && "env" in slow ? slow.env : null, report);
}

async function postgresRows(
  options: BenchOptions,
  slowEnv: Readonly<Record<string, string>> | null,
  report: Report,
): Promise<void> {
  const found = postgresFolder();
  if ("missing" in found) return say(`No comparison: ${found.missing}`);
  const peer = { name: "postgresql", runtime: "", driver: "postgres" } as const;
  const plain = options.rows.filter((name) => name === "P1" || name === "P2" || name === "P3");
  const measure = async (
    env: Readonly<Record<string, string>>,
    rows: (subject: Subject) => Promise<void>,
  ): Promise<void> => {
    const server = await postgresServer(found.folder, env);
    try {
      await rows({ ...peer, server });
    } finally {
      await server.stop();
    }
  };
  const queries = indexedRows.filter((name) => options.rows.includes(name));
  if (plain.length > 0) await measure({}, (subject) => requestRows([subject], plain, options, report));
  if (slowEnv !== null) await measure(slowEnv, (subject) => requestRows([subject], ["P1b"], options, report));
  if (queries.length > 0) {
    await measure({}, (subject) => postgresQueryRows(subject, queries, options, report));
  }
  if (options.rows.includes("group")) await measure({}, (subject) => groupRow(subject, options, report));
  if (options.rows.includes("P4")) await bulkRow(peer, () => postgresServer(found.folder), options, report);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
