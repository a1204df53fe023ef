import { DfdbError, messageOf } from "../../src/base/errors.ts";
import { residents, tasks } from "../../src/node/tasks.ts";
import type { CrashPoint } from "../../src/runtime/runtime.ts";
import type {
  OpenOptions,
  OpenThread,
  Resident,
  Residents,
  RunOptions,
  Task,
  TaskContext,
  Tasks,
  Workers,
} from "../../src/runtime/workers.ts";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import type { SnapshotOrder } from "../../src/storage/sqlite/make_snapshot.ts";
import { makeSnapshot } from "../../src/storage/sqlite/make_snapshot.ts";
import { taskHooks } from "./hooks.ts";
import type { SimProcess } from "./sim_process.ts";
import type { World } from "./world.ts";

export interface SimWorkersOptions {
  readonly world: World;
  readonly process: SimProcess;
  readonly crashPoint: CrashPoint;
  /** Default: those of the program. */
  readonly table?: Tasks;
  readonly residents?: Residents;
  /** Most time that a task takes before and after its one event, ms. */
  readonly taskMs?: number;
}

/**
 * Workers without threads: a task runs in one event some time after it was asked for, its outcome comes some time later.
 * What a task does in a real thread (SQLite's backup on Node) holds virtual time.
 */
export function simWorkers(options: SimWorkersOptions): Workers {
  const { world, process, taskMs = 40 } = options;
  let table = options.table ?? withCrashPoints(options.crashPoint);
  for (const own of taskHooks) table = own(table);
  return {
    run: <Output>(name: string, input: unknown, { signal, onProgress, transfer = [] }: RunOptions = {}) =>
      new Promise<Output>((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason);
        const copy = structuredClone(input, { transfer: [...transfer] });
        const task = Object.hasOwn(table, name) ? table[name] as Task : noSuchTask;
        let last = 0;
        const live = (delayMs: number, run: () => void): void => {
          last = Math.max(last, process.now + delayMs);
          process.later(last - process.now, () => {
            if (signal?.aborted !== true) run();
          });
        };
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        const context: TaskContext = {
          progress(value) {
            const cloned = structuredClone(value);
            live(0, () => onProgress?.(cloned));
          },
          hold: (run) => run(),
          get stopped() {
            return signal?.aborted === true;
          },
        };
        const work = async (): Promise<void> => {
          const afterMs = process.chance.between(0, taskMs);
          try {
            const value = structuredClone(await task(copy as never, context)) as Output;
            live(afterMs, () => resolve(value));
          } catch (thrown) {
            live(afterMs, () => reject(failure(name, thrown)));
          }
        };
        live(process.chance.between(0, taskMs), () => world.hold(work()));
      }),
    open: (name, input, threadOptions) => openResident(options, name, input, threadOptions),
  };
}

/** Most time that a message to a resident or from it takes, ms. */
const messageMs = 2;

/** A resident without a thread: what it does with a message is one event of its process. */
function openResident(
  { process, residents: table = residents, taskMs = 40 }: SimWorkersOptions,
  name: string,
  input: unknown,
  { onMessage, onEnd }: OpenOptions,
): OpenThread {
  const inOrder = () => {
    let last = 0;
    return (mostMs: number, run: () => void): void => {
      last = Math.max(last, process.now + process.chance.between(0, mostMs));
      process.later(last - process.now, run);
    };
  };
  const towards = inOrder(), back = inOrder();
  let resident: Resident | null = null, over = false;
  const end = (error: DfdbError | null): void => {
    over = true;
    resident?.close();
    back(messageMs, () => onEnd(error));
  };
  const guarded = (run: () => void) => (): void => {
    if (over) return;
    try {
      run();
    } catch (thrown) {
      end(failure(name, thrown));
    }
  };
  const copy = structuredClone(input);
  const post = (value: unknown): void => {
    const cloned = structuredClone(value);
    back(messageMs, () => onMessage(cloned));
  };
  towards(
    taskMs,
    guarded(() => {
      const open = Object.hasOwn(table, name) ? table[name] : undefined;
      if (open === undefined) throw new Error("there is no such resident");
      resident = open(copy as never, post);
    }),
  );
  return {
    post(value) {
      const cloned = structuredClone(value);
      towards(messageMs, guarded(() => resident?.receive(cloned)));
    },
    end: () => towards(messageMs, guarded(() => end(null))),
  };
}

/** The program's tasks; those that have labels call `crashPoint`. */
function withCrashPoints(crashPoint: CrashPoint): Tasks {
  return {
    ...tasks,
    "sqlite.makeSnapshot": (input: SnapshotOrder, context: TaskContext) =>
      context.hold(() => makeSnapshot(input, context, crashPoint)),
    "sqlite.installSnapshot": (input: Parameters<typeof installSnapshot>[0], context: TaskContext) =>
      context.hold(() => installSnapshot(input, crashPoint)),
  };
}

const noSuchTask: Task = () => {
  throw new Error("there is no such task");
};

function failure(name: string, thrown: unknown): DfdbError {
  if (thrown instanceof DfdbError) return thrown;
  return new DfdbError("internal", `task ${name} failed: ${messageOf(thrown)}`, { cause: thrown });
}
