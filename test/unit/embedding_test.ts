/** dfdb inside a process, without HTTP. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { EmbeddedDatabase, EmbeddedSettings } from "../../src/mod.ts";
import { inFolder as inEmptyFolder } from "../suites/storage_fixture.ts";
import { embedded, embedUrl } from "../tool/embedding.ts";

const { currentRuntime } = embedded;
const { clock } = currentRuntime();
const opened = new Set<EmbeddedDatabase>();
/** For what comes for sure: machines of tests are busy. */
const patientMs = 60_000;

async function openDatabase(path: string, options: EmbeddedSettings = {}): Promise<EmbeddedDatabase> {
  const db = await embedded.openDatabase(path, options);
  opened.add(db);
  return db;
}

/** What is left open by a test that failed is closed. */
function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  return inEmptyFolder(async (folder) => {
    try {
      await run(folder);
    } finally {
      for (const db of opened) await db.close();
      opened.clear();
    }
  });
}

/** Resolves when `holds`; asks every 10 ms. */
async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => void clock.timer(10, resolve));
}

function followerState(db: EmbeddedDatabase): string | null {
  return (db.replicationStatus()["follower"] as { state: string | null }).state;
}

test("embedding: the examples of the documentation run", async () => {
  const source = readFileSync(new URL("../../src/node/open_database.ts", import.meta.url), "utf8");
  const examples = [...source.matchAll(/@example (.+)\n \* ```ts\n([\s\S]*?) \* ```/g)];
  assert.equal(examples.length, 3);
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const shownThere = (examples[1]?.[2] as string).replaceAll(/^ \* ?/gm, "");
  assert.ok(readme.includes(shownThere), "the README shows the second example as it is here");
  await inFolder(async (folder) => {
    for (const [i, example] of examples.entries()) {
      const own = `${folder}/${i}`, file = `${own}/example.mjs`, shown: unknown[][] = [];
      mkdirSync(own);
      const code = (example[2] as string).replaceAll(/^ \* ?/gm, "")
        .replace('from "dfdb"', `from ${JSON.stringify(embedUrl)}`)
        .replaceAll('openDatabase("./', `openDatabase(${JSON.stringify(`${own}/`)} + "`)
        .replaceAll("console.log(", "globalThis.shown(");
      Object.assign(globalThis, { shown: (...values: unknown[]) => shown.push(values) });
      writeFileSync(file, code);
      await import(pathToFileURL(file).href);
      assert.ok(shown.length > 0, example[1]);
      if (i === 1) {
        const [document, seq, followers] = shown[0] as [Record<string, unknown>, number, number];
        assert.deepEqual([document["_id"], document["total"], seq, followers], ["1", 12.5, 2, 1]);
      }
      if (i === 2) {
        const [document, finalSeq, role] = shown[0] as [Record<string, unknown>, number, string];
        assert.deepEqual([document["total"], finalSeq, role], [20, 2, "follower"]);
      }
    }
  });
});

test("embedding: documents, conditions, lists, bulk and drop", () =>
  inFolder(async (folder) => {
    const db = await openDatabase(`${folder}/shop.dfdb`, { documentBytesMax: 1_000 });
    const made = await db.put("orders", "a", { total: 1 }, { ifMatch: null });
    assert.equal(made.created, true);
    assert.deepEqual(db.get("orders", "a"), { _id: "a", _etag: made._etag, total: 1 });
    await assert.rejects(db.put("orders", "a", {}, { ifMatch: null }), { code: "precondition_failed" });
    const changed = await db.put("orders", "a", { total: 2 }, { ifMatch: made._etag });
    assert.equal(changed.created, false);
    await assert.rejects(db.delete("orders", "a", { ifMatch: made._etag }), { code: "precondition_failed" });
    const other = db.put("orders", "a", { total: 3 });
    const late = db.put("orders", "a", { total: 4 }, { ifMatch: changed._etag });
    await assert.rejects(late, { details: { expected: changed._etag, actual: (await other)._etag } });
    await assert.rejects(db.insert("orders", { _id: "a" }), { code: "duplicate_key" });
    await assert.rejects(db.put("orders", "a", { _id: "b" }), { code: "bad_request" });
    await assert.rejects(db.insert("orders", { text: "x".repeat(2_000) }), { code: "payload_too_large" });
    await assert.rejects(db.insert("orders", (() => {}) as unknown as object), { code: "bad_request" });
    const loop: Record<string, unknown> = {};
    loop["self"] = loop;
    await assert.rejects(db.insert("orders", loop), { code: "bad_request" });
    const bulk = await db.bulkInsert("orders", [
      { _id: "a" },
      ...Array.from({ length: 1_200 }, (_, i) => ({ _id: `n${i}`, i })),
    ]);
    assert.equal(bulk.length, 1_201);
    assert.equal((bulk[0] as { error: { code: string } }).error.code, "duplicate_key");
    assert.equal((bulk[1_200] as { _id: string })._id, "n1199");
    const page = db.list("orders", { limit: 3 });
    assert.deepEqual(page.documents.map(({ _id }) => _id), ["a", "n0", "n1"]);
    assert.equal(db.list("orders", { limit: 1, after: page.next as number }).documents[0]?._id, "n2");
    assert.equal([...db.documents("orders")].length, 1_201);
    assert.deepEqual(db.collections(), [{ name: "orders", documents: 1_201 }]);
    await db.delete("orders", "a");
    await assert.rejects(db.delete("orders", "a"), { code: "not_found" });
    assert.equal(db.get("orders", "a"), null);
    assert.equal(db.get("nothing", "a"), null);
    await db.drop("orders");
    assert.deepEqual([db.collections(), [...db.documents("orders")]], [[], []]);
    const position = db.position;
    await db.close();
    await assert.rejects(db.insert("orders", {}), { code: "closing" });
    const again = await openDatabase(`${folder}/shop.dfdb`);
    assert.equal(again.position, position);
    await assert.rejects(openDatabase(`${folder}/shop.dfdb`), { code: "data_locked" });
    await again.close();
  }));

test("embedding: a transaction is all or nothing, and one entry", () =>
  inFolder(async (folder) => {
    const db = await openDatabase(`${folder}/x.dfdb`);
    await db.put("orders", "1", { n: 1 });
    const before = db.leaderCurrentSeq;
    const results = await db.transaction([
      { op: "replace", collection: "orders", id: "1", doc: { n: 2 } },
      { op: "insert", collection: "lines", doc: { _id: "a" } },
      { op: "delete", collection: "orders", id: "none" },
    ]);
    assert.deepEqual(results, [
      { op: "replace", collection: "orders", id: "1" },
      { op: "insert", collection: "lines", id: "a" },
      { op: "delete", collection: "orders", id: "none", deleted: false },
    ]);
    assert.equal(db.leaderCurrentSeq, before + 1);
    const wrong = db.transaction([
      { op: "delete", collection: "orders", id: "1" },
      { op: "insert", collection: "lines", doc: { _id: "a" } },
    ]);
    await assert.rejects(
      wrong,
      (error: { code: string; details: object }) =>
        error.code === "duplicate_key" && "failedOpIndex" in error.details &&
        error.details.failedOpIndex === 1,
    );
    assert.equal(db.get("orders", "1")?.["n"], 2);
    const mismatch = db.transaction([{ op: "replace", collection: "orders", id: "1", doc: { _id: "2" } }]);
    await assert.rejects(mismatch, { code: "bad_request" });
    await db.close();
  }));

test("embedding: settings are checked", () =>
  inFolder(async (folder) => {
    for (
      const wrong of [
        { heartbeatMs: 1 },
        { followersMax: 1.5 },
        { nodeName: "" },
        { port: 1 } as EmbeddedSettings,
        { autoFailoverMs: 3_999 },
        { autoFailoverNewPort: 0 },
        { syncCandidates: "some" },
        { failoverAuthority: "etcd" },
        { publicReplicationAddress: "nowhere" },
        { leaderStartMs: -1 },
      ]
    ) {
      await assert.rejects(openDatabase(`${folder}/x.dfdb`, wrong), { code: "setting_invalid" });
    }
  }));

test("embedding: two databases in one process replicate; a follower stays one when it is opened again", () =>
  inFolder(async (folder) => {
    const leader = await openDatabase(`${folder}/l.dfdb`, { nodeName: "l" });
    await leader.insert("orders", { before: true });
    const { port } = await leader.startLogicalReplicationServer({ port: 0, sharedSecret: "s" });
    assert.deepEqual([leader.logicalReplicationRole, leader.logicalLeaderPort], ["leader", port]);
    await assert.rejects(leader.startLogicalReplicationServer({ port: 0 }), { code: "bad_request" });
    await assert.rejects(leader.startLogicalReplicationFollower("127.0.0.1", port), {
      code: "leader_active",
    });
    let follower = await openDatabase(`${folder}/f.dfdb`, { nodeName: "f", replicationSecret: "s" });
    await follower.startLogicalReplicationFollower("127.0.0.1", port);
    for (let i = 0; i < 50; i++) await leader.put("orders", `${i}`, { i });
    await follower.reached(leader.position, patientMs);
    assert.deepEqual([...follower.documents("orders")], [...leader.documents("orders")]);
    assert.deepEqual([follower.followerLastSeq, leader.leaderCurrentSeq, leader.followerLastSeq], [
      52,
      52,
      0,
    ]);
    assert.deepEqual([follower.logicallyReplicatedOps, follower.gapsDetected, follower.isLogicalFollower], [
      52,
      0,
      true,
    ]);
    assert.deepEqual(leader.logicalFollowers().map(({ nodeName }) => nodeName), ["f"]);
    assert.equal(follower.logicalFollowerLeaderEndpoint, `127.0.0.1:${port}`);
    assert.deepEqual([follower.wasAutoFailoverPromoted, follower.leaderTerm], [false, leader.leaderTerm]);
    await assert.rejects(follower.insert("orders", {}), { code: "not_leader" });
    await follower.close();
    await leader.put("orders", "late", {});
    follower = await openDatabase(`${folder}/f.dfdb`, { nodeName: "f", replicationSecret: "s" });
    assert.equal(follower.logicalReplicationRole, "follower");
    await assert.rejects(follower.insert("orders", {}), { code: "not_leader" });
    await assert.rejects(follower.reached(leader.position, 1), { code: "not_caught_up" });
    await follower.startLogicalReplicationFollower("127.0.0.1", port);
    await follower.reached(leader.position, patientMs);
    await follower.stopReplication();
    await eventually(() => leader.logicalFollowerCount === 0);
    await leader.stopReplication();
    assert.equal(leader.logicalReplicationRole, "none");
    await leader.put("orders", "alone", {});
    assert.equal(follower.get("orders", "alone"), null);
    await follower.close();
    await leader.close();
  }));

test("embedding: writes wait for as many followers as are asked for", () =>
  inFolder(async (folder) => {
    const open = (syncTimeoutMs: number) => openDatabase(`${folder}/l.dfdb`, { syncTimeoutMs });
    const hasty = await open(300);
    hasty.minSyncReplicas = 1;
    await hasty.put("orders", "1", {});
    await hasty.startLogicalReplicationServer({ port: 0 });
    await assert.rejects(hasty.put("orders", "2", {}), { code: "replication_timeout" });
    await hasty.close();
    let leader = await open(patientMs);
    leader.minSyncReplicas = 1;
    const { port } = await leader.startLogicalReplicationServer({ port: 0 });
    const follower = await openDatabase(`${folder}/f.dfdb`);
    await follower.startLogicalReplicationFollower("127.0.0.1", port);
    await follower.reached(leader.position, patientMs);
    await leader.put("orders", "3", {});
    assert.ok(follower.get("orders", "3") !== null, "it was there before the answer");
    await leader.close();
    leader = await open(300);
    await leader.startLogicalReplicationServer({ port });
    await eventually(() => leader.logicalFollowerCount === 1);
    leader.minSyncReplicas = 2;
    await assert.rejects(leader.put("orders", "4", {}), { code: "replication_timeout" });
    leader.minSyncReplicas = 0;
    await leader.put("orders", "5", {});
    assert.throws(() => leader.minSyncReplicas = 65, { code: "setting_invalid" });
    await follower.close();
    await leader.close();
  }));

test("embedding: read-only outlives closing", () =>
  inFolder(async (folder) => {
    const db = await openDatabase(`${folder}/x.dfdb`);
    await db.setReadOnly(true);
    await db.close();
    const again = await openDatabase(`${folder}/x.dfdb`);
    assert.equal(again.isReadOnly, true);
    await assert.rejects(again.insert("c", {}), { code: "read_only" });
    await again.setReadOnly(false);
    await again.insert("c", {});
    await again.close();
  }));

test("embedding: a leader restored from an old copy stays read-only until its loss is accepted; the follower's entries are rescued", () =>
  inFolder(async (folder) => {
    const open = (name: string) => openDatabase(`${folder}/${name}.dfdb`, { nodeName: name });
    const l = `${folder}/l.dfdb`;
    let leader = await open("l");
    await leader.put("orders", "kept", {});
    await leader.close();
    copyFileSync(l, `${folder}/backup`);
    leader = await open("l");
    const { port } = await leader.startLogicalReplicationServer({ port: 0 });
    const follower = await open("f");
    await follower.startLogicalReplicationFollower("127.0.0.1", port);
    await leader.put("orders", "lost", { n: 1 });
    await follower.reached(leader.position, patientMs);
    await leader.close();
    copyFileSync(`${folder}/backup`, l);
    leader = await open("l");
    assert.equal(leader.isReadOnly, false, "nobody follows it yet");
    await leader.startLogicalReplicationServer({ port });
    assert.equal(leader.isReadOnly, true);
    await eventually(() => followerState(follower) === "ahead");
    await assert.rejects(leader.put("orders", "x", {}), { code: "read_only" });
    await assert.rejects(leader.setReadOnly(false), { code: "conflict" });
    assert.ok(follower.get("orders", "lost") !== null, "nothing is discarded");
    assert.equal((await leader.acceptLoss()).epoch, 2);
    await leader.put("orders", "new", {});
    await eventually(() => follower.get("orders", "new") !== null);
    assert.equal(follower.get("orders", "lost"), null);
    await eventually(() => followerState(follower) === "streaming");
    const { rescues, snapshotsInstalled } = follower.replicationStatus()["follower"] as Record<
      string,
      number
    >;
    assert.deepEqual([rescues, snapshotsInstalled], [1, 1]);
    const rescued = await currentRuntime().files.list(`${folder}/f.dfdb.rescued`);
    assert.equal(rescued.length, 1);
    assert.match(readFileSync(`${folder}/f.dfdb.rescued/${rescued[0]}`, "utf8"), /"lost"/);
    await follower.close();
    await leader.close();
  }));
