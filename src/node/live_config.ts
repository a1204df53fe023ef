/** The settings of a running node as `/admin/config` shows and changes them. */
import { hex, utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { keysOf } from "../engine/api_keys.ts";
import type { LiveSettings } from "../http/admin_types.ts";
import type { Crypto } from "../runtime/runtime.ts";
import type { Storage } from "../storage/storage.ts";
import type { SyncNumbers } from "./replication.ts";
import type { Settings } from "./settings.ts";
import { replicationPortDefault, settingsTable } from "./settings.ts";

export interface LiveConfig {
  /** Without secrets: only whether there is one, and by what it can be told from others. */
  shown(): Readonly<Record<string, unknown>>;
  /** Counts from the next write on, and until the node is started again. Throws `bad_request`, and changes nothing then. */
  change(settings: LiveSettings): void;
}

export interface LiveConfigOptions {
  readonly settings: Settings;
  readonly dataDir: string;
  readonly httpUrl: string | null;
  readonly crypto: Crypto;
  readonly storage: Pick<Storage, "read">;
  readonly sync: SyncNumbers;
  /** Called after a change of `sync`. */
  readonly onSync: () => void;
}

export function liveConfig(options: LiveConfigOptions): LiveConfig {
  const { sync, onSync } = options;
  return {
    shown: () => ({
      node: node(options),
      security: security(options),
      replication: replication(options),
      network: { publicBaseUrl: options.settings.publicBaseUrl },
    }),
    change({ minSyncReplicas, syncTimeoutSeconds }) {
      const timeoutMs = syncTimeoutSeconds === undefined ? undefined : Math.round(syncTimeoutSeconds * 1_000);
      checkRange("minSyncReplicas", minSyncReplicas);
      checkRange("syncTimeoutMs", timeoutMs);
      sync.required = minSyncReplicas ?? sync.required;
      sync.timeoutMs = timeoutMs ?? sync.timeoutMs;
      onSync();
    },
  };
}

function checkRange(name: "minSyncReplicas" | "syncTimeoutMs", value: number | undefined): void {
  const { type, json } = settingsTable[name];
  if (value === undefined || (type.kind !== "number" && type.kind !== "seconds")) return;
  const [min, max] = type.kind === "seconds" ? [type.min * 1_000, type.max * 1_000] : [type.min, type.max];
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new DfdbError("bad_request", `${json}: expected ${type.min} to ${type.max}`);
}

function node({ settings, dataDir, httpUrl }: LiveConfigOptions): Readonly<Record<string, unknown>> {
  const { nodeName, port, bindAll, insecureDevMode } = settings;
  return { nodeName, port, dataDir, bindAllInterfaces: bindAll, insecureDevMode, httpEndpoint: httpUrl };
}

function security({ settings, crypto, storage }: LiveConfigOptions): Readonly<Record<string, unknown>> {
  const { apiKey, replicationSecret, tlsCertPath } = settings;
  return {
    adminKeyConfigured: apiKey !== null,
    adminKeyFingerprint: fingerprint(crypto, apiKey),
    replicationSecretConfigured: replicationSecret !== null,
    replicationSecretFingerprint: fingerprint(crypto, replicationSecret),
    // Keys of certificates are not encrypted here, so none has a password.
    tls: { configured: tlsCertPath !== null, certPath: tlsCertPath, certPasswordConfigured: false },
    scopedKeys: storage.read(keysOf).map(({ description, scopes, hash }) => (
      { description, scopes, keyFingerprint: `sha256:${hash.slice(0, 8)}` }
    )),
  };
}

/** The role is the configured one; the one in force is in the replication status. */
function replication({ settings, sync }: LiveConfigOptions): Readonly<Record<string, unknown>> {
  const { replicationRole, replicationPort, leaderHost, leaderPort, autoFailoverMs, autoFailoverNewPort } =
    settings;
  return {
    role: replicationRole,
    port: replicationPort ?? replicationPortDefault,
    leaderHost,
    leaderPort,
    minSyncReplicas: sync.required,
    syncTimeoutSeconds: sync.timeoutMs / 1_000,
    autoFailover: autoFailoverMs === null || autoFailoverMs === 0
      ? null
      : { silenceSeconds: autoFailoverMs / 1_000, newLeaderPort: autoFailoverNewPort },
  };
}

/** Two nodes with the same secret show the same. */
function fingerprint(crypto: Crypto, secret: string | null): string | null {
  return secret === null ? null : `sha256:${hex(crypto.sha256(utf8(secret)).subarray(0, 4))}`;
}
