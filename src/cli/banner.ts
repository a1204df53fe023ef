/** What `dfdb serve` prints once it serves (the reference's lines). */
import type { RunningNode } from "../node/node.ts";
import { version } from "../node/version.ts";
import type { Settings } from "../node/settings.ts";
import type { Runtime } from "../runtime/runtime.ts";

const endpoints: readonly (readonly [area: string, routes: string])[] = [
  ["documents", "GET /collections | POST GET DELETE /collections/{c} | POST /collections/{c}/bulk"],
  ["", "GET PUT DELETE /collections/{c}/{id}"],
  ["node", "GET /health /ready /version /stats /verify"],
  ["replication", "GET /replication/status /verify | POST /replication/start-leader /start-follower /resync"],
  ["", "POST /replication/read-only /read-write /accept-loss"],
];

/** The text, with colours only on a terminal. */
export function banner(runtime: Runtime, settings: Settings, node: RunningNode): string {
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
    line("replication", replicationLine(settings, node)) +
    (node.role.readOnly.on ? line("read-only", readOnlyLine(node.role.readOnly.reason)) : "") +
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

function readOnlyLine(reason: string | null): string {
  return reason === "behind_followers"
    ? "behind_followers: this node lacks entries that its followers may hold (dfdb accept-loss gives them up)"
    : `${reason}: until POST /replication/read-write`;
}

function replicationLine(settings: Settings, node: RunningNode): string {
  if (node.role.kind === "leader") {
    const bind = settings.replicationBind ??
      (settings.replicationSecret === null ? "loopback" : "all interfaces");
    const secret = settings.replicationSecret === null ? "" : "  (shared-secret required)";
    return `LEADER  listening on :${node.replicationPort} (${bind})${secret}`;
  }
  if (node.role.kind === "follower") {
    return `FOLLOWER  following ${settings.leaderHost}:${settings.leaderPort}`;
  }
  return "OFF (single node)";
}
