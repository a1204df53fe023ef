/** What `inserters.ts` finds again in a node's `rescued/`. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Member } from "./cluster.ts";

/** The documents' own names, of all rescue files. */
export function rescuedOps({ dataDir }: Member): ReadonlySet<string> {
  const folder = join(dataDir, "rescued"), ops = new Set<string>();
  if (!existsSync(folder)) return ops;
  for (const name of readdirSync(folder).filter((each) => each.endsWith(".jsonl"))) {
    for (const line of readFileSync(join(folder, name), "utf8").split("\n")) {
      if (line === "") continue;
      const { doc } = JSON.parse(line) as { doc?: { op?: string } };
      if (doc?.op !== undefined) ops.add(doc.op);
    }
  }
  return ops;
}
