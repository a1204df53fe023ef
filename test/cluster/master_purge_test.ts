/**
 * Tombstones of three masters on three runtimes: when they go, who holds them back, and what becomes of a master that was forgotten, or restored from an
 * old backup, and comes back. All by HTTP and on the command line. No setting makes the fortnight shorter, so the nodes begin with clocks of the past.
 */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { runtimeNames } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import { mine } from "../tool/shared_out.ts";
import type { Member } from "./cluster.ts";
import { eventually, member, runtimeAfter } from "./cluster.ts";
import { dfdb } from "./group.ts";
import type { Body } from "./master_mesh.ts";
import { ask, differ, done, info, openConflicts } from "./master_mesh.ts";

const entry = fileURLToPath(new URL("./old_clock_entry.ts", import.meta.url)), dayMs = 86_400_000;

/** Its output, when it ended as it should. */
async function run(...args: readonly string[]): Promise<string> {
  const { code, output } = await dfdb("node", args);
  assert.equal(code, 0, `dfdb ${args.join(" ")}: ${output}`);
  return output;
}

const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => prefix + n);

const write = (at: Member, _ids: readonly string[]): Promise<Body> =>
  done(at, "POST", "/collections/docs/bulk", _ids.map((_id) => ({ _id, by: at.name })));

async function remove(at: Member, ids: readonly string[]): Promise<void> {
  for (const id of ids) await done(at, "DELETE", `/collections/docs/${id}`);
}

async function idsAt(at: Member): Promise<string[]> {
  const { documents } = await done(at, "GET", "/collections/docs?limit=5000");
  return (documents as Body[]).map(({ _id }) => String(_id)).sort();
}

/** `success`, how many went, how many are left. */
const purge = (at: Member): Promise<Body> => done(at, "POST", "/admin/replication/purge-tombstones");

async function tombstones(masters: readonly Member[]): Promise<readonly number[]> {
  return (await Promise.all(masters.map(info))).map(({ tombstones: count }) => count as number);
}

/** Waits until all have these documents and this many tombstones; then nothing may be in conflict. */
async function have(masters: readonly Member[], wanted: readonly string[], deleted: number): Promise<void> {
  let seen: unknown = null;
  const is = [[...wanted].sort(), deleted], all = masters.map(() => is);
  await eventually(`${wanted.length} documents and ${deleted} tombstones`, async () => {
    const counts = await tombstones(masters);
    seen = await Promise.all(masters.map(async (each, i) => [await idsAt(each), counts[i]]));
    return JSON.stringify(seen) === JSON.stringify(all) ? true : null;
  }, 20_000).catch(async (error: unknown) => {
    const told = await Promise.all(masters.map(info));
    throw new Error(`${error}\n${JSON.stringify(seen)}\n${JSON.stringify(told, null, 1)}`);
  });
  assert.deepEqual(await openConflicts(masters), masters.map(() => 0));
}

/** And `dfdb verify --masters` finds them equal. */
async function equal(masters: readonly Member[], wanted: readonly string[], deleted: number): Promise<void> {
  await have(masters, wanted, deleted);
  assert.equal(await differ(masters), null);
}

/** Each sends to each other one, what others wrote, too. */
async function addMasters(masters: readonly Member[]): Promise<void> {
  await Promise.all(masters.map((from) => {
    const others = masters.filter((to) => to !== from);
    const Destinations = others.map(({ url: Url }) => ({ Url, TransitiveReplicationBehavior: "Replicate" }));
    return done(from, "PUT", "/docs/Raven/Replication/Destinations", { Destinations });
  }));
}

/** For whom the tombstones wait, as an operator reads it. */
async function waitedFor(at: Member, tombstones: number, away: Member): Promise<string> {
  const text = await run("masters", "status", at.url);
  const line = new RegExp(
    `^${tombstones} old tombstones wait for ([0-9a-f]{32}) .*:${away.httpPort}[/)]`,
    "m",
  );
  assert.match(text, line);
  return line.exec(text)?.[1] as string;
}

/** Waits until all its destinations refuse it; what it says of that. */
async function refuses(refused: Member, code = "peer_forgotten"): Promise<readonly string[]> {
  return await eventually("it is refused", async () => {
    const { Stats } = await info(refused), rows = Stats as Body[];
    const all = rows.every(({ FailureCount, lastErrorCode }) => FailureCount > 0 && lastErrorCode === code);
    return all ? rows.map(({ LastError }) => String(LastError)) : null;
  }, 20_000);
}

for (const first of mine(runtimeNames)) {
  const second = runtimeAfter(first), third = runtimeAfter(second);
  test(`purge and forgetting, masters on ${first}, ${second} and ${third}`, async (t) => {
    const root = mkdtempSync(join(tmpdir(), "dfdb-purge-")), ports = await freePorts(3);
    const flags = ["--replication-bundle", "--replication-request-timeout", "10000"];
    let behindMs = 48 * dayMs;
    const instead = () => behindMs === 0 ? {} : { entry, env: { CLOCK_BEHIND_MS: String(behindMs) } };
    const all = [first, second, third].map((runtime, i) =>
      member(root, `master-${i + 1}`, { flags, instead }, runtime, ports[i] as number, [])
    );
    const [a, b, c] = all as [Member, Member, Member], both = [a, b];
    const later = async (of: readonly Member[], ms: number): Promise<void> => {
      await Promise.all(of.map((each) => each.stop()));
      behindMs = ms;
      await Promise.all(of.map((each) => each.start()));
    };
    t.after(async () => {
      await Promise.all(all.map((each) => each.stop()));
      rmSync(root, { recursive: true, force: true });
    });
    const keep = ids("keep", 20), early = ids("early", 8), late = ids("late", 6);

    // A deletion goes after a fortnight, and what was deleted stays so.
    await Promise.all(both.map((each) => each.start()));
    await addMasters(both);
    await write(a, [...keep, ...early]);
    await have(both, [...keep, ...early], 0);
    await remove(a, early.slice(0, 5));
    await have(both, [...keep, ...early.slice(5)], 5);
    await remove(b, early.slice(5));
    await have(both, keep, 8);
    for (const each of both) assert.deepEqual(await purge(each), { success: true, purged: 0, kept: 8 });
    await later(both, 32 * dayMs);
    assert.deepEqual(await purge(a), { success: true, purged: 8, kept: 0 });
    // One that has them still sends nothing of them back.
    assert.deepEqual(await tombstones(both), [0, 8]);
    await write(b, ["keep20"]);
    keep.push("keep20");
    await eventually("what came after", async () => (await idsAt(a)).includes("keep20") ? true : null);
    assert.deepEqual(await purge(b), { success: true, purged: 8, kept: 0 });
    await equal(both, keep, 0);
    // Written anew they are new documents.
    await write(b, early.slice(0, 1));
    keep.push(...early.slice(0, 1));
    await have(both, keep, 0);

    // A master that is away holds them back until it is forgotten.
    await write(a, late);
    await c.start();
    await addMasters(all);
    await have(all, [...keep, ...late], 0);
    await c.kill9();
    await remove(a, late.slice(0, 3));
    await remove(b, late.slice(3));
    await have(both, keep, 6);
    await later(both, 16 * dayMs);
    let databaseId = "";
    for (const each of both) {
      assert.deepEqual(await purge(each), { success: true, purged: 0, kept: 6 });
      databaseId = await waitedFor(each, 6, c);
    }
    const unsaid = await dfdb("node", ["masters", "forget", a.url, databaseId]);
    assert.equal(unsaid.code, 1, unsaid.output);
    assert.deepEqual(await purge(a), { success: true, purged: 0, kept: 6 });
    for (const each of both) {
      await run("masters", "forget", each.url, databaseId, "--yes");
      assert.deepEqual(await purge(each), { success: true, purged: 6, kept: 0 });
      assert.deepEqual((await info(each))["tombstonesHeldBack"], []);
    }
    await equal(both, keep, 0);

    // The forgotten one comes back: it is refused, and told what to do.
    await c.start();
    await write(c, ["of its own"]);
    for (const message of await refuses(c)) {
      assert.match(message, /empty data folder/);
    }
    assert.match(await run("masters", "status", c.url), /peer_forgotten/);
    await have(both, keep, 0);
    const asked = `from=${encodeURIComponent(c.url)}&dbid=${databaseId}`;
    const { status, body } = await ask(a, "GET", `/replication/lastEtag?${asked}`);
    assert.deepEqual([status, body["code"]], [409, "peer_forgotten"]);

    // With an empty folder it is filled anew, and nothing comes back.
    await c.stop();
    rmSync(c.dataDir, { recursive: true });
    await c.start();
    for (const each of both) await run("masters", "add", c.url, each.url, "--transitive");
    await have(all, keep, 0);
    await write(c, ["again"]);
    keep.push("again");
    await equal(all, keep, 0);

    // One that was forgotten and lacks nothing keeps its documents under a new identity, and what it alone has arrives.
    const former = String((await info(c))["databaseId"]);
    for (const each of both) await run("masters", "forget", each.url, former, "--yes");
    await write(c, ["of its own"]);
    await refuses(c);
    await have(both, keep, 0);
    await c.stop();
    const renamed = await run("new-identity", join(c.dataDir, "data.dfdb"));
    assert.match(renamed, new RegExp(`is database [0-9a-f]{32} now; it was ${former}`));
    await c.start();
    keep.push("of its own");
    await equal(all, keep, 0);

    // One that is restored from before what was purged brings nothing back, and says so.
    const old = ids("old", 6), backup = join(root, "backup");
    await write(a, old);
    await have(all, [...keep, ...old], 0);
    await c.stop();
    cpSync(c.dataDir, backup, { recursive: true });
    await c.start();
    await remove(a, old.slice(0, 2));
    await remove(b, old.slice(2, 4));
    await remove(c, old.slice(4));
    await have(all, keep, 6);
    await later(all, 0);
    // They were all started anew: each has to be in touch with the others first.
    for (const each of all) {
      await eventually("all confirm", async () => (await purge(each))["kept"] === 0 ? true : null);
    }
    await equal(all, keep, 0);
    await c.stop();
    rmSync(c.dataDir, { recursive: true });
    cpSync(backup, c.dataDir, { recursive: true });
    await c.start();
    await write(c, ["lost"]);
    for (const message of await refuses(c, "peer_too_old")) assert.match(message, /empty data folder/);
    await write(a, ["meanwhile"]);
    keep.push("meanwhile");
    await equal(both, keep, 0);
    assert.ok(!(await idsAt(c)).includes("meanwhile"), "it is not told either");
    assert.match(await run("masters", "status", a.url), /peer_too_old/);

    // Under a new identity it is the same old copy.
    await c.stop();
    await run("new-identity", join(c.dataDir, "data.dfdb"));
    await c.start();
    await refuses(c, "peer_too_old");
    await equal(both, keep, 0);

    const gone = await Promise.all(both.map(async (each) => (await info(each))["Stats"] as Body[]));
    for (const [i, stats] of gone.entries()) {
      const { databaseId: id } = stats.find(({ Url }) => String(Url).includes(`:${c.httpPort}`)) as Body;
      if (id !== null) await run("masters", "forget", (both[i] as Member).url, String(id), "--yes");
    }
    await c.stop();
    rmSync(c.dataDir, { recursive: true });
    await c.start();
    for (const each of both) await run("masters", "add", c.url, each.url, "--transitive");
    await equal(all, keep, 0);
    assert.deepEqual(await Promise.all(all.map((each) => each.stop())), [0, 0, 0]);
  });
}
