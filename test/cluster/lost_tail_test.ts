/** Entries that a failover lost: their etags match nothing, a stale sidecar changes nothing, and a tail beyond the log's window is kept. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import type { Cluster, Member } from "./cluster.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";
import {
  cluster,
  converged,
  equalContents,
  eventually,
  followerRole,
  json,
  leaderRole,
  runtimeAfter,
  status,
} from "./cluster.ts";

async function put(member: Member, id: string, value: string, match?: string): Promise<number> {
  const answer = await fetch(`${member.url}/collections/things/${id}`, {
    method: "PUT",
    body: JSON.stringify({ value }),
    headers: match === undefined ? {} : { "if-match": match },
    signal: AbortSignal.timeout(60_000),
  });
  await answer.arrayBuffer();
  return answer.status;
}

async function etagOf(member: Member, id: string): Promise<string> {
  const answer = await fetch(`${member.url}/collections/things/${id}`);
  await answer.arrayBuffer();
  return answer.headers.get("etag") ?? "";
}

const seqOf = (etag: string): number => Number(/-(\d+)"$/.exec(etag)?.[1]);

/** The leader gets a tail that the follower never sees and dies; the follower leads on another port. */
async function failover(c: Cluster, tail: () => Promise<void>): Promise<{ leader: Member; port: number }> {
  const leader = c.followers[0] as Member, [port] = await freePorts(1) as [number];
  await converged(c);
  await leader.stop();
  await tail();
  await c.leader.kill9();
  await leader.start([...leaderRole(port), "--force-role"]);
  return { leader, port };
}

for (const runtime of leaderRuntimes(2)) {
  test(`etags of entries that a leader on ${runtime} lost match nothing, whatever its sidecars say`, async (t) => {
    const c = await cluster({ leader: runtime, followers: [runtimeAfter(runtime)] });
    t.after(() => c.stop());
    for (let i = 0; i < 10; i++) assert.equal(await put(c.leader, `d${i}`, "first"), 201);
    let lost = "", lostPosition = "";
    const { leader, port } = await failover(c, async () => {
      assert.equal(await put(c.leader, "before", "lost"), 201);
      assert.equal(await put(c.leader, "d3", "lost"), 200);
      assert.equal(await put(c.leader, "after", "lost"), 201);
      lost = await etagOf(c.leader, "d3");
      lostPosition = (await status(c.leader)).position;
    });
    // The new run's first write is after the entry that begins the run.
    assert.equal(await put(leader, "d3", "kept"), 200);
    const kept = await etagOf(leader, "d3");
    assert.equal(seqOf(lost), seqOf(kept), "one number, two entries");
    assert.notEqual(lost, kept);
    assert.equal(await put(leader, "d3", "by the lost etag", lost), 412);
    assert.equal((await json<{ value: string }>(`${leader.url}/collections/things/d3`)).value, "kept");
    assert.equal(await put(leader, "d3", "by the right etag", kept), 200);
    // As from its time as a follower, long ago: the database alone decides.
    writeFileSync(join(c.leader.dataDir, "data.dfdb.followerseq"), Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0));
    await c.leader.start(followerRole(port));
    await converged({ ...c, leader, followers: [c.leader] });
    await equalContents(c);
    const { position, follower: { rescues, snapshotsInstalled, gapsDetected } } = await status(c.leader);
    assert.deepEqual([rescues, snapshotsInstalled, gapsDetected], [1, 1, 0]);
    assert.equal(position.startsWith(`${lostPosition.split("-")[0]}-`), false, "another run");
    for (const id of ["before", "after"]) {
      assert.equal((await fetch(`${c.leader.url}/collections/things/${id}`)).status, 404);
    }
    assert.equal(await etagOf(c.leader, "d3"), await etagOf(leader, "d3"));
    assert.deepEqual((await c.stop()).slice(1), [0]);
  });

  test(`a lost tail that the log on ${runtime} does not reach back to is kept as a whole database`, async (t) => {
    const small = ["--log-bytes-max", String(1024 * 1024)];
    const c = await cluster({
      leader: runtime,
      followers: [runtimeAfter(runtime)],
      flags: ["--replication-secret", "cluster-secret", ...small],
    });
    const elsewhere = mkdtempSync(join(tmpdir(), "dfdb-rescued-"));
    t.after(() => c.stop());
    t.after(() => rmSync(elsewhere, { recursive: true, force: true }));
    for (let i = 0; i < 10; i++) assert.equal(await put(c.leader, `d${i}`, "first"), 201);
    const { leader, port } = await failover(c, async () => {
      const end = (await status(c.leader)).log.lastSeq;
      for (let i = 0; i < 40; i++) assert.equal(await put(c.leader, `tail${i}`, "x".repeat(100_000)), 201);
      await eventually(
        "the tail is trimmed",
        async () => (await status(c.leader)).log.firstSeq > end + 1 ? true : null,
      );
    });
    assert.equal(await put(leader, "d3", "kept"), 200);
    await c.leader.start(followerRole(port));
    await converged({ ...c, leader, followers: [c.leader] });
    await equalContents(c);
    const folder = join(c.leader.dataDir, "rescued"), names = readdirSync(folder).sort();
    assert.equal(names.length, 2, names.join(" "));
    assert.match(names[0] as string, /\.dfdb$/);
    // It opens like a data file, on another runtime too, and has all of it.
    mkdirSync(elsewhere, { recursive: true });
    cpSync(join(folder, names[0] as string), join(elsewhere, "data.dfdb"));
    const [httpPort] = await freePorts(1), url = `http://127.0.0.1:${httpPort}`;
    const args = ["serve", "--port", String(httpPort), "--data-dir", elsewhere];
    const copy = startNodeProcess({ runtime: runtimeAfter(runtime), args });
    await waitForHealth(copy, url);
    for (let i = 0; i < 40; i++) {
      assert.equal(
        (await json<{ value: string }>(`${url}/collections/things/tail${i}`)).value.length,
        100_000,
      );
    }
    assert.equal(await copy.stop(), 0);
    assert.deepEqual((await c.stop()).slice(1), [0]);
  });
}
