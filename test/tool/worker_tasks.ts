/** Tasks of tests: what a worker thread loads in `runtime_worker_suite.ts`. */
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { answerTask } from "../../adapters/shared/task_thread.ts";
import { DfdbError } from "../../src/base/errors.ts";
import type { Resident, Residents, TaskContext, Tasks } from "../../src/runtime/workers.ts";
import { limits } from "../../src/base/limits.ts";

function spin(ms: number): number {
  const end = performance.now() + ms;
  let turns = 0;
  while (performance.now() < end) turns++;
  return turns;
}

/** Opens `path` in a read transaction, says so, and works until it is stopped. */
function readUntilStopped({ path }: { readonly path: string }, context: TaskContext): never {
  return context.hold(() => {
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      db.exec("BEGIN");
      db.prepare("SELECT count(*) FROM t").get();
      context.progress("reading");
      while (!context.stopped) spin(1);
      spin(50);
      throw new Error("came to its end");
    } finally {
      db.close();
    }
  });
}

/** Ends only with the thread: the timer keeps that alive. */
const never = (): Promise<never> => new Promise(() => void setInterval(() => {}, 2 ** 30));

export const testTasks = {
  echo: (input: unknown) => input,
  later: async (input: unknown) => await Promise.resolve(input),
  bytes: ({ length }: { readonly length: number }) => ({ bytes: new Uint8Array(length).fill(7), length }),
  refuse: () => {
    throw new DfdbError("disk_full", "no room", { details: { missing: limits.pageBytes } });
  },
  bug: () => {
    throw new TypeError("a bug");
  },
  uncloneable: () => () => {},
  uncaught: async () => {
    setTimeout(() => {
      throw new Error("nobody catches this");
    });
    await never();
  },
  exit: () => process.exit(3),
  count: ({ to }: { readonly to: number }, { progress }: TaskContext) => {
    for (let i = 1; i <= to; i++) progress(i);
    return to;
  },
  spin: ({ ms }: { readonly ms: number }) => spin(ms) > 0,
  idle: async (_: null, { progress }: TaskContext) => {
    progress("begun");
    await never();
  },
  loop: (_: null, context: TaskContext) => {
    context.progress("begun");
    // Not for ever where it holds up the thread that is to stop it.
    for (let turns = 0; !context.stopped && turns < 6_000; turns++) spin(5);
  },
  rows: ({ path }: { readonly path: string }, context: TaskContext) =>
    context.hold(() => {
      const db = new DatabaseSync(path, { readOnly: true });
      try {
        return Number(db.prepare("SELECT count(*) AS n FROM t").get()?.["n"]);
      } finally {
        db.close();
      }
    }),
  readUntilStopped,
} satisfies Tasks;

/** Counts, keeps a read transaction open, says what it is told to. */
function talker(
  { path, greeting }: { readonly path: string | null; readonly greeting: string },
  post: (message: unknown) => void,
): Resident {
  const db = path === null ? null : new DatabaseSync(path, { readOnly: true });
  db?.exec("BEGIN");
  db?.prepare("SELECT count(*) FROM t").get();
  post(greeting);
  let count = 0;
  return {
    receive(message) {
      if (message === "refuse") throw new DfdbError("disk_full", "no room", { details: { count } });
      if (message === "exit") process.exit(3);
      if (message === "spin") spin(200);
      post({ message, count: ++count });
    },
    close() {
      db?.close();
    },
  };
}

export const testResidents = {
  talker,
  broken: () => {
    throw new TypeError("a bug");
  },
} satisfies Residents;

/** For the option `workerMain` of a runtime. */
export const testWorkerMain: string = import.meta.url;

void answerTask(testTasks, testWorkerMain, testResidents);
