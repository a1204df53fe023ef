import { DfdbError, messageOf } from "../../src/base/errors.ts";
import { tasks } from "../../src/node/tasks.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import type { RunOptions, Task, TaskContext, Tasks, Workers } from "../../src/runtime/workers.ts";

/** Workers without threads: a task runs in one macrotask, its progress and its outcome come in later ones. */
export function simWorkers(clock: Clock, table: Tasks = tasks): Workers {
  return {
    run: <Output>(name: string, input: unknown, options: RunOptions = {}) =>
      new Promise<Output>((resolve, reject) => {
        const { signal, onProgress, transfer = [] } = options;
        if (signal?.aborted === true) return reject(signal.reason);
        const copy = structuredClone(input, { transfer: [...transfer] });
        const task = Object.hasOwn(table, name) ? table[name] as Task : noSuchTask;
        const live = (run: () => void): void => {
          clock.macrotask(() => {
            if (signal?.aborted !== true) run();
          });
        };
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        const context: TaskContext = {
          progress(value) {
            const cloned = structuredClone(value);
            live(() => onProgress?.(cloned));
          },
          hold: (run) => run(),
          stopped: false,
        };
        live(async () => {
          try {
            const value = structuredClone(await task(copy as never, context)) as Output;
            live(() => resolve(value));
          } catch (thrown) {
            live(() => reject(failure(name, thrown)));
          }
        });
      }),
  };
}

const noSuchTask: Task = () => {
  throw new Error("there is no such task");
};

function failure(name: string, thrown: unknown): DfdbError {
  if (thrown instanceof DfdbError) return thrown;
  return new DfdbError("internal", `task ${name} failed: ${messageOf(thrown)}`, { cause: thrown });
}
