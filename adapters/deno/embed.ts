/** dfdb as a library on Deno: what `import ... from "dfdb"` gives there. */
import type {
  EmbeddedDatabase,
  Logger,
  NodeOptions,
  OpenDatabaseOptions,
  RunningNode,
  Settings,
} from "../../src/mod.ts";
import { openDatabase as openOn, silentLogger, startNode as startOn } from "../../src/mod.ts";
import { denoRuntime } from "./mod.ts";

export * from "../../src/mod.ts";
export { denoRuntime as currentRuntime };

/** Opens the database at `path`, or makes it, without HTTP: see `openDatabase` in `src/node/open_database.ts`. */
export function openDatabase(
  path: string,
  options: Omit<OpenDatabaseOptions, "runtime"> = {},
): Promise<EmbeddedDatabase> {
  return openOn(path, { ...options, runtime: denoRuntime() });
}

/** Starts a node with its HTTP API, as `dfdb serve` does. */
export function startNode(
  settings: Settings,
  logger: Logger = silentLogger,
  options: NodeOptions = {},
): Promise<RunningNode> {
  return startOn(denoRuntime(), settings, logger, options);
}
