/** Which databases a node has besides `default`: `databases.json` in its data folder, of this node alone. */
import * as v from "valibot";
import { utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { defaultDatabase } from "../http/needed_scope.ts";
import type { Files } from "../runtime/files.ts";

const entry = v.object({
  name: v.string(),
  /** Of the data file, from the data folder. */
  path: v.string(),
  /** It is being dropped: its files are to be deleted, and nothing else is done with it. */
  dropping: v.optional(v.boolean(), false),
});
const catalog = v.object({ version: v.literal(1), default: v.string(), databases: v.array(entry) });

export type CatalogEntry = v.InferOutput<typeof entry>;

export interface Catalog {
  /** What flat paths mean. */
  readonly default: string;
  /** Without the database `default`. */
  readonly databases: readonly CatalogEntry[];
}

const empty: Catalog = { default: defaultDatabase, databases: [] };

export const catalogName = "databases.json";

/** Throws `data_corrupt`: a node that took it for empty would take its databases for gone. */
export async function readCatalog(files: Files, dataDir: string): Promise<Catalog> {
  const path = files.join(dataDir, catalogName), bytes = await files.read(path);
  if (bytes === null) return empty;
  try {
    return v.parse(catalog, JSON.parse(utf8Text(bytes)));
  } catch (cause) {
    throw new DfdbError("data_corrupt", `${path} is damaged`, { cause });
  }
}

/** Durable when it resolves. */
export async function writeCatalog(files: Files, dataDir: string, next: Catalog): Promise<void> {
  const text = `${JSON.stringify({ version: 1, ...next }, null, 2)}\n`;
  await files.writeAtomic(files.join(dataDir, catalogName), utf8(text));
}
