/** Everything that runs in a worker thread, by name. Kept light: each thread loads what this file imports. */
import { queryResident } from "../engine/query_messages.ts";
import type { Residents, RunOptions, TaskContext, Tasks, Workers } from "../runtime/workers.ts";
import { checkpointFile } from "../storage/sqlite/checkpoint_task.ts";
import { checkSnapshot } from "../storage/sqlite/check_snapshot.ts";
import { copyDatabase } from "../storage/sqlite/copy_database.ts";
import { installSnapshot } from "../storage/sqlite/install_snapshot.ts";
import type { SnapshotOrder } from "../storage/sqlite/make_snapshot.ts";
import { makeSnapshot } from "../storage/sqlite/make_snapshot.ts";
import type { ContentVerified, VerifyInput } from "../storage/sqlite/verify_content.ts";
import { verifyContent } from "../storage/sqlite/verify_content.ts";
import { sharedKeys } from "../storage/sqlite/shared_keys.ts";
import type { SharedKeysInput } from "../storage/sqlite/shared_keys.ts";
import { verifyLog } from "../storage/sqlite/verify_log.ts";
import type { QuickCheck } from "../storage/sqlite/quick_check.ts";
import { quickCheck } from "../storage/sqlite/quick_check.ts";
import { queryThread } from "./query_thread.ts";
import type { SchemaInput } from "./schema_task.ts";
import { countSchemaViolations } from "./schema_task.ts";

/** Name → task. A connection is opened and closed inside `hold`. */
export const tasks = {
  "sqlite.quickCheck": ({ path }: { readonly path: string }, context: TaskContext): QuickCheck =>
    context.hold(() => quickCheck(path)),
  "sqlite.makeSnapshot": (input: SnapshotOrder, context: TaskContext) =>
    context.hold(() => makeSnapshot(input, context)),
  "sqlite.checkSnapshot": (input: Parameters<typeof checkSnapshot>[0], context: TaskContext) =>
    context.hold(() => checkSnapshot(input)),
  "sqlite.installSnapshot": (input: Parameters<typeof installSnapshot>[0], context: TaskContext) =>
    context.hold(() => installSnapshot(input)),
  "sqlite.copyDatabase": (input: Parameters<typeof copyDatabase>[0], context: TaskContext) =>
    context.hold(() => copyDatabase(input)),
  "sqlite.checkpoint": (input: { readonly path: string }, context: TaskContext) =>
    context.hold(() => checkpointFile(input)),
  "sqlite.verifyContent": (input: VerifyInput, context: TaskContext): ContentVerified =>
    verifyContent(input, context),
  "sqlite.verifyLog": (input: { readonly path: string }, context: TaskContext) => verifyLog(input, context),
  "sqlite.sharedKeys": (input: SharedKeysInput, context: TaskContext): void => sharedKeys(input, context),
  "sqlite.schemaViolations": (input: SchemaInput, context: TaskContext): number | null =>
    countSchemaViolations(input, context),
} satisfies Tasks;

/** Name → what lives in a thread that stays. */
export const residents = { [queryResident]: queryThread } satisfies Residents;

type Table = typeof tasks;

/** {@linkcode Workers.run} with the types of the table. */
export function runTask<Name extends keyof Table>(
  workers: Pick<Workers, "run">,
  name: Name,
  input: Parameters<Table[Name]>[0],
  options?: RunOptions,
): Promise<Awaited<ReturnType<Table[Name]>>> {
  return workers.run(name, input, options);
}
