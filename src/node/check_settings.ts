/** What no row of the settings can say alone. */
import { DfdbError } from "../base/errors.ts";
import { parseAuthority } from "../cluster/authority/setting.ts";
import { isLoopback } from "../http/access.ts";
import { parseWireAddress } from "../replication/wire_address.ts";
import { thinningOf } from "./master_sender.ts";
import type { Settings } from "./settings.ts";
import { leadPortOf } from "./settings.ts";

/** Which setting is not as it must be, and what was expected. */
export interface Objection {
  readonly setting: string;
  readonly sentence: string;
}

/** Throws `setting_invalid` with the first objection. */
export function checkTogether(settings: Settings): void {
  throwFirst(settings, [access, ports, leader, tls, addresses, failover, masters]);
}

/** The same for a database without HTTP, whose role a program says. */
export function checkEmbedded(settings: Settings): void {
  throwFirst(settings, [addresses, failover]);
}

type Check = (settings: Settings) => Objection | null;

function throwFirst(settings: Settings, checks: readonly Check[]): void {
  for (const check of checks) {
    const found = check(settings);
    if (found === null) continue;
    const { setting, sentence } = found;
    throw new DfdbError("setting_invalid", `${setting}: ${sentence}`, { details: { setting } });
  }
}

/** `host` is a setting: an address or a name. */
export function isLoopbackHost(host: string): boolean {
  return isLoopback(host) || /^(.+\.)?localhost$/i.test(host) || host === "[::1]";
}

/**
 * Who may lead must not be decided with machines that prove nothing: any that knows the database's id could. Null where there is
 * a secret, or `host` and the replication port are on loopback.
 */
export function secretObjection(
  { replicationSecret, replicationBind }: Pick<Settings, "replicationSecret" | "replicationBind">,
  setting: string,
  host: string | null,
): Objection | null {
  const other = [host, replicationBind].find((each) => each !== null && !isLoopbackHost(each));
  if (replicationSecret !== null || other === undefined) return null;
  return { setting, sentence: `wants a --replication-secret, because ${other} is not on loopback` };
}

/** Why this node must not promote itself after `silenceMs` of its leader at `leaderHost`; null: it may. */
export function silenceObjection(
  settings: Settings,
  silenceMs: number,
  leaderHost: string | null,
): Objection | null {
  const setting = "--auto-failover-seconds", seconds = silenceMs / 1000;
  const least = 2 * settings.heartbeatMs;
  if (silenceMs < least) {
    return { setting, sentence: `expected at least 2 heartbeats (${least / 1000} s), not ${seconds}` };
  }
  const authority = parseAuthority(settings.failoverAuthority).kind;
  if (authority === "etcd" && (silenceMs < 2000 || silenceMs % 1000 !== 0)) {
    return { setting, sentence: `expected whole seconds, at least 2, with etcd, not ${seconds}` };
  }
  return secretObjection(settings, setting, leaderHost);
}

function access({ bindAll, apiKey, insecureDevMode }: Settings): Objection | null {
  if (!bindAll || apiKey !== null || insecureDevMode) return null;
  const sentence =
    "wants an --api-key, because anyone who reaches this machine could write; or --insecure-dev-mode";
  return { setting: "--bind-all", sentence };
}

function ports(settings: Settings): Objection | null {
  const { replicationRole, port, autoFailoverNewPort, autoFailoverMs, leaderPort } = settings;
  const sentence = `must differ from the HTTP port ${port}`;
  if (autoFailoverNewPort === port) return { setting: "--auto-failover-new-port", sentence };
  if (replicationRole === "leader" && leadPortOf(settings, null) === port) {
    return { setting: "--replication-port", sentence };
  }
  if (
    replicationRole === "follower" && autoFailoverMs !== null && leadPortOf(settings, leaderPort) === port
  ) {
    return { setting: "--auto-failover-new-port", sentence: `is needed, and ${sentence}` };
  }
  return null;
}

function leader({ replicationRole, leaderHost, leaderPort }: Settings): Objection | null {
  if (replicationRole !== "follower") return null;
  if (leaderHost === null) {
    return { setting: "--leader-host", sentence: "a follower needs the host of its leader" };
  }
  if (leaderPort !== null) return null;
  return { setting: "--leader-port", sentence: "a follower needs the replication port of its leader" };
}

function tls({ tlsCertPath, tlsKeyPath }: Settings): Objection | null {
  if ((tlsCertPath === null) === (tlsKeyPath === null)) return null;
  const [given, missing] = tlsKeyPath === null ? ["certPath", "keyPath"] : ["keyPath", "certPath"];
  const sentence = `security.tls.${given} is set, and both belong together`;
  return { setting: `security.tls.${missing}`, sentence };
}

function addresses({ publicBaseUrl, publicReplicationAddress: address }: Settings): Objection | null {
  if (publicBaseUrl !== null && !/^https?:\/\/[^\s/]+/.test(publicBaseUrl)) {
    return { setting: "--public-base-url", sentence: "expected a URL that begins with http:// or https://" };
  }
  if (address === null || (parseWireAddress(address)?.hostname ?? "") !== "") return null;
  const sentence = `expected host:port, not ${JSON.stringify(address)}`;
  return { setting: "--public-replication-address", sentence };
}

/** Whatever the role: the kept one may be another one, and a promoted leader starts with its old command line. */
function failover(settings: Settings): Objection | null {
  const { failoverAuthority, autoFailoverMs, leaderHost } = settings;
  const { kind } = parseAuthority(failoverAuthority);
  const found = autoFailoverMs === null ? null : silenceObjection(settings, autoFailoverMs, leaderHost);
  if (found !== null || kind === "silence") return found;
  return secretObjection(settings, "--failover-authority", leaderHost);
}

function masters({ masterTriedEvery }: Settings): Objection | null {
  if (thinningOf(masterTriedEvery) !== null) return null;
  const sentence = `expected three whole numbers like 10,100,1000, not ${JSON.stringify(masterTriedEvery)}`;
  return { setting: "--replication-tried-every", sentence };
}
