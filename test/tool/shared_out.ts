/** What would say the same three times is shared out over the runtimes: each runs a third of it. DFDB_ALL=1: each runs all. */
import process from "node:process";
import { currentRuntime } from "./current_runtime.ts";
import type { RuntimeName } from "./runtime_binary.ts";
import { runtimeNames } from "./runtime_binary.ts";

export const runsAll: boolean = process.env["DFDB_ALL"] === "1";

export const ownRuntime = currentRuntime().name as RuntimeName;

/** 0, 1 or 2. */
export const ownTurn: number = runtimeNames.indexOf(ownRuntime);

/** What this runtime runs of a list: something at least. */
export function mine<Value>(list: readonly Value[]): readonly Value[] {
  const chosen = list.filter((_, i) => runsAll || i % runtimeNames.length === ownTurn);
  return chosen.length > 0 ? chosen : list.slice(0, 1);
}

/** A third of a list in a whole run, another one each day (`DFDB_TURN`, as below); by hand and with DFDB_ALL=1 all of it. */
export function todays<Value>(list: readonly Value[]): readonly Value[] {
  const turn = process.env["DFDB_TURN"];
  if (runsAll || turn === undefined) return list;
  return list.filter((_, i) => i % 3 === Number(turn) % 3);
}

/**
 * The leader's runtime, in tests that start processes of several anyway: in a whole run one a day, in turn (`DFDB_TURN`, set by `test/run.ts`), by hand and
 * with DFDB_ALL=1 each. `shift`: so that not all files have the same one.
 */
export function leaderRuntimes(shift: number): readonly RuntimeName[] {
  const turn = process.env["DFDB_TURN"];
  if (runsAll || turn === undefined) return runtimeNames;
  return [runtimeNames[(Number(turn) + shift) % runtimeNames.length] as RuntimeName];
}
