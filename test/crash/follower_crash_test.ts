/**
 * kill -9 of a follower at every crash point that it can meet, beside a leader that takes writes. Each runtime runs a third
 * of the points, DFDB_ALL=1: all of them.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { resyncCrashPoints } from "../../src/node/crash_points.ts";
import { snapshotCrashPoints, storageCrashPoints } from "../../src/storage/sqlite/crash_points.ts";
import type { Cluster, Member } from "../cluster/cluster.ts";
import { converged, eventually, followerRole, leaderRole, runtimeAfter, status } from "../cluster/cluster.ts";
import { freePorts } from "../tool/ports.ts";
import { mine, ownRuntime, ownTurn, runsAll } from "../tool/shared_out.ts";
import {
  died,
  fill,
  forget,
  post,
  secret,
  sound,
  startDying,
  streams,
  underWrites,
  withCluster,
} from "./follower_rig.ts";

const own = ownRuntime, other = runtimeAfter(own);

const MiB = 1024 * 1024;
const smallLog = ["--log-bytes-max", String(MiB)], largeLog = ["--log-bytes-max", String(1024 * MiB)];

/** When to die in the stream, and what makes the follower meet the point. */
interface Streaming {
  readonly label: string;
  readonly nth: number;
  readonly how: "first start" | "writes" | "a full log" | "a drop" | "an index" | "a stop";
}

const streaming: readonly Streaming[] = storageCrashPoints.map((label) => {
  const [area] = label.split(":");
  if (area === "open") return { label, nth: 1, how: "first start" };
  if (area === "checkpoint") return { label, nth: 1, how: "a full log" };
  if (area === "trim") return { label, nth: 2, how: "a full log" };
  if (area === "reclaim") return { label, nth: label === "reclaim:rows" ? 2 : 1, how: "a drop" };
  if (area === "index") return { label, nth: 1, how: "an index" };
  if (area === "close") return { label, nth: 1, how: "a stop" };
  return { label, nth: label === "apply:operation" ? 9 : 4, how: "writes" };
});

/** The points of a re-sync that a follower meets; a snapshot is made and first opened elsewhere (`snapshot_crash_test.ts`). */
const resyncing = [
  ...resyncCrashPoints,
  ...snapshotCrashPoints.filter((label) => label.startsWith("install:")),
];
const ofTail = ["rescue:written", "rescue:kept"],
  ofWhole = ["rescue:copied", "rescue:described", "rescue:whole"];
const ofSnapshot = resyncing.filter((label) => !label.startsWith("rescue:"));

const patience = { timeout: 240_000 };

test("crash: every crash point of a follower is in one of the lists", () => {
  assert.deepEqual(new Set([...ofTail, ...ofWhole, ...ofSnapshot]), new Set(resyncing));
  assert.equal(streaming.length, storageCrashPoints.length);
});

async function dieStreaming(c: Cluster, { label, nth, how }: Streaming): Promise<void> {
  const follower = c.followers[0] as Member, collection = `filled-${label.replace(":", "-")}`;
  if (how === "a drop" || how === "an index") {
    await fill(c.leader, collection, "d", 600);
    await converged(c);
  }
  await follower.stop();
  if (how === "first start") forget(follower);
  const dying = startDying(follower, {
    label,
    nth,
    role: followerRole(c.wirePort),
    flags: [...secret, ...smallLog],
  });
  if (how === "a full log") await fill(c.leader, collection, "d", 1_200);
  if (how === "a drop") {
    const dropped = await fetch(`${c.leader.url}/collections/${collection}`, {
      method: "DELETE",
      headers: { "x-confirm": "true" },
    });
    assert.ok(dropped.ok, await dropped.text());
  }
  if (how === "an index") {
    const made = await fetch(`${c.leader.url}/index`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ collection, path: "n" }),
    });
    assert.ok(made.ok, await made.text());
  }
  if (how === "a stop") {
    await streams(follower);
    dying.signal("SIGTERM");
  }
  await died(dying, label);
}

test(
  `crash: kill -9 of a follower on ${own} at every point of opening, stream, upkeep and close`,
  patience,
  () =>
    withCluster({
      leader: other,
      followers: [own],
      flags: [...secret, ...smallLog],
      leaderFlags: largeLog,
    }, async (c) => {
      for (const death of mine(streaming)) {
        await underWrites(c, death.label, () => dieStreaming(c, death));
        const { follower: { snapshotsInstalled, rescues } } = await status(c.followers[0] as Member);
        assert.deepEqual([snapshotsInstalled, rescues], [0, 0], death.label);
      }
    }),
);

/** Beside a leader whose log begins late: new, or behind the log's window. */
async function dieResyncing(c: Cluster, label: string, isNew: boolean): Promise<void> {
  const follower = c.followers[0] as Member;
  await follower.stop();
  const end = isNew ? 0 : (await status(c.leader)).log.lastSeq;
  if (isNew) forget(follower);
  else {
    // What a leader holds of its log for earlier snapshots ends with its process.
    await c.leader.stop();
    await c.leader.start();
    await fill(c.leader, "filled", `${label}-`, 250);
  }
  await eventually(
    "the leader has trimmed",
    async () => (await status(c.leader)).log.firstSeq > end + 1 ? true : null,
  );
  const role = followerRole(c.wirePort), flags = [...secret, ...smallLog];
  await died(startDying(follower, { label, nth: label === "incoming:piece" ? 3 : 1, role, flags }), label);
}

test(
  `crash: kill -9 of a follower on ${own} at every point of receiving and installing`,
  patience,
  () =>
    withCluster({ leader: other, followers: [own], flags: [...secret, ...smallLog] }, async (c) => {
      await fill(c.leader, "filled", "first", 400);
      await converged(c);
      for (const [i, label] of mine(ofSnapshot).entries()) {
        const isNew = i % 2 === (runsAll ? ownTurn % 2 : 1);
        await underWrites(c, label, () => dieResyncing(c, label, isNew));
        const { dataDir } = c.followers[0] as Member;
        assert.deepEqual(readdirSync(dataDir).filter((name) => name.includes("incoming")), [], label);
        assert.equal(
          readdirSync(dataDir).includes("rescued"),
          false,
          `${label}: nothing was the follower's alone`,
        );
      }
    }),
);

test(
  `crash: kill -9 of a follower on ${own} while its whole database is rescued`,
  patience,
  () =>
    withCluster({ leader: other, followers: [own] }, async (c) => {
      const follower = c.followers[0] as Member, folder = join(follower.dataDir, "rescued");
      for (const label of mine(ofWhole)) {
        await underWrites(c, label, async () => {
          await converged({ ...c, followers: [] });
          await follower.stop();
          const dying = startDying(follower, {
            label,
            nth: 1,
            role: followerRole(c.wirePort),
            flags: secret,
          });
          await streams(follower);
          await post(follower, "/replication/resync");
          await died(dying, label);
        });
        await post(follower, "/replication/resync");
        await eventually("a new copy", async () => {
          const { follower: { rescues, snapshotsInstalled } } = await status(follower);
          return rescues === 1 && snapshotsInstalled === 1 ? true : null;
        });
        await converged(c);
        await sound(c, label);
        const names = readdirSync(folder);
        assert.deepEqual(names.filter((name) => name.includes(".tmp")), [], label);
        for (const name of names.filter((name) => name.endsWith(".dfdb"))) {
          assert.ok(names.includes(`${name}.json`), `${label}: ${name} is described`);
        }
      }
    }),
);

test(
  `crash: kill -9 of an old leader on ${own} while the tail is rescued that nobody else has`,
  patience,
  () =>
    withCluster({ leader: own, followers: [own] }, async (c) => {
      let [leader, old] = c.members as [Member, Member];
      await fill(leader, "before", "d", 5); // a node that has no history begins with the same epoch
      const ports = [c.wirePort, ...await freePorts(ofTail.length)];
      for (const [i, label] of mine(ofTail).entries()) {
        await converged({ ...c, leader, followers: [old] });
        await old.stop();
        await fill(leader, "tails", `${label}-`, 3);
        await leader.kill9();
        [leader, old] = [old, leader];
        const port = ports[i + 1] as number, role = followerRole(port);
        await leader.start([...leaderRole(port), "--force-role"]);
        const starts = { ...old, start: () => old.start(role) };
        const turned = { ...c, leader, followers: [starts], members: [leader, old] };
        await underWrites(
          turned,
          label,
          () => died(startDying(old, { label, nth: 1, role, flags: secret }), label),
        );
        const names = readdirSync(join(old.dataDir, "rescued"));
        assert.equal(names.length, 1, `${label}: ${names.join(" ")}`);
        assert.match(names[0] as string, /\.jsonl$/);
      }
    }),
);
