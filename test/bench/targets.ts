/** What each row should come to, and whether it did. A word in the report: the bench asserts nothing. */
import { limits } from "../../src/base/limits.ts";
import type { Row } from "./measure.ts";
import { figure, inDoubt } from "./measure.ts";

interface Aim {
  readonly text: string;
  /** Null: what it is measured against was not measured. */
  readonly met: (row: Row, rows: readonly Row[]) => boolean | null;
}

/** Of dfdb on each runtime, and of the runtime that is fastest. */
interface Aims {
  readonly each: readonly Aim[];
  readonly best?: readonly Aim[];
}

/** Key in `RunFigures.more`. */
export const longestStall = "ms longest stall of the main thread";

const overHttp: Partial<Record<Row["row"], Aims>> = {
  P1: { each: [ofLimit(0.6), timesPostgres(1)], best: [timesPostgres(2), atLeast(30_000)] },
  P1b: { each: [timesPostgres(1.5)] },
  P2: { each: [timesPostgres(1)] },
  P3: { each: [ofLimit(0.8)] },
  P4: { each: [atLeast(60_000)], best: [atLeast(100_000), timesPostgres(1)] },
  P5: { each: [atLeast(70_000)], best: [atLeast(120_000)] },
  P6: { each: [atLeast(500_000)] },
  P7: { each: [within("p50Ms", 1), within("p99Ms", 4)] },
  P8: { each: [ofRow("P1", 0.5)] },
  P11: { each: [ofLimit(0.6)] },
  group: { each: [atMost(longestStall, limits.stallMs)] },
  P12: { each: [atMost("ns of leader CPU an operation and follower", 3_000)] },
  P13: { each: [atMost("MiB idle", 80), atMost("MiB after the load", 250)] },
};

const inProcess: Partial<Record<Row["row"], Aims>> = {
  P11: { each: [atLeast(85_000)] },
  group: { each: [atMost(longestStall, limits.stallMs)] },
};

/** For the row's line: "met: >= 80% of limit". Empty where there is no target, and for others than dfdb. */
export function targetText(row: Row, rows: readonly Row[]): string {
  return (aimsOf(row)?.each ?? []).map((aim) => verdict(aim, row, rows)).join("; ");
}

/** A line for each row of which the fastest runtime has a target of its own. */
export function bestOfRuntimes(rows: readonly Row[]): string[] {
  return rows.flatMap((row) => {
    const aims = aimsOf(row)?.best ?? [];
    const fastest = rows.filter((r) => isDfdb(r) && alike(r, row)).every((r) => speed(r) <= speed(row));
    if (aims.length === 0 || !fastest) return [];
    return [`${row.row}, the best: ${row.runtime}; ${aims.map((aim) => verdict(aim, row, rows)).join("; ")}`];
  });
}

function aimsOf(row: Row): Aims | undefined {
  if (!isDfdb(row)) return undefined;
  return (row.place === undefined ? overHttp : inProcess)[row.row];
}

function verdict({ text, met }: Aim, row: Row, rows: readonly Row[]): string {
  const reached = met(row, rows);
  const word = reached === null ? "not measured" : reached ? "met" : "MISSED";
  return `${word}${inDoubt(row) ? "?" : ""}: ${text}`;
}

function atLeast(perSecond: number): Aim {
  return { text: `>= ${perSecond.toLocaleString("en-US")}/s`, met: (row) => speed(row) >= perSecond };
}

function ofLimit(share: number): Aim {
  return {
    text: `>= ${100 * share}% of limit`,
    met(row, rows) {
      const limit = rows.find((r) => r.subject === "limit" && r.runtime === row.runtime && alike(r, row));
      return reaches(row, limit, share);
    },
  };
}

function timesPostgres(times: number): Aim {
  return {
    text: `>= ${times} x PostgreSQL`,
    met: (row, rows) => reaches(row, rows.find((r) => r.subject === "postgresql" && alike(r, row)), times),
  };
}

function ofRow(name: Row["row"], share: number): Aim {
  return {
    text: `>= ${100 * share}% of ${name}`,
    met: (row, rows) =>
      reaches(row, rows.find((r) => isDfdb(r) && r.row === name && r.runtime === row.runtime), share),
  };
}

function within(key: "p50Ms" | "p99Ms", ms: number): Aim {
  return {
    text: `${key === "p50Ms" ? "p50" : "p99"} <= ${ms} ms`,
    met(row) {
      const measured = figure(row, key);
      return measured === null ? null : measured <= ms;
    },
  };
}

/** In every run. */
function atMost(key: string, most: number): Aim {
  return {
    text: `${key} <= ${most.toLocaleString("en-US")}`,
    met(row) {
      const values = row.runs.map((run) => run.more?.[key]).filter((value) => value !== undefined);
      return values.length === 0 ? null : Math.max(...values) <= most;
    },
  };
}

function reaches(row: Row, other: Row | undefined, times: number): boolean | null {
  return other === undefined ? null : speed(row) >= times * speed(other);
}

function speed(row: Row): number {
  return figure(row, "perSecond") ?? 0;
}

function isDfdb(row: Row): boolean {
  return row.subject === "dfdb";
}

function alike(one: Row, other: Row): boolean {
  return one.row === other.row && one.place === other.place;
}
