/** Two databases on one leader and one wire port; one node follows both, another one of them. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";
import type { Member } from "./cluster.ts";
import { checksum, eventually, json, status } from "./cluster.ts";
import type { Peer } from "./group.ts";
import { dfdb, follows, group, writable } from "./group.ts";

/** A node as it is asked for its database "shop". */
function shopOf(peer: Peer): Member {
  return Object.create(peer, { url: { value: `${peer.url}/db/shop` } }) as Member;
}

async function post(url: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(url, {
    method: "POST",
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${url}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const insert = (member: Member, count: number): Promise<unknown> =>
  post(`${member.url}/collections/c/bulk`, Array.from({ length: count }, (_, n) => ({ n })));

/** Waits until `follower` streams and stands where `leader` stands, with the same content. */
async function holdsAll(follower: Member, leader: Member): Promise<void> {
  await eventually(`${follower.url} has all of ${leader.url}`, async () => {
    const [there, here] = [await status(leader), await status(follower)];
    return there.position === here.position && here.follower.state === "streaming" ? true : null;
  }).catch(async (error: unknown) => {
    throw new Error(`${error}\n${JSON.stringify([await status(leader), await status(follower)], null, 1)}`);
  });
  assert.equal(await checksum(follower), await checksum(leader));
}

test("databases of one node replicate, fail and move on their own", async (t) => {
  const g = await group({ runtimes: ["deno", "node", "bun"] });
  t.after(() => g.stop());
  const [a, both, one] = g.peers as [Peer, Peer, Peer];
  const [shopA, shopBoth] = [shopOf(a), shopOf(both)];
  const port = async (member: Member): Promise<number | null> => (await status(member)).leader.port;

  await t.test("made on the leader, then on a follower", async () => {
    for (const node of [a, both]) await post(`${node.url}/databases`, { name: "shop" });
    await Promise.all([insert(a, 20), insert(shopA, 30)]);
    await holdsAll(both, a);
    await holdsAll(one, a);
    await holdsAll(shopBoth, shopA);
    assert.notEqual(await checksum(a), await checksum(shopA));
    assert.deepEqual([await port(a), await port(shopA)], [a.wirePort, a.wirePort]);
    const told = await json<{ code: string }>(`${one.url}/db/shop/collections`);
    assert.equal(told.code, "not_found");
  });

  await t.test("verified by its name", async () => {
    const { code, output } = await dfdb("node", ["verify", a.url, both.url, "--database", "shop"]);
    assert.equal(code, 0, output);
  });

  await t.test("kill -9 and restart of both sides", async () => {
    await a.kill9();
    await a.start();
    for (const leader of [a, shopA]) await writable(leader);
    await insert(shopA, 10);
    await both.kill9();
    await insert(a, 10);
    await both.start();
    await holdsAll(both, a);
    await holdsAll(shopBoth, shopA);
    await holdsAll(one, a);
    assert.deepEqual([await port(a), await port(shopA)], [a.wirePort, a.wirePort]);
  });

  await t.test("one database moves, the other one stays", async () => {
    await post(`${shopA.url}/replication/handover`, { to: both.name });
    await writable(shopBoth);
    await Promise.all([insert(shopBoth, 10), insert(a, 10)]);
    await holdsAll(shopA, shopBoth);
    await holdsAll(both, a);
    assert.deepEqual([await port(shopBoth), await port(a)], [both.wirePort, a.wirePort]);
    const wrong = await fetch(`${shopA.url}/collections/c/x`, { method: "PUT", body: "{}" });
    assert.equal(wrong.status, 421);
    const { leader } = await wrong.json() as { leader: string };
    assert.equal(
      (await fetch(`${leader}/collections/c/x`, { method: "PUT", body: "{}" })).status,
      201,
      leader,
    );
    // What they are now they are after a restart.
    await both.stop();
    await both.start();
    await writable(shopBoth);
    await holdsAll(shopA, shopBoth);
    await holdsAll(both, a);
  });

  await t.test("dropped while a follower streams", async () => {
    const writing = Promise.all(Array.from({ length: 5 }, () => insert(shopBoth, 100).catch(String)));
    const gone = await json<{ action: string }>(`${both.url}/databases/shop?deleteFiles=true`, {
      method: "DELETE",
    });
    assert.equal(gone.action, "dropped");
    await writing;
    assert.equal(existsSync(`${both.dataDir}/databases/shop/data.dfdb`), false);
    // Nothing else listens there: it is as if that node had gone.
    await eventually("the follower finds nobody", async () => {
      const { state, lastError } = (await status(shopA)).follower;
      return state === "waiting" && lastError !== null ? true : null;
    });
    await insert(a, 5);
    await holdsAll(both, a);
    await follows(one, a);
  });
  assert.deepEqual(await g.stop(), [0, 0, 0]);
});

for (const runtime of leaderRuntimes(1)) {
  test(`${runtime}: a commit that fails in one database ends the node, and none of them loses anything`, async (t) => {
    const dataDir = mkdtempSync(join(tmpdir(), "dfdb-disk-")), [port] = await freePorts(1);
    t.after(() => rmSync(dataDir, { recursive: true, force: true }));
    const url = `http://127.0.0.1:${port}`, args = ["serve", "--port", String(port), "--data-dir", dataDir];
    const put = async (path: string): Promise<number> =>
      (await fetch(`${url}${path}`, { method: "PUT", body: "{}" })).status;
    const entry = fileURLToPath(new URL("./failing_disk_entry.ts", import.meta.url));
    const failing = startNodeProcess({ runtime, entry, args, env: { FAIL_AT_COMMIT: "3" } });
    await waitForHealth(failing, url);
    await post(`${url}/databases`, { name: "shop" });
    assert.deepEqual([await put("/collections/c/1"), await put("/db/shop/collections/c/1")], [201, 201]);
    assert.equal(await put("/db/shop/collections/c/2"), 504, failing.output());
    assert.equal(await failing.exited, 1, failing.output());
    assert.match(failing.output(), /a commit failed: this node ends.*shop/);
    const again = startNodeProcess({ runtime, args });
    await waitForHealth(again, url);
    for (const path of ["/collections/c/1", "/db/shop/collections/c/1"]) {
      assert.equal((await fetch(url + path)).status, 200, path);
    }
    assert.equal(await put("/db/shop/collections/c/3"), 201);
    assert.equal(await again.stop(), 0);
  });
}
