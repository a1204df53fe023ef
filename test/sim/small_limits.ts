import { limits } from "../../src/base/limits.ts";
import type { Swarm } from "./swarm.ts";

/** Gives the program's constants other values for one world; returns what undoes it. Worlds run one after the other. */
export function applyLimits(smaller: Swarm["limits"]): () => void {
  const own = limits as Record<string, number>, before = { ...own };
  Object.assign(own, smaller);
  return () => void Object.assign(own, before);
}
