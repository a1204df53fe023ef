/** `dfdb verify`: whether nodes hold the same content and whole indexes, and what differs. */
import { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import { isNodeStatus } from "./node_status.ts";
import { screenOf } from "./table.ts";
import { differences } from "./verify_documents.ts";
import type { PinnedNode, VerifiedNode } from "./verify_nodes.ts";
import { pinAll, reference } from "./verify_nodes.ts";
import type { IndexChecked } from "./verify_indexes.ts";
import { indexDifferences, nodeIndexes } from "./verify_indexes.ts";
import type { CollectionReport, CollectionSum, NodeReport, VerifyReport } from "./verify_report.ts";
import { verifyJson, verifyText } from "./verify_report.ts";

/** As given on the command line. */
export interface VerifyFlags {
  readonly apiKey?: string;
  readonly collection?: string;
  readonly limit?: string;
  /** False: `--no-indexes`. */
  readonly indexes?: boolean;
  readonly masters?: true;
  readonly json?: true;
}

const namedDefault = 20, namedMax = 10_000;

export function verifyCommand(run: (urls: readonly string[], flags: VerifyFlags) => Promise<void>): Command {
  return new Command("verify")
    .description("compare the content of nodes at one common position, also while they are written to")
    .argument("<url...>", "HTTP address of each node")
    .helpOption("-h, --help", "print this help")
    .option("--api-key <key>", "key that the nodes want (env: DFDB_API_KEY)")
    .option("--collection <name>", "compare this collection only")
    .option(
      "--limit <number>",
      `name at most so many documents of each kind of difference (default: ${namedDefault})`,
    )
    .option("--no-indexes", "do not look whether each index holds what its documents say")
    .option(
      "--masters",
      "the nodes are masters, each with a database of its own: compare what they share, at rest",
    )
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nExit code: 0 equal, 2 different or an index damaged, 1 not compared.")
    .action((urls: string[], flags: VerifyFlags) => run(urls, flags));
}

/** Answers the exit code: 0 equal, 2 different or damaged. Throws when it could not compare. */
export async function verifyNodes(
  runtime: Runtime,
  urls: readonly string[],
  flags: VerifyFlags,
): Promise<number> {
  const { process } = runtime, stop = new AbortController();
  const unlisten = process.onStopSignal((name) =>
    stop.abort(new DfdbError("closing", `stopped by ${name}; nothing was compared`))
  );
  try {
    const limit = namedOf(flags.limit);
    const nodes = await meet(runtime, urls, flags, stop.signal);
    const asked: Asked = {
      collection: flags.collection ?? null,
      indexes: flags.indexes ?? true,
      masters: flags.masters ?? false,
    };
    const report = await compare(nodes, asked, limit, stop.signal);
    process.stdout(flags.json === true ? verifyJson(report) : verifyText(report, screenOf(process)));
    return report.equal ? 0 : 2;
  } finally {
    unlisten();
  }
}

function namedOf(text: string | undefined): number {
  if (text === undefined) return namedDefault;
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= namedMax) return value;
  throw new DfdbError("bad_request", `--limit: expected a number up to ${namedMax}, not "${text}"`);
}

/** Asks every node who it is. */
async function meet(
  runtime: Runtime,
  urls: readonly string[],
  flags: VerifyFlags,
  signal: AbortSignal,
): Promise<VerifiedNode[]> {
  const apiKey = apiKeyOf(runtime, flags.apiKey);
  const met = await Promise.all(urls.map(async (url) => {
    const client = httpClient(runtime, { url, apiKey });
    const status = await client.json("GET", "/replication/status", undefined, signal);
    if (!isNodeStatus(status)) {
      throw new DfdbError("bad_frame", `${client.url} does not answer as a dfdb node does`);
    }
    return { client, status };
  }));
  const names = met.map(({ status }) => status.node);
  const nodes = met.map((each, i) => {
    const unique = names.indexOf(each.status.node) === i && names.lastIndexOf(each.status.node) === i;
    return { ...each, label: unique ? each.status.node : each.client.url };
  });
  const first = nodes[0] as VerifiedNode;
  for (const { client, status } of nodes) {
    if (flags.masters === true || status.databaseId === first.status.databaseId) continue;
    const message = `${client.url} has database ${status.databaseId}, ${first.client.url} has ` +
      `${first.status.databaseId}: these are different databases (masters: --masters)`;
    throw new DfdbError("wrong_database", message);
  }
  return nodes;
}

interface Asked {
  /** Null: all. */
  readonly collection: string | null;
  readonly indexes: boolean;
  /** Positions, defined indexes and empty collections are each master's own. */
  readonly masters: boolean;
}

async function compare(
  nodes: readonly VerifiedNode[],
  { collection, indexes, masters }: Asked,
  limit: number,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const shared = masters ? { masters: "true" } : {};
  const query = { ...(collection === null ? {} : { collection }), ...shared, indexes: String(indexes) };
  const pinned = await pinAll(nodes, query, signal);
  const reports = await Promise.all(pinned.map((each) => sums(each, masters)));
  const first = nodes.indexOf(reference(nodes)), of = reports[first] as NodeReport;
  if (reports.every(({ found }) => !found)) {
    throw new DfdbError("collection_not_found", `No node has a collection ${collection}`);
  }
  const collections: CollectionReport[] = [];
  for (const name of namesOf(reports)) {
    const wanted = of.collections.get(name) ?? null;
    const found = reports.map((report) => report.collections.get(name) ?? null);
    const differing = found.flatMap((each, i) =>
      each?.count === wanted?.count && each?.checksum === wanted?.checksum ? [] : [i]
    );
    const documents: CollectionReport["documents"][number][] = [];
    for (const i of differing) {
      const two = [nodes[first] as VerifiedNode, nodes[i] as VerifiedNode];
      const each = { collection: name, documents: "true", indexes: "false", ...shared };
      const [a, b] = await pinAll(two, each, signal);
      documents.push({
        node: (nodes[i] as VerifiedNode).label,
        ...await differences(a as PinnedNode, b as PinnedNode, limit),
      });
    }
    const defined = found.flatMap((each, i) =>
      (each === null || wanted === null || masters
        ? null
        : indexDifferences((nodes[i] as VerifiedNode).label, wanted.indexes, each.indexes)) ?? []
    );
    const equal = differing.length + defined.length === 0;
    collections.push({ collection: name, equal, found, documents, indexes: defined });
  }
  const wrongCounts = reports.some((report) =>
    [...report.collections.values()].some(({ count, keptCount }) => count !== keptCount)
  );
  const damaged = reports.some(({ indexes }) => indexes.damaged.length > 0);
  return {
    equal: collections.every(({ equal }) => equal) && !wrongCounts && !damaged,
    position: [...new Set(reports.map(({ position }) => position))].join(", "),
    reference: of.label,
    nodes: reports,
    collections,
  };
}

function namesOf(reports: readonly NodeReport[]): string[] {
  return [...new Set(reports.flatMap(({ collections }) => [...collections.keys()]))].sort();
}

/** Reads one node's answer to its end. `masters`: an empty collection is none, and case does not count in names. */
async function sums({ node, position, lines }: PinnedNode, masters: boolean): Promise<NodeReport> {
  const all = new Map<string, CollectionSum>(), collections = new Map<string, CollectionSum>();
  const looked: IndexChecked[] = [];
  let documents = 0, checksum: string | null = null, checked: number | null = null;
  for await (const line of lines ?? []) {
    const told = line as Partial<Record<string, string & number & boolean>>;
    if (told["done"] === true) {
      documents = told["documents"] ?? 0;
      checksum = told["checksum"] ?? null;
      checked = told["indexes"] ?? null;
    } else if (told["index"] !== undefined) {
      looked.push(line as IndexChecked);
    } else if (told["collection"] !== undefined) {
      const { collection, ...sum } = line as { readonly collection: string } & CollectionSum;
      all.set(collection, sum);
      if (!masters) collections.set(collection, sum);
      else if (sum.count + sum.keptCount > 0) collections.set(collection.toLowerCase(), sum);
    }
  }
  const { label, client, status } = node;
  return {
    label,
    url: client.url,
    role: status.role,
    position,
    found: lines !== null,
    documents,
    checksum,
    collections,
    indexes: nodeIndexes(all, looked, checked),
  };
}
