/** The queries of this node: what carries out statements, over its data file. */
import type { Logger } from "../base/logger.ts";
import { newDocumentIds } from "../document/new_id.ts";
import type { Engine } from "../engine/engine.ts";
import { queries } from "../engine/queries.ts";
import type { QueryRoom } from "../engine/query_room.ts";
import { QueryThreads } from "../engine/query_threads.ts";
import type { Queries } from "../engine/query_types.ts";
import { writeStatements } from "../engine/query_writes.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Storage } from "../storage/storage.ts";
import type { Settings } from "./settings.ts";

export interface NodeQueriesOptions {
  readonly runtime: Pick<Runtime, "clock" | "random" | "workers">;
  readonly settings: Pick<Settings, "documentBytesMax" | "nestingMax">;
  readonly storage: Storage;
  readonly engine: Pick<Engine, "submit">;
  readonly dataPath: string;
  readonly logger: Logger;
  /** Shared by the databases of a node. */
  readonly room?: QueryRoom | undefined;
}

/** To be closed before the engine is. */
export function nodeQueries(options: NodeQueriesOptions): Queries {
  const { runtime: { clock, random, workers }, settings, storage, engine, logger } = options;
  const documentLimits = { bytesMax: settings.documentBytesMax, nestingMax: settings.nestingMax };
  const newId = newDocumentIds(random, clock);
  return queries({
    storage,
    clock,
    newId,
    threads: new QueryThreads({ workers, clock, path: options.dataPath, storage, room: options.room }),
    write: writeStatements({ engine, storage, clock, logger, newId, documentLimits }),
  });
}
