import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import type { CollectionNumber, DocumentId, Seq } from "../../src/base/ids.ts";
import { documentIdOf, nodeIdOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import type { ConflictPolicy } from "../../src/document/judge.ts";
import { judge } from "../../src/document/judge.ts";
import type { Operation } from "../../src/document/operation.ts";
import type { VersionSet } from "../../src/document/version_set.ts";
import { joinSets, vectorOfSet, writeOver } from "../../src/document/version_set.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { KeyLimits, KeyPage, KeyPlace, VersionView } from "../../src/storage/versions.ts";
import { learning, outcome, received } from "../tool/receive_versions.ts";
import { beginTerm, inFolder, patient, testOptions, wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";
import { snapshotOf } from "./storage_suite_snapshot.ts";
import { allChanged, follow, key, rowsOf, settle, versionsOf } from "./storage_suite_versions_fixture.ts";

const runs = 3, rounds = 60, names = ["orders", "Items"], ids = ["a", "b", "c", "d", "é"];

const documents = { maxBytes: 1e6, maxDepth: 10 } as never;
const policies: readonly ConflictPolicy[] = [
  { kind: "manual" },
  { kind: "latest" },
  {
    kind: "function",
    documents,
    resolve: (all) => all.some(({ body }) => body === null) ? null : utf8(`{"of":${all.length}}`),
  },
];

/** A database with its follower, and what the pure functions say of its keys. */
interface Site {
  readonly digit: string;
  readonly leader: Storage;
  follower: Storage;
  readonly path: string;
  followerPath: string;
  /** By `name/id`. */
  readonly model: Map<string, VersionSet>;
  terms: number;
}

/** Random changes on two databases that tell each other, each with a follower. */
export function versionsModelSuite({ openStorage }: StorageOpeners): void {
  for (let seed = 1; seed <= runs; seed++) {
    test(
      `versions: leader, follower and the pure functions agree, seed ${seed}`,
      patient,
      () =>
        inFolder(async (folder) => {
          const random = prng(seed), sites: Site[] = [];
          for (const digit of ["a", "b"]) {
            const path = join(folder, `${digit}-leader.dfdb`), followerPath = join(folder, `${digit}-0.dfdb`);
            const numbers = prng(100 * seed + digit.charCodeAt(0));
            const own = { bytes: numbers.bytes, float: numbers.float };
            const leader = await openStorage(testOptions(path, { random: own })),
              follower = await openStorage(testOptions(followerPath));
            follower.adoptDatabaseId(leader.databaseId);
            const site = {
              digit,
              leader,
              follower,
              path,
              followerPath,
              model: new Map<string, VersionSet>(),
              terms: 0,
            };
            beginRun(site);
            write(site, random, [{ kind: "activateBundle", bundle: "replication" }]);
            sites.push(site);
          }
          const [a, b] = sites as [Site, Site];
          for (let round = 0; round < rounds; round++) {
            const site = random.below(2) === 0 ? a : b, other = site === a ? b : a;
            change(site, random);
            if (random.below(3) === 0) {
              exchange(site, other, random, policies[random.below(policies.length)] as ConflictPolicy);
            }
            if (random.below(4) === 0) {
              site.leader.reclaim();
            }
            if (random.below(4) === 0) {
              site.follower.reclaim();
            }
            checkKeys(site);
            if (random.below(5) !== 0) continue;
            followRandomly(site, random);
            assert.deepEqual(keysOf(site.follower), keysOf(site.leader));
            checkKeys({ ...site, leader: site.follower });
            if (random.below(3) === 0) await replaceFollower(openStorage, site, folder, round);
          }
          const policy = policies[seed % policies.length] as ConflictPolicy;
          for (let more = true; more;) {
            more = [exchange(a, b, random, policy), exchange(b, a, random, policy)].some((n) => n > 0);
          }
          for (const site of sites) {
            judgeAll(site, policy);
            checkKeys(site);
            follow(site.leader, site.follower);
            for (const storage of [site.leader, site.follower]) settle(storage);
            // One that was a snapshot has not the whole log.
            assert.deepEqual(
              rowsOf(site.followerPath, ["log"]),
              rowsOf(site.path, ["log"]),
              "leader and follower have the same rows",
            );
            checkKeys(site);
            checkCounts(site.leader);
            for (const storage of [site.leader, site.follower]) storage.close();
            const again = await openStorage(testOptions(site.path));
            checkKeys({ ...site, leader: again });
            again.close();
          }
          // Equal sets, and what is shown of them.
          assert.deepEqual([...a.model].sort(), [...b.model].sort());
          assert.ok(a.model.size === names.length * ids.length, `${a.model.size} keys`);
        }),
    );
  }
}

function beginRun(site: Site): void {
  const digits = `${site.digit}${String(++site.terms).padStart(31, "0")}`;
  const term: Operation = {
    ...beginTerm(site.terms, "1", nodeIdOf(site.digit.repeat(32))),
    run: runIdOf(digits),
  };
  site.leader.write((tx) => tx.append([term], wall));
}

/** Appends an entry, at once or in slices. */
function write(site: Site, random: Prng, operations: readonly Operation[], wallMs = wall): Seq {
  if (random.below(4) > 0) return site.leader.write((tx) => tx.append(operations, wallMs)).seq;
  const open = site.leader.begin();
  let steps: ReturnType<Parameters<Parameters<typeof open.slice>[0]>[0]["appendInSlices"]> | null = null;
  while (open.slice((tx) => (steps ??= tx.appendInSlices(operations, wallMs)).next()).done !== true);
  open.commit();
  return site.leader.log.last.seq;
}

/** One entry of local changes. */
function change(site: Site, random: Prng): void {
  const { leader, model } = site;
  if (random.below(12) === 0) beginRun(site);
  const wallMs = wallMsOf(wall + random.below(50));
  const { operations, written } = leader.read((view) => {
    const operations: Operation[] = [], written = new Map<string, Uint8Array | null>();
    const seqs = new Map<string, number>(), next = view.position.seq + 1;
    for (let n = random.below(4); n >= 0; n--) {
      const name = names[random.below(names.length)] as string,
        id = documentIdOf(ids[random.below(ids.length)] as string);
      const number = view.collection(name)?.number;
      if (
        number === undefined ||
        operations.some((one) => one.kind === "dropCollection" && one.collection === number)
      ) continue;
      const place = `${name}/${id}`, previous = seqOf(seqs.get(place) ?? view.documentSeq(number, id));
      if (random.below(25) === 0) {
        operations.push({ kind: "dropCollection", collection: number });
        for (const one of ids) {
          const key = `${name}/${one}`,
            before = view.versions?.get(name, documentIdOf(one))?.shown.kind ?? "deleted";
          const now = written.get(key);
          if (now === undefined ? before !== "deleted" : now !== null) written.set(key, null);
        }
        continue;
      }
      const gone = previous !== 0 && random.below(3) === 0;
      // Few contents, so that two databases may come to the same one.
      const body = utf8(`{"n":${random.below(3)}}`);
      operations.push(
        gone
          ? { kind: "delete", collection: number, id, previous }
          : { kind: "put", collection: number, id, previous, body },
      );
      written.set(place, gone ? null : body);
      seqs.set(place, gone ? 0 : next);
    }
    return { operations, written };
  });
  if (operations.length > 0) {
    const seq = write(site, random, operations, wallMs), { run } = leader.log.last;
    const { tree } = versionsOf(leader, (versions) => ({ tree: versions.tree }));
    for (const [place, body] of written) {
      model.set(place, writeOver(tree, model.get(place) ?? [], { run, seq }, wallMs, body));
    }
  }
  const missing = names.filter((name) => leader.read((view) => view.collection(name)) === null);
  for (const name of missing) create(site, name);
}

function create({ leader }: Site, name: string): CollectionNumber {
  return leader.write((tx) => {
    const collection = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection, name }], wall);
    return collection;
  });
}

/** Tells `to` all that `from` has, in one entry; how many keys it was news for. */
function exchange(from: Site, to: Site, random: Prng, policy: ConflictPolicy): number {
  while (from.leader.reclaim() && allChanged(from.leader).upTo.at(-1) !== from.leader.log.last.seq);
  for (const name of names) if (to.leader.read((view) => view.collection(name)) === null) create(to, name);
  const theirs = allChanged(from.leader, 0, 1 + random.below(9)).keys;
  const runs = learning(
    versionsOf(to.leader, ({ tree }) => tree),
    versionsOf(from.leader, ({ tree }) => tree),
  );
  if (runs !== null) write(to, random, [runs]);
  const news = to.leader.read((view) =>
    theirs.flatMap(({ name, id, versions }) => received(view, name, id, versions, policy) ?? [])
  );
  if (news.length > 0) write(to, random, news);
  const tree = versionsOf(to.leader, (versions) => versions.tree);
  for (const { name, id, versions } of theirs) {
    const place = `${names.find((one) => one.toLowerCase() === name.toLowerCase())}/${id}`;
    to.model.set(place, joinSets(tree, to.model.get(place) ?? [], versions));
  }
  return news.length;
}

/** As a change of policy does. */
function judgeAll({ leader }: Site, policy: ConflictPolicy): void {
  for (const { name, id, versions } of allChanged(leader).keys) {
    leader.write((tx) => void tx.append([outcome(tx, name, id, versions, policy)], wall));
  }
  for (const { id, name, shown, versions } of allChanged(leader).keys) {
    const tree = versionsOf(leader, (view) => view.tree), expected = judge(tree, versions, policy).shown;
    assert.equal(shown.kind, expected.kind, `${name}/${id}`);
  }
}

function followRandomly(site: Site, random: Prng): void {
  const { leader, follower } = site;
  for (;;) {
    const bounds = { bytesMax: 1 + random.below(500), entriesMax: 1 + random.below(5) };
    const entries = leader.log.entries(follower.log.last.seq, bounds) as readonly LogEntry[];
    if (entries.length === 0) return;
    const [first] = entries as readonly [LogEntry];
    if (random.below(3) > 0) {
      follower.write((tx) => entries.forEach((entry) => tx.apply(entry)));
      continue;
    }
    const open = follower.begin();
    let steps: Generator<void, unknown, void> | null = null;
    while (open.slice((tx) => (steps ??= tx.applyInSlices(first)).next()).done !== true);
    open.commit();
  }
}

/** A snapshot of the leader is the follower from now on. */
async function replaceFollower(
  openStorage: StorageOpeners["openStorage"],
  site: Site,
  folder: string,
  round: number,
): Promise<void> {
  site.follower.close();
  site.followerPath = join(folder, `${site.digit}-${round + 1}.dfdb`);
  snapshotOf(site.path, site.followerPath, { logEntriesMax: 3 });
  site.follower = await openStorage(testOptions(site.followerPath));
}

function keysOf(storage: Storage): unknown {
  return names.flatMap((name) => ids.map((id) => key(storage, id, name)));
}

/** What storage holds of each key is what the pure functions say, and its document is what is shown. */
function checkKeys({ leader, model }: Pick<Site, "leader" | "model">): void {
  leader.read((view) => {
    const versions = view.versions as VersionView;
    for (const name of names) {
      for (const id of ids) {
        const found = versions.get(name, documentIdOf(id)), expected = model.get(`${name}/${id}`);
        assert.deepEqual(found?.versions, expected, `${name}/${id}`);
        const collection = view.collection(name);
        const document = collection === null ? null : view.document(collection.number, id as DocumentId);
        const shown = found?.shown;
        if (shown === undefined || shown.kind === "deleted" || shown.kind === "conflict") {
          assert.equal(document, null, `${name}/${id} is ${shown?.kind}`);
        } else {
          const body = shown.kind === "made"
            ? shown.body
            : found?.versions.find(({ dot }) => dot.run === shown.dot.run && dot.seq === shown.dot.seq)?.body;
          assert.deepEqual(document === null ? null : utf8(document.body), body, `${name}/${id}`);
        }
        if (found !== null) assert.ok(vectorOfSet(versions.tree, found.versions).length > 0);
      }
    }
    const several = [...model].filter(([, set]) => set.length > 1).map(([key]) => key.toLowerCase()).sort();
    for (const keysMax of [2, 3, 7, 1_000]) {
      for (const bytesMax of [1, 1e6]) {
        assert.deepEqual(severalIn(versions, { keysMax, bytesMax }).sort(), several, `pages of ${keysMax}`);
      }
    }
  });
}

/** Page by page; a key that comes twice is there twice. */
function severalIn(versions: VersionView, limits: KeyLimits): string[] {
  const found: string[] = [];
  for (let after: KeyPlace | null = null;;) {
    const { keys, next }: KeyPage = versions.several(after, limits);
    found.push(...keys.map(({ name, id }) => `${name.toLowerCase()}/${id}`));
    if (next === null) return found;
    assert.notDeepEqual(next, after);
    after = next;
  }
}

/** What is kept is what is there. */
function checkCounts(storage: Storage): void {
  const { keys } = allChanged(storage);
  for (const name of names) {
    const mine = keys.filter((key) => key.name.toLowerCase() === name.toLowerCase());
    const count = (kind: string): number => mine.filter(({ shown }) => shown.kind === kind).length;
    assert.deepEqual(versionsOf(storage, (versions) => versions.counts(name)), {
      tombstones: count("deleted"),
      conflicts: count("conflict"),
    });
    const documents = storage.read((view) => view.collection(name))?.documents ?? 0;
    assert.equal(documents, mine.length - count("deleted") - count("conflict"));
  }
}
