import { limits } from "../../base/limits.ts";
import { connect, pragma, transaction } from "./connection.ts";
import { mapped } from "./sqlite_error.ts";

/**
 * Copies the whole database, its log included, into the new file `target`, which can be opened like a closed one
 * (`copied_file.ts`). On disk when this returns, its name after a sync of the folder. Throws `disk_full`, `io_error`;
 * the caller removes what is there then.
 */
export function copyDatabase(
  { path, target }: { readonly path: string; readonly target: string },
): { readonly bytes: number } {
  return mapped(`copying ${path} to ${target}`, () => {
    const source = connect(path, true);
    try {
      source.prepare("VACUUM INTO ?").run(target);
    } finally {
      source.close();
    }
    const copy = connect(target, false);
    try {
      pragma(copy, "synchronous = FULL");
      pragma(copy, "fullfsync = ON");
      // Takes back a mark that the source may have; and this COMMIT syncs the whole file, whatever VACUUM did.
      transaction(copy, () => copy.prepare("UPDATE meta SET clean_seq = NULL").run());
      return { bytes: Number(pragma(copy, "page_count")) * limits.pageBytes };
    } finally {
      copy.close();
    }
  });
}
