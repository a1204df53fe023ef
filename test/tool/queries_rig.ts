/** Queries over a real data file and real worker threads, without a node around them. */
import { documentIdOf, wallMsOf } from "../../src/base/ids.ts";
import { queries } from "../../src/engine/queries.ts";
import type { FromQueryThread, ToQueryThread } from "../../src/engine/query_messages.ts";
import { QueryThreads } from "../../src/engine/query_threads.ts";
import type { Queries, QueryAnswer, QueryOptions, WriteStatement } from "../../src/engine/query_types.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Workers } from "../../src/runtime/workers.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { beginTerm, inFolder, put, testOptions, wall } from "../suites/storage_fixture.ts";
import { currentRuntime } from "./current_runtime.ts";
import { steps } from "./query_database.ts";

export interface QueriesRig {
  readonly runtime: Runtime;
  readonly path: string;
  readonly storage: Storage;
  readonly queries: Queries;
  readonly threads: QueryThreads;
  /** Chunks that came from threads so far. */
  readonly chunks: () => number;
  /** Readings that were left and whose thread is free again. */
  readonly left: () => number;
  /** Statements that were compiled for what was not there any more. */
  readonly stale: () => number;
  /** Called with what is posted to a thread, before it goes there. */
  onPost: (message: ToQueryThread) => void;
  /** Default: nobody expects one. */
  write: WriteStatement;
  /** Writes documents `o<from>`, ... in one entry for 500; the collection is made when it is not there. */
  fill(collection: string, count: number, body: (i: number) => string, from?: number): void;
  /** Makes an index and fills it. */
  index(collection: string, name: string, unique: boolean, ...paths: readonly string[]): void;
  drop(collection: string): void;
  /** The time is over of all statements that were given more than a minute. */
  hurry(): void;
  all(sql: string, options?: QueryOptions): Promise<AllRows>;
  /** Resolves when `holds`; looks every 10 ms. */
  until(holds: () => boolean): Promise<void>;
}

/** An answer, read to its end. */
export interface AllRows extends Pick<QueryAnswer, "plan" | "whole"> {
  readonly rows: readonly string[];
}

export async function allRows({ plan, whole, rows }: QueryAnswer): Promise<AllRows> {
  const all: string[] = [];
  for await (const chunk of rows) for (const row of chunk) all.push(row);
  return { plan, whole, rows: all };
}

export function withQueries(run: (rig: QueriesRig) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const runtime = currentRuntime(),
      path = `${folder}/data.dfdb`,
      storage = await openStorage(testOptions(path));
    let chunks = 0, left = 0, stale = 0;
    const workers: Pick<Workers, "open"> = {
      open(resident, input, options) {
        const thread = runtime.workers.open(resident, input, {
          onEnd: options.onEnd,
          onMessage(message) {
            const { type } = message as FromQueryThread;
            if (type === "chunk") chunks++;
            if (type === "left") left++;
            if (type === "stale") stale++;
            options.onMessage(message);
          },
        });
        const post = (message: unknown): void => {
          rig.onPost(message as ToQueryThread);
          thread.post(message);
        };
        return { post, end: () => thread.end() };
      },
    };
    const late: (() => void)[] = [];
    const { clock } = runtime, threads = new QueryThreads({ workers, clock, path, storage });
    let lastId = 0;
    const made = queries({
      storage,
      clock: {
        ...clock,
        wall: () => wallMsOf(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
        timer(ms, run) {
          if (ms > 60_000) late.push(run);
          return clock.timer(ms, run);
        },
      },
      threads,
      newId: () => documentIdOf(`new${++lastId}`),
      write: (statement, context) => rig.write(statement, context),
    });
    storage.write((tx) => void tx.append([beginTerm(1, "1")], wall));
    const rig: QueriesRig = {
      runtime,
      path,
      storage,
      queries: made,
      threads,
      chunks: () => chunks,
      left: () => left,
      stale: () => stale,
      onPost: () => {},
      write: () => Promise.reject(new Error("nobody writes here")),
      fill: (collection, count, body, from = 0) => fill(storage, collection, count, body, from),
      index: (collection, name, unique, ...paths) => index(storage, collection, name, unique, paths),
      drop(name) {
        const collection = storage.read((view) => view.collection(name))!.number;
        storage.write((tx) => void tx.append([{ kind: "dropCollection", collection }], wall));
      },
      hurry: () => late.splice(0).forEach((run) => run()),
      async until(holds) {
        while (!holds()) await new Promise<void>((resolve) => void clock.timer(10, resolve));
      },
      all: async (sql, options) => await allRows(await made.run(sql, options)),
    };
    try {
      await run(rig);
    } finally {
      await made.close();
      storage.close();
    }
  });
}

function fill(
  storage: Storage,
  name: string,
  count: number,
  body: (i: number) => string,
  from: number,
): void {
  for (let at = from; at < from + count; at += 500) {
    storage.write((tx) => {
      const known = tx.collection(name)?.number, collection = known ?? tx.newCollectionNumber();
      if (known === undefined) tx.append([{ kind: "createCollection", collection, name }], wall);
      const some = Math.min(500, from + count - at);
      tx.append(Array.from({ length: some }, (_, i) => put(collection, `o${at + i}`, 0, body(at + i))), wall);
    });
  }
}

function index(storage: Storage, of: string, name: string, unique: boolean, paths: readonly string[]): void {
  const collection = storage.read((view) => view.collection(of))!.number;
  const definition = { name, unique, time: false, paths: paths.map(steps) };
  storage.prepareIndex(collection, definition);
  while (storage.buildSlice());
  storage.write((tx) => void tx.append([{ kind: "createIndex", collection, ...definition }], wall));
}
