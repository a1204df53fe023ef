/** Versions as clients name them. */
import { runIdOf, seqOf } from "../base/ids.ts";
import type { Dot } from "./run_tree.ts";

const form = "[0-9a-f]{32}-[1-9][0-9]{0,15}";

/** `<run, 32 hex>-<seq>` of the entry that made the version: the same on every node that has it, for ever. */
export function versionId({ run, seq }: Dot): string {
  return `${run}-${seq}`;
}

/** Null: no version has such an id. */
export function parseVersionId(text: string): Dot | null {
  if (!new RegExp(`^${form}$`).test(text)) return null;
  const seq = Number(text.slice(33));
  return Number.isSafeInteger(seq) ? { run: runIdOf(text.slice(0, 32)), seq: seqOf(seq) } : null;
}

const inKey = new RegExp(`^(.+)/conflicts/(${form})$`, "s");

/** A version's own key taken apart, `<key>/conflicts/<id>`; null: it is none, and a document's. */
export function versionKey(key: string): { readonly key: string; readonly id: string } | null {
  const match = inKey.exec(key);
  return match === null ? null : { key: match[1] as string, id: match[2] as string };
}
