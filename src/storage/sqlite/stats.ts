import type { DatabaseSync } from "node:sqlite";
import { limits } from "../../base/limits.ts";
import type { TimedLogReader } from "../log.ts";
import type { StorageStats } from "../storage.ts";
import { pragma } from "./connection.ts";
import { mapped } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { firstSeq } from "./state.ts";

/** Counts nothing. */
export function statsOf(
  { path, state, writer }: { readonly path: string; readonly state: State; readonly writer: DatabaseSync },
  log: TimedLogReader,
): StorageStats {
  const pageCount = Number(mapped(path, () => pragma(writer, "page_count")));
  return {
    path,
    fileBytes: pageCount * limits.pageBytes,
    pageCount,
    logEntries: state.position.seq - state.trimmed.position.seq,
    logBytes: state.endBytes - state.trimmed.endBytes,
    logFirstMs: log.wallMsAt(firstSeq(state)),
    collectionsDropped: state.dropped.size,
    indexesBuilding: state.indexes.unfinished.length,
  };
}
