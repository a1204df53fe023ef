/**
 * The one list of settings. Flags, environment variables, `node.json`, `--help`, the README's table and the checks
 * at start all come from it. Precedence: flag, then environment, then file, then default.
 */
import { limits } from "../base/limits.ts";

/** How a setting's text is read. Numbers are whole; `seconds` may have a fraction and are kept in ms. */
export type SettingType =
  | { readonly kind: "text" }
  | { readonly kind: "secret" }
  | { readonly kind: "port" }
  | { readonly kind: "number"; readonly min: number; readonly max: number }
  | { readonly kind: "seconds"; readonly min: number; readonly max: number }
  | { readonly kind: "switch" }
  | { readonly kind: "choice"; readonly of: readonly string[] };

export interface SettingRow {
  /** Long flag without the dashes, null when there is none. */
  readonly flag: string | null;
  readonly env: string | null;
  /** Path in node.json, null when there is none. */
  readonly json: string | null;
  readonly type: SettingType;
  readonly default: string | number | boolean | null;
  readonly help: string;
  /** Its part is not there yet: giving a value other than the default ends the start with `not_built`. */
  readonly notBuilt?: string;
}

const text: SettingType = { kind: "text" };
const secret: SettingType = { kind: "secret" };
const port: SettingType = { kind: "port" };
const onOff: SettingType = { kind: "switch" };
const number = (min: number, max: number): SettingType => ({ kind: "number", min, max });
const seconds = (min: number, max: number): SettingType => ({ kind: "seconds", min, max });
const choice = (...of: readonly string[]): SettingType => ({ kind: "choice", of });

/** Where a leader listens that was not told where. */
export const replicationPortDefault = 5500;

/** A row of the table; `d` is the default. */
function row<Default extends string | number | boolean | null>(
  names: readonly [flag: string | null, env: string | null, json: string | null],
  type: SettingType,
  d: Default,
  help: string,
  notBuilt?: string,
): SettingRow & { readonly default: Default } {
  const [flag, env, json] = names;
  return { flag, env, json, type, default: d, help, ...(notBuilt === undefined ? {} : { notBuilt }) };
}

export const settingsTable = {
  nodeName: row(
    ["node-name", "DFDB_NODE_NAME", "nodeName"],
    text,
    "node-1",
    "name of this node, shown to people",
  ),
  port: row(["port", "DFDB_PORT", "port"], port, 5000, "HTTP port"),
  dataDir: row(["data-dir", "DFDB_DATA_DIR", "dataDir"], text, "./data", "folder of the data files"),
  bindAll: row(
    ["bind-all", "DFDB_BIND_ALL", "bindAllInterfaces"],
    onOff,
    false,
    "serve HTTP on all interfaces, not on loopback only; wants an API key",
  ),
  insecureDevMode: row(
    ["insecure-dev-mode", "DFDB_INSECURE_DEV_MODE", "insecureDevMode"],
    onOff,
    false,
    "allow --bind-all without an API key",
  ),
  replicationBind: row(
    ["replication-bind", "DFDB_REPLICATION_BIND", "replication.bind"],
    text,
    null as string | null,
    "address of the replication port; default: all interfaces with a secret, loopback without",
  ),
  apiKey: row(
    ["api-key", "DFDB_API_KEY", "security.apiKey"],
    secret,
    null as string | null,
    "key that HTTP clients must send as a bearer token",
  ),
  replicationSecret: row(
    ["replication-secret", "DFDB_REPLICATION_SECRET", "security.replicationSecret"],
    secret,
    null as string | null,
    "secret that leader and followers prove to each other; the same on every node",
  ),
  tlsCertPath: row(
    [null, null, "security.tls.certPath"],
    text,
    null as string | null,
    "PEM file of this node's certificate, with what its authority put between; HTTP and the replication port use it",
  ),
  tlsKeyPath: row(
    [null, null, "security.tls.keyPath"],
    text,
    null as string | null,
    "PEM file of its private key, not encrypted",
  ),
  tlsCaPath: row(
    [null, null, "security.tls.caPath"],
    text,
    null as string | null,
    "follower: PEM file of the authorities trusted for the leader's certificate; default: the public ones",
  ),
  replicationRole: row(
    ["replication-role", "DFDB_REPLICATION_ROLE", "replication.role"],
    choice("none", "leader", "follower"),
    "none",
    "what this node does in replication",
  ),
  replicationMode: row(
    ["replication-mode", "DFDB_REPLICATION_MODE", "replication.mode"],
    choice("logical", "physical"),
    "logical",
    "how a follower follows",
    "physical replication",
  ),
  replicationPort: row(
    ["replication-port", "DFDB_REPLICATION_PORT", "replication.port"],
    port,
    null as number | null,
    `port on which a leader serves followers; default: ${replicationPortDefault}`,
  ),
  leaderHost: row(
    ["leader-host", "DFDB_LEADER_HOST", "replication.leaderHost"],
    text,
    null as string | null,
    "follower: host of the leader",
  ),
  leaderPort: row(
    ["leader-port", "DFDB_LEADER_PORT", "replication.leaderPort"],
    port,
    null as number | null,
    "follower: replication port of the leader",
  ),
  autoFailoverMs: row(
    ["auto-failover-seconds", "DFDB_AUTO_FAILOVER_SECONDS", "replication.autoFailover.silenceSeconds"],
    seconds(0, 86_400),
    null as number | null,
    "follower: take over when the leader was silent for so long, at least 2 heartbeats; 0: never",
  ),
  autoFailoverNewPort: row(
    ["auto-failover-new-port", "DFDB_AUTO_FAILOVER_NEW_PORT", "replication.autoFailover.newLeaderPort"],
    port,
    null as number | null,
    "port to lead on after taking over; default: --replication-port where it is given, else the leader's",
  ),
  failoverAuthority: row(
    ["failover-authority", "DFDB_FAILOVER_AUTHORITY", "replication.autoFailover.authority"],
    text,
    "silence",
    "who says that a node may lead: silence, or etcd=http://host:2379 (several, separated by commas)",
  ),
  maxFailoverLagOps: row(
    ["max-failover-lag-ops", "DFDB_MAX_FAILOVER_LAG_OPS", "replication.autoFailover.maxLagOps"],
    number(0, 1_000_000_000_000),
    limits.failoverLagOpsDefault as number,
    "a follower that was more entries than this behind its leader does not take over",
  ),
  leaderStartMs: row(
    ["leader-start-seconds", "DFDB_LEADER_START_SECONDS", "replication.leaderStartSeconds"],
    seconds(0, 86_400),
    limits.leaderStartMsDefault as number,
    "a leader that starts waits at most so long, read-only, for a word from each node that may have taken over",
  ),
  minSyncReplicas: row(
    ["min-sync-replicas", "DFDB_MIN_SYNC_REPLICAS", "replication.minSyncReplicas"],
    number(0, 64),
    0,
    "answer writes only when so many followers hold them",
  ),
  syncTimeoutMs: row(
    ["sync-timeout-seconds", "DFDB_SYNC_TIMEOUT_SECONDS", "replication.syncTimeoutSeconds"],
    seconds(0.1, 3_600),
    5_000,
    "how long a write waits for followers",
  ),
  syncCandidates: row(
    ["sync-candidates", "DFDB_SYNC_CANDIDATES", "replication.syncCandidates"],
    choice("required", "any"),
    "required",
    "whether the followers that may take over must be among them; any: not, they may then lack answered writes",
  ),
  forwardWrites: row(
    ["forward-writes", "DFDB_FORWARD_WRITES", "replication.forwardWrites"],
    onOff,
    false,
    "follower: pass writes on to the leader",
  ),
  publicBaseUrl: row(
    ["public-base-url", "DFDB_PUBLIC_BASE_URL", "network.publicBaseUrl"],
    text,
    null as string | null,
    "URL under which clients reach this node; default: derived from host and port",
  ),
  publicReplicationAddress: row(
    ["public-replication-address", "DFDB_PUBLIC_REPLICATION_ADDRESS", "network.publicReplicationAddress"],
    text,
    null as string | null,
    "host:port under which other nodes reach this node's replication port; default: the host of --public-base-url, else as they see it",
  ),
  forceRole: row(
    ["force-role", null, null],
    onOff,
    false,
    "take the configured role and not the one kept on disk; a leader begins a new epoch",
  ),
  heartbeatMs: row(
    ["heartbeat-seconds", "DFDB_HEARTBEAT_SECONDS", "replication.heartbeatSeconds"],
    seconds(0.05, 60),
    limits.heartbeatMs as number,
    "how often a leader tells followers that it lives",
  ),
  followersMax: row(
    ["followers-max", "DFDB_FOLLOWERS_MAX", "replication.followersMax"],
    number(1, 10_000),
    limits.followersMax as number,
    "followers that a leader serves at once",
  ),
  logBytesMax: row(
    ["log-bytes-max", "DFDB_LOG_BYTES_MAX", "replication.log.bytesMax"],
    number(1_048_576, 1_099_511_627_776),
    limits.logBytesMaxDefault as number,
    "the log is kept to so many bytes: what a follower may be behind",
  ),
  logAgeMs: row(
    ["log-age-seconds", "DFDB_LOG_AGE_SECONDS", "replication.log.ageSeconds"],
    seconds(60, 315_360_000),
    limits.logAgeMsMaxDefault as number,
    "and for so long, whichever is reached first",
  ),
  snapshotAboveEntries: row(
    ["snapshot-above-entries", "DFDB_SNAPSHOT_ABOVE_ENTRIES", "replication.snapshotAboveEntries"],
    number(1, 1_000_000_000),
    limits.snapshotAboveEntries as number,
    "an empty follower gets a snapshot when the log holds so many entries",
  ),
  snapshotBytesPerSecond: row(
    ["snapshot-bytes-per-second", "DFDB_SNAPSHOT_BYTES_PER_SECOND", "replication.snapshotBytesPerSecond"],
    number(65_536, 1_099_511_627_776),
    536_870_912,
    "most bytes of a snapshot that go to one follower in a second",
  ),
  replicationBundle: row(
    ["replication-bundle", "DFDB_REPLICATION_BUNDLE", "replication.bundle"],
    onOff,
    false,
    "the database `default`, which is new, may replicate with other masters: it keeps versions of its documents",
  ),
  adoptExisting: row(
    ["adopt-existing", "DFDB_ADOPT_EXISTING", "replication.adoptExisting"],
    onOff,
    false,
    "with --replication-bundle: also where it has documents, which become versions of this database",
  ),
  masterRequestMs: row(
    [
      "replication-request-timeout",
      "DFDB_REPLICATION_REQUEST_TIMEOUT",
      "Raven/Replication/ReplicationRequestTimeout",
    ],
    number(10, 3_600_000),
    limits.masterRequestMsDefault as number,
    "ms that a request to another master may take",
  ),
  masterTriedEvery: row(
    ["replication-tried-every", "DFDB_REPLICATION_TRIED_EVERY", "replication.triedEvery"],
    text,
    "10,100,1000",
    "another master is tried in every so manieth cycle after more than 10, 100 and 1000 failures in a row",
  ),
  bodyBytesMax: row(
    ["body-bytes-max", "DFDB_BODY_BYTES_MAX", "limits.bodyBytes"],
    number(1_024, 1_073_741_824),
    limits.bodyBytesMaxDefault as number,
    "largest HTTP request body, bytes",
  ),
  documentBytesMax: row(
    ["document-bytes-max", "DFDB_DOCUMENT_BYTES_MAX", "limits.documentBytes"],
    number(64, 33_554_432),
    limits.documentBytesMaxDefault as number,
    "largest document, bytes",
  ),
  nestingMax: row(
    ["nesting-max", "DFDB_NESTING_MAX", "limits.nesting"],
    number(1, 500),
    limits.nestingMaxDefault as number,
    "deepest nesting of a document",
  ),
  bulkDocumentsMax: row(
    ["bulk-documents-max", "DFDB_BULK_DOCUMENTS_MAX", "limits.bulkDocuments"],
    number(1, 10_000_000),
    limits.bulkDocumentsMaxDefault as number,
    "most documents in one bulk request",
  ),
  logLevel: row(
    ["log-level", "DFDB_LOG_LEVEL", "logLevel"],
    choice("debug", "info", "warning", "error"),
    "info",
    "least level of the lines written to standard error",
  ),
} satisfies Record<string, SettingRow>;

export type SettingName = keyof typeof settingsTable;

type Widen<Value> = Value extends string ? string
  : Value extends number ? number
  : Value extends boolean ? boolean
  : Value;

/** Every setting with its value in force. Times are ms. */
export type Settings = { readonly [Name in SettingName]: Widen<(typeof settingsTable)[Name]["default"]> };

/** The defaults of all settings. */
export function defaultSettings(): Settings {
  return Object.fromEntries(
    Object.entries(settingsTable).map(([name, setting]) => [name, setting.default]),
  ) as unknown as Settings;
}

/**
 * Port on which this node leads by its settings, or, while it follows a leader at `leaderPort`, on which it would lead in its
 * place.
 */
export function leadPortOf(
  { replicationPort, autoFailoverNewPort }: Pick<Settings, "replicationPort" | "autoFailoverNewPort">,
  leaderPort: number | null,
): number {
  const own = replicationPort ?? leaderPort ?? replicationPortDefault;
  return leaderPort === null ? own : autoFailoverNewPort ?? own;
}
