/** What the bench and its programs that have the database inside themselves tell each other. */
import type { RunFigures } from "./measure.ts";
import type { QueryName } from "./queries.ts";

export interface InProcessSpec {
  /** "group": on a database of its own, without indexes; the others share one. */
  readonly names: readonly QueryName[];
  readonly orders: number;
  /** An empty folder. */
  readonly folder: string;
  readonly runs: number;
  /** Of each run. */
  readonly seconds: number;
  readonly patience: number;
}

export interface InProcessResult {
  readonly name: QueryName;
  readonly dfdb: readonly RunFigures[];
  readonly sqlite: readonly RunFigures[];
}

/** Begins the line with the results, among what else a runtime may print. */
export const resultMark = "RESULT ";
