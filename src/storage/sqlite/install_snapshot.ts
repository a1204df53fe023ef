import { backup } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import { connect, pragma, transaction } from "./connection.ts";
import { sqliteError } from "./sqlite_error.ts";

/**
 * Replaces the content of the live database `target` by that of `source`, inside `Storage.exchange`: one transaction, on
 * disk when it resolves, all in the WAL; whoever reads keeps the old content to the end of his read transaction. After
 * a crash there is the old content or the new. Checked before with `checkSnapshot`. Not for the main thread: Deno and Bun
 * work synchronously. An abort comes too late or before: the copying itself cannot be cut.
 */
export async function installSnapshot(
  { source, target }: { readonly source: string; readonly target: string },
  crashPoint: CrashPoint = () => {},
): Promise<{ readonly pages: number }> {
  try {
    const from = connect(source, true);
    try {
      const pages = Number(pragma(from, "page_count"));
      expectUnlocked(target);
      crashPoint("install:before");
      // All pages in one step: between steps a reader of `target` could make it begin anew.
      const copied = await backup(from, target, { rate: pages + 1 });
      if (copied !== pages) {
        throw new DfdbError("io_error", `${source}: ${copied} pages of ${pages} were installed`);
      }
      crashPoint("install:after");
      return { pages };
    } finally {
      from.close();
    }
  } catch (thrown) {
    throw sqliteError(thrown, `installing ${source} into ${target}`);
  }
}

/** Throws when another connection writes. Deno's backup would wait for it for ever. */
function expectUnlocked(target: string): void {
  const db = connect(target, false);
  try {
    pragma(db, "busy_timeout = 0");
    transaction(db, () => {});
  } finally {
    db.close();
  }
}
