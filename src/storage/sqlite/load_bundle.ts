import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import { databaseIdOf, epochOf, isHexId, runIdOf, seqOf, wallMsOf } from "../../base/ids.ts";
import type { RunNode } from "../../document/run_tree.ts";
import type { TermRecord } from "../log.ts";
import type { PendingDrop, Space } from "./bundle.ts";
import { Bundle, KnownRuns } from "./bundle.ts";
import type { OwnIds } from "./former_ids.ts";
import { versionTables } from "./version_schema.ts";

type Row = Record<string, unknown>;
type Corrupt = (what: string) => DfdbError;

/** Cost: the number of runs and names of collections, never of versions. Throws what `corrupt` makes. */
export function loadBundle(
  db: DatabaseSync,
  ids: OwnIds,
  terms: readonly TermRecord[],
  corrupt: Corrupt,
): Bundle {
  const named = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?");
  const missing = versionTables.find((table) => named.get(table) === undefined);
  if (missing !== undefined) throw corrupt(`it has no table ${missing}`);
  const bundle = new Bundle(loadRuns(db, ids, terms, corrupt), loadSpaces(db, corrupt));
  bundle.drops = loadDrops(db);
  const lost = bundle.drops.find(({ space, run }) =>
    bundle.numbered(space) === undefined || run < 1 || run > terms.length
  );
  if (lost !== undefined) throw corrupt(`the drop of entry ${lost.change} is damaged`);
  return bundle;
}

function loadRuns(
  db: DatabaseSync,
  ids: OwnIds,
  terms: readonly TermRecord[],
  corrupt: Corrupt,
): KnownRuns {
  const rows = db.prepare("SELECT * FROM runs ORDER BY number").all() as Row[];
  const nodes = rows.map((row, i): RunNode => {
    const { number, database, run, epoch, first_seq: first, parent } = row;
    if (number !== i + 1 || !isHexId(database) || !isHexId(run) || (parent !== null && !isHexId(parent))) {
      throw corrupt(`run ${String(number)} is damaged`);
    }
    return {
      database: databaseIdOf(database),
      run: runIdOf(run),
      epoch: epochOf(Number(epoch)),
      firstSeq: seqOf(Number(first)),
      parent: parent === null ? null : runIdOf(parent),
    };
  });
  try {
    return new KnownRuns(ids, terms, nodes);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    throw corrupt(thrown.message);
  }
}

function loadSpaces(db: DatabaseSync, corrupt: Corrupt): Space[] {
  const names = new Set<unknown>();
  return (db.prepare("SELECT * FROM spaces ORDER BY number").all() as Row[]).map((row, i): Space => {
    const { number, name, tombstones, conflicts } = row;
    if (number !== i + 1 || names.has(name)) {
      throw corrupt(`name ${String(number)} of collections is damaged`);
    }
    names.add(name);
    return {
      number: i + 1,
      name: String(name),
      tombstones: Number(tombstones),
      conflicts: Number(conflicts),
    };
  });
}

function loadDrops(db: DatabaseSync): PendingDrop[] {
  return (db.prepare("SELECT * FROM drops ORDER BY change, collection").all() as Row[]).map((row) => ({
    change: seqOf(Number(row["change"])),
    space: Number(row["collection"]),
    run: Number(row["run"]),
    wallMs: wallMsOf(Number(row["wall_ms"])),
    after: String(row["after_id"]),
  }));
}
