import type { DfdbError } from "../base/errors.ts";
import type { ShownDatabase } from "../http/database_types.ts";
import { activeBundles } from "./activate_bundle.ts";
import { ServedDatabase } from "./served_database.ts";

/** What became of a database of the catalog. */
export type Attached = ServedDatabase | { readonly error: DfdbError } | "closing";

/** As `GET /databases` shows it. */
export function shownDatabase(
  named: Pick<ShownDatabase, "name" | "filePath" | "isDefault">,
  found: Attached,
): ShownDatabase {
  if (found instanceof ServedDatabase) {
    const { role, storage } = found.database;
    return { ...named, status: "open", role: role.kind, bundles: activeBundles(storage), error: null };
  }
  const shown = { ...named, role: null, bundles: [] };
  if (found === "closing") return { ...shown, status: "closing", error: null };
  const { code, message } = found.error;
  return { ...shown, status: "unavailable", error: { code, message } };
}
