/** Why a node takes no writes, for people. */

const words: Readonly<Record<string, string>> = {
  operator: "until POST /replication/read-write",
  behind_followers: "this node lacks entries that its followers may hold (dfdb accept-loss gives them up)",
  unconfirmed_leadership: "it asks the nodes that may lead by now; this ends by itself",
  handover: "it hands its leadership over",
  handover_in_doubt:
    "it told another node to lead and does not know whether that one does; it goes on asking (dfdb read-only URL off --force " +
    "begins a higher epoch here)",
  fenced: "another node leads a higher epoch; this one is to follow it",
  no_lease: "it does not hold the lease that says who leads",
};

/** `reason: what it means`; null: nobody said why. */
export function readOnlyText(reason: string | null): string {
  if (reason === null) return "by command";
  return Object.hasOwn(words, reason) ? `${reason}: ${words[reason]}` : reason;
}
