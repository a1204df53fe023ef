import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, monotonicMsOf, nodeIdOf, runIdOf, wallMsOf } from "../../src/base/ids.ts";
import { engine } from "../../src/engine/engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import type { Leadership, LostRight } from "../../src/engine/plan.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import type { Position } from "../../src/storage/log.ts";
import type { MemoryStorage } from "./memory_storage.ts";
import { memoryStorage } from "./memory_storage.ts";

/** An engine over storage in memory; macrotasks run when the test says so. */
export interface Rig {
  readonly storage: MemoryStorage;
  readonly engine: Engine;
  /** What the gate answers; an error is thrown. */
  gate: Leadership | DfdbError;
  /** What the engine is told to wait for; default: nothing. */
  replicated: (position: Position) => Promise<void> | null;
  /** What was lost when COMMIT returned; default: nothing. */
  lost: LostRight | null;
  readonly fatal: DfdbError[];
  readonly full: DfdbError[];
  /** Runs the macrotasks that are due, also those they ask for; returns how many. */
  run(): number;
  /** Runs the next one; false when there is none. */
  step(): boolean;
}

/** A leadership whose run is 32 times `digit`. */
export const leadership = (digit: string, epoch = 1): Leadership => ({
  epoch: epochOf(epoch),
  run: runIdOf(digit.repeat(32)),
  nodeId: nodeIdOf("e".repeat(32)),
});

export function rig(): Rig {
  const storage = memoryStorage(),
    tasks: (() => void)[] = [],
    fatal: DfdbError[] = [],
    full: DfdbError[] = [];
  const clock: Clock = {
    monotonic: () => monotonicMsOf(0),
    wall: () => wallMsOf(1_700_000_000_000),
    timer: () => ({ cancel: () => {} }),
    macrotask: (run) => void tasks.push(run),
  };
  const made: Rig = {
    storage,
    gate: leadership("a"),
    replicated: () => null,
    lost: null,
    fatal,
    full,
    run() {
      let count = 0;
      for (let task = tasks.shift(); task !== undefined; task = tasks.shift(), count++) task();
      return count;
    },
    step() {
      const task = tasks.shift();
      task?.();
      return task !== undefined;
    },
    engine: engine({
      storage,
      clock,
      gate: () => {
        if (made.gate instanceof DfdbError) throw made.gate;
        return made.gate;
      },
      replicated: (position) => made.replicated(position),
      stillLeads: () => made.lost,
      onFatal: (error) => void fatal.push(error),
      onDiskFull: (error) => void full.push(error),
    }),
  };
  return made;
}
