/** A database file opened in this process, with the HTTP API in front of it and no port: what a node would answer, a file answers. */
import { DfdbError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { HttpHandler } from "../runtime/http_host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { DatabasePaths } from "./database.ts";
import { openNodeDatabase } from "./database.ts";
import { catalogued } from "./database_paths.ts";
import { httpHandler } from "./serve_http.ts";
import { defaultSettings } from "./settings.ts";

export interface LocalApi {
  /** The contract of a Runtime's `fetch`; host and port of the URL do not matter. */
  readonly fetch: (url: string, init?: RequestInit) => Promise<Response>;
  /** Resolves with why the database cannot go on (the disk failed in a commit). */
  readonly failed: Promise<DfdbError>;
  close(): Promise<void>;
}

export interface LocalApiOptions {
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** The data file. */
  readonly path: string;
  /** Makes it where there is none. */
  readonly create: boolean;
}

/**
 * Opens the file as its node would: one in the data folder of `dfdb serve` with that node's identity and role, another one as
 * `openDatabase` does. Rejects with `not_found`, `data_locked` (a node has it open), ..., as opening a database does.
 */
export async function openLocalApi({ runtime, logger, path, create }: LocalApiOptions): Promise<LocalApi> {
  const { files, clock } = runtime, data = files.absolute(path);
  if (!create && await files.size(data) === null) {
    throw new DfdbError("not_found", `There is no file ${path}`);
  }
  const named = await catalogued(files, data);
  const database = await openNodeDatabase({
    runtime,
    settings: defaultSettings(),
    logger,
    paths: named?.paths ?? await pathsOf(runtime, data),
    ...(named === null ? {} : { name: named.name }),
    httpUrl: null,
    role: "kept",
  });
  const { handler, close } = httpHandler(database, clock.monotonic());
  return {
    fetch: localFetch(handler),
    failed: database.failed,
    async close() {
      await close();
      await database.close();
    },
  };
}

/** `data.dfdb` with `node.dfdb` beside it belongs to that node, unless a program has embedded it. */
export async function pathsOf({ files }: Pick<Runtime, "files">, data: string): Promise<DatabasePaths> {
  const folder = files.directory(data), node = files.join(folder, "node.dfdb");
  const served = data === files.join(folder, "data.dfdb") && await files.size(node) !== null &&
    await files.size(`${data}.node`) === null;
  return served
    ? { data, node, snapshots: files.join(folder, "snapshots"), rescued: files.join(folder, "rescued") }
    : { data, node: `${data}.node`, snapshots: `${data}.snapshots`, rescued: `${data}.rescued` };
}

function localFetch(handler: HttpHandler): LocalApi["fetch"] {
  return async (url, init = {}) => {
    const { signal } = init;
    signal?.throwIfAborted();
    const answer = Promise.resolve(handler(new Request(url, init), { hostname: "127.0.0.1" }));
    if (signal == null) return await answer;
    const { promise: cut, reject } = Promise.withResolvers<never>();
    const stop = (): void => reject(signal.reason);
    signal.addEventListener("abort", stop);
    try {
      return cutBy(signal, await Promise.race([answer, cut]));
    } finally {
      signal.removeEventListener("abort", stop);
      cut.catch(() => {});
    }
  };
}

/** As over a connection: `signal` ends the reading of the body, on both sides. */
function cutBy(signal: AbortSignal, response: Response): Response {
  if (response.body === null) return response;
  const reader = response.body.getReader();
  let over = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      signal.addEventListener("abort", () => {
        if (over) return;
        over = true;
        reader.cancel(signal.reason).catch(() => {});
        controller.error(signal.reason);
      }, { once: true });
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      if (over) return;
      over = done;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(reason) {
      over = true;
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
  return new Response(body, response);
}
