/** What can be read off a data file and a node file without opening them for writing, also while a node has them open. */
import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { DatabaseId, NodeId, WallMs } from "../../base/ids.ts";
import { isHexId, nodeIdOf } from "../../base/ids.ts";
import type { Position, TermRecord } from "../log.ts";
import type { NodeState } from "../storage.ts";
import type { Bundle } from "./bundle.ts";
import type { FileKind } from "./connection.ts";
import { connect, pragma } from "./connection.ts";
import { loadState } from "./load_state.ts";
import { nodeFile } from "./node_schema.ts";
import { dataFile } from "./schema.ts";
import { mapped } from "./sqlite_error.ts";
import { SqliteNodeStore } from "./sqlite_node_store.ts";

export interface InspectedIndex {
  readonly name: string;
  readonly paths: readonly (readonly unknown[])[];
  readonly unique: boolean;
  /** Of times: documents go when theirs is over. */
  readonly time: boolean;
  /** `ready`, or how far it is. */
  readonly state: string;
  readonly entries: number;
}

export interface InspectedCollection {
  readonly name: string;
  readonly documents: number;
  readonly indexes: readonly InspectedIndex[];
}

/** What a database with the bundle holds beside its documents. */
export interface InspectedVersions {
  readonly tombstones: number;
  readonly conflicts: number;
  /** Runs of all databases that it knows, its own too. */
  readonly runs: number;
  /** Dropped collections whose tombstones are not all written yet. */
  readonly drops: number;
}

/** One consistent state of a data file. */
export interface InspectedData {
  readonly databaseId: DatabaseId;
  readonly format: number;
  readonly createdMs: WallMs;
  readonly position: Position;
  readonly terms: readonly TermRecord[];
  /** In the order of their creation, those of dfdb itself too. */
  readonly collections: readonly InspectedCollection[];
  /** Null: it has not the bundle. */
  readonly replication: InspectedVersions | null;
  /** Collections and indexes that were dropped and whose space is not free yet. */
  readonly dropped: number;
  readonly log: {
    /** Seq of the first entry kept, null: none is. */
    readonly first: number | null;
    readonly entries: number;
    readonly bytes: number;
    readonly firstMs: WallMs | null;
    readonly lastMs: WallMs | null;
  };
  /** The mark of a clean close is there. */
  readonly clean: boolean;
  readonly pages: number;
  readonly freePages: number;
}

/**
 * `closed`: nobody has the file open (there is no WAL beside it): then nothing is locked, and nothing appears beside it. Throws
 * `data_foreign`, `data_newer`, `data_corrupt`, `io_error`.
 */
export function inspectData(path: string, closed: boolean): InspectedData {
  return withFile(path, closed, dataFile, (db, format): InspectedData => {
    const { databaseId, state } = loadState(db, path);
    const meta = db.prepare("SELECT created_ms FROM meta").get() as { created_ms: number };
    const ends = db.prepare(
      "SELECT min(seq) AS first, max(seq) AS last, (SELECT wall_ms FROM log ORDER BY seq LIMIT 1) AS first_ms, " +
        "(SELECT wall_ms FROM log ORDER BY seq DESC LIMIT 1) AS last_ms FROM log",
    ).get() as Record<"first" | "last" | "first_ms" | "last_ms", number | null>;
    const indexes = db.prepare(
      "SELECT collection, name, paths, is_unique, is_time, state, entries FROM indexes ORDER BY number",
    ).all() as Record<string, string | number | null>[];
    const linked = [...state.collections.values()].filter(({ name }) => name !== null);
    return {
      databaseId,
      format,
      createdMs: meta.created_ms as WallMs,
      position: state.position,
      terms: state.terms,
      collections: linked.sort((a, b) => a.number - b.number).map(({ number, name, documents }) => ({
        name: name as string,
        documents,
        indexes: indexes.filter((row) => row["collection"] === number && row["name"] !== null).map((row) => ({
          name: String(row["name"]),
          paths: JSON.parse(String(row["paths"])) as (readonly unknown[])[],
          unique: row["is_unique"] === 1,
          time: row["is_time"] === 1,
          state: String(row["state"]),
          entries: Number(row["entries"]),
        })),
      })),
      replication: state.bundle === null ? null : versionsOf(state.bundle),
      dropped: state.dropped.size + indexes.filter(({ name }) => name === null).length,
      log: {
        first: ends.first,
        entries: ends.first === null || ends.last === null ? 0 : ends.last - ends.first + 1,
        bytes: state.endBytes - state.trimmed.endBytes,
        firstMs: ends.first_ms as WallMs | null,
        lastMs: ends.last_ms as WallMs | null,
      },
      clean: state.clean,
      pages: Number(pragma(db, "page_count")),
      freePages: Number(pragma(db, "freelist_count")),
    };
  });
}

function versionsOf({ spaces, runs, drops }: Bundle): InspectedVersions {
  const all = [...spaces],
    sum = (of: "tombstones" | "conflicts") => all.reduce((n, space) => n + space[of], 0);
  return {
    tombstones: sum("tombstones"),
    conflicts: sum("conflicts"),
    runs: runs.tree.size,
    drops: drops.length,
  };
}

/** `state` null: the node never met the database. Throws as {@linkcode inspectData}. */
export function inspectNode(
  path: string,
  closed: boolean,
  databaseId: DatabaseId,
): { readonly nodeId: NodeId; readonly state: NodeState | null } {
  return withFile(path, closed, nodeFile, (db, format) => {
    if (format !== nodeFile.version) {
      throw new DfdbError("data_newer", `${path} has format ${format}; its node brings it up to date`);
    }
    const nodeId = db.prepare("SELECT node_id FROM node").get()?.["node_id"];
    if (!isHexId(nodeId)) throw new DfdbError("data_corrupt", `${path}: no node id`);
    // Only asked: no lock is held.
    const store = new SqliteNodeStore(path, db, { release: () => {} }, nodeIdOf(nodeId));
    return { nodeId: store.nodeId, state: store.state(databaseId) };
  });
}

function withFile<Result>(
  path: string,
  closed: boolean,
  kind: FileKind,
  run: (db: DatabaseSync, format: number) => Result,
): Result {
  return mapped(`looking into ${path}`, () => {
    const db = connect(closed ? immutable(path) : path, true);
    try {
      db.prepare("BEGIN").run();
      if (pragma(db, "application_id") !== kind.applicationId) {
        throw new DfdbError(
          "data_foreign",
          `${path} is no ${kind === dataFile ? "data" : "node"} file of dfdb`,
        );
      }
      const format = Number(pragma(db, "user_version"));
      if (format > kind.version) {
        const message =
          `${path} has format ${format}; this version of dfdb knows formats up to ${kind.version}`;
        throw new DfdbError("data_newer", message, { details: { found: format, known: kind.version } });
      }
      return run(db, format);
    } finally {
      db.close();
    }
  });
}

/** A plain connection to a file in WAL mode would leave a WAL beside it. */
function immutable(path: string): string {
  const parts = path.replaceAll("\\", "/").split("/").map((part, i) =>
    i === 0 && /^[A-Za-z]:$/.test(part) ? part : encodeURIComponent(part)
  );
  return `file://${parts[0] === "" ? "" : "/"}${parts.join("/")}?immutable=1`;
}
