/** dfdb as a library on Bun: what `import ... from "dfdb"` gives there. */
import type {
  EmbeddedDatabase,
  Logger,
  NodeOptions,
  OpenDatabaseOptions,
  RunningNode,
  Settings,
} from "../../src/mod.ts";
import { openDatabase as openOn, silentLogger, startNode as startOn } from "../../src/mod.ts";
import { bunRuntime } from "./mod.ts";

export * from "../../src/mod.ts";
export { bunRuntime as currentRuntime };

/** Opens the database at `path`, or makes it, without HTTP: see `openDatabase` in `src/node/open_database.ts`. */
export function openDatabase(
  path: string,
  options: Omit<OpenDatabaseOptions, "runtime"> = {},
): Promise<EmbeddedDatabase> {
  return openOn(path, { ...options, runtime: bunRuntime() });
}

/** Starts a node with its HTTP API, as `dfdb serve` does. */
export function startNode(
  settings: Settings,
  logger: Logger = silentLogger,
  options: NodeOptions = {},
): Promise<RunningNode> {
  return startOn(bunRuntime(), settings, logger, options);
}
