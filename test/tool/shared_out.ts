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
