/** What a subcommand works on: a node by its URL, or a database file that it opens itself. */
import { DfdbError } from "../base/errors.ts";
import { lineLogger } from "../node/logging.ts";
import { openLocalApi } from "../node/local_api.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { HttpClient } from "./http_client.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";

export interface Target {
  /** The URL, or the file as it was given. */
  readonly name: string;
  /** Null: it is a file. */
  readonly url: string | null;
  readonly client: HttpClient;
  close(): Promise<void>;
}

export interface TargetOptions {
  readonly apiKey?: string | undefined;
  /** Makes the file where there is none. Default: false. */
  readonly create?: boolean;
  /** A whole answer must be here in that time, ms. */
  readonly timeoutMs?: number;
  /** A streamed answer must go on within that time, ms. */
  readonly silenceMs?: number;
}

/** `http://host:5000`, `https://…`, `host:5000`; whatever else is a file. */
export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) || /^([\w.-]+|\[[0-9a-f:]+\]):\d{1,5}$/i.test(text);
}

/** Rejects with `not_found`, `data_locked`, ... where a file cannot be opened; whether a node answers shows later. */
export async function openTarget(
  runtime: Runtime,
  given: string,
  { apiKey, create = false, ...times }: TargetOptions,
): Promise<Target> {
  if (isUrl(given)) {
    const client = httpClient(runtime, { url: given, apiKey: apiKeyOf(runtime, apiKey), ...times });
    return { name: client.url, url: client.url, client, close: () => Promise.resolve() };
  }
  const logger = lineLogger("error", (line) => runtime.process.stderr(line));
  try {
    const local = await openLocalApi({ runtime, logger, path: given, create });
    const { clock } = runtime;
    const client = httpClient({ fetch: local.fetch, clock }, {
      url: "http://localhost",
      name: given,
      apiKey: null,
      ...times,
    });
    return { name: given, url: null, client, close: () => local.close() };
  } catch (error) {
    throw withAdvice(error, given);
  }
}

function withAdvice(error: unknown, given: string): unknown {
  if (!(error instanceof DfdbError) || error.code !== "data_locked") return error;
  return new DfdbError(
    error.code,
    `${error.message}: give the URL of that node in the place of ${given}`,
    { details: error.details, cause: error },
  );
}

/** Runs `run` with an open target, and closes it whatever happens. */
export async function withTarget<Result>(
  runtime: Runtime,
  given: string,
  options: TargetOptions,
  run: (target: Target) => Promise<Result>,
): Promise<Result> {
  const target = await openTarget(runtime, given, options);
  try {
    return await run(target);
  } finally {
    await target.close();
  }
}

/** Aborted by SIGINT and SIGTERM until `end` is called. */
export function stopSignal({ process }: Runtime): { readonly signal: AbortSignal; end(): void } {
  const stop = new AbortController();
  const end = process.onStopSignal((name) => stop.abort(new DfdbError("closing", `stopped by ${name}`)));
  return { signal: stop.signal, end };
}
