/** Feeds of changes: what a slow reader costs, other histories, followers, the end of a node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { signal } from "../../src/base/signal.ts";
import { ChangeReader } from "../../src/engine/changes.ts";
import { CollectionNames } from "../../src/engine/collection_names.ts";
import { LogPieces } from "../../src/engine/log_pieces.ts";
import { Feeds } from "../../src/http/feeds.ts";
import { runTask } from "../../src/node/tasks.ts";
import type { TimedLogReader } from "../../src/storage/log.ts";
import { ChangeFeed } from "../tool/change_feed.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import type { Body, TestNode } from "../suites/http_fixture.ts";
import { directTransport, portTransport, refused, told, withNode } from "../suites/http_fixture.ts";
import { patient } from "../suites/storage_fixture.ts";
import { withNodes } from "../suites/whole_nodes.ts";

const runtime = currentRuntime(), direct = directTransport();
const MiB = 1024 * 1024;

/** A log that counts what is read of it. */
function counted(log: TimedLogReader) {
  const read = { bytes: 0, pieces: 0 };
  const counting: TimedLogReader = {
    get first() {
      return log.first;
    },
    get last() {
      return log.last;
    },
    get terms() {
      return log.terms;
    },
    at: (seq) => log.at(seq),
    entries(after, bounds) {
      const entries = log.entries(after, bounds);
      read.pieces++;
      if (typeof entries === "object") {
        read.bytes += entries.reduce((sum, { payload }) => sum + payload.length, 0);
      }
      return entries;
    },
    bytesAfter: (seq) => log.bytesAfter(seq),
    wallMsAt: (seq) => log.wallMsAt(seq),
  };
  return { read, counting };
}

/** A node whose feeds read a counting log. */
function withCounting(
  transport: typeof direct,
  run: (node: TestNode, read: { readonly bytes: number; readonly pieces: number }) => Promise<void>,
): Promise<void> {
  let read = { bytes: 0, pieces: 0 };
  return withNode(runtime, transport, {
    around(given) {
      const { storage, engine: { committed }, clock } = given,
        { read: found, counting } = counted(storage.log);
      read = found;
      const feeds = new Feeds({
        storage: { read: (run) => storage.read(run), log: counting },
        committed,
        clock,
      });
      return { ...given, feeds };
    },
  }, (node) => run(node, read));
}

async function fill(node: TestNode, count: number, bytes: number): Promise<void> {
  const text = "x".repeat(bytes);
  for (let i = 0; i < count; i++) {
    const answer = await node.request("PUT", `/collections/orders/d${i}`, {
      body: JSON.stringify({ i, text }),
    });
    assert.equal(answer.status, 201, await answer.text());
  }
}

test("a slow reader holds one piece of the log", patient, () =>
  withCounting(direct, async (node, read) => {
    await fill(node, 100, 100_000);
    const answer = await node.request("GET", "/changes?since=start&once=true");
    assert.ok(answer.body !== null);
    assert.equal(read.pieces, 0, "nothing is read that nobody asked for");
    const reader = answer.body.getReader();
    let taken = 0, most = 0;
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      taken += step.value.length;
      most = Math.max(most, read.bytes - taken);
      assert.ok(step.value.length < 64 * 1024 + 100_000 + 1_000);
    }
    assert.ok(taken > 10_000_000 && read.bytes > 10_000_000);
    assert.ok(most <= limits.feedReadBytes + 100_000, `${most} bytes ahead of the reader`);
    assert.ok(read.pieces < 20, `${read.pieces} pieces`);
  }));

test(
  "a client that stops reading stops the reading of the log",
  patient,
  () =>
    withCounting(portTransport(runtime), async (node, read) => {
      await fill(node, 24, MiB);
      const { hostname, port } = new URL(node.url);
      const signal = new AbortController().signal;
      const connection = await runtime.net.connect({ hostname, port: Number(port), tls: null, signal });
      const writer = connection.writable.getWriter();
      await writer.write(utf8(`GET /changes?since=start HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`));
      const reader = connection.readable.getReader();
      assert.equal((await reader.read()).done, false);
      // Others are served meanwhile, and the log is not read to its end for one who takes nothing.
      for (let i = 0; i < 100; i++) {
        assert.ok((await node.request("PUT", `/collections/other/${i}`, { body: "{}" })).ok);
      }
      assert.ok(read.bytes < 20 * MiB, `${read.bytes} bytes were read`);
      let taken = 0;
      while (taken < 23 * MiB) {
        const { done, value } = await reader.read();
        assert.ok(!done);
        taken += value.length;
      }
      connection.abort(new Error("enough"));
      await reader.closed.catch(() => {});
      await writer.closed.catch(() => {});
    }),
);

test(
  "a large entry is read once for all who are at it",
  patient,
  () =>
    withCounting(direct, async (node, read) => {
      const text = "x".repeat(2 * MiB), many = Array.from({ length: 4 }, (_, i) => ({ _id: `d${i}`, text }));
      const answer = await node.request("POST", "/collections/orders/bulk?atomic=true", {
        body: JSON.stringify(many),
      });
      assert.equal(answer.status, 200);
      const open = await Promise.all(
        Array.from(
          { length: 8 },
          async () => new ChangeFeed(await node.request("GET", "/changes?since=start")),
        ),
      );
      for (const each of open) assert.equal((await each.next())?.["seq"], undefined);
      for (const each of open) assert.equal((await each.next())?.["op"], "createCollection");
      for (const each of open) assert.equal((await each.next())?.["document"]["text"].length, text.length);
      assert.ok(read.bytes < 2 * 8 * MiB, `${read.bytes} bytes were read`);
      for (const each of open) await each.hangUp();
    }),
);

test(
  "a feed goes on in a history that has its position, and ends in one that has not",
  patient,
  () =>
    withNode(runtime, direct, {}, async (node) => {
      const { storage, engine } = node, { path } = storage.stats(), copy = `${path}.copy`;
      const put = async (name: string): Promise<string> => {
        const answer = await node.request("PUT", `/collections/${name}`, { body: "{}" });
        return answer.headers.get("x-dfdb-position") ?? await answer.text();
      };
      const begin = await put("orders/a");
      await runTask(runtime.workers, "sqlite.copyDatabase", { path, target: copy });
      const lost = await put("lost/x");
      const open = async (since: string): Promise<ChangeFeed> =>
        new ChangeFeed(await node.request("GET", `/changes?since=${since}`));
      const ahead = await open(begin), behind = await open(begin);
      assert.deepEqual([(await ahead.next())?.["position"], (await behind.next())?.["position"]], [
        begin,
        begin,
      ]);
      assert.deepEqual([(await ahead.next())?.["collection"], (await ahead.next())?.["position"]], [
        "lost",
        lost,
      ]);
      const waiting = ahead.next();
      await engine.exchange(async () => {
        await runTask(runtime.workers, "sqlite.installSnapshot", { source: copy, target: path });
      });
      const end = await waiting;
      assert.deepEqual([end?.["code"], await ahead.next()], ["position_lost", null]);
      // The number of the collection that is lost is another one's now.
      const kept = await put("kept/x");
      assert.equal(kept, lost, "equal texts, other entries");
      assert.deepEqual([(await behind.next())?.["collection"], (await behind.next())?.["position"]], [
        "kept",
        kept,
      ]);
      await behind.hangUp();
      const compacted = await told(node.request("POST", "/admin/compact/orders"));
      assert.equal(compacted.status, 200, "the same history, which was exchanged too");
      const through = await open(begin);
      assert.deepEqual((await through.next())?.["position"], begin);
      await told(node.request("POST", "/admin/compact/orders"));
      assert.equal((await through.next())?.["collection"], "kept");
      await through.hangUp();
    }),
);

test(
  "a feed that has told what the log holds waits, also where nobody was told of its last entries",
  patient,
  () => {
    let asked = 0;
    return withNode(runtime, direct, {
      around(given) {
        const { storage, engine, clock } = given, { log } = storage, silent = signal(engine.committed.value);
        const { counting } = counted(log);
        counting.at = (seq) => (asked++, log.at(seq));
        const feeds = new Feeds({
          storage: { read: (run) => storage.read(run), log: counting },
          committed: silent,
          clock,
        });
        return { ...given, feeds };
      },
    }, async (node) => {
      await fill(node, 3, 10);
      const feed = new ChangeFeed(await node.request("GET", "/changes?since=start"));
      const ops: unknown[] = [];
      while (ops.length < 4) ops.push((await feed.next())?.["op"]);
      assert.ok(ops.filter((op) => op === "put").length >= 2, ops.join());
      const before = asked;
      for (let i = 0; i < 100; i++) await node.request("GET", "/health");
      assert.ok(asked - before < 10, `the log was asked ${asked - before} times while nothing happened`);
      await feed.hangUp();
    });
  },
);

test("names of another history are forgotten", patient, () =>
  withNode(runtime, direct, {}, async (node) => {
    const { storage, engine } = node, { path } = storage.stats(), copy = `${path}.copy`;
    const send = async (method: string, name: string): Promise<void> => {
      const answer = await node.request(method, `/collections/${name}`, {
        ...(method === "PUT" ? { body: "{}" } : { headers: { "x-confirm": "true" } }),
      });
      assert.ok(answer.ok, await answer.text());
    };
    await send("PUT", "orders/a");
    await runTask(runtime.workers, "sqlite.copyDatabase", { path, target: copy });
    await send("PUT", "lost/x");
    const names = new CollectionNames(storage),
      source = { storage, names, pieces: new LogPieces(storage.log) };
    const { last: { seq } } = storage.log;
    await engine.exchange(async () => {
      await runTask(runtime.workers, "sqlite.installSnapshot", { source: copy, target: path });
    });
    await send("PUT", "kept/x");
    await send("DELETE", "kept");
    const from = storage.log.at(seq);
    assert.ok(typeof from === "object");
    const told = [...new ChangeReader(source, from, null).read(seqOf(Number.MAX_SAFE_INTEGER))];
    const changes = told.filter((change) => change !== null);
    assert.deepEqual(changes.map(({ op, collection }) => [op, collection]), [["dropCollection", "kept"]]);
  }));

test(
  "a follower tells the same changes, and goes on from its leader's positions",
  patient,
  () =>
    withNodes(runtime, async (nodes) => {
      const leader = await nodes.lead("a"), follower = await nodes.follow("b", "a");
      const first = await leader.put("x1"), position = first.headers.get("x-dfdb-position") ?? "";
      const here = new ChangeFeed(await leader.request("GET", `/changes?since=${position}`));
      const there = new ChangeFeed(await follower.request("GET", `/changes?since=${position}`));
      assert.deepEqual([await here.next(), await there.next()], [{ position }, { position }]);
      for (let i = 0; i < 20; i++) {
        assert.equal((await leader.put(`d${i}`)).status, 201);
        const change = await here.next();
        assert.deepEqual([change?.["op"], change?.["id"]], ["put", `d${i}`]);
        assert.deepEqual(await there.next(), change);
      }
      const { body } = await told(follower.request("GET", "/admin/config"));
      assert.deepEqual([body["replication"]["role"], body["node"]["nodeName"]], ["follower", "b"]);
      // A node that stops does not wait for who follows its changes.
      const before = runtime.clock.monotonic();
      const last = there.rest();
      await follower.stop();
      assert.ok(runtime.clock.monotonic() - before < limits.shutdownMs / 2, "its feeds were ended");
      assert.deepEqual((await last.catch((): Body[] => [{ code: "closing" }])).at(-1)?.["code"], "closing");
      await here.hangUp();
    }),
);

test("minSyncReplicas counts from the next write on", patient, () =>
  withNodes(runtime, async (nodes) => {
    const leader = await nodes.lead("a");
    assert.equal((await leader.put("d1")).status, 201);
    const change = (body: unknown): Promise<Response> =>
      leader.request("PUT", "/admin/config", { body: JSON.stringify(body) });
    assert.equal((await change({ minSyncReplicas: 1, syncTimeoutSeconds: 0.1 })).status, 200);
    const late = await refused(leader.put("d2"), 504, "replication_timeout");
    assert.deepEqual([late["required"], late["achieved"]], [1, 0]);
    assert.equal((await change({ syncTimeoutSeconds: 60 })).status, 200);
    const second = leader.node.storage.log.last.seq;
    // One that waits is answered when nothing is asked for any more.
    const waiting = leader.put("d3");
    await nodes.until(async () => leader.node.storage.log.last.seq > second);
    assert.equal((await change({ minSyncReplicas: 0 })).status, 200);
    assert.equal((await waiting).status, 201);
  }));
