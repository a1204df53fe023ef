/** What happens at the edge of a trimmed log, after damage inside one run, and beside a leader that lags: nothing is discarded. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf } from "../../src/base/ids.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { type FakeDatabase, runOf } from "../tool/fake_database.ts";
import { FakeResync } from "../tool/fake_resync.ts";
import { FakeSnapshots } from "../tool/fake_snapshots.ts";
import { Rig } from "../tool/replication_rig.ts";
import { ScriptedFollower } from "../tool/scripted_follower.ts";

/** Entry `seq` of a whole log has another content, as its chain tells. */
function damage(database: FakeDatabase, seq: number): void {
  const entry = database.kept[seq - 1] as LogEntry;
  database.kept[seq - 1] = { ...entry, chain: entry.chain ^ 1 };
}

test("a follower exactly at the edge of a trimmed log goes on by the log, one entry before it by a snapshot", async () => {
  for (const [behind, installs] of [[0, 0], [1, 1]] as const) {
    const rig = new Rig(), leader = rig.database(100), database = leader.copy(60 - behind);
    leader.trim(60);
    assert.equal(leader.first, 61);
    const snapshots = new FakeSnapshots(leader), server = await rig.lead(leader, { snapshots });
    const resync = new FakeResync(database, snapshots);
    const follower = rig.follow(database, { resync });
    await rig.caughtUp(leader, follower);
    const status = follower.following.status();
    assert.deepEqual([status.snapshotsInstalled, status.rescues, status.gapsDetected], [installs, 0, 0]);
    assert.equal(resync.calls.length === 0, installs === 0);
    await Promise.all([follower.following.close(), server.close()]);
  }
});

test("an edge of another content in the same run is corrupt on both sides, and neither discards anything", async () => {
  const rig = new Rig(), leader = rig.database(100), database = leader.copy(60);
  damage(database, 60);
  const before = database.last, held = leader.last;
  leader.trim(60);
  const server = await rig.lead(leader), resync = new FakeResync(database, null);
  const follower = rig.follow(database, { resync });
  assert.match(await rig.failed(follower, "corrupt"), /one of the two is damaged/);
  assert.equal(follower.following.status().state, "corrupt");
  assert.deepEqual(server.refused().map(({ code }) => code), ["corrupt"]);
  await rig.clock.advance(60_000);
  assert.equal(follower.following.status().state, "corrupt");
  assert.deepEqual([database.last, leader.last], [before, held]);
  assert.deepEqual(resync.calls, [], "nothing is rescued, received or installed");
  await Promise.all([follower.following.close(), server.close()]);
});

test("damage that only halving finds is corrupt, and nothing is rescued or installed", async () => {
  const base = new Rig().database(50), leader = base.copy(), database = base.copy();
  damage(database, 50); // in the run that both have
  database.lead(1, runOf("2"));
  leader.lead(2, runOf("3"));
  const rig = new Rig(), before = database.last, server = await rig.lead(leader);
  const resync = new FakeResync(database, null), follower = rig.follow(database, { resync });
  await rig.failed(follower, "corrupt");
  await rig.clock.advance(30_000);
  assert.deepEqual(database.last, before);
  assert.deepEqual(resync.calls, []);
  await Promise.all([follower.following.close(), server.close()]);
});

test("an epoch above its own is told: to a leader by who is refused for it, to a follower before its entries come", async () => {
  const rig = new Rig(), leader = rig.database(5), above = leader.copy();
  above.lead(4, runOf("2"));
  const server = await rig.lead(leader);
  await ScriptedFollower.connect(rig, { ...above.last, epoch: epochOf(9) }, {
    databaseId: "e".repeat(32) as never,
  });
  await ScriptedFollower.connect(rig, above.last, { terms: above.terms }, { digit: "c" });
  assert.deepEqual(rig.epochs, [4], "not what another database says");
  await server.close();
  const second = new Rig(), lead = await second.lead(above), database = leader.copy();
  const apply = () => Promise.reject(new DfdbError("disk_full", "no space left"));
  const follower = second.follow(database, { apply });
  await second.failed(follower, "disk_full");
  assert.deepEqual([database.last.epoch, second.epochs], [1, [4]], "by the welcome");
  await follower.following.close();
  const third = second.follow(above.copy());
  await second.clock.until(() => third.following.status().state === "streaming", "streams");
  third.following.holdAfter(above.last.seq);
  above.lead(6, runOf("3"));
  await second.clock.until(() => second.epochs.at(-1) === 6, "a heartbeat told", 10_000);
  assert.equal(third.database.last.epoch, 4);
  await Promise.all([third.following.close(), lead.close()]);
});

test("pointed at a node that lags, a follower keeps what it has until that node has caught up", async () => {
  const rig = new Rig(), lagging = rig.database(40), full = lagging.copy();
  full.write(60);
  const database = full.copy(), before = database.last;
  const server = await rig.lead(lagging), resync = new FakeResync(database, null);
  const follower = rig.follow(database, { resync });
  await rig.failed(follower, "ahead");
  await rig.clock.advance(20_000);
  assert.equal(follower.following.status().state, "ahead");
  assert.deepEqual([database.last, resync.calls], [before, []]);
  lagging.apply(full.kept.slice(lagging.kept.length));
  await rig.clock.until(() => follower.following.status().state === "streaming", "streams");
  assert.deepEqual(resync.calls, []);
  await Promise.all([follower.following.close(), server.close()]);
});
