import type { DfdbError } from "../base/errors.ts";

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
  /**
   * Starts a thread that stays, with the resident of that name in it, and talks with it in messages, which are structured clones. Its failure
   * to start is told by `onEnd`, as its end.
   */
  open(resident: string, input: unknown, options: OpenOptions): OpenThread;
}

export interface OpenOptions {
  /** What the resident posts, in order. Must not throw. */
  readonly onMessage: (message: unknown) => void;
  /**
   * Called once, last, when the thread is gone and what it had open is closed. Null: it was told to end. Else what it threw as a
   * DfdbError of the same code (`internal` if it was none or if the thread died).
   */
  readonly onEnd: (error: DfdbError | null) => void;
}

export interface OpenThread {
  /** Nothing comes of it once the thread was told to end, or has ended. */
  post(message: unknown): void;
  /**
   * The resident closes what it has open when it has finished the message that it is at: no thread is cut while it has a
   * connection ({@linkcode TaskContext.hold} says why).
   */
  end(): void;
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

/** What lives in a thread that stays. One call at a time; when one throws, `close` is called and the thread is gone. */
export interface Resident {
  receive(message: unknown): void;
  close(): void;
}

/** One entry of a table of residents; `post` reports to who opened it. */
export type OpenResident = (input: never, post: (message: unknown) => void) => Resident;

/** Name → how it begins. */
export type Residents = Readonly<Record<string, OpenResident>>;

/** Name → task. */
export type Tasks = Readonly<Record<string, Task>>;
