import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { utf8Text } from "../../src/base/bytes.ts";
import { nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import type { RunTree } from "../../src/document/run_tree.ts";
import { checkSnapshot } from "../../src/storage/sqlite/check_snapshot.ts";
import { checksum } from "../../src/storage/sqlite/checksum.ts";
import type { NewIdentity } from "../../src/storage/sqlite/new_identity.ts";
import { newIdentity } from "../../src/storage/sqlite/new_identity.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { learning, received } from "../tool/receive_versions.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";
import { snapshotOf } from "./storage_suite_snapshot.ts";
import {
  allChanged,
  append,
  follow,
  key,
  master,
  rowsOf,
  settle,
  told,
  versionsOf,
} from "./storage_suite_versions_fixture.ts";

let given = 100;

function renamed(path: string): Promise<NewIdentity> {
  const { bytes, float } = prng(given++);
  return newIdentity(testOptions(path, { random: { bytes, float } }));
}

/** Everything but where the log begins. */
function content(storage: Storage): unknown {
  const { entries: _, ...rest } = everything(storage) as { entries: unknown };
  return rest;
}

function sums(path: string): unknown {
  const { position: _, ...sum } = checksum({
    ...{ path, collection: null, documents: false, taken: new SharedArrayBuffer(4) },
  }, {
    ...{ stopped: false, hold: <Result>(of: () => Result) => of(), progress: () => {} },
  } as never) as unknown as Record<string, unknown>;
  return sum;
}

const treeOf = (storage: Storage): RunTree => versionsOf(storage, ({ tree }) => tree);

/** Tells `to` all that `from` has; how many keys that changed. */
function tell(from: Storage, to: Storage): number {
  const runs = learning(treeOf(to), treeOf(from));
  if (runs !== null) append(to, [runs]);
  const news = to.read((view) =>
    allChanged(from).keys.flatMap(({ name, id, versions }) =>
      received(view, name, id, versions, { kind: "manual" }) ?? []
    )
  );
  if (news.length > 0) append(to, news);
  return news.length;
}

/** A copied file with an id of its own. */
export function newIdentitySuite({ openStorage, ...rest }: StorageOpeners): void {
  const openers = { openStorage, ...rest } as StorageOpeners;
  const it = (name: string, run: (folder: string) => Promise<void>): void =>
    void test(`new identity: ${name}`, patient, () => inFolder(run));

  /** A copy with an id of its own, open, and the original, open: documents `o1` to `o4`, a deletion `gone`. */
  const pair = async (folder: string) => {
    const { storage, path, orders } = await master(openers, folder, "a"), copy = join(folder, "copy.dfdb");
    append(storage, ["o1", "o2", "o3", "o4", "gone"].map((id) => put(orders, id, 0))); // 4
    append(storage, [remove(orders, "gone", 4)]);
    storage.close();
    copyFileSync(path, copy);
    const identity = await renamed(copy);
    // It was copied elsewhere: nobody there knows it.
    const other = await openStorage(testOptions(copy, { known: () => false }));
    return { original: await openStorage(testOptions(path)), other, copy, path, orders, identity };
  };
  const leads = (storage: Storage, digit: string): void =>
    void append(storage, [beginTerm(storage.log.last.epoch + 1, digit, nodeIdOf(digit.repeat(32)))]);

  it("content, positions and versions stay; of the log the last entry does", async (folder) => {
    const { storage, path, orders } = await master(openers, folder, "a");
    append(storage, ["x", "y"].map((id) => put(orders, id, 0)));
    append(storage, [remove(orders, "y", 4)]);
    const before = content(storage), id = storage.databaseId, last = storage.log.last;
    storage.close();
    const sum = sums(path), identity = await renamed(path);
    assert.deepEqual(sums(path), sum);
    assert.deepEqual([identity.former, identity.position], [id, last]);
    assert.notEqual(identity.databaseId, id);
    const again = await openStorage(testOptions(path, { known: () => false }));
    assert.equal(again.databaseId, identity.databaseId);
    assert.deepEqual(content(again), before);
    assert.equal(again.log.first, last.seq);
    assert.equal(again.log.entries(seqOf(0), { bytesMax: 1e6, entriesMax: 10 }), "compacted");
    // What was written before is of the former id; the next run is the first of the new one.
    assert.deepEqual([...treeOf(again).nodes()].map(({ database }) => database), [id]);
    leads(again, "c");
    assert.deepEqual(
      [...treeOf(again).nodes()].map(({ database, parent, firstSeq }) => [database, parent, firstSeq]),
      [
        [id, null, 1],
        [identity.databaseId, null, last.seq + 1],
      ],
    );
    append(again, [put(orders, "x", 4, '{"n":2}')]);
    assert.deepEqual(told(key(again, "x")), {
      change: 7,
      versions: ['c@7 [a@4 c@7] +1 {"n":2}'],
      shown: "c@7",
    });
    again.close();
  });

  it("copy and original tell each other: what only one has changed is no conflict", async (folder) => {
    const { original, other, orders } = await pair(folder);
    assert.notEqual(original.databaseId, other.databaseId);
    // The original goes on in the run in which it was copied.
    append(original, [
      put(orders, "o1", 4, '{"by":"original"}'),
      put(orders, "both", 0, '{"by":"original"}'),
    ]);
    leads(other, "c");
    append(other, [put(orders, "o2", 4, '{"by":"copy"}'), remove(orders, "o3", 4), put(orders, "gone", 0)]);
    append(other, [put(orders, "both", 0, '{"by":"copy"}')]);
    assert.ok(tell(original, other) > 0 && tell(other, original) > 0);
    for (let i = 0; i < 2; i++) {
      assert.deepEqual([tell(original, other), tell(other, original)], [0, 0], "settled");
      const shown = ["o1", "o2", "o3", "o4", "gone", "both"].map((id) => {
        const [a, b] = [original, other].map((storage) => key(storage, id));
        assert.deepEqual(a?.versions, b?.versions, id);
        return a?.shown.kind === "version"
          ? utf8Text(a.versions.find(({ body }) => body !== null)?.body as Uint8Array)
          : a?.shown.kind;
      });
      assert.deepEqual(shown, [
        '{"by":"original"}',
        '{"by":"copy"}',
        "deleted",
        '{"id":"o4"}',
        '{"id":"gone"}',
        "conflict",
      ]);
      if (i > 0) break;
      // Both lead anew, and the next changes have seen all.
      leads(original, "d");
      const previous = original.read((view) => view.documentSeq(orders, "o2" as never));
      append(original, [put(orders, "o2", previous, '{"by":"copy"}')]);
      assert.equal(tell(original, other), 1);
    }
    for (const storage of [original, other]) storage.close();
  });

  it("a follower of it begins with a snapshot, and knows whose runs they are", async (folder) => {
    const { original, other, copy, orders } = await pair(folder), target = join(folder, "snapshot.dfdb");
    leads(other, "c");
    snapshotOf(copy, target);
    assert.equal(checkSnapshot({ path: target, databaseId: other.databaseId }).databaseId, other.databaseId);
    const follower = await openStorage(testOptions(target));
    append(original, [put(orders, "o1", 4, '{"by":"original"}')]);
    tell(original, other);
    append(other, [put(orders, "o2", 4, '{"by":"copy"}')]);
    follow(other, follower);
    for (const storage of [other, follower]) settle(storage);
    assert.deepEqual(rowsOf(target), rowsOf(copy));
    assert.deepEqual([...treeOf(follower).nodes()], [...treeOf(other).nodes()]);
    for (const storage of [original, other, follower]) storage.close();
  });

  it("once more, from the copy: three databases", async (folder) => {
    const { original, other, copy, orders } = await pair(folder), third = join(folder, "third.dfdb");
    leads(other, "c");
    append(other, [put(orders, "o1", 4, '{"by":"copy"}')]);
    other.close();
    copyFileSync(copy, third);
    await renamed(third);
    const [b, c] = [await openStorage(testOptions(copy)), await openStorage(testOptions(third))];
    leads(c, "e");
    append(c, [put(orders, "o1", 7, '{"by":"third"}'), put(orders, "o2", 4, '{"by":"third"}')]);
    assert.equal(new Set([...treeOf(c).nodes()].map(({ database }) => database)).size, 3);
    while ([tell(c, original), tell(original, b), tell(b, c)].some((n) => n > 0));
    for (const storage of [original, b, c]) {
      assert.deepEqual(key(storage, "o1")?.versions.length, 1);
      assert.equal(versionsOf(storage, (versions) => versions.counts("orders")).conflicts, 0);
      storage.close();
    }
  });

  it("without versions, with one entry, with none; the bundle comes later", async (folder) => {
    const path = join(folder, "plain.dfdb"), storage = await openStorage(testOptions(path));
    const id = storage.databaseId;
    storage.close();
    const empty = await renamed(path);
    assert.deepEqual([empty.former, empty.position.seq], [id, 0]);
    const one = await openStorage(testOptions(path));
    one.write((tx) => tx.append([beginTerm(1, "1")], 1 as never));
    one.close();
    assert.equal((await renamed(path)).position.seq, 0, "a term alone is nobody's");
    const plain = await openStorage(testOptions(path, { known: () => false })), former = plain.databaseId;
    const orders = start(plain);
    append(plain, [put(orders, "x", 0), put(orders, "y", 0)]);
    append(plain, [remove(orders, "x", 3), remove(orders, "y", 3)]);
    plain.close();
    const { databaseId } = await renamed(path),
      again = await openStorage(testOptions(path, { known: () => false }));
    leads(again, "c");
    append(again, [{ kind: "activateBundle", bundle: "replication" }]);
    append(again, [put(orders, "z", 0)]);
    assert.deepEqual([...treeOf(again).nodes()].map(({ database, run }) => [database, run.slice(0, 1)]), [
      [former, "1"],
      [databaseId, "c"],
    ]);
    again.close();
    const reopened = await openStorage(testOptions(path));
    assert.equal(treeOf(reopened).get(runIdOf("1".repeat(32)))?.database, former);
    assert.deepEqual(key(reopened, "z")?.versions[0]?.vector.length, 1);
    reopened.close();
  });

  it("refused: open elsewhere, copied while in use, none of ours", async (folder) => {
    const { storage, path, orders } = await master(openers, folder, "a"), torn = join(folder, "torn.dfdb");
    append(storage, [put(orders, "x", 0)]);
    await assert.rejects(renamed(path), coded("data_locked"));
    copyFileSync(path, torn);
    copyFileSync(`${path}-wal`, `${torn}-wal`);
    await assert.rejects(renamed(torn), coded("unclean_copy"));
    const id = storage.databaseId;
    storage.close();
    const foreign = join(folder, "foreign.dfdb");
    writeFileSync(foreign, "no database at all, but a text of some length".repeat(100));
    await assert.rejects(renamed(foreign), coded("data_corrupt"));
    const again = await openStorage(testOptions(path));
    assert.equal(again.databaseId, id);
    again.close();
  });
}
