/** What `dfdb serve` prints once it serves (the reference's lines). */
import type { RunningNode } from "../node/node.ts";
import { version } from "../node/version.ts";
import type { Settings } from "../node/settings.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { readOnlyText } from "./read_only_words.ts";
import { plain } from "./table.ts";

const endpoints: readonly (readonly [area: string, routes: string])[] = [
  ["documents", "GET /collections | POST GET DELETE /collections/{c} | POST /collections/{c}/bulk"],
  ["", "GET PUT DELETE /collections/{c}/{id}"],
  ["node", "GET /health /ready /version /stats /verify"],
  ["replication", "GET /replication/status /verify | POST /replication/start-leader /start-follower /resync"],
  ["", "POST /replication/read-only /read-write /accept-loss | POST DELETE /replication/handover"],
  ["", "POST /replication/promote /auto-failover/enable /auto-failover/disable"],
];

/** What the settings do not say. */
export interface BannerNotes {
  /** How the node came to its role, when not by its settings: `promoted; configured as follower`. */
  readonly roleNote: string | null;
  /** Null: off. `port`: where it would lead; null: not known yet. */
  readonly autoFailover: { readonly silenceMs: number; readonly port: number | null } | null;
  /** `host:port` of the leader that a follower looks for first; null: as its settings say. */
  readonly following: string | null;
}

const noNotes: BannerNotes = { roleNote: null, autoFailover: null, following: null };

/** The text, with colours only on a terminal. */
export function banner(
  runtime: Runtime,
  settings: Settings,
  node: RunningNode,
  notes: BannerNotes = noNotes,
): string {
  const paint = runtime.process.stdoutIsTerminal && runtime.process.env["NO_COLOR"] === undefined;
  const colour = (code: number, text: string): string => paint ? `\u001b[${code}m${text}\u001b[0m` : text;
  const line = (label: string, text: string): string => `  ${colour(2, `${label}:`.padEnd(13))} ${text}\n`;
  const security = [
    `API key ${settings.apiKey === null ? "OFF" : "ON"}`,
    `TLS ${settings.tlsCertPath === null ? "OFF" : "ON"}`,
    `replication-secret ${settings.replicationSecret === null ? "OFF" : "ON"}`,
  ].join(" | ");
  let text = `${colour(1, "dfdb serve")}\n` +
    line("node", settings.nodeName) +
    line("data dir", node.dataDir) +
    line(
      "listening",
      `http${settings.tlsCertPath === null ? "" : "s"}://${
        settings.bindAll ? "0.0.0.0" : "localhost"
      }:${node.httpPort}`,
    ) +
    line("security", security) +
    line("replication", replicationLine(settings, node, notes)) +
    (node.role.readOnly.on ? line("read-only", readOnlyText(node.role.readOnly.reason)) : "") +
    line("version", `${version} on ${runtime.name} ${runtime.version}`);
  if (settings.bindAll && settings.apiKey === null) {
    text += colour(
      31,
      "  WARNING: no API key, and every interface is open: anyone who reaches this port can write.\n",
    );
  }
  for (const [area, routes] of endpoints) text += `  ${colour(2, area.padEnd(13))} ${routes}\n`;
  return text;
}

function replicationLine(settings: Settings, node: RunningNode, notes: BannerNotes): string {
  const note = notes.roleNote === null ? "" : ` (${plain(notes.roleNote)})`;
  if (node.role.kind === "leader") {
    const bind = settings.replicationBind ??
      (settings.replicationSecret === null ? "loopback" : "all interfaces");
    const secret = settings.replicationSecret === null ? "" : "  (shared-secret required)";
    const sync = settings.minSyncReplicas === 0
      ? ""
      : `  (semi-sync: ${settings.minSyncReplicas} replica ack)`;
    return `LEADER${note}  listening on :${node.replicationPort} (${bind})${secret}${sync}`;
  }
  if (node.role.kind === "follower") {
    return `FOLLOWER${note}  following ${followed(settings, notes)}${failoverText(notes)}`;
  }
  return `OFF (single node)${note}`;
}

function followed({ leaderHost, leaderPort }: Settings, { following }: BannerNotes): string {
  if (following !== null) return plain(following);
  return leaderHost === null ? "nobody yet" : `${leaderHost}:${leaderPort}`;
}

function failoverText({ autoFailover }: BannerNotes): string {
  if (autoFailover === null) return "";
  const { silenceMs, port } = autoFailover;
  return `  |  auto-failover after ${silenceMs / 1000}s${port === null ? "" : ` (new port :${port})`}`;
}

/** Printed when the node has promoted itself. */
export function promotedLine(port: number): string {
  return `[dfdb] auto-failover: promoted to leader on :${port}\n`;
}
