/** A master whose leader dies under load while another master is ahead of its follower: nothing is ignored, and all versions are kept. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { prng } from "../../src/base/prng.ts";
import { freePorts } from "../tool/ports.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";
import type { ChaosProxy } from "./chaos_proxy.ts";
import { chaosProxy } from "./chaos_proxy.ts";
import type { Member } from "./cluster.ts";
import { eventually, json, member, runtimeAfter, status } from "./cluster.ts";
import type { Peer } from "./group.ts";
import { follows, group, watching, writable } from "./group.ts";
import type { Body } from "./master_mesh.ts";
import { ask, differ, done, info, sentAll } from "./master_mesh.ts";

const bundle = ["--replication-bundle", "--replication-request-timeout", "10000"];
/** Documents of the first leader; the second one edits the first half of them. */
const documents = 200, edits = 1_000, clients = 8;

/** Runs `work` with each number below `count`, `clients` at a time. */
async function each(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: clients }, async () => {
    while (next < count) await work(next++);
  }));
}

const path = (n: number): string => `/collections/things/d${n}`;

/** What all versions of a document say of their writers. */
async function tags(at: Member, n: number): Promise<readonly string[]> {
  const { status, body } = await ask(at, "GET", path(n));
  if (status === 200) return [String(body["tag"])];
  assert.equal(status, 409, JSON.stringify(body));
  return (body["Versions"] as Body[]).map(({ document }) => String(document["tag"])).sort();
}

/** Puts `tag`, having seen what is there; answers that. */
async function edit(at: Member, n: number, tag: string): Promise<string> {
  for (;;) {
    const url = `${at.url}${path(n)}`, found = await fetch(url);
    const seen = String((await found.json() as Body)["tag"]);
    const headers = { "if-match": found.headers.get("etag") ?? "" };
    const answer = await fetch(url, { method: "PUT", headers, body: JSON.stringify({ tag }) });
    await answer.arrayBuffer();
    if (answer.status === 200) return seen;
    assert.equal(answer.status, 412);
  }
}

for (const runtime of leaderRuntimes(1)) {
  test(`the leader of a master on ${runtime} dies, and another master is ahead of its follower`, async (t) => {
    const proxies: ChaosProxy[] = [], root = mkdtempSync(join(tmpdir(), "dfdb-ahead-"));
    const through = async (port: number): Promise<number> => {
      proxies.push(await chaosProxy(port, prng(1)));
      return proxies.at(-1)?.port as number;
    };
    const others = runtimeAfter(runtime), [port] = await freePorts(1) as [number];
    const b = member(root, "b", { flags: bundle }, runtimeAfter(others), port, []);
    t.after(async () => {
      await b.stop();
      rmSync(root, { recursive: true, force: true });
      await Promise.all(proxies.map((proxy) => proxy.close()));
    });
    const [g] = await Promise.all([
      group({
        runtimes: [runtime, others],
        flags: (i) => i === 1 ? [...bundle, "--auto-failover-seconds", "1"] : bundle,
        through,
      }),
      b.start(),
    ]);
    t.after(() => g.stop());
    const [a, f] = g.peers as [Peer, Peer];
    await watching(f);
    const toF = `http://127.0.0.1:${await through(f.httpPort)}`,
      [wire, line] = proxies as [ChaosProxy, ChaosProxy];
    const destinations = (at: Member, urls: readonly string[]) =>
      done(at, "PUT", "/docs/Raven/Replication/Destinations", { Destinations: urls.map((Url) => ({ Url })) });
    await destinations(a, [b.url]);
    await destinations(b, [a.url, toF]);

    const first = Array.from({ length: documents }, (_, n) => ({ _id: `d${n}`, tag: `first-${n}` }));
    await done(a, "POST", "/collections/things/bulk", first);
    const all = (at: Member) => json<Body>(`${at.url}/collections/things?limit=1000`);
    for (const other of [b, f]) {
      await eventually(
        `${other.name} has all`,
        async () => (await all(other))["count"] === documents ? true : null,
      );
    }

    wire.set("slow");
    const last = new Map<number, string>(), padding = "x".repeat(200);
    await each(edits, async (n) => {
      const tag = `a-${n}`, response = await ask(a, "PUT", path(n % documents), { tag, padding });
      assert.equal(response.status, 200, JSON.stringify(response.body));
      last.set(n % documents, tag);
    });
    await sentAll([a]);
    const [here, there] = await Promise.all([status(a), status(f)]);
    await a.kill9();
    line.set("refuse");
    assert.ok(there.log.lastSeq < here.log.lastSeq, "the other master is ahead of the follower");
    t.diagnostic(`the follower had ${there.log.lastSeq} of ${here.log.lastSeq} entries`);
    await writable(f);

    // The same numbers again, while the other master cannot say what it has.
    const seen = new Map<number, string>();
    await each(documents / 2, async (n) => void seen.set(n, await edit(f, n, `f-${n}`)));
    await eventually("the other master was told all of it", async () => {
      const [row] = (await info(f))["Stats"] as Body[], { MostRecentDocumentEtag: at } = await info(f);
      return row?.["LastReplicatedEtag"] === at ? true : null;
    });
    const superseded = [...seen].filter(([n, tag]) => tag === last.get(n)).length;
    assert.ok(superseded < documents / 2, "the new leader lacked edits");
    for (const [n, tag] of seen) {
      const kept = tag === last.get(n) ? [`f-${n}`] : [last.get(n), `f-${n}`].sort();
      assert.deepEqual(await tags(b, n), kept, `d${n}, of which the new leader had ${tag}`);
    }

    line.set(null);
    await a.start();
    await follows(a, f);
    await eventually("the other master reaches both", async () => {
      await done(b, "POST", "/collections/others", {});
      const failures = ((await info(b))["Stats"] as Body[]).map((row) => row["FailureCount"]);
      if (failures.every((count) => count === 0)) return true;
      await pause(25);
      return null;
    });
    await sentAll([f, b]);
    await eventually("the old leader has all of the new one", async () => {
      const [old, now] = await Promise.all([status(a), status(f)]);
      return old.position === now.position ? true : null;
    });
    assert.equal(await differ([f, a, b]), null);
    for (let n = 0; n < documents; n++) {
      const alone = n >= documents / 2 ? [last.get(n)] : seen.get(n) === last.get(n) ? [`f-${n}`] : null;
      assert.deepEqual(await tags(f, n), alone ?? [last.get(n), `f-${n}`].sort(), `d${n}`);
    }
    const conflicts = documents / 2 - superseded;
    assert.deepEqual([(await info(f))["conflicts"], (await info(b))["conflicts"]], [conflicts, conflicts]);
    assert.equal((await status(a)).follower.rescues, 1);
    t.diagnostic(`${conflicts} conflicts`);
  });
}
