/** Which entry wrote which tag: each is unique in the world, so it can be in one entry at most; of a request that may be repeated, in one of each branch. */
import { limits } from "../../src/base/limits.ts";
import type { Put } from "../../src/document/operation.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { contains, tokenOf } from "./history_tree.ts";
import { Violation } from "./types.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Marks of tags: of a request with an Idempotency-Key; of a change that several documents may have in common. */
export const repeatable = "+", shared = "*";

export class WrittenTags {
  readonly #entries = new Map<string, readonly Entry[]>();
  /** With why they may never be written. */
  readonly #refused = new Map<string, string>();

  /** Follows `history` from its beginning. Throws a violation of `promises` for a tag that is there twice or was refused. */
  constructor(history: History) {
    history.onEntry((entry) => {
      for (const operation of entry.operations) if (operation.kind === "put") this.#add(entry, operation);
    });
  }

  /** The entry that wrote `tag`, the newest one of several; null: none did. */
  entry(tag: string): Entry | null {
    return this.entries(tag).at(-1) ?? null;
  }

  /** The entries that wrote `tag`: one, unless a request was repeated after the history went another way. */
  entries(tag: string): readonly Entry[] {
    return this.#entries.get(tag) ?? [];
  }

  /** From now on no entry may have `tag`; throws when one has. */
  refuse(tag: string, why: string): void {
    const entry = this.entry(tag);
    if (entry !== null) throw refusedAndWritten(tag, why, entry);
    this.#refused.set(tag, why);
  }

  #add(entry: Entry, put: Put): void {
    const tag = tagOf(put);
    if (tag === null) return;
    const before = this.entries(tag), refused = this.#refused.get(tag);
    const other = before.find((one) => !this.#mayBoth(tag, one, entry));
    if (other !== undefined) {
      throw new Violation("promises", `${tag} was written twice: by ${tokenOf(other)} and ${tokenOf(entry)}`);
    }
    if (refused !== undefined) throw refusedAndWritten(tag, refused, entry);
    if (before.at(-1) !== entry) this.#entries.set(tag, [...before, entry]);
  }

  #mayBoth(tag: string, one: Entry, other: Entry): boolean {
    if (one === other) return tag.endsWith(shared);
    if (!tag.includes(repeatable)) return false;
    return !contains(other, one) || isForgotten(one, other);
  }
}

/** By the clocks of those who wrote them it was so long that the answer is not remembered any more. */
export function isForgotten(before: Entry, after: Entry): boolean {
  return after.wallMs - before.wallMs >= limits.rememberedMs;
}

function refusedAndWritten(tag: string, why: string, entry: Entry): Violation {
  return new Violation("promises", `${tag} was refused (${why}), and it is in entry ${tokenOf(entry)}`);
}

/** The member `tag` of a document, which clients put first; of a setting of a collection what makes it the only one. Null: it has none. */
export function tagOf({ body }: Pick<Put, "body">): string | null {
  const match = /^\{"tag":("[^"\\]*")/.exec(decoder.decode(body.subarray(0, 300)));
  if (match !== null) return JSON.parse(match[1] as string) as string;
  const { tag, checks, intervalSeconds } = JSON.parse(decoder.decode(body)) as Record<string, unknown>;
  if (typeof tag === "string") return tag;
  if (typeof intervalSeconds === "number") return ttlTag(intervalSeconds);
  return Array.isArray(checks) ? /^tag <> '([^']+)'$/.exec(String(checks[0]))?.[1] ?? null : null;
}

/** Tag of a TTL: its interval is like no other's. */
export function ttlTag(intervalSeconds: number): string {
  return `ttl ${intervalSeconds}`;
}
