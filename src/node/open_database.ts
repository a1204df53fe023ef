import { DfdbError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { silentLogger } from "../base/logger.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Authority } from "../cluster/authority.ts";
import type { Resolve } from "../document/judge.ts";
import { activateBundles } from "./activate_bundle.ts";
import { checkEmbedded } from "./check_settings.ts";
import { openNodeDatabase } from "./database.ts";
import { EmbeddedDatabase } from "./embedded.ts";
import type { SettingName, SettingRow, Settings } from "./settings.ts";
import { defaultSettings, settingsTable } from "./settings.ts";

const embeddedNames = [
  "nodeName",
  "replicationBind",
  "replicationSecret",
  "tlsCertPath",
  "tlsKeyPath",
  "tlsCaPath",
  "minSyncReplicas",
  "syncTimeoutMs",
  "syncCandidates",
  "autoFailoverMs",
  "autoFailoverNewPort",
  "failoverAuthority",
  "maxFailoverLagOps",
  "leaderStartMs",
  "publicReplicationAddress",
  "heartbeatMs",
  "followersMax",
  "logBytesMax",
  "logAgeMs",
  "snapshotAboveEntries",
  "snapshotBytesPerSecond",
  "documentBytesMax",
  "nestingMax",
] as const satisfies readonly SettingName[];

/** Settings that mean something without HTTP; times are ms. */
export type EmbeddedSettings = Partial<Pick<Settings, (typeof embeddedNames)[number]>>;

export interface OpenDatabaseOptions extends EmbeddedSettings {
  /** From the adapter of the runtime; `openDatabase` of the package has it already. */
  readonly runtime: Runtime;
  /** Default: nothing is logged. */
  readonly logger?: Logger;
  /**
   * Who says that this node may lead: a witness of the program's own, instead of the setting `failoverAuthority`. It is asked before each
   * commit and before each promotion. It belongs to this database from now on, and is closed with it.
   */
  readonly authority?: Authority;
  readonly replication?: MasterOptions;
}

/** Replication with other masters. */
export interface MasterOptions {
  /** A database that has not the bundle gets it, where this node leads. Rejects with `conflict` where it has documents. */
  readonly bundle?: boolean;
  /** With `bundle`: documents that are there become versions of this database. */
  readonly adoptExisting?: boolean;
  /**
   * Settles conflicts instead of the document `Raven/Replication/Config`. It must depend on its arguments alone, and be the same on all masters and
   * their followers.
   */
  readonly resolve?: Resolve;
}

/**
 * Opens the database at `path`, or makes it, without HTTP. What belongs to this node is in `<path>.node`: to make a
 * follower out of a copy, copy `path` alone, of a database that is closed. A database that followed a leader when it
 * was last open takes no writes and waits for `startLogicalReplicationFollower`, or `promoteToLeader`. One that led takes writes; where
 * followers could have taken over meanwhile, when they have answered that they did not, or `leaderStartMs` is over.
 *
 * Rejects with DfdbError: `data_locked`, `data_corrupt`, `unclean_copy`, `setting_invalid`, ...
 *
 * @example Documents
 * ```ts
 * import { openDatabase } from "dfdb";
 *
 * const db = await openDatabase("./shop.dfdb");
 * const { _id, _etag } = await db.insert("orders", { total: 12.5 });
 * await db.put("orders", _id, { total: 13 }, { ifMatch: _etag });
 * console.log(db.get("orders", _id));
 * for (const order of db.documents("orders")) console.log(order._id, order.total);
 * await db.close();
 * ```
 *
 * @example A leader and a follower
 * ```ts
 * import { openDatabase } from "dfdb";
 *
 * const leader = await openDatabase("./leader.dfdb", { nodeName: "leader" });
 * const { port } = await leader.startLogicalReplicationServer({ port: 0, sharedSecret: "s3cret" });
 *
 * const follower = await openDatabase("./follower.dfdb", { nodeName: "follower" });
 * await follower.startLogicalReplicationFollower("127.0.0.1", port, { sharedSecret: "s3cret" });
 *
 * await leader.put("orders", "1", { total: 12.5 });
 * await follower.reached(leader.position);
 * console.log(follower.get("orders", "1"), follower.followerLastSeq, leader.logicalFollowerCount);
 * await follower.close();
 * await leader.close();
 * ```
 *
 * @example A planned handover
 * ```ts
 * import { openDatabase } from "dfdb";
 *
 * const oldLeader = await openDatabase("./old.dfdb", { nodeName: "old" });
 * const newLeader = await openDatabase("./new.dfdb", { nodeName: "new" });
 * const { port } = await oldLeader.startLogicalReplicationServer({ port: 0 });
 * await newLeader.startLogicalReplicationFollower("127.0.0.1", port);
 * await oldLeader.put("orders", "1", { total: 12.5 });
 *
 * // Writes stop here until the other one leads.
 * const finalSeq = await oldLeader.beginPlannedHandover({
 *   followerLastSeqProbe: () => newLeader.followerLastSeq,
 *   timeoutMs: 60_000,
 * });
 * await newLeader.promoteToLeader(0);
 *
 * // The old leader follows by itself.
 * await newLeader.put("orders", "2", { total: 20 });
 * await oldLeader.reached(newLeader.position);
 * console.log(oldLeader.get("orders", "2"), finalSeq, oldLeader.logicalReplicationRole);
 * await oldLeader.close();
 * await newLeader.close();
 * ```
 */
export async function openDatabase(path: string, options: OpenDatabaseOptions): Promise<EmbeddedDatabase> {
  const { runtime, logger = silentLogger, authority, replication = {}, ...given } = options;
  const data = runtime.files.absolute(path);
  const database = await openNodeDatabase({
    runtime,
    settings: settingsOf(given),
    logger,
    paths: {
      data,
      node: `${data}.node`,
      snapshots: `${data}.snapshots`,
      rescued: `${data}.rescued`,
    },
    httpUrl: null,
    role: "kept",
    ...(authority === undefined ? {} : { authority }),
    resolve: replication.resolve,
  });
  try {
    await activateBundles(
      database,
      replication.bundle ? ["replication"] : [],
      replication.adoptExisting ?? false,
    );
  } catch (error) {
    await database.close();
    throw error;
  }
  return new EmbeddedDatabase(database);
}

/** Throws `setting_invalid`. */
function settingsOf(given: EmbeddedSettings): Settings {
  for (const [name, value] of Object.entries(given)) {
    if (!(embeddedNames as readonly string[]).includes(name)) {
      throw invalid(name, "there is no such setting here");
    }
    const row: SettingRow = settingsTable[name as SettingName];
    const expected = value === null && row.default === null ? null : expectedOf(row, value);
    if (expected !== null) throw invalid(name, `expected ${expected}`);
  }
  const settings = { ...defaultSettings(), ...given };
  checkEmbedded(settings);
  return settings;
}

/** Null: `value` is as it must be. */
function expectedOf({ type }: SettingRow, value: unknown): string | null {
  const whole = (min: number, max: number): string | null =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
      ? null
      : `a whole number from ${min} to ${max}`;
  switch (type.kind) {
    case "number":
      return whole(type.min, type.max);
    case "seconds":
      return whole(type.min * 1000, type.max * 1000);
    case "port":
      return whole(1, 65_535);
    case "choice":
      return typeof value === "string" && type.of.includes(value) ? null : `one of ${type.of.join(", ")}`;
    default:
      return typeof value === "string" && value !== "" ? null : "a text that is not empty";
  }
}

function invalid(setting: string, sentence: string): DfdbError {
  return new DfdbError("setting_invalid", `${setting}: ${sentence}`, { details: { setting } });
}
