/** What a peer that proved the secret says of who leads. */
import type { TermRecord } from "../storage/log.ts";
import type { KnownNode, State } from "../wire/message.ts";

export interface Claim {
  readonly peer: KnownNode;
  /** Under which the peer leads now. */
  readonly leads: TermRecord | null;
  /** The last term of its log; null: it is empty. */
  readonly newest: TermRecord | null;
  /** Whom it follows or followed last. */
  readonly leader: KnownNode | null;
  /** It came as a follower of ours, or says that it is one. */
  readonly follows: boolean;
}

interface Answer {
  readonly role: State["role"];
  readonly terms: readonly TermRecord[];
}

/** What `peer` answered; its address, and that of the leader it names, are as this node can reach them. */
export function claimOf(
  { nodeId, nodeName, httpUrl, wireAddress }: KnownNode,
  { leads, terms, leader, role }: Pick<Claim, "leads" | "leader"> & Answer,
): Claim {
  const peer = { nodeId, nodeName, httpUrl, wireAddress };
  return { peer, leads, newest: terms.at(-1) ?? null, leader, follows: role === "follower" };
}
