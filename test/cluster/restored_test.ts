/** Sidecars that lie, data files restored from older copies, histories that went apart: nothing is lost, and the state has a name. */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { startNodeProcess } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import type { Member } from "./cluster.ts";
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

/** Puts documents `prefix0` to `prefix<count - 1>`; each must be answered 200 or 201. */
async function put(member: Member, prefix: string, count: number, value = 1): Promise<void> {
  for (let i = 0; i < count; i++) {
    const answer = await fetch(`${member.url}/collections/things/${prefix}${i}`, {
      method: "PUT",
      body: JSON.stringify({ value, i }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${prefix}${i}: ${answer.status} ${text}`);
  }
}

const dataFiles = ["data.dfdb", "data.dfdb-wal", "data.dfdb-shm"];

/** A copy of the data file of a stopped node, and what puts it back. */
function backup(member: Member): { restore(): void } {
  const folder = join(member.dataDir, "older");
  for (const name of dataFiles) {
    if (existsSync(join(member.dataDir, name))) cpSync(join(member.dataDir, name), join(folder, name));
  }
  return {
    restore() {
      for (const name of dataFiles) {
        rmSync(join(member.dataDir, name), { force: true });
        if (existsSync(join(folder, name))) cpSync(join(folder, name), join(member.dataDir, name));
      }
    },
  };
}

/** Runs `dfdb` to its end; its output. */
async function dfdb(args: readonly string[], wanted: number): Promise<string> {
  const run = startNodeProcess({ runtime: "node", args });
  const code = await run.exited;
  assert.equal(code, wanted, `dfdb ${args.join(" ")} ended with ${code}:\n${run.output()}`);
  return run.output();
}

function number8(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

for (const runtime of leaderRuntimes(1)) {
  test(`sidecars of a follower on ${runtime}: deleted, cut, garbage, set back, set ahead`, async (t) => {
    const c = await cluster({ leader: runtimeAfter(runtime), followers: [runtime] }),
      [follower] = c.followers;
    t.after(() => c.stop());
    assert.ok(follower !== undefined);
    await put(c.leader, "a", 40);
    await converged(c);
    const sidecar = join(follower.dataDir, "data.dfdb.followerseq"),
      term = join(follower.dataDir, "data.dfdb.term");
    const lies: readonly (readonly [string, () => void])[] = [
      ["deleted", () => [sidecar, term].forEach((path) => rmSync(path))],
      ["cut", () => truncateSync(sidecar, 3)],
      ["garbage", () => writeFileSync(term, new Uint8Array(8).fill(255))],
      ["back", () => writeFileSync(sidecar, number8(3))],
      ["ahead", () => writeFileSync(sidecar, number8(1_000_000))],
    ];
    for (const [name, lie] of lies) {
      await follower.stop();
      lie();
      await put(c.leader, `${name}-`, 10);
      await follower.start();
      await converged(c);
      const { follower: { gapsDetected, snapshotsInstalled, rescues } } = await status(follower);
      assert.deepEqual([gapsDetected, snapshotsInstalled, rescues], [0, 0, 0], name);
      const { log } = await status(follower), here = readFileSync(sidecar);
      await eventually(
        "the sidecar is right again",
        () => Promise.resolve(Number(readFileSync(sidecar).readBigUInt64LE()) === log.lastSeq ? true : null),
      );
      assert.equal(here.length, 8);
    }
    await equalContents(c);
    assert.deepEqual(await c.stop(), [0, 0]);
  });

  test(`a follower on ${runtime} whose data file is an older copy catches up again`, async (t) => {
    const c = await cluster({ leader: runtimeAfter(runtime), followers: [runtime] }),
      [follower] = c.followers;
    t.after(() => c.stop());
    assert.ok(follower !== undefined);
    await put(c.leader, "a", 30);
    await converged(c);
    await follower.stop();
    const older = backup(follower);
    await follower.start();
    await put(c.leader, "b", 30);
    await converged(c);
    await follower.stop();
    older.restore();
    await follower.start();
    await converged(c);
    assert.match(follower.process.output(), /older than its sidecar/);
    const { follower: { gapsDetected, rescues } } = await status(follower);
    assert.deepEqual([gapsDetected, rescues], [0, 0]);
    await equalContents(c);
    assert.deepEqual(await c.stop(), [0, 0]);
  });

  test(`a leader on ${runtime} whose data file is an older copy discards nothing of its follower`, async (t) => {
    const c = await cluster({ leader: runtime, followers: [runtimeAfter(runtime)] }),
      [follower] = c.followers;
    t.after(() => c.stop());
    assert.ok(follower !== undefined);
    await put(c.leader, "a", 30);
    await converged(c);
    await c.leader.stop();
    const older = backup(c.leader);
    await c.leader.start();
    await put(c.leader, "b", 20);
    await put(c.leader, "a", 5, 2);
    await converged(c);
    await c.leader.stop();
    older.restore();
    await c.leader.start();
    const there = await status(c.leader);
    assert.deepEqual([there.readOnly, there.readOnlyReason], [true, "behind_followers"]);
    const refused = await fetch(`${c.leader.url}/collections/things/x`, { method: "PUT", body: "{}" });
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /Database is in read-only mode.*behind_followers/);
    await eventually(
      "the follower says that it is ahead",
      async () => (await status(follower)).follower.state === "ahead" ? true : null,
    );
    const seen = (await status(c.leader)).leader.refused ?? [];
    const [mine, theirs] = [await status(follower), await status(c.leader)];
    const line = seen.find(({ nodeName }) => nodeName === follower.name);
    assert.deepEqual([line?.code, line?.nodeId, line?.position, line?.leaderPosition], [
      "ahead",
      mine.nodeId,
      mine.position,
      theirs.position,
    ]);
    assert.match(line?.advice ?? "", /dfdb accept-loss .*dfdb promote/);
    const { ahead } = mine.follower;
    assert.deepEqual([ahead?.position, ahead?.leader.nodeId, ahead?.leader.position], [
      mine.position,
      theirs.nodeId,
      theirs.position,
    ]);
    const shown = await dfdb(["status", c.leader.url, follower.url], 0);
    assert.ok(shown.includes(`ahead of this node, which is at ${theirs.position}: ${follower.name}`), shown);
    assert.match(shown, new RegExp(`ahead of its leader .*\\(?${theirs.nodeId}\\)?, at ${theirs.position}`));
    for (const each of [c.leader, follower]) {
      assert.match(each.process.output(), /dfdb accept-loss at the leader/);
    }
    const ready = await fetch(`${follower.url}/ready`);
    assert.equal(ready.status, 503);
    await ready.arrayBuffer();
    const kept = await json<{ i: number }>(`${follower.url}/collections/things/b7`);
    assert.equal(kept.i, 7, "reads go on");
    await dfdb(["accept-loss", c.leader.url, "--yes"], 0);
    await put(c.leader, "c", 10);
    await put(c.leader, "a", 2, 3);
    await converged(c);
    await equalContents(c);
    assert.equal((await status(follower)).follower.rescues, 1);
    const folder = join(follower.dataDir, "rescued");
    const [file] = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
    assert.ok(file !== undefined, "what the leader lacks was rescued");
    assert.match(await dfdb(["rescued", "list", "--data-dir", follower.dataDir], 0), new RegExp(file));
    assert.match(await dfdb(["rescued", "show", join(folder, file)], 0), /b7/);
    // a0 and a1 have newer data: listed and not written. Everything else comes back.
    const replayed = await dfdb(["rescued", "replay", join(folder, file), "--to", c.leader.url], 2);
    assert.match(replayed, /a0/);
    assert.match(replayed, /a1/);
    for (let i = 0; i < 20; i++) {
      assert.equal((await json<{ i: number }>(`${c.leader.url}/collections/things/b${i}`)).i, i);
    }
    const values = await Promise.all(
      [0, 1, 2, 3, 4].map(async (i) =>
        (await json<{ value: number }>(`${c.leader.url}/collections/things/a${i}`)).value
      ),
    );
    assert.deepEqual(values, [3, 3, 2, 2, 2]);
    await converged(c);
    await equalContents(c);
    assert.deepEqual(await c.stop(), [0, 0]);
  });

  test(`an old leader on ${runtime} with a tail that nobody has rejoins; the tail is rescued`, async (t) => {
    const c = await cluster({ leader: runtime, followers: [runtimeAfter(runtime)] }),
      [follower] = c.followers;
    t.after(() => c.stop());
    assert.ok(follower !== undefined);
    await put(c.leader, "a", 30);
    await converged(c);
    await follower.stop();
    await put(c.leader, "tail", 12);
    await fetch(`${c.leader.url}/collections/things/a9`, { method: "DELETE" });
    await c.leader.kill9();
    const [port] = await freePorts(1) as [number];
    await follower.start([...leaderRole(port), "--force-role"]);
    await put(follower, "new", 8);
    await c.leader.start(followerRole(port));
    const turned = { ...c, leader: follower, followers: [c.leader] };
    await converged(turned);
    await equalContents(c);
    const { follower: { rescues, snapshotsInstalled } } = await status(c.leader);
    assert.deepEqual([rescues, snapshotsInstalled], [1, 1]);
    const folder = join(c.leader.dataDir, "rescued"), files = readdirSync(folder);
    assert.equal(files.length, 1, files.join(" "));
    await dfdb(["rescued", "replay", join(folder, files[0] as string), "--to", follower.url], 0);
    for (let i = 0; i < 12; i++) {
      assert.equal((await json<{ i: number }>(`${follower.url}/collections/things/tail${i}`)).i, i);
    }
    const gone = await fetch(`${follower.url}/collections/things/a9`);
    assert.equal(gone.status, 404, await gone.text());
    await dfdb(["rescued", "replay", join(folder, files[0] as string), "--to", follower.url], 0);
    await converged(turned);
    await equalContents(c);
    assert.deepEqual((await c.stop()).slice(1), [0]);
  });
}
