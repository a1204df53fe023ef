/** What `dfdb verify` finds of indexes: which ones differ between nodes, and which are not what their documents say. */
import type { Screen } from "./table.ts";
import { colour, number, painted, plain } from "./table.ts";

/** What an index is, as a node tells. */
export interface IndexTold {
  readonly name: string;
  readonly unique: boolean;
  readonly time: boolean;
  readonly paths: unknown;
  /** Filled, on that node. */
  readonly ready: boolean;
}

/** An index that a node compared with its documents. */
export interface IndexChecked {
  readonly collection: string;
  readonly index: string;
  readonly entries: number;
  /** Null: nothing is kept. */
  readonly keptEntries: number | null;
  readonly missing: number;
  readonly tooMany: number;
}

/** Names of what one node has otherwise than the reference. */
export interface IndexDifferences {
  readonly node: string;
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  readonly different: readonly string[];
}

export interface NodeIndexes {
  /** Null: nobody asked for it. */
  readonly checked: number | null;
  readonly damaged: readonly IndexChecked[];
  /** Being filled, or dropped meanwhile. */
  readonly unchecked: readonly { readonly collection: string; readonly index: string }[];
}

/** Null: they are the same; where the node does not have the collection, that says enough. */
export function indexDifferences(
  node: string,
  wanted: readonly IndexTold[],
  found: readonly IndexTold[],
): IndexDifferences | null {
  const here = new Map(found.map((index) => [index.name, definition(index)]));
  const there = new Map(wanted.map((index) => [index.name, definition(index)]));
  const missing = [...there.keys()].filter((name) => !here.has(name));
  const extra = [...here.keys()].filter((name) => !there.has(name));
  const different = [...there.keys()].filter((name) => here.has(name) && here.get(name) !== there.get(name));
  return missing.length + extra.length + different.length === 0 ? null : { node, missing, extra, different };
}

/** What replicates of it; whether it is filled is each node's own. */
function definition({ unique, time, paths }: IndexTold): string {
  return JSON.stringify([unique, time, paths]);
}

export function nodeIndexes(
  collections: ReadonlyMap<string, { readonly indexes: readonly IndexTold[] }>,
  looked: readonly IndexChecked[],
  checked: number | null,
): NodeIndexes {
  const known = new Set(looked.map(({ collection, index }) => `${collection} ${index}`));
  const all = [...collections].flatMap(([collection, { indexes }]) =>
    indexes.map(({ name }) => ({ collection, index: name }))
  );
  return {
    checked,
    damaged: looked.filter(isDamaged),
    unchecked: checked === null
      ? []
      : all.filter(({ collection, index }) => !known.has(`${collection} ${index}`)),
  };
}

function isDamaged({ entries, keptEntries, missing, tooMany }: IndexChecked): boolean {
  return missing + tooMany > 0 || (keptEntries !== null && keptEntries !== entries);
}

/** A line for each of them; empty: there is nothing to say. */
export function indexText(
  differing: readonly { readonly collection: string; readonly indexes: readonly IndexDifferences[] }[],
  nodes: readonly { readonly label: string; readonly indexes: NodeIndexes }[],
  screen: Screen,
): string {
  const red: string[] = [], rest: string[] = [];
  for (const { collection, indexes } of differing) {
    for (const { node, missing, extra, different } of indexes) {
      const say = (names: readonly string[], what: string): void => {
        for (const name of names) red.push(`${collection}: index ${plain(name)} is ${what} ${plain(node)}\n`);
      };
      say(missing, "missing on");
      say(extra, "only on");
      say(different, "another one on");
    }
  }
  for (const { label, indexes: { damaged, unchecked } } of nodes) {
    for (const each of damaged) red.push(damageText(label, each));
    for (const { collection, index } of unchecked) {
      rest.push(
        `${plain(label)}: index ${
          plain(index)
        } of ${collection} was not checked: it is being filled, or gone\n`,
      );
    }
  }
  const told = red.length === 0 ? "" : painted(screen, colour.red, red.join(""));
  return told + rest.join("") + (red.length + rest.length === 0 ? "" : "\n");
}

function damageText(label: string, { collection, index, ...found }: IndexChecked): string {
  const { entries, keptEntries, missing, tooMany } = found, wrong: string[] = [];
  const many = (count: number, one: string, more: string): string =>
    `${number(count)} ${count === 1 ? one : more}`;
  if (missing > 0) wrong.push(`${many(missing, "document lacks", "documents lack")} a key in it`);
  if (tooMany > 0) wrong.push(`${many(tooMany, "entry is", "entries are")} of no document`);
  if (keptEntries !== null && keptEntries !== entries) {
    wrong.push(`it counts ${many(keptEntries, "entry", "entries")}, but has ${number(entries)}`);
  }
  const name = `${collection}/${encodeURIComponent(index)}`;
  return `${plain(label)}: index ${plain(index)} of ${collection} is DAMAGED: ${wrong.join(", ")}; ` +
    `POST /admin/rebuild-index/${name} there fills it anew\n`;
}
