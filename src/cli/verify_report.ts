/** What `dfdb verify` found, and how people read it. */
import type { Cell, Screen, TableRow } from "./table.ts";
import { colour, number, painted, plain, table } from "./table.ts";
import type { DocumentDifferences } from "./verify_documents.ts";
import type { IndexDifferences, IndexTold, NodeIndexes } from "./verify_indexes.ts";
import { indexText } from "./verify_indexes.ts";

export interface CollectionSum {
  /** Counted. */
  readonly count: number;
  /** What the node's catalog says. */
  readonly keptCount: number;
  readonly checksum: string;
  readonly indexes: readonly IndexTold[];
}

/** One node at the common position. */
export interface NodeReport {
  readonly label: string;
  readonly url: string;
  readonly role: string;
  readonly position: string;
  /** False: it does not have the collection that was asked for. */
  readonly found: boolean;
  readonly documents: number;
  readonly checksum: string | null;
  readonly collections: ReadonlyMap<string, CollectionSum>;
  readonly indexes: NodeIndexes;
}

export interface CollectionReport {
  readonly collection: string;
  readonly equal: boolean;
  /** By node; null: it does not have the collection. */
  readonly found: readonly (CollectionSum | null)[];
  /** For each node that differs from the reference. */
  readonly documents: readonly ({ readonly node: string } & DocumentDifferences)[];
  /** For each node whose indexes of it are others than the reference's. */
  readonly indexes: readonly IndexDifferences[];
}

export interface VerifyReport {
  readonly equal: boolean;
  readonly position: string;
  /** The node that the others are compared with. */
  readonly reference: string;
  readonly nodes: readonly NodeReport[];
  readonly collections: readonly CollectionReport[];
}

/** For programs: `--json`. */
export function verifyJson({ nodes, collections, ...report }: VerifyReport): string {
  const told = {
    ...report,
    nodes: nodes.map(({ label, url, role, position, documents, checksum, indexes }) => ({
      node: label,
      url,
      role,
      position,
      documents,
      checksum,
      indexes,
    })),
    collections: collections.map(({ collection, equal, found, documents, indexes }) => ({
      collection,
      equal,
      nodes: found.map((sum, i) => ({
        node: nodes[i]?.label,
        ...(sum ?? { count: null, keptCount: null, checksum: null, indexes: null }),
      })),
      differences: documents,
      indexDifferences: indexes,
    })),
  };
  return `${JSON.stringify(told, null, 2)}\n`;
}

export function verifyText(report: VerifyReport, screen: Screen): string {
  return `at position ${report.position}\n\n${nodeTable(report, screen)}\n` +
    (report.collections.length === 0 ? "" : `${collectionTable(report, screen)}\n`) +
    differenceText(report, screen) + indexText(report.collections, report.nodes, screen) +
    countText(report, screen) + lastLine(report, screen);
}

const dim = { colour: colour.dim }, red = { colour: colour.red }, green = { colour: colour.green };

function nodeTable({ nodes, collections, reference }: VerifyReport, screen: Screen): string {
  const rows = nodes.map((node, i): TableRow => {
    const differs = collections.filter(({ found, indexes }) =>
      differsAt(found, nodes, reference, i) || indexes.some(({ node: name }) =>
        name === node.label
      )
    ).length;
    const wrong = [
      ...(differs === 0 ? [] : [`DIFFERENT in ${number(differs)}`]),
      ...(node.indexes.damaged.length === 0 ? [] : ["DAMAGED"]),
    ];
    const result: Cell = wrong.length > 0
      ? { text: wrong.join(", "), ...red }
      : node.label === reference
      ? { text: "reference", ...dim }
      : { text: "equal", ...green };
    return [plain(node.label), node.role, node.url, number(node.documents), node.checksum ?? "-", result];
  });
  return table(
    [
      { title: "NODE", flexible: true },
      { title: "ROLE" },
      { title: "URL", flexible: true },
      { title: "DOCUMENTS", right: true },
      { title: "CHECKSUM" },
      { title: "RESULT" },
    ],
    rows,
    screen,
  );
}

function differsAt(
  found: CollectionReport["found"],
  nodes: readonly NodeReport[],
  reference: string,
  i: number,
): boolean {
  const wanted = found[nodes.findIndex(({ label }) => label === reference)], mine = found[i];
  return wanted?.count !== mine?.count || wanted?.checksum !== mine?.checksum;
}

/** One line for each collection; further lines for nodes that differ. */
function collectionTable({ nodes, collections, reference }: VerifyReport, screen: Screen): string {
  const first = nodes.findIndex(({ label }) => label === reference);
  const rows = collections.flatMap(({ collection, equal, found }): TableRow[] => {
    const wanted = found[first] ?? null;
    const result: Cell = equal ? { text: "equal", ...green } : { text: "DIFFERENT", ...red };
    const others = found.flatMap((sum, i): TableRow[] =>
      i === first || !differsAt(found, nodes, reference, i)
        ? []
        : [[{ text: `  on ${plain((nodes[i] as NodeReport).label)}`, ...dim }, ...sumCells(sum), ""]]
    );
    return [[collection, ...sumCells(wanted), result], ...others];
  });
  return table(
    [
      { title: "COLLECTION", flexible: true },
      { title: "DOCUMENTS", right: true },
      { title: "CHECKSUM" },
      { title: "RESULT" },
    ],
    rows,
    screen,
  );
}

function sumCells(sum: CollectionSum | null): string[] {
  return sum === null ? ["-", "not there"] : [number(sum.count), sum.checksum];
}

function differenceText({ collections, reference }: VerifyReport, screen: Screen): string {
  let text = "";
  for (const { collection, documents } of collections) {
    for (const { node, count, missing, extra, different } of documents) {
      const title = `${collection}: ${number(count)} document${count === 1 ? "" : "s"} of ${plain(node)} ` +
        `differ${count === 1 ? "s" : ""} from ${plain(reference)}`;
      text += `${painted(screen, colour.bold, title)}\n` + named(`missing on ${plain(node)}`, missing) +
        named(`only on ${plain(node)}`, extra) + named("other content", different);
      const shown = missing.length + extra.length + different.length;
      if (shown < count) text += `  and ${number(count - shown)} more (see --limit)\n`;
      text += "\n";
    }
  }
  return text;
}

function named(what: string, ids: readonly string[]): string {
  return ids.map((id) => `  ${what}: ${plain(id)}\n`).join("");
}

function countText({ nodes }: VerifyReport, screen: Screen): string {
  const lines = nodes.flatMap(({ label, collections }) =>
    [...collections].flatMap(([name, { count, keptCount }]) =>
      count === keptCount
        ? []
        : [`${plain(label)} counts ${number(keptCount)} documents in ${name}, but has ${number(count)}\n`]
    )
  );
  return lines.length === 0 ? "" : `${painted(screen, colour.red, lines.join(""))}\n`;
}

function lastLine({ equal, nodes, collections, reference }: VerifyReport, screen: Screen): string {
  const many = (count: number, what: string): string => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
  const first = nodes.find(({ label }) => label === reference);
  const on = [
    many(collections.length, "collection"),
    many(first?.documents ?? 0, "document"),
    ...(first === undefined ? [] : indexCount(first)),
    many(nodes.length, "node"),
  ].join(", ");
  return equal
    ? `${painted(screen, colour.green, "EQUAL")}: ${on}\n`
    : `${painted(screen, colour.red, "DIFFERENT")}: ${on}\n`;
}

/** Nothing where there are none. */
function indexCount({ collections, indexes: { checked } }: NodeReport): string[] {
  const count = [...collections.values()].reduce((sum, { indexes }) => sum + indexes.length, 0);
  const text = `${number(count)} ${count === 1 ? "index" : "indexes"}`;
  return count === 0 ? [] : [checked === null ? `${text} (keys not checked)` : text];
}
