import { Worker } from "node:worker_threads";
import type { DfdbError } from "../../src/base/errors.ts";
import { messageOf } from "../../src/base/errors.ts";
import type { OpenOptions, OpenThread, RunOptions, Workers } from "../../src/runtime/workers.ts";
import { requestStop, stopCell } from "./stop_cell.ts";
import type { TaskMessage, TaskOrder, ThreadMessage } from "./task_message.ts";
import { errorOf, failureOf } from "./task_message.ts";

/** One thread a run or resident, from node:worker_threads, which all three runtimes have. `entry`: URL of what threads load. */
export function workersOf(entry: string): Workers {
  return {
    run: <Output>(task: string, input: unknown, options: RunOptions = {}) => {
      if (options.signal?.aborted === true) return Promise.reject(options.signal.reason);
      return runTask(entry, task, input, options) as Promise<Output>;
    },
    open: (resident, input, options) => openThread(entry, resident, input, options),
  };
}

function startThread(order: TaskOrder, transfer: readonly ArrayBuffer[]): Worker {
  try {
    return new Worker(new URL(order.entry), { workerData: order, transferList: [...transfer] });
  } catch (thrown) {
    throw errorOf(failureOf(order.dfdbTask, thrown));
  }
}

/**
 * The first of answer, failure, death and abort decides; then the thread is ended, and only when it is gone the
 * promise settles: what the task had open is closed by then.
 */
async function runTask(entry: string, task: string, input: unknown, options: RunOptions): Promise<unknown> {
  const { signal, onProgress, transfer = [] } = options;
  const cell = stopCell();
  const worker = startThread({ dfdbTask: task, entry, input, cell, stays: false }, transfer);
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let settle: (() => void) | null = null;

  const end = (): void => void worker.terminate();
  const decide = (how: () => void): void => void (settle ??= how);
  const died = (why: string): void => decide(() => reject(errorOf(failureOf(task, new Error(why)))));
  const stop = (reason: unknown): void => {
    decide(() => reject(reason));
    if (requestStop(cell)) end();
  };
  const abort = (): void => stop(signal?.reason);
  signal?.addEventListener("abort", abort);

  worker.on("message", (message: TaskMessage) => {
    if (message.type !== "progress") {
      decide(() => message.type === "result" ? resolve(message.value) : reject(errorOf(message)));
      return end();
    }
    if (settle !== null) return;
    try {
      onProgress?.(message.value);
    } catch (thrown) {
      stop(thrown);
    }
  });
  worker.on("messageerror", (error) => {
    died(`a message could not be read: ${messageOf(error)}`);
    end();
  });
  worker.on("error", (error) => {
    died(messageOf(error));
    end();
  });
  worker.on("exit", (code) => {
    signal?.removeEventListener("abort", abort);
    died(`the thread ended without an answer (exit code ${code})`);
    settle?.();
  });
  return await promise;
}

function openThread(
  entry: string,
  resident: string,
  input: unknown,
  { onMessage, onEnd }: OpenOptions,
): OpenThread {
  let worker: Worker;
  try {
    worker = startThread({ dfdbTask: resident, entry, input, cell: stopCell(), stays: true }, []);
  } catch (thrown) {
    void Promise.resolve().then(() => onEnd(thrown as DfdbError));
    return { post: () => {}, end: () => {} };
  }
  let why: DfdbError | null | undefined;
  const over = (error: DfdbError | null): void => {
    if (why === undefined) why = error;
    void worker.terminate();
  };
  const died = (sentence: string): void => over(errorOf(failureOf(resident, new Error(sentence))));
  const post = (message: ThreadMessage): void => {
    if (why === undefined) worker.postMessage(message);
  };
  worker.on("message", (message: TaskMessage) => {
    if (why !== undefined) return;
    if (message.type === "progress") onMessage(message.value);
    else over(message.type === "result" ? null : errorOf(message));
  });
  worker.on("messageerror", (error) => died(`a message could not be read: ${messageOf(error)}`));
  worker.on("error", (error) => died(messageOf(error)));
  worker.on("exit", (code) => {
    died(`the thread ended by itself (exit code ${code})`);
    onEnd(why ?? null);
  });
  return { post: (value) => post({ type: "message", value }), end: () => post({ type: "end" }) };
}
