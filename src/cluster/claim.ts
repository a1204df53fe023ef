/** What a peer that proved the secret says of who leads. */
import type { TermRecord } from "../storage/log.ts";
import type { Hello, KnownNode, State } from "../wire/message.ts";

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

/** What `said` of `peer`; its address, and that of the leader it names, are as this node can reach them. */
export function claimOf(peer: KnownNode, said: Hello | State, leader: KnownNode | null = said.leader): Claim {
  const newest = said.terms.at(-1) ?? null;
  const follows = said.type === "state"
    ? said.role === "follower"
    : said.mode !== "control" || (said.leads === null && leader !== null);
  return { peer, leads: said.leads, newest, leader, follows };
}
