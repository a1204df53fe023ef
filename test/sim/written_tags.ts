/** Which entry wrote which tag: each is unique in the world, so it can be in one entry at most. */
import type { Put } from "../../src/document/operation.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { tokenOf } from "./history_tree.ts";
import { Violation } from "./types.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export class WrittenTags {
  readonly #entries = new Map<string, Entry>();
  /** With why they may never be written. */
  readonly #refused = new Map<string, string>();

  /** Follows `history` from its beginning. Throws a violation of `promises` for a tag that is there twice or was refused. */
  constructor(history: History) {
    history.onEntry((entry) => {
      for (const operation of entry.operations) if (operation.kind === "put") this.#add(entry, operation);
    });
  }

  /** The entry that wrote `tag`; null: none did. */
  entry(tag: string): Entry | null {
    return this.#entries.get(tag) ?? null;
  }

  /** From now on no entry may have `tag`; throws when one has. */
  refuse(tag: string, why: string): void {
    const entry = this.#entries.get(tag);
    if (entry !== undefined) throw refusedAndWritten(tag, why, entry);
    this.#refused.set(tag, why);
  }

  #add(entry: Entry, put: Put): void {
    const tag = tagOf(put);
    if (tag === null) return;
    const other = this.#entries.get(tag), refused = this.#refused.get(tag);
    if (other !== undefined) {
      throw new Violation("promises", `${tag} was written twice: by ${tokenOf(other)} and ${tokenOf(entry)}`);
    }
    if (refused !== undefined) throw refusedAndWritten(tag, refused, entry);
    this.#entries.set(tag, entry);
  }
}

function refusedAndWritten(tag: string, why: string, entry: Entry): Violation {
  return new Violation("promises", `${tag} was refused (${why}), and it is in entry ${tokenOf(entry)}`);
}

/** The member `tag` of a document, which clients put first; null: it has none. */
export function tagOf({ body }: Pick<Put, "body">): string | null {
  const match = /^\{"tag":("[^"\\]*")/.exec(decoder.decode(body.subarray(0, 300)));
  if (match !== null) return JSON.parse(match[1] as string) as string;
  const { tag } = JSON.parse(decoder.decode(body)) as { tag?: unknown };
  return typeof tag === "string" ? tag : null;
}
