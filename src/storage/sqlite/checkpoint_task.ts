import { connect, pragma } from "./connection.ts";
import { checkpoint } from "./maintenance.ts";
import { mapped } from "./sqlite_error.ts";

/**
 * Moves the WAL of a database that is open elsewhere into its data file, as far as readers allow and without making
 * anybody wait: for more pages than the main thread should move itself. `left`: pages that stayed.
 */
export function checkpointFile(
  { path }: { readonly path: string },
): { readonly pages: number; readonly left: number } {
  return mapped(`moving the WAL of ${path} into it`, () => {
    const db = connect(path, false);
    try {
      pragma(db, "synchronous = FULL");
      pragma(db, "wal_autocheckpoint = 0");
      pragma(db, "fullfsync = ON");
      pragma(db, "checkpoint_fullfsync = ON");
      const { log, checkpointed } = checkpoint(db, "passive");
      return { pages: checkpointed, left: log - checkpointed };
    } finally {
      db.close();
    }
  });
}
