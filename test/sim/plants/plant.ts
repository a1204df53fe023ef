/** What planted faults are made of. */
import type { RunningNode } from "../../../src/node/node.ts";
import { hook, nodeHooks } from "../hooks.ts";

export interface Plant {
  /** What the mistake is. */
  readonly mistake: string;
  /** It shows where clients use more than plain documents (`features.ts`). Default: it is looked for in worlds of plain documents. */
  readonly features?: true;
  /** It is looked for in worlds of several masters (`masters_run.ts`). */
  readonly masters?: true;
  /** It is rare: seeds are looked through from here on. Default: 1. */
  readonly from?: number;
  /** Plants it; returns what takes it out. What it counts begins anew each time. */
  readonly plant: () => () => void;
}

/** Puts what `make` makes of a method in its place; returns what puts it back. */
export function wrap<Target, Name extends keyof Target>(
  target: Target,
  name: Name,
  make: (own: Target[Name]) => Target[Name],
): () => void {
  const own = target[name];
  target[name] = make(own);
  return () => void (target[name] = own);
}

/** Takes out all, the last one first. */
export function all(...undo: (() => void)[]): () => void {
  return () => {
    for (const each of undo.toReversed()) each();
  };
}

/** A function that says true every `n`th time. */
export function every(n: number): () => boolean {
  let count = 0;
  return () => ++count % n === 0;
}

/** `run` is called with each node that starts from now on; returns what ends that. */
export function onNode(run: (node: RunningNode) => void): () => void {
  return hook(nodeHooks, run);
}
