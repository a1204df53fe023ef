import type { DatabaseSync } from "node:sqlite";
import { DfdbError, messageOf } from "../../base/errors.ts";
import type { DatabaseId } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { Position } from "../log.ts";
import { connect, pragma } from "./connection.ts";
import { isCopy } from "./copied_file.ts";
import { formerIdsTable } from "./former_ids.ts";
import { indexTableOf, triggersOf } from "./index_sql.ts";
import { loadState } from "./load_state.ts";
import { dataFile, tableOf } from "./schema.ts";
import { mapped } from "./sqlite_error.ts";
import { versionTables } from "./version_schema.ts";

export interface SnapshotFound {
  readonly databaseId: DatabaseId;
  readonly position: Position;
  readonly bytes: number;
}

/**
 * Looks through the whole of a received snapshot without changing it. Throws `version` (a newer program made it),
 * `wrong_database` (not `databaseId`, where that is given), `corrupt` (all else that is wrong with it), `io_error`.
 */
export function checkSnapshot(
  { path, databaseId }: { readonly path: string; readonly databaseId: DatabaseId | null },
): SnapshotFound {
  let db: DatabaseSync | null = null;
  try {
    return mapped(`checking ${path}`, () => {
      db = connect(path, true);
      const found = look(db, path);
      if (databaseId !== null && found.databaseId !== databaseId) {
        const message = `${path} is of database ${found.databaseId}, not ${databaseId}`;
        throw new DfdbError("wrong_database", message, {
          details: { own: databaseId, other: found.databaseId },
        });
      }
      return found;
    });
  } catch (thrown) {
    if (!(thrown instanceof DfdbError) || thrown.code !== "data_corrupt") throw thrown;
    throw new DfdbError("corrupt", messageOf(thrown), { cause: thrown });
  } finally {
    (db as DatabaseSync | null)?.close();
  }
}

function look(db: DatabaseSync, path: string): SnapshotFound {
  const corrupt = (what: string): DfdbError => new DfdbError("corrupt", `${path} is no snapshot: ${what}`);
  const id = pragma(db, "application_id"), version = Number(pragma(db, "user_version"));
  if (id !== dataFile.applicationId) throw corrupt("a file of another program, or not finished");
  if (version !== dataFile.version) {
    const message = `${path} has format ${version}; this version of dfdb installs format ${dataFile.version}`;
    throw new DfdbError("version", message, { details: { found: version, known: dataFile.version } });
  }
  if (!isCopy(db)) throw corrupt("it was in use");
  const pageBytes = pragma(db, "page_size");
  if (pageBytes !== limits.pageBytes) throw corrupt(`pages of ${pageBytes} bytes`);
  const check = pragma(db, "quick_check(1)");
  if (check !== "ok") throw corrupt(String(check));
  const { databaseId, state } = loadState(db, path);
  const indexes = [...state.indexes.all()];
  const wanted = [
    ...["collections", "indexes", "log", "meta", "terms"],
    ...[...state.collections.keys()].map(tableOf),
    ...indexes.map(({ number }) => indexTableOf(number)),
    // A whole copy has what was dropped and is not freed yet, as it has such collections.
    ...[...state.indexes.dropped].map(indexTableOf),
    ...(state.bundle === null ? [] : versionTables),
    ...(state.former.length === 0 ? [] : [formerIdsTable]),
  ];
  const named = (sql: string): string =>
    db.prepare(sql).all().map(({ text }) => String(text)).sort().join("\n");
  if (
    named("SELECT name AS text FROM sqlite_schema WHERE type IN ('table', 'view')") !==
      wanted.sort().join("\n")
  ) {
    throw corrupt("its tables are not those of its catalog");
  }
  // What a trigger does is done by every write from now on.
  const triggers = indexes.flatMap(triggersOf).sort().join("\n");
  if (named("SELECT sql AS text FROM sqlite_schema WHERE type = 'trigger'") !== triggers) {
    throw corrupt("its triggers are not those of its indexes");
  }
  return { databaseId, position: state.position, bytes: Number(pragma(db, "page_count")) * limits.pageBytes };
}
