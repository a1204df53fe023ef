/** Where planted faults and checkers reach into a process of the simulator that they did not make. */
import type { RunningNode } from "../../src/node/node.ts";
import type { Tasks } from "../../src/runtime/workers.ts";

/** Called with each node as soon as it has started. */
export const nodeHooks: Set<(node: RunningNode) => void> = new Set();

/** Each makes another table out of a process' table of tasks. */
export const taskHooks: Set<(table: Tasks) => Tasks> = new Set();

/** Adds a hook; returns what takes it out. */
export function hook<Hook>(hooks: Set<Hook>, own: Hook): () => void {
  hooks.add(own);
  return () => void hooks.delete(own);
}
