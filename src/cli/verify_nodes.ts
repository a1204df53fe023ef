/** Reads the content of several nodes at one common position for each database, while they are written to. */
import { DfdbError } from "../base/errors.ts";
import type { HttpClient } from "./http_client.ts";
import { errorOfBody } from "./http_client.ts";
import type { NodeStatus } from "./node_status.ts";

export interface VerifiedNode {
  readonly client: HttpClient;
  readonly status: NodeStatus;
  /** Its name, or its URL where two nodes have one name. */
  readonly label: string;
}

/** The content of one node at the common position. */
export interface PinnedNode {
  readonly node: VerifiedNode;
  readonly position: string;
  /** What follows the first line; null: it has no such collection. */
  readonly lines: AsyncGenerator<unknown, void, undefined> | null;
  /** Hangs up, where `lines` was not read to its end. */
  close(): Promise<void>;
}

const holdSeconds = 30, attempts = 3;

/** The first one that others are compared with: the leader if there is one. */
export function reference(nodes: readonly VerifiedNode[]): VerifiedNode {
  return nodes.find(({ status }) => status.role === "leader") ??
    nodes.find(({ status }) => status.role === "none") ?? nodes[0] as VerifiedNode;
}

/** As {@linkcode pinDatabase}, for each database that the nodes have. */
export async function pinAll(
  nodes: readonly VerifiedNode[],
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<PinnedNode[]> {
  const ids = [...new Set(nodes.map(({ status }) => status.databaseId))];
  const pinned = await Promise.allSettled(
    ids.map((id) => pinDatabase(nodes.filter(({ status }) => status.databaseId === id), query, signal)),
  );
  const found = pinned.flatMap((each) => each.status === "fulfilled" ? each.value : []);
  for (const each of pinned) {
    if (each.status === "fulfilled") continue;
    for (const { close } of found) await close();
    throw each.reason;
  }
  return nodes.map((node) => found.find((one) => one.node === node) as PinnedNode);
}

/**
 * Opens one state on all nodes of a database: followers stop where they are, `reference` says where it is, the others go on to there,
 * and each goes on as soon as it has pinned that state. `query` is added to the path. Holds are always released.
 */
async function pinDatabase(
  nodes: readonly VerifiedNode[],
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<PinnedNode[]> {
  for (let attempt = 1;; attempt++) {
    try {
      return await pinOnce(nodes, query, signal);
    } catch (error) {
      // Somebody else's verification, or the end of its hold, came in between.
      const again = error instanceof DfdbError && error.code === "position_lost" &&
        nodes.some(({ status }) => status.role === "follower");
      if (!again || attempt === attempts || signal.aborted) throw error;
    }
  }
}

async function pinOnce(
  nodes: readonly VerifiedNode[],
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<PinnedNode[]> {
  const followers = nodes.filter(({ status }) => status.role === "follower");
  const pinned: (PinnedNode | null)[] = nodes.map(() => null);
  const pin = async (node: VerifiedNode, at: string | null): Promise<PinnedNode> => {
    const found = await open(node, { ...query, ...(at === null ? {} : { at }) }, signal);
    pinned[nodes.indexOf(node)] = found;
    return found;
  };
  try {
    const held = await everyOne(followers.map((node) => hold(node, signal)));
    const first = firstOf(nodes, followers, held);
    const { position } = await pin(first, null);
    await everyOne(nodes.filter((node) => node !== first).map((node) => pin(node, position)));
    return pinned as PinnedNode[];
  } catch (error) {
    for (const each of pinned) await each?.close();
    throw error;
  } finally {
    // Not under `signal`: also a command that is stopped lets the followers go on.
    await Promise.allSettled(followers.map(({ client }) => client.json("POST", "/verify/release")));
  }
}

/** Among followers only, the one that is furthest: the others can get to where it is. */
function firstOf(
  nodes: readonly VerifiedNode[],
  followers: readonly VerifiedNode[],
  held: readonly string[],
): VerifiedNode {
  if (followers.length < nodes.length) return reference(nodes);
  let first = 0;
  held.forEach((position, i) => {
    if (seqOf(position) > seqOf(held[first] as string)) first = i;
  });
  return followers[first] as VerifiedNode;
}

const seqOf = (position: string): number => Number(position.slice(position.lastIndexOf("-") + 1));

async function hold({ client }: VerifiedNode, signal: AbortSignal): Promise<string> {
  const body = { seconds: holdSeconds };
  return (await client.json<{ position: string }>("POST", "/verify/hold", body, signal)).position;
}

/** Resolves with the node's first line read: its state is pinned. */
async function open(
  node: VerifiedNode,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<PinnedNode> {
  const lines = node.client.stream(`/verify?${new URLSearchParams(query)}`, signal);
  try {
    const first = await lines.next();
    const position = first.done === true ? null : (first.value as { position?: unknown }).position;
    if (typeof position !== "string") throw brokenOff(node);
    // A generator that was not begun does not pass `return` on to what it reads.
    return { node, position, lines: checked(node, lines), close: () => lines.return().then(() => {}) };
  } catch (error) {
    await lines.return();
    if (!(error instanceof DfdbError) || error.code !== "collection_not_found") throw error;
    return {
      node,
      position: query["at"] ?? node.status.position,
      lines: null,
      close: () => Promise.resolve(),
    };
  }
}

/** The lines up to and with the one that says that it is done; throws when they end otherwise. */
async function* checked(
  node: VerifiedNode,
  lines: AsyncGenerator<unknown, void, undefined>,
): AsyncGenerator<unknown, void, undefined> {
  for await (const line of lines) {
    const error = errorOfBody(node.client.url, line);
    if (error !== null) throw error;
    yield line;
    if ((line as { done?: unknown }).done === true) return;
  }
  throw brokenOff(node);
}

function brokenOff({ client }: VerifiedNode): DfdbError {
  return new DfdbError("unreachable", `the answer of ${client.url} ended too early`);
}

/** All results; waits for all also when one fails, so that nothing is left running unseen. */
async function everyOne<Value>(promises: readonly Promise<Value>[]): Promise<Value[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
}
