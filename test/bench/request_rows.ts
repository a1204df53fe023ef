/** P1 to P4: requests of one kind against one server, dfdb and the limit (or a peer) in turn. */
import type { RuntimeName } from "../tool/node_process.ts";
import type { LoadKind, Row, Target } from "./measure.ts";
import { timedRun } from "./measure.ts";
import type { BenchOptions, RowName } from "./options.ts";
import type { BenchServer } from "./servers.ts";
import { dfdbServer, limitServer } from "./servers.ts";

type RequestRow = "P1" | "P1b" | "P2" | "P3";

const kinds: Readonly<Record<RequestRow, LoadKind & { readonly what: string }>> = {
  P1: { what: "durable put, 64 connections", operation: "put", connections: 64 },
  P1b: { what: "the same, every fsync 1 ms slower", operation: "put", connections: 64 },
  P2: { what: "durable put, 1 connection", operation: "put", connections: 1 },
  P3: { what: "get by id, 64 connections", operation: "get", connections: 64 },
};

const warmSeconds = 1, getKeys = 50_000, bulkConnections = 4;

export interface Subject extends Target {
  readonly name: "dfdb" | "limit" | "postgresql";
  readonly runtime: RuntimeName | "";
}

/** Measures the rows on all subjects, a run of each in turn: a slow minute of the machine hits all alike. */
export async function requestRows(
  subjects: readonly Subject[],
  names: readonly RequestRow[],
  options: BenchOptions,
  report: (row: Row) => void,
): Promise<void> {
  for (const name of names) {
    // There is no point in the limit of a row that waits for one fsync at a time.
    const measured = subjects.filter((subject) => subject.name !== "limit" || name === "P1" || name === "P3");
    const rows = measured.map((subject) => emptyRow(name, subject, kinds[name].what, "op/s"));
    if (name === "P3") await Promise.all(measured.map(fillForGets));
    for (let run = 0; run < options.runs; run++) {
      for (const [i, subject] of measured.entries()) {
        const prefix = name === "P3" ? "get-" : `${name}-${run}-`;
        const limit = { seconds: options.seconds, warmSeconds, keys: getKeys, patience: options.patience };
        rows[i]!.runs.push((await timedRun(subject, kinds[name], prefix, limit)).figures);
      }
    }
    rows.forEach(report);
  }
}

/** P4: all documents, in requests of 1,000 (for PostgreSQL one COPY), into a server made for this run. */
export async function bulkRow(
  subject: Pick<Subject, "name" | "runtime" | "driver">,
  start: () => Promise<BenchServer>,
  options: BenchOptions,
  report: (row: Row) => void,
): Promise<void> {
  const copy = subject.driver === "postgres";
  const what = copy ? "bulk load, one COPY" : `bulk load, 1,000 a request, ${bulkConnections} connections`;
  const row = emptyRow("P4", subject, what, "docs/s");
  const kind: LoadKind = { operation: "bulk", connections: copy ? 1 : bulkConnections };
  for (let run = 0; run < options.runs; run++) {
    const server = await start();
    try {
      const limit = { seconds: 120, warmSeconds: 0, count: options.documents, patience: options.patience };
      const batch = copy ? options.documents : 1_000;
      row.runs.push(
        (await timedRun({ server, driver: subject.driver }, kind, "bulk-", limit, batch)).figures,
      );
    } finally {
      await server.stop();
    }
  }
  report(row);
}

/** P1, P2, P3 of one runtime beside its limit. */
export async function runtimeRows(
  runtime: RuntimeName,
  names: readonly RequestRow[],
  env: Readonly<Record<string, string>>,
  options: BenchOptions,
  report: (row: Row) => void,
): Promise<void> {
  const limit = await limitServer(runtime);
  try {
    const server = await dfdbServer({ runtime, env });
    try {
      const subjects: Subject[] = [
        { name: "limit", runtime, server: limit, driver: "http" },
        { name: "dfdb", runtime, server, driver: "http" },
      ];
      await requestRows(subjects, names, options, report);
    } finally {
      await server.stop();
    }
  } finally {
    await limit.stop();
  }
}

export function emptyRow(
  row: RowName,
  subject: Pick<Row, "runtime"> & { readonly name: string },
  what: string,
  unit: Row["unit"],
): Row {
  return { row, subject: subject.name, runtime: subject.runtime, what, unit, runs: [] };
}

async function fillForGets(subject: Subject): Promise<void> {
  if (subject.name === "limit") return;
  const limit = { seconds: 60, warmSeconds: 0, count: getKeys };
  const { load } = await timedRun(subject, { operation: "bulk", connections: 1 }, "get-", limit);
  if (load.documents !== getKeys) throw new Error(`Could not load the documents of P3: ${load.firstError}`);
}
