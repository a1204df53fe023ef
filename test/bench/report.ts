/** The figures as text: a table, ratios, warnings. */
import type { MachineFacts } from "./machine.ts";
import type { Row, RunFigures } from "./measure.ts";
import { median } from "./measure.ts";

/** From here on the load generator itself was probably the limit. */
const clientBoundCores = 0.93;

/** Other work of this many cores makes figures doubtful. */
const otherCoresMax = 0.15;

const columns = [
  "row",
  "of",
  "",
  "median",
  "min-max",
  "p50 ms",
  "p99 ms",
  "err",
  "us CPU/doc",
  "MiB",
  "client",
  "vs",
];

export function machineText(machine: MachineFacts): string {
  const runtimes = Object.entries(machine.runtimes).map(([name, version]) => `${name} ${version}`).join(", ");
  const pinned = machine.pinned
    ? "server and load on a core each"
    : "NOT pinned to cores: figures say little";
  return `${machine.date}  commit ${machine.commit}\n${machine.cpu}, ${machine.cores} cores, ` +
    `${machine.memoryGiB} GiB, ${machine.system}; ${runtimes}\n${pinned}; 500-byte documents; medians`;
}

/** All rows as a table, then what to mind. */
export function reportText(rows: readonly Row[]): string {
  const lines = [columns, ...rows.map((row) => cells(row, rows))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const table = lines.map((line) =>
    line.map((cell, i) => i < 3 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))
  );
  return [...table.map((line) => line.join("  ").trimEnd()), "", ...rows.flatMap(notes), ...doubts(rows)]
    .join("\n");
}

/** One line, for while the bench runs. */
export function rowText(row: Row): string {
  return `${row.row.padEnd(4)}${subjectOf(row).padEnd(12)} ${row.what}: ${
    whole(of(row, "perSecond"))
  } ${row.unit}`;
}

function cells(row: Row, all: readonly Row[]): string[] {
  const speeds = row.runs.map((run) => run.perSecond);
  return [
    row.row,
    subjectOf(row),
    row.what,
    `${whole(median(speeds))} ${row.unit}`,
    `${whole(Math.min(...speeds))}-${whole(Math.max(...speeds))}`,
    fixed(of(row, "p50Ms"), 2),
    fixed(of(row, "p99Ms"), 2),
    whole(row.runs.reduce((sum, run) => sum + run.errors, 0)),
    fixed(of(row, "serverMicros"), 1),
    whole(of(row, "serverMiB")),
    fixed(of(row, "clientCores"), 2),
    fixed(of(row, "otherCores"), 2),
    ratios(row, all),
  ];
}

/** dfdb as a share of its runtime's limit, by speed and by CPU time, and its speed as a multiple of the peer's. */
function ratios(row: Row, all: readonly Row[]): string {
  if (row.subject !== "dfdb") return "";
  const other = (subject: string, runtime: string): Row | undefined =>
    all.find((r) => r.row === row.row && r.subject === subject && r.runtime === runtime);
  const ratio = (above: Row, below: Row, key: keyof RunFigures): number =>
    (of(above, key) ?? 0) / (of(below, key) ?? 0);
  const limit = other("limit", row.runtime),
    peer = other("postgresql", ""),
    percent = (share: number): string => `${whole(100 * share)}%`;
  return [
    limit === undefined
      ? []
      : `${percent(ratio(row, limit, "perSecond"))} of limit (CPU ${
        percent(ratio(limit, row, "serverMicros"))
      })`,
    peer === undefined ? [] : `${fixed(ratio(row, peer, "perSecond"), 2)} x PostgreSQL`,
  ].flat().join(", ");
}

function notes(row: Row): string[] {
  const name = `${row.row} ${subjectOf(row)}`,
    error = row.runs.find((run) => run.firstError !== null)?.firstError;
  const client = of(row, "clientCores");
  const more = Object.keys(row.runs[0]?.more ?? {});
  const further = more.map((key) => `${whole(median(row.runs.map((run) => run.more?.[key] ?? NaN)))} ${key}`);
  return [
    error === undefined ? [] : `ERRORS in ${name}, the first: ${error}`,
    client === null || client < clientBoundCores
      ? []
      : `${name}: the load generator was the limit (${fixed(client, 2)})`,
    further.length === 0 ? [] : `${name}: ${further.join("; ")}`,
  ].flat();
}

/** One line that names the rows during which the machine was busy with something else. */
function doubts(rows: readonly Row[]): string[] {
  const busy = rows.filter((row) => (of(row, "otherCores") ?? 0) > otherCoresMax);
  if (busy.length === 0) return [];
  const names = busy.map((row) => `${row.row} ${subjectOf(row)} (${fixed(of(row, "otherCores"), 2)})`);
  return [`Other work used the machine, only CPU times are worth something here: ${names.join(", ")}`];
}

function subjectOf(row: Row): string {
  return row.runtime === "" ? row.subject : `${row.subject} ${row.runtime}`;
}

/** Median over the runs, null when the row has no such figure. */
function of(row: Row, key: keyof RunFigures): number | null {
  const values = row.runs.map((run) => run[key]).filter((value) => typeof value === "number");
  return values.length === 0 ? null : median(values);
}

function whole(value: number | null): string {
  return value === null ? "" : Math.round(value).toLocaleString("en-US");
}

function fixed(value: number | null, digits: number): string {
  return value === null ? "" : value.toFixed(digits);
}
