/** What is said of a node below its line in `dfdb status`. */
import type { AutoFailoverStatus, HandoverStatus, KnownNode } from "./cluster_status.ts";
import {
  authorityOf,
  autoFailoverOf,
  configuredRoleOf,
  followersOf,
  handoverOf,
  knownNodesOf,
  roleOriginOf,
} from "./cluster_status.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf, fieldsOrNull, listIn, numberIn, textIn } from "./fields.ts";
import type { NodeStatus } from "./node_status.ts";
import { readOnlyText } from "./read_only_words.ts";
import type { TableRow } from "./table.ts";
import { colour, duration, number, plain } from "./table.ts";

/** Of a healthy node that plays its configured role and stands alone: nothing. */
export function statusNotes(status: NodeStatus): TableRow[] {
  const follows = status.role === "follower", handover = handoverOf(status);
  const failover = autoFailoverOf(status), authority = authorityOf(status), known = knownText(status);
  const origin = originText(status), { lastError } = status.follower;
  const rows: TableRow[] = [];
  const note = (text: string, code: number): void =>
    void rows.push({ note: `  ${plain(text)}`, colour: code });
  if (origin !== null) note(origin, colour.dim);
  if (status.readOnly) {
    const when = follows ? "read-only, also once it leads" : "read-only";
    note(`${when}: ${readOnlyText(status.readOnlyReason)}`, colour.yellow);
  }
  if (handover !== null) note(handoverText(handover), colour.yellow);
  if (failover !== null) note(failoverText(failover), failoverColour(failover));
  if (authority !== null && authority.kind !== "silence") {
    note(
      `who leads is decided by ${authority.kind}; ${authority.holds ? "this node" : "not this node"}`,
      colour.dim,
    );
  }
  if (known !== null) note(known, colour.dim);
  for (const text of mastersTexts(status)) note(text, colour.yellow);
  for (const text of aheadTexts(status)) note(text, colour.yellow);
  if (follows && lastError != null) {
    const at = lastError.at == null ? "" : ` at ${lastError.at}`;
    note(`last error${at}: ${lastError.code}: ${lastError.message}`, colour.yellow);
  }
  return rows;
}

const origins: Readonly<Record<string, string>> = {
  operator: "by command",
  promoted: "promoted",
  failover: "promoted by auto-failover",
  handover: "by a handover",
  fenced: "another node leads a higher epoch",
};

/** `LEADER: promoted; configured as follower`. */
function originText(status: NodeStatus): string | null {
  const origin = roleOriginOf(status), configured = configuredRoleOf(status);
  if (origin === null) return null;
  const how = Object.hasOwn(origins, origin) ? origins[origin] : origin;
  const otherwise = configured === null || configured === status.role ? "" : `; configured as ${configured}`;
  return `${status.role}: ${how}${otherwise}`;
}

/** A step of a handover for people: `catching up`. */
export const stepText = (step: string): string => step.replaceAll("_", " ");

function handoverText({ to, step, finalSeq, targetSeq, sinceMs }: HandoverStatus): string {
  const where = finalSeq === null
    ? ""
    : `, final position ${number(finalSeq)}${
      targetSeq === null ? "" : `, the target is at ${number(targetSeq)}`
    }`;
  const since = sinceMs === null ? "" : `, since ${duration(sinceMs)}`;
  return `handover to ${to ?? "another node"}: ${stepText(step)}${where}${since}`;
}

const failoverStates: Readonly<Record<string, string>> = {
  grace: "waits before it watches",
  pending: "off until the leader has accepted it",
  watching: "watches the leader",
  attempting: "the leader is silent, a last attempt to reach it",
  barred: "may not take over",
  promoting: "takes over",
};

function failoverText(
  { silenceSeconds, newLeaderPort, state, reason, silentMs }: AutoFailoverStatus,
): string {
  const after = silenceSeconds === null ? "" : ` after ${silenceSeconds}s`;
  const port = newLeaderPort === null ? "" : ` (new port :${newLeaderPort})`;
  const what = state === null ? "on" : failoverStates[state] ?? stepText(state);
  const why = reason === null ? "" : `: ${reason}`;
  const silent = silentMs === null ? "" : `, silent for ${duration(silentMs)}`;
  return `auto-failover${after}${port}: ${what}${why}${silent}`;
}

function failoverColour({ state }: AutoFailoverStatus): number {
  return state === null || state === "watching" || state === "grace" ? colour.dim : colour.yellow;
}

/** What of the replication with other masters wants somebody's eye: `dfdb masters status` and `dfdb conflicts` tell more. */
function mastersTexts(status: NodeStatus): readonly string[] {
  const masters = fieldsOf(fieldsOf(status)["masters"]), conflicts = numberIn(masters, "conflicts") ?? 0;
  const failing = listIn(masters, "destinations").filter((each) => (numberIn(each, "failureCount") ?? 0) > 0);
  return [
    ...(conflicts === 0 ? [] : [`in conflict: ${number(conflicts)}`]),
    ...failing.map((each) => {
      const error = fieldsOf(each["lastError"]), times = number(numberIn(each, "failureCount"));
      const why = `${textIn(error, "code") ?? "error"}: ${textIn(error, "message") ?? ""}`;
      return `master ${textIn(each, "url") ?? "?"} failed ${times} times in a row: ${why}`;
    }),
  ];
}

/** Nodes of the cluster that have no line of their own below this node. */
function knownText(status: NodeStatus): string | null {
  const shown = new Set(followersOf(status).map(({ nodeId }) => nodeId));
  const others = knownNodesOf(status).filter(({ nodeId }) => nodeId === null || !shown.has(nodeId));
  if (others.length === 0) return null;
  return `also knows ${others.map(knownNodeText).join(", ")}`;
}

function knownNodeText({ name, httpUrl, wireAddress, candidate, seen }: KnownNode): string {
  const facts = [
    ...(candidate ? ["auto-failover"] : []),
    httpUrl ?? wireAddress ?? "no address",
    seen === null ? "never met" : `met ${seen.slice(0, 19)}Z`,
  ];
  return `${name} (${facts.join(", ")})`;
}

/** Who holds entries that its leader lacks, as both sides tell it; the advice once. */
function aheadTexts(status: NodeStatus): readonly string[] {
  const own = fieldsOrNull(fieldsOf(fieldsOf(status)["follower"])["ahead"]);
  const { position: here } = status, leader = fieldsOf(own?.["leader"]);
  const ahead = listIn(fieldsOf(fieldsOf(status)["leader"]), "refused").filter((each) =>
    textIn(each, "code") === "ahead"
  );
  const lines = [
    ...(own === null ? [] : [`ahead of its leader ${nodeText(leader)}: this node is at ${here}`]),
    ...ahead.map((each) => `ahead of this node, which is at ${here}: ${nodeText(each)}`),
  ];
  const advice = own === null ? ahead.map((each) => textIn(each, "advice"))[0] : textIn(own, "advice");
  return advice == null ? lines : [...lines, advice];
}

/** `berlin (5f2c…), at 1.0a1b2c3d-9`. */
function nodeText(node: Fields): string {
  const name = textIn(node, "nodeName"), id = textIn(node, "nodeId"), at = textIn(node, "position");
  const who = name === null ? id ?? "that it does not know" : id === null ? name : `${name} (${id})`;
  return at === null ? who : `${who}, at ${at}`;
}
