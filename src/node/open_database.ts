import { DfdbError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { silentLogger } from "../base/logger.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { openNodeDatabase } from "./database.ts";
import { EmbeddedDatabase } from "./embedded.ts";
import type { SettingName, SettingRow, Settings } from "./settings.ts";
import { defaultSettings, settingsTable } from "./settings.ts";

/** Settings that mean something without HTTP; times are ms. */
export type EmbeddedSettings = Partial<
  Pick<
    Settings,
    | "nodeName"
    | "replicationBind"
    | "replicationSecret"
    | "tlsCertPath"
    | "tlsKeyPath"
    | "tlsCaPath"
    | "minSyncReplicas"
    | "syncTimeoutMs"
    | "heartbeatMs"
    | "followersMax"
    | "logBytesMax"
    | "logAgeMs"
    | "snapshotAboveEntries"
    | "snapshotBytesPerSecond"
    | "documentBytesMax"
    | "nestingMax"
  >
>;

export interface OpenDatabaseOptions extends EmbeddedSettings {
  /** From the adapter of the runtime; `openDatabase` of the package has it already. */
  readonly runtime: Runtime;
  /** Default: nothing is logged. */
  readonly logger?: Logger;
}

/**
 * Opens the database at `path`, or makes it, without HTTP. What belongs to this node is in `<path>.node`: to make a
 * follower out of a copy, copy `path` alone, of a database that is closed. A database that followed a leader when it
 * was last open takes no writes and waits for `startLogicalReplicationFollower`.
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
 */
export async function openDatabase(path: string, options: OpenDatabaseOptions): Promise<EmbeddedDatabase> {
  const { runtime, logger = silentLogger, ...given } = options;
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
  });
  return new EmbeddedDatabase(database);
}

/** Throws `setting_invalid`. */
function settingsOf(given: EmbeddedSettings): Settings {
  for (const [name, value] of Object.entries(given)) {
    const row: SettingRow | undefined = settingsTable[name as SettingName];
    if (row === undefined) throw invalid(name, "there is no such setting");
    const { type } = row;
    if (value === null && row.default === null) continue;
    if (type.kind === "number" || type.kind === "seconds") {
      const scale = type.kind === "seconds" ? 1000 : 1, min = type.min * scale, max = type.max * scale;
      if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) continue;
      throw invalid(name, `expected a whole number from ${min} to ${max}`);
    }
    if (typeof value !== "string" || value === "") throw invalid(name, "expected a text that is not empty");
  }
  return { ...defaultSettings(), ...given };
}

function invalid(setting: string, sentence: string): DfdbError {
  return new DfdbError("setting_invalid", `${setting}: ${sentence}`, { details: { setting } });
}
