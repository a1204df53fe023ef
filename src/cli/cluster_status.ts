/** What a node's status tells of handover, failover and the nodes that it knows. */
import type { Fields } from "./fields.ts";
import { fieldsOf, fieldsOrNull, listIn, numberIn, textIn } from "./fields.ts";
import type { FollowerStatus, NodeStatus } from "./node_status.ts";

/** A handover in progress, as its leader tells it. */
export interface HandoverStatus {
  /** `draining`, `catching_up`, `preparing`, `committing`, `in_doubt`, or what a newer node says. */
  readonly step: string;
  /** Name of the target, else its id. */
  readonly to: string | null;
  readonly finalSeq: number | null;
  readonly targetSeq: number | null;
  /** How long it has been going on. */
  readonly sinceMs: number | null;
}

/** Null when there is none. */
export function handoverOf(status: NodeStatus): HandoverStatus | null {
  const handover = fieldsOrNull(fieldsOf(status)["handover"]);
  if (handover === null) return null;
  const to = fieldsOf(handover["to"]);
  return {
    step: textIn(handover, "step") ?? "in progress",
    to: textIn(to, "nodeName") ?? textIn(to, "nodeId"),
    finalSeq: numberIn(handover, "finalSeq"),
    targetSeq: numberIn(handover, "targetSeq"),
    sinceMs: numberIn(handover, "sinceMs"),
  };
}

/** True when the node's version knows handovers at all. */
export function knowsHandover(status: NodeStatus): boolean {
  return "handover" in status;
}

export interface AutoFailoverStatus {
  readonly silenceSeconds: number | null;
  readonly newLeaderPort: number | null;
  readonly state: string | null;
  readonly reason: string | null;
  /** How long the leader has been silent. */
  readonly silentMs: number | null;
}

/** Null when it is off. */
export function autoFailoverOf(status: NodeStatus): AutoFailoverStatus | null {
  const given = fieldsOrNull(fieldsOf(status)["autoFailover"]);
  if (given === null) return null;
  return {
    silenceSeconds: numberIn(given, "silenceSeconds"),
    newLeaderPort: numberIn(given, "newLeaderPort"),
    state: textIn(given, "state"),
    reason: textIn(given, "reason"),
    silentMs: numberIn(given, "silentMs"),
  };
}

/** A node of the cluster. */
export interface NodeFacts {
  readonly nodeId: string | null;
  /** Its name, else its id. */
  readonly name: string;
  readonly httpUrl: string | null;
  readonly wireAddress: string | null;
}

export interface KnownNode extends NodeFacts {
  readonly candidate: boolean;
  /** When it was heard itself, ISO 8601; null: never, or not told. */
  readonly seen: string | null;
}

export function nodeFacts(given: Fields): NodeFacts {
  const nodeId = textIn(given, "nodeId");
  return {
    nodeId,
    name: textIn(given, "nodeName") ?? nodeId ?? "a node without a name",
    httpUrl: textIn(given, "httpUrl") ?? textIn(given, "httpEndpoint"),
    wireAddress: textIn(given, "wireAddress"),
  };
}

export function knownNodesOf(status: NodeStatus): readonly KnownNode[] {
  return listIn(fieldsOf(status), "nodes").map((node) => ({
    ...nodeFacts(node),
    candidate: node["candidate"] === true,
    seen: timeIn(node, "seen") ?? timeIn(node, "seenAt") ?? timeIn(node, "seenMs"),
  }));
}

function timeIn(fields: Fields, name: string): string | null {
  const given = fields[name];
  if (given === 0) return null;
  const time = new Date(typeof given === "number" || typeof given === "string" ? given : NaN);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}

/** Who decides that a node may lead. */
export function authorityOf(status: NodeStatus): { readonly kind: string; readonly holds: boolean } | null {
  const given = fieldsOrNull(fieldsOf(status)["authority"]), kind = given && textIn(given, "kind");
  return given === null || kind === null ? null : { kind, holds: given["holds"] === true };
}

/** How the node came to its role, null when by its settings or not told. */
export function roleOriginOf(status: NodeStatus): string | null {
  const given = fieldsOf(status), origin = textIn(given, "roleOrigin");
  if (origin !== null) return origin === "settings" ? null : origin;
  return fieldsOf(status.follower)["autoFailoverPromoted"] === true ? "failover" : null;
}

/** The role that its settings say, null when not told. */
export function configuredRoleOf(status: NodeStatus): string | null {
  return textIn(fieldsOf(status), "configuredRole");
}

/** HTTP address of the leader that a follower follows, null when not known. */
export function leaderUrlOf(status: NodeStatus): string | null {
  return textIn(fieldsOf(fieldsOf(status.follower)["leader"]), "httpEndpoint");
}

/** `host:port` of the wire that a follower follows. */
export function leaderEndpointOf(status: NodeStatus): string | null {
  return textIn(fieldsOf(fieldsOf(status.follower)["leader"]), "endpoint");
}

/** The followers of a leader; none when it tells none. */
export function followersOf(status: NodeStatus): readonly FollowerStatus[] {
  const { followers } = fieldsOf(status.leader);
  return Array.isArray(followers) ? followers as FollowerStatus[] : [];
}
