/** Everything that runs in a worker thread, by name. Kept light: each thread loads what this file imports. */
import type { RunOptions, TaskContext, Tasks, Workers } from "../runtime/workers.ts";
import type { QuickCheck } from "../storage/sqlite/quick_check.ts";
import { quickCheck } from "../storage/sqlite/quick_check.ts";

/** Name → task. A connection is opened and closed inside `hold`. */
export const tasks = {
  "sqlite.quickCheck": ({ path }: { readonly path: string }, context: TaskContext): QuickCheck =>
    context.hold(() => quickCheck(path)),
} satisfies Tasks;

type Table = typeof tasks;

/** {@linkcode Workers.run} with the types of the table. */
export function runTask<Name extends keyof Table>(
  workers: Workers,
  name: Name,
  input: Parameters<Table[Name]>[0],
  options?: RunOptions,
): Promise<Awaited<ReturnType<Table[Name]>>> {
  return workers.run(name, input, options);
}
