/** The worker's side of `workers.ts`. */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { DfdbError } from "../../src/base/errors.ts";
import type { Resident, Residents, TaskContext, Tasks } from "../../src/runtime/workers.ts";
import { beginHold, endHold, stopRequested } from "./stop_cell.ts";
import type { TaskMessage, TaskOrder, ThreadMessage } from "./task_message.ts";
import { failureOf } from "./task_message.ts";

const order = (isMainThread ? null : workerData) as TaskOrder | null;

/** True in a thread that was started to run a task, and nothing else. */
export const inTaskThread: boolean = typeof order?.dfdbTask === "string";

/** Runs what this thread was started for, if module `entry` is meant. Does nothing in other threads. */
export async function answerTask(tasks: Tasks, entry: string, residents: Residents = {}): Promise<void> {
  if (!inTaskThread || order === null || parentPort === null || order.entry !== entry) return;
  const port = parentPort, name = order.dfdbTask;
  const post = (message: TaskMessage, transfer: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer);
  if (order.stays) return stay(residents, order, post);
  try {
    const task = Object.hasOwn(tasks, name) ? tasks[name] : undefined;
    if (task === undefined) throw new Error("there is no such task");
    const context = taskContext(order.cell, (value) => post({ type: "progress", value }));
    const value = await task(order.input as never, context);
    post({ type: "result", value }, wholeBuffers(value));
  } catch (thrown) {
    post(failureOf(name, thrown));
  }
}

/** Everything is synchronous: what came while the resident worked waits in the port. */
function stay(residents: Residents, order: TaskOrder, post: (message: TaskMessage) => void): void {
  const { dfdbTask: name, input } = order;
  let resident: Resident | null = null, over = false;
  const guarded = (run: () => void): void => {
    if (over) return;
    try {
      run();
    } catch (thrown) {
      end(failureOf(name, thrown));
    }
  };
  const end = (last: TaskMessage): void => {
    over = true;
    try {
      resident?.close();
      post(last);
    } catch (thrown) {
      post(failureOf(name, thrown));
    }
  };
  guarded(() => {
    const open = Object.hasOwn(residents, name) ? residents[name] : undefined;
    if (open === undefined) throw new Error("there is no such resident");
    resident = open(input as never, (value) => post({ type: "progress", value }));
  });
  parentPort?.on("message", (message: ThreadMessage) =>
    guarded(() => {
      if (message.type === "message") resident?.receive(message.value);
      else end({ type: "result", value: null });
    }));
}

function taskContext(cell: Int32Array, progress: (value: unknown) => void): TaskContext {
  let holding = false;
  const stopped = (): DfdbError => new DfdbError("closing", "the task was stopped");
  const released = <Result>(run: () => Result): Result => {
    try {
      return run();
    } finally {
      holding = false;
      endHold(cell);
    }
  };
  return {
    progress(value) {
      if (stopRequested(cell)) throw stopped();
      progress(value);
    },
    hold(run) {
      if (holding) return run();
      if (!beginHold(cell)) throw stopped();
      holding = true;
      const result = released(run);
      if (stopRequested(cell)) throw stopped();
      return result;
    },
    get stopped() {
      return stopRequested(cell);
    },
  };
}

/** Buffers of the Uint8Arrays in `value` (itself or its fields) that have their buffer for themselves. */
function wholeBuffers(value: unknown): ArrayBuffer[] {
  if (typeof value !== "object" || value === null) return [];
  const found = new Set<ArrayBuffer>();
  for (const part of value instanceof Uint8Array ? [value] : Object.values(value)) {
    if (!(part instanceof Uint8Array) || !(part.buffer instanceof ArrayBuffer)) continue;
    if (part.byteLength === part.buffer.byteLength) found.add(part.buffer);
  }
  return [...found];
}
