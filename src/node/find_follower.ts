import { DfdbError } from "../base/errors.ts";
import type { ConnectedFollower } from "../replication/types.ts";
import type { KnownNode } from "../wire/message.ts";
import type { KnownNodes } from "./known_nodes.ts";

/** The connected follower that an operator means: by node id, unique name or HTTP URL. Throws `conflict`, with the list. */
export function findFollower(
  followers: readonly ConnectedFollower[],
  known: Pick<KnownNodes, "get">,
  to: string,
): KnownNode {
  const url = to.replace(/\/+$/, "");
  const found = followers.filter(({ nodeId, nodeName, httpUrl }) =>
    nodeId === to || nodeName === to || (httpUrl !== null && urlsOf(httpUrl).includes(url))
  );
  const [follower] = found;
  if (follower === undefined || found.length > 1) {
    const what = follower === undefined
      ? `No connected follower is "${to}"`
      : `${found.length} followers are "${to}"`;
    const list = followers.map(({ nodeId, nodeName, httpUrl }) =>
      `${nodeName} (${nodeId}, ${httpUrl ?? "no URL"})`
    );
    throw new DfdbError("conflict", `${what}; there are: ${list.length === 0 ? "none" : list.join("; ")}`);
  }
  return nodeOf(follower, known);
}

/** Of the database and, where it has a name, of the node that it is on. */
function urlsOf(httpUrl: string): string[] {
  const url = httpUrl.replace(/\/+$/, "");
  return [url, url.replace(/\/db\/[^/]+$/, "")];
}

/** A connected follower, with the address on which it would lead. */
export function nodeOf(
  { nodeId, nodeName, httpUrl }: ConnectedFollower,
  known: Pick<KnownNodes, "get">,
): KnownNode {
  return { nodeId, nodeName, httpUrl, wireAddress: known.get(nodeId)?.wireAddress ?? null };
}
