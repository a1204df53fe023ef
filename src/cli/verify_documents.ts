/** Which documents of a collection differ between two nodes: two streams in the order of ids, merged. */
import type { PinnedNode } from "./verify_nodes.ts";

export interface DocumentDifferences {
  /** All of them, also those that are not named. */
  readonly count: number;
  /** On the first node only; on the second node only; on both with other content. At most `limit` ids each. */
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  readonly different: readonly string[];
}

interface Line {
  readonly id: string;
  readonly hash: string;
}

/** Reads both to their ends; holds one document of each. */
export async function differences(a: PinnedNode, b: PinnedNode, limit: number): Promise<DocumentDifferences> {
  const missing: string[] = [], extra: string[] = [], different: string[] = [];
  let count = 0;
  const note = (list: string[], { id }: Line): void => {
    count++;
    if (list.length < limit) list.push(id);
  };
  const left = documentsOf(a), right = documentsOf(b);
  try {
    let [mine, theirs] = await Promise.all([left.next(), right.next()]);
    while (mine.done !== true || theirs.done !== true) {
      const order = mine.done === true
        ? 1
        : theirs.done === true
        ? -1
        : byBytes(mine.value.id, theirs.value.id);
      if (order === 0) {
        const [x, y] = [mine.value as Line, theirs.value as Line];
        if (x.hash !== y.hash) note(different, x);
        [mine, theirs] = await Promise.all([left.next(), right.next()]);
      } else if (order < 0) {
        note(missing, mine.value as Line);
        mine = await left.next();
      } else {
        note(extra, theirs.value as Line);
        theirs = await right.next();
      }
    }
  } finally {
    await Promise.all([left.return(), right.return()]);
  }
  return { count, missing, extra, different };
}

async function* documentsOf({ lines }: PinnedNode): AsyncGenerator<Line, void, undefined> {
  if (lines === null) return;
  for await (const line of lines) if (typeof (line as Line).id === "string") yield line as Line;
}

/** The order of the UTF-8 bytes, which is not that of UTF-16 units where surrogates are. */
export function byBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i), y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates, which stand for code points above U+FFFF, after all other units. */
function rank(unit: number): number {
  return unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
