import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { utf8Text } from "../../src/base/bytes.ts";
import type { CollectionNumber, WallMs } from "../../src/base/ids.ts";
import { documentIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import type { Operation } from "../../src/document/operation.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { KeyVersions, VersionView } from "../../src/storage/versions.ts";
import { beginTerm, testOptions, wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

export interface Master {
  readonly storage: Storage;
  readonly path: string;
  /** Of `orders`. */
  readonly orders: CollectionNumber;
}

/** A database of its own id with the bundle and the empty collection `orders`: entries 1 to 3. `digit` is that of its first run. */
export async function master(
  { openStorage }: StorageOpeners,
  folder: string,
  digit: string,
): Promise<Master> {
  const path = join(folder, `${digit}.dfdb`), numbers = prng(digit.charCodeAt(0));
  const storage = await openStorage(
    testOptions(path, { random: { bytes: numbers.bytes, float: numbers.float } }),
  );
  const orders = storage.write((tx) => {
    tx.append([beginTerm(1, digit)], wall);
    tx.append([{ kind: "activateBundle", bundle: "replication" }], wall);
    const collection = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection, name: "Orders" }], wall);
    return collection;
  });
  return { storage, path, orders };
}

export function append(storage: Storage, operations: readonly Operation[], wallMs: number = wall): number {
  return storage.write((tx) => tx.append(operations, wallMsOf(wallMs) as WallMs)).seq;
}

export function versionsOf<Result>(storage: Storage, run: (versions: VersionView) => Result): Result {
  return storage.read((view) => run(view.versions as VersionView));
}

export function key(storage: Storage, id: string, name = "orders"): KeyVersions | null {
  return versionsOf(storage, (versions) => versions.get(name, documentIdOf(id)));
}

/** A key in short: versions as `run@seq [vector] time body`, and what is shown. */
export function told(found: KeyVersions | null): unknown {
  if (found === null) return null;
  const { change, versions, shown } = found, short = (run: string): string => run.slice(0, 1);
  return {
    change,
    versions: versions.map(({ dot, vector, modifiedMs, body }) =>
      `${short(dot.run)}@${dot.seq} [${vector.map((one) => `${short(one.run)}@${one.seq}`).join(" ")}] ` +
      `+${modifiedMs - wall} ${body === null ? "deleted" : utf8Text(body)}`
    ),
    shown: shown.kind === "version"
      ? `${short(shown.dot.run)}@${shown.dot.seq}`
      : shown.kind === "made"
      ? utf8Text(shown.body)
      : shown.kind,
  };
}

/** All keys that ever changed, through pages of `keysMax`; `pages`: how many there were. */
export function allChanged(storage: Storage, after = 0, keysMax = 1_000, bytesMax = 2 ** 30) {
  return versionsOf(storage, (versions) => {
    const keys: KeyVersions[] = [], upTo: number[] = [];
    let page = versions.changedSince(seqOf(after), { keysMax, bytesMax });
    for (;;) {
      keys.push(...page.keys);
      upTo.push(page.upTo);
      if (page.next === null) return { keys, upTo };
      page = versions.changedSince(page.next, { keysMax, bytesMax });
    }
  });
}

/** Writes all tombstones and frees all that was dropped. */
export function settle(storage: Storage): void {
  while (storage.reclaim());
}

/** Brings a follower to where its leader is. */
export function follow(leader: Storage, follower: Storage): void {
  const entries = leader.log.entries(follower.log.last.seq, {
    bytesMax: 2 ** 30,
    entriesMax: 1e6,
  }) as readonly LogEntry[];
  follower.write((tx) => entries.forEach((entry) => tx.apply(entry)));
}

/** All rows of the tables that leader and follower have alike; `path` is that of an open storage. */
export function rowsOf(path: string, without: readonly string[] = []): unknown {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
      .map(({ name }) => String(name)).filter((name) => name !== "meta" && !without.includes(name));
    const rows = names.map((
      name,
    ) => [name, db.prepare(`SELECT * FROM ${name}`).all().map((row) => ({ ...row }))]);
    return [db.prepare("SELECT replication FROM meta").get()?.["replication"], Object.fromEntries(rows)];
  } finally {
    db.close();
  }
}
