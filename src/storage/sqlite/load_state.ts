import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { CollectionNumber, DatabaseId, IndexNumber } from "../../base/ids.ts";
import { databaseIdOf, epochOf, isHexId, nodeIdOf, runIdOf, seqOf } from "../../base/ids.ts";
import type { IndexDefinition } from "../../document/operation.ts";
import type { Position, TermRecord } from "../log.ts";
import { origin } from "../log.ts";
import { foldName } from "./fold_name.ts";
import { loadFormerIds } from "./former_ids.ts";
import { loadBundle } from "./load_bundle.ts";
import type { IndexState } from "./index_state.ts";
import { Indexes } from "./index_state.ts";
import type { CollectionState, State, Trimmed } from "./state.ts";
import { areSettings, newVersion } from "./state.ts";

type Row = Record<string, unknown>;

/**
 * Reads the state of a data file of this version. Cost: the number of terms and collections, never of documents.
 * Throws `data_corrupt` when its parts do not fit together.
 */
export function loadState(db: DatabaseSync, path: string): { databaseId: DatabaseId; state: State } {
  const corrupt = (what: string): DfdbError => new DfdbError("data_corrupt", `${path}: ${what}`);
  const meta = db.prepare("SELECT * FROM meta").get() as Row | undefined;
  if (meta === undefined || !isHexId(meta["database_id"])) throw corrupt("no database id");
  const terms = loadTerms(db, corrupt);
  const positionOf = (seq: number, term: number, chain: number): Position => {
    if (seq === 0) return origin;
    const record = terms[term - 1];
    if (record === undefined || record.firstSeq > seq) throw corrupt(`entry ${seq} is of an unknown term`);
    return { epoch: record.epoch, run: record.run, seq: seqOf(seq), chain };
  };
  const trimmed: Trimmed = {
    position: positionOf(
      Number(meta["trimmed_seq"]),
      Number(meta["trimmed_term"]),
      Number(meta["trimmed_chain"]),
    ),
    endBytes: Number(meta["trimmed_end_bytes"]),
  };
  const last = db.prepare("SELECT seq, term, chain, end_bytes FROM log ORDER BY seq DESC LIMIT 1").get() as
    | Row
    | undefined;
  const first = db.prepare("SELECT seq FROM log ORDER BY seq LIMIT 1").get() as Row | undefined;
  const keeps = trimmed.position.seq + 1;
  if (first === undefined ? keeps !== 1 : first["seq"] !== keeps) {
    throw corrupt(`the log does not begin at ${keeps}`);
  }
  const position = last === undefined
    ? origin
    : positionOf(Number(last["seq"]), Number(last["term"]), Number(last["chain"]));
  if ((terms.at(-1)?.firstSeq ?? 0) > position.seq) throw corrupt("a term begins after the last entry");
  const { collections, numbers, dropped } = loadCollections(db, corrupt);
  const database = databaseIdOf(meta["database_id"]), former = loadFormerIds(db, terms.length, corrupt);
  const state: State = {
    position,
    endBytes: last === undefined ? 0 : Number(last["end_bytes"]),
    terms,
    former,
    nextCollection: Number(meta["next_collection"]),
    nextIndex: Number(meta["next_index"]),
    version: newVersion(),
    settingsVersion: newVersion(),
    indexes: loadIndexes(db, collections, corrupt),
    bundle: meta["replication"] === 1 ? loadBundle(db, { database, former }, terms, corrupt) : null,
    trimmed,
    clean: meta["clean_seq"] === position.seq,
    collections,
    numbers,
    dropped,
  };
  return { databaseId: database, state };
}

function loadTerms(db: DatabaseSync, corrupt: (what: string) => DfdbError): TermRecord[] {
  const rows = db.prepare("SELECT number, epoch, run, node_id, first_seq FROM terms ORDER BY number")
    .all() as Row[];
  return rows.map((row, index) => {
    const { number, epoch, run, node_id: nodeId, first_seq: first } = row;
    if (number !== index + 1 || !isHexId(run) || !isHexId(nodeId)) {
      throw corrupt(`term ${String(number)} is damaged`);
    }
    return {
      epoch: epochOf(Number(epoch)),
      run: runIdOf(run),
      nodeId: nodeIdOf(nodeId),
      firstSeq: seqOf(Number(first)),
    };
  });
}

function loadCollections(db: DatabaseSync, corrupt: (what: string) => DfdbError) {
  const collections = new Map<CollectionNumber, CollectionState>();
  const numbers = new Map<string, CollectionNumber>(), dropped = new Set<CollectionNumber>();
  for (const row of db.prepare("SELECT number, name, documents, next_row FROM collections").all() as Row[]) {
    const number = Number(row["number"]) as CollectionNumber, name = row["name"] as string | null;
    collections.set(number, {
      number,
      name,
      documents: Number(row["documents"]),
      nextRow: Number(row["next_row"]),
      settings: name !== null && areSettings(name),
    });
    if (name === null) dropped.add(number);
    else if (numbers.has(foldName(name))) throw corrupt(`two collections are called ${name}`);
    else numbers.set(foldName(name), number);
  }
  return { collections, numbers, dropped };
}

function loadIndexes(
  db: DatabaseSync,
  collections: ReadonlyMap<CollectionNumber, CollectionState>,
  corrupt: (what: string) => DfdbError,
): Indexes {
  const all = new Map<IndexNumber, IndexState>(), dropped = new Set<IndexNumber>(), names = new Set<string>();
  for (const row of db.prepare("SELECT * FROM indexes").all() as Row[]) {
    const number = Number(row["number"]) as IndexNumber, name = row["name"] as string | null;
    // Nobody waits any more for what was being prepared.
    if (name === null || row["state"] === "preparing") {
      dropped.add(number);
      continue;
    }
    const collection = Number(row["collection"]) as CollectionNumber, owner = collections.get(collection);
    if (owner === undefined || owner.name === null) throw corrupt(`index ${name} is of no collection`);
    const state = row["state"] as IndexState["state"], folded = `${collection}/${foldName(name)}`;
    if (names.has(folded)) throw corrupt(`two indexes of ${owner.name} are called ${name}`);
    names.add(folded);
    all.set(number, {
      number,
      collection,
      name,
      unique: row["is_unique"] === 1,
      time: row["is_time"] === 1,
      paths: pathsOf(row["paths"], () => corrupt(`index ${name} is damaged`)),
      state,
      nextRow: Number(row["next_row"]),
      endRow: owner.nextRow,
      whole: state === "ready",
    });
  }
  return new Indexes(all, dropped);
}

function pathsOf(text: unknown, damaged: () => DfdbError): IndexDefinition["paths"] {
  try {
    return JSON.parse(String(text)) as IndexDefinition["paths"];
  } catch {
    throw damaged();
  }
}
