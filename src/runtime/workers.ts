/**
 * Long synchronous work away from the main thread. A task is a named function in a table that the program is built
 * with (`src/node/tasks.ts`): no file names, so that it works from sources, from `dist/` and inside one executable.
 */
export interface Workers {
  /**
   * Runs `task` in a thread of its own, which is gone when the promise settles. `input`, progress and output are
   * structured clones; a Uint8Array in the output (itself or a field) that fills its buffer is moved, not copied.
   *
   * Rejects with what the task threw as a DfdbError of the same code (`internal` if it was none or if the thread
   * died), or with the reason of `signal`.
   */
  run<Output>(task: string, input: unknown, options?: RunOptions): Promise<Output>;
}

export interface RunOptions {
  /**
   * Ends the thread. A task inside {@linkcode TaskContext.hold} is let finish that first: a running SQLite statement
   * cannot be cut on any runtime. Deno cannot cut running JavaScript either: long loops look at `stopped`.
   */
  readonly signal?: AbortSignal;
  /** What the task reports, in order, all before the promise settles; nothing after an abort. */
  readonly onProgress?: (value: unknown) => void;
  /** Buffers in `input` that are moved instead of copied: the caller has them no longer. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** What a task has of its surroundings. */
export interface TaskContext {
  /** Reports to the caller. Throws once the run was aborted. */
  progress(value: unknown): void;
  /**
   * Runs `run`, which the thread is not ended in: for everything between opening and closing a connection or a file.
   * (A runtime may not close what an ended thread had open; its read transaction would pin the WAL for ever.) Throws
   * when the run was aborted meanwhile.
   */
  hold<Result>(run: () => Result): Result;
  /** True once the run was aborted: long work, in slices, ends early. */
  readonly stopped: boolean;
}

/** One entry of a table of tasks. May answer later, but `hold` is for what is synchronous. */
export type Task = (input: never, context: TaskContext) => unknown;

/** Name → task. */
export type Tasks = Readonly<Record<string, Task>>;
