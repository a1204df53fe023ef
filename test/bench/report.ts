/** The figures as text: a table, ratios, warnings. */
import type { MachineFacts } from "./machine.ts";
import type { Row, RunFigures } from "./measure.ts";
import { figure, inDoubt, median } from "./measure.ts";
import { bestOfRuntimes, targetText } from "./targets.ts";

/** From here on the load generator itself was probably the limit. */
const clientBoundCores = 0.93;

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
  "other",
  "vs",
  "target",
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
  const below = [...bestOfRuntimes(rows), ...rows.flatMap(notes), ...doubts(rows)];
  return [...table.map((line) => line.join("  ").trimEnd()), "", ...below].join("\n");
}

/** One line, for while the bench runs. */
export function rowText(row: Row): string {
  return `${row.row.padEnd(9)}${subjectOf(row).padEnd(12)} ${whatOf(row)}: ${
    whole(figure(row, "perSecond"))
  } ${row.unit}`;
}

function cells(row: Row, all: readonly Row[]): string[] {
  const speeds = row.runs.map((run) => run.perSecond);
  return [
    row.row,
    subjectOf(row),
    whatOf(row),
    `${whole(median(speeds))} ${row.unit}`,
    `${whole(Math.min(...speeds))}-${whole(Math.max(...speeds))}`,
    fixed(figure(row, "p50Ms"), 2),
    fixed(figure(row, "p99Ms"), 2),
    whole(row.runs.reduce((sum, run) => sum + run.errors, 0)),
    fixed(figure(row, "serverMicros"), 1),
    whole(figure(row, "serverMiB")),
    fixed(figure(row, "clientCores"), 2),
    fixed(figure(row, "otherCores"), 2),
    ratios(row, all),
    targetText(row, all),
  ];
}

/**
 * dfdb as a share of its runtime's limit (in process: of SQLite alone), by speed and by CPU time, and its speed as a multiple of the
 * peer's.
 */
function ratios(row: Row, all: readonly Row[]): string {
  if (row.subject !== "dfdb") return "";
  const other = (subject: string, runtime: string): Row | undefined =>
    all.find((r) =>
      r.row === row.row && r.subject === subject && r.runtime === runtime && r.place === row.place
    );
  const ratio = (above: Row, below: Row, key: keyof RunFigures): number =>
    (figure(above, key) ?? 0) / (figure(below, key) ?? 0);
  const sqlite = other("sqlite", row.runtime),
    limit = sqlite ?? other("limit", row.runtime),
    peer = other("postgresql", ""),
    percent = (share: number): string => `${whole(100 * share)}%`;
  return [
    limit === undefined
      ? []
      : `${percent(ratio(row, limit, "perSecond"))} of ${sqlite === undefined ? "limit" : "SQLite"} (CPU ${
        percent(ratio(limit, row, "serverMicros"))
      })`,
    peer === undefined ? [] : `${fixed(ratio(row, peer, "perSecond"), 2)} x PostgreSQL`,
  ].flat().join(", ");
}

function notes(row: Row): string[] {
  const name = nameOf(row),
    error = row.runs.find((run) => run.firstError !== null)?.firstError;
  const client = figure(row, "clientCores");
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
  const busy = rows.filter(inDoubt);
  if (busy.length === 0) return [];
  const names = busy.map((row) => `${nameOf(row)} (${fixed(figure(row, "otherCores"), 2)})`);
  return [`Other work used the machine, only CPU times are worth something here: ${names.join(", ")}`];
}

function subjectOf(row: Row): string {
  return row.runtime === "" ? row.subject : `${row.subject} ${row.runtime}`;
}

function nameOf(row: Row): string {
  return `${row.row} ${subjectOf(row)}${row.place === undefined ? "" : ` ${row.place}`}`;
}

function whatOf(row: Row): string {
  return row.place === undefined ? row.what : `${row.what}, ${row.place}`;
}

function whole(value: number | null): string {
  return value === null ? "" : Math.round(value).toLocaleString("en-US");
}

function fixed(value: number | null, digits: number): string {
  return value === null ? "" : value.toFixed(digits);
}
