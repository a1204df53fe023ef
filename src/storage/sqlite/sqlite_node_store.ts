import type { DatabaseSync } from "node:sqlite";
import * as v from "valibot";
import { assert } from "../../base/assert.ts";
import { DfdbError } from "../../base/errors.ts";
import type { DatabaseId, NodeId } from "../../base/ids.ts";
import { epochOf, isHexId, nodeIdOf, runIdOf, wallMsOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { Term } from "../log.ts";
import type {
  HandoverInDoubt,
  KnownPeer,
  NodeState,
  NodeStore,
  NotedFailure,
  RoleOrigin,
} from "../storage.ts";
import { pragma, transaction } from "./connection.ts";
import type { Lock } from "./lock.ts";
import { mapped } from "./sqlite_error.ts";

type Row = Record<string, unknown>;

const text = v.nullable(v.string());
const handoverSchema = v.object({
  id: v.custom<string>(isHexId),
  target: v.object({
    nodeId: v.custom<NodeId>(isHexId),
    nodeName: v.string(),
    httpUrl: text,
    wireAddress: text,
  }),
});

const insertState =
  `INSERT OR REPLACE INTO states (database_id, role, highest_epoch, read_only, read_only_reason, origin,
    lead_port, term_epoch, term_run, leader_address, handover) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const insertPeer = `INSERT OR REPLACE INTO peers (database_id, node_id, node_name, http_url, wire_address,
    candidate, silence_ms, seen_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
const deleteExcess = `DELETE FROM peers WHERE database_id = ?1 AND node_id IN (
    SELECT node_id FROM peers WHERE database_id = ?1 ORDER BY candidate DESC, seen_ms DESC, node_id LIMIT -1 OFFSET ?2)`;
const deleteOldFailures = `DELETE FROM failures WHERE database_id = ?1 AND url IN (
    SELECT url FROM failures WHERE database_id = ?1 ORDER BY at_ms DESC, url LIMIT -1 OFFSET ?2)`;

/** `node.dfdb`, open and locked; see {@linkcode openNodeStore}. */
export class SqliteNodeStore implements NodeStore {
  readonly nodeId: NodeId;
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #lock: Lock;

  constructor(path: string, db: DatabaseSync, lock: Lock, nodeId: NodeId) {
    this.nodeId = nodeId;
    this.#path = path;
    this.#db = db;
    this.#lock = lock;
  }

  state(databaseId: DatabaseId): NodeState | null {
    const row = this.#read("SELECT * FROM states WHERE database_id = ?", databaseId)[0];
    if (row === undefined) return null;
    return {
      role: row["role"] as NodeState["role"],
      highestEpoch: Number(row["highest_epoch"]),
      readOnly: row["read_only"] === 1,
      readOnlyReason: row["read_only_reason"] as string | null,
      origin: row["origin"] as RoleOrigin,
      leadPort: row["lead_port"] as number | null,
      term: this.#term(row),
      leaderAddress: row["leader_address"] as string | null,
      handover: this.#handover(row["handover"]),
    };
  }

  setState(databaseId: DatabaseId, state: NodeState): void {
    const { role, highestEpoch, readOnly, readOnlyReason, origin, leadPort, term, leaderAddress, handover } =
      state;
    // A fence that is forgotten is two leaders. Only the number is read: a state that is damaged otherwise can be replaced.
    const before = this.#read("SELECT highest_epoch FROM states WHERE database_id = ?", databaseId)[0];
    assert(highestEpoch >= Number(before?.["highest_epoch"] ?? 0), "the highest epoch ever seen never falls");
    assert(term === null || term.epoch <= highestEpoch, "a term that was taken has been seen");
    this.#write(() => {
      this.#db.prepare(insertState).run(
        databaseId,
        role,
        highestEpoch,
        readOnly ? 1 : 0,
        readOnlyReason,
        origin,
        leadPort,
        term?.epoch ?? null,
        term?.run ?? null,
        leaderAddress,
        handover === null ? null : JSON.stringify(handover),
      );
    });
  }

  peers(databaseId: DatabaseId): readonly KnownPeer[] {
    const rows = this.#read(
      "SELECT * FROM peers WHERE database_id = ? ORDER BY seen_ms DESC, node_id",
      databaseId,
    );
    return rows.map((row) => {
      const nodeId = row["node_id"];
      if (!isHexId(nodeId)) throw this.#corrupt("the id of a known node");
      return {
        nodeId: nodeIdOf(nodeId),
        nodeName: row["node_name"] as string,
        httpUrl: row["http_url"] as string | null,
        wireAddress: row["wire_address"] as string | null,
        candidate: row["candidate"] === 1,
        silenceMs: row["silence_ms"] as number | null,
        seenMs: wallMsOf(Number(row["seen_ms"])),
      };
    });
  }

  keepPeer(databaseId: DatabaseId, peer: KnownPeer): void {
    const { nodeId, nodeName, httpUrl, wireAddress, candidate, silenceMs, seenMs } = peer;
    this.#write(() => {
      const insert = this.#db.prepare(insertPeer);
      insert.run(
        databaseId,
        nodeId,
        nodeName,
        httpUrl,
        wireAddress,
        candidate ? 1 : 0,
        silenceMs,
        seenMs,
      );
      this.#db.prepare(deleteExcess).run(databaseId, limits.knownPeersMax);
    });
  }

  forgetPeer(databaseId: DatabaseId, nodeId: NodeId): boolean {
    const known = this.#read(
      "SELECT 1 FROM peers WHERE database_id = ? AND node_id = ?",
      databaseId,
      nodeId,
    );
    if (known.length === 0) return false;
    this.#write(() => {
      this.#db.prepare("DELETE FROM peers WHERE database_id = ? AND node_id = ?").run(databaseId, nodeId);
    });
    return true;
  }

  failures(databaseId: DatabaseId): readonly NotedFailure[] {
    const rows = this.#read("SELECT * FROM failures WHERE database_id = ? ORDER BY url", databaseId);
    return rows.map(({ url, count, code, message, at_ms: atMs }) => ({
      url: url as string,
      count: Number(count),
      error: { code: code as string, message: message as string },
      atMs: wallMsOf(Number(atMs)),
    }));
  }

  keepFailure(databaseId: DatabaseId, { url, count, error, atMs }: NotedFailure): void {
    this.#write(() => {
      const insert = this.#db.prepare("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?)");
      insert.run(databaseId, url, count, error.code, error.message, atMs);
      this.#db.prepare(deleteOldFailures).run(databaseId, limits.destinationsMax);
    });
  }

  clearFailure(databaseId: DatabaseId, url: string): boolean {
    const key = [databaseId, url], where = "FROM failures WHERE database_id = ? AND url = ?";
    if (this.#read(`SELECT 1 ${where}`, ...key).length === 0) return false;
    this.#write(() => void this.#db.prepare(`DELETE ${where}`).run(...key));
    return true;
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
    this.#lock.release();
  }

  #read(sql: string, ...values: readonly string[]): Row[] {
    return mapped(`reading ${this.#path}`, () => this.#db.prepare(sql).all(...values) as Row[]);
  }

  #write(run: () => void): void {
    mapped(`writing ${this.#path}`, () => {
      transaction(this.#db, run);
      // The file is small and written rarely: what is in it is never only in the WAL for long.
      pragma(this.#db, "wal_checkpoint(PASSIVE)");
    });
  }

  #term({ term_epoch: epoch, term_run: run }: Row): Term | null {
    if (epoch === null && run === null) return null;
    if (typeof epoch !== "number" || !isHexId(run)) throw this.#corrupt("the term of its promotion");
    return { epoch: epochOf(epoch), run: runIdOf(run) };
  }

  #handover(json: unknown): HandoverInDoubt | null {
    if (json === null) return null;
    try {
      return v.parse(handoverSchema, JSON.parse(json as string));
    } catch (cause) {
      throw this.#corrupt("the handover in doubt", cause);
    }
  }

  #corrupt(what: string, cause?: unknown): DfdbError {
    return new DfdbError("data_corrupt", `${this.#path}: ${what} is damaged`, { cause });
  }
}
