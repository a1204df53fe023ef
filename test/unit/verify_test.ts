/** Holding a follower for a verification, in virtual time; and `dfdb verify` over two nodes on ports. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import test from "node:test";
import { epochOf, noRun, seqOf } from "../../src/base/ids.ts";
import { signal } from "../../src/base/signal.ts";
import { showStatus } from "../../src/cli/status.ts";
import type { VerifyFlags } from "../../src/cli/verify.ts";
import { verifyNodes } from "../../src/cli/verify.ts";
import { verify } from "../../src/node/verify.ts";
import type { RunOptions, Workers } from "../../src/runtime/workers.ts";
import type { Position } from "../../src/storage/log.ts";
import type { PositionToken } from "../../src/storage/position_text.ts";
import { positionText } from "../../src/storage/position_text.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ClockWorld } from "../sim/clock_world.ts";
import type { NodeOptions, TestNode } from "../suites/http_fixture.ts";
import { portTransport, withNode } from "../suites/http_fixture.ts";
import { coded, nodeA, patient } from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const run = noRun;
const position = (seq: number): Position => ({ epoch: epochOf(1), run, seq: seqOf(seq), chain: 0 });
const token = (seq: number): PositionToken => ({ epoch: 1, run: run.slice(0, 8), seq: seqOf(seq) });
const request = { at: null, collection: null, documents: false, indexes: true, masters: false };

/** A node at entry 10 whose worker does what the test says. */
function rig() {
  const world = new ClockWorld(1), committed = signal(position(10)), holds: (number | null)[] = [];
  const runs: { options: RunOptions; answer: (sum: unknown) => void }[] = [];
  const storage = {
    log: {
      get last() {
        return committed.value;
      },
      terms: [{ epoch: epochOf(1), run, nodeId: nodeA, firstSeq: seqOf(1) }],
    },
    stats: () => ({ path: "data" }),
  } as unknown as Storage;
  const workers: Workers = {
    run: <Output>(_: string, __: unknown, options: RunOptions = {}) =>
      new Promise<Output>((resolve, reject) => {
        runs.push({ options, answer: (sum) => resolve(sum as Output) });
        options.signal?.addEventListener("abort", () => reject(options.signal?.reason));
      }),
    open: () => {
      throw new Error("no residents here");
    },
  };
  const following = { holdAfter: (seq: number | null) => void holds.push(seq) };
  const made = verify({ storage, workers, clock: world, committed, following: () => following });
  const begin = (at: number | null, stop = new AbortController()) => {
    const began = made.begin({ ...request, at: at === null ? null : token(at) }, stop.signal);
    began.catch(() => {}); // awaited by the test
    return began;
  };
  const pin = (i: number, seq: number): void =>
    runs[i]?.options.onProgress?.({ type: "pinned", position: position(seq) });
  return { world, committed, holds, runs, made, begin, pin };
}

test("holds: the lowest counts, a hold that was asked for gives way to a later position only", async () => {
  const { made, holds, begin, committed, pin, runs, world } = rig();
  assert.equal(made.hold(30_000).seq, 10);
  const near = begin(12), far = begin(15);
  assert.deepEqual(holds, [10, 12, 12], "the one at 15 waits behind the one at 12");
  committed.emit(position(12));
  await world.until(() => runs.length === 1, 1_000);
  pin(0, 12);
  assert.equal((await near).position.seq, 12);
  assert.equal(holds.at(-1), 15);
  committed.emit(position(15));
  await world.until(() => runs.length === 2, 1_000);
  pin(1, 15);
  assert.equal((await far).position.seq, 15);
  assert.equal(holds.at(-1), null);
  await made.close();
});

test("a position that does not come is given up after 10 s, and so is one that was passed or jumped over", async () => {
  const { begin, committed, holds, world, made } = rig();
  const never = begin(20);
  assert.equal(holds.at(-1), 20);
  await world.until(() => holds.at(-1) === null, 60_000);
  assert.equal(world.now, 10_000);
  await assert.rejects(never, coded("not_caught_up"));
  await assert.rejects(begin(9), coded("position_lost"));
  const jumped = begin(11);
  committed.emit(position(13));
  await assert.rejects(jumped, coded("position_lost"));
  assert.equal(holds.at(-1), null);
  await made.close();
});

test("a worker that does not begin lets the follower go on after 10 s; what it pins then is refused", async () => {
  const { begin, committed, holds, world, runs, pin, made } = rig();
  const late = begin(10);
  await world.until(() => runs.length === 1, 1_000);
  await world.until(() => holds.at(-1) === null, 60_000);
  assert.equal(world.now, 10_000);
  committed.emit(position(11));
  pin(0, 11);
  await assert.rejects(late, coded("position_lost"));
  await made.close();
});

test("close ends what runs and waits for it, lifts holds, refuses more; a client's end frees its place", async () => {
  const { begin, holds, made, runs, world, pin } = rig();
  const gone = new AbortController(), first = begin(null, gone), second = begin(null);
  await assert.rejects(begin(null), coded("busy"));
  gone.abort(new Error("hung up"));
  await assert.rejects(first, /hung up/);
  const third = begin(null);
  await world.until(() => runs.length === 3, 1_000);
  pin(2, 10);
  const verification = await third;
  made.hold(30_000);
  await made.close();
  assert.equal(holds.at(-1), null);
  await assert.rejects(second, coded("closing"));
  await assert.rejects(verification.done, coded("closing"));
  await assert.rejects(begin(null), coded("closing"));
});

const runtime = currentRuntime(), transport = portTransport(runtime);

/** A node that tells a complete status of its own. */
function withStatus(name: string, work: (node: TestNode, url: string) => Promise<void>): Promise<void> {
  let state: Record<string, unknown> = {};
  const options: NodeOptions = {
    around: (dependencies) => ({
      ...dependencies,
      node: { ...dependencies.node, replicationStatus: () => state },
    }),
  };
  let url = "";
  const noting = {
    ...transport,
    serve: (...[handler, serve]: Parameters<typeof transport.serve>) =>
      transport.serve((asked, peer) => {
        url = new URL(asked.url).origin;
        return handler(asked, peer);
      }, serve),
  };
  return withNode(runtime, noting, options, async (node) => {
    const tell = (): void => {
      const { last } = node.storage.log;
      state = {
        node: name,
        nodeId: name,
        databaseId: node.storage.databaseId,
        role: "none",
        readOnly: false,
        readOnlyReason: null,
        position: positionText(last, last.seq),
        term: { epoch: last.epoch, run: last.run },
        log: { lastSeq: last.seq },
        leader: { followers: [] },
        follower: { state: null, lagSeq: null, lagMs: null, lastError: null },
      };
    };
    tell();
    node.engine.committed.subscribe(tell);
    await node.request("GET", "/health");
    await work(node, url);
  });
}

async function verified(
  urls: readonly string[],
  flags: VerifyFlags = {},
): Promise<{ code: number; text: string }> {
  let text = "";
  const process = {
    ...runtime.process,
    columns: null,
    stdoutIsTerminal: false,
    stdout: (more: string) => void (text += more),
  };
  const code = await verifyNodes({ ...runtime, process }, urls, flags);
  return { code, text };
}

test(
  "dfdb verify: two nodes with the same content are equal; a planted difference is named",
  patient,
  async () => {
    await withStatus("one", (one, oneUrl) =>
      withStatus("two", async (two, twoUrl) => {
        const documents = Array.from({ length: 3_000 }, (_, i) => ({ _id: `id-${i}`, n: i }));
        for (const node of [one, two]) {
          await node.request("POST", "/collections/orders/bulk", { body: JSON.stringify(documents) });
        }
        const equal = await verified([oneUrl, twoUrl]);
        assert.match(equal.text, /^EQUAL: 1 collection, 3,000 documents, 2 nodes$/m);
        assert.equal(equal.code, 0);
        // Not by a write: the position stays.
        const other = new DatabaseSync(two.storage.stats().path);
        other.prepare("DELETE FROM docs_1 WHERE id = 'id-77'").run();
        other.prepare("UPDATE docs_1 SET id = 'später' WHERE id = 'id-5'").run();
        other.prepare(`UPDATE docs_1 SET body = '{"n":0}' WHERE id IN ('id-1', 'id-2', 'id-3')`).run();
        other.close();
        const found = await verified([oneUrl, twoUrl], { limit: "2" });
        assert.equal(found.code, 2);
        assert.match(found.text, /^orders: 6 documents of two differ from one$/m);
        for (
          const line of [
            "missing on two: id-5",
            "missing on two: id-77",
            "only on two: später",
            "other content: id-1",
          ]
        ) {
          assert.ok(found.text.includes(`  ${line}\n`), `${line} is in\n${found.text}`);
        }
        assert.match(found.text, /and 1 more/);
        assert.match(found.text, /^two counts 3,000 documents in orders, but has 2,999$/m);
        const told = JSON.parse((await verified([oneUrl, twoUrl], { json: true })).text) as {
          equal: boolean;
          collections: { differences: { different: string[] }[] }[];
        };
        assert.equal(told.equal, false);
        assert.deepEqual(told.collections[0]?.differences[0]?.different, ["id-1", "id-2", "id-3"]);
        // Elsewhere, and nothing that follows: they cannot be compared.
        await one.request("PUT", "/collections/orders/x", { body: "{}" });
        await assert.rejects(verified([oneUrl, twoUrl]), coded("not_caught_up"));
        await assert.rejects(verified([oneUrl], { collection: "nothing" }), coded("collection_not_found"));
      }));
  },
);

test(
  "dfdb verify: an index that is another one, or not what its documents say, is named",
  patient,
  async () => {
    await withStatus("one", (one, oneUrl) =>
      withStatus("two", async (two, twoUrl) => {
        const both = [one, two], urls = [oneUrl, twoUrl];
        const index = (path: string, name: string, unique = false) =>
          JSON.stringify({ collection: "orders", path, name, unique });
        for (const node of both) {
          const indexes = [
            index("n", "by_n"),
            index("s", "by_s", node === two),
            index("t", `of_${node === two}`),
          ];
          for (const body of indexes) {
            assert.equal((await node.request("POST", "/index", { body })).status, 200);
          }
          const body = JSON.stringify(
            Array.from({ length: 1_200 }, (_, i) => ({ _id: `id-${i}`, n: i % 3 })),
          );
          await node.request("POST", "/collections/orders/bulk", { body });
        }
        const other = await verified(urls);
        assert.equal(other.code, 2, other.text);
        for (
          const line of [
            "orders: index of_false is missing on two",
            "orders: index of_true is only on two",
            "orders: index by_s is another one on two",
            "DIFFERENT: 1 collection, 1,200 documents, 3 indexes, 2 nodes",
          ]
        ) {
          assert.ok(other.text.includes(`${line}\n`), `${line} is in\n${other.text}`);
        }
        assert.match(other.text, /^two .* DIFFERENT in 1$/m);
        assert.equal(
          (await verified(urls, { indexes: false })).code,
          2,
          "what they are is compared in any case",
        );
        assert.equal((await verified([twoUrl])).code, 0);
        const db = new DatabaseSync(two.storage.stats().path);
        db.prepare("DELETE FROM index_1 WHERE row % 4 = 0").run();
        db.close();
        const damaged = await verified([twoUrl]);
        assert.equal(damaged.code, 2);
        assert.match(
          damaged.text,
          /^two: index by_n of orders is DAMAGED: 300 documents lack a key in it; POST \/admin\/rebuild-index\/orders\/by_n /m,
        );
        assert.match(damaged.text, /^two .* DAMAGED$/m);
        const told = JSON.parse((await verified(urls, { json: true })).text) as {
          nodes: { indexes: unknown }[];
          collections: { indexDifferences: unknown }[];
        };
        const found = {
          index: "by_n",
          collection: "orders",
          entries: 900,
          keptEntries: null,
          missing: 300,
          tooMany: 0,
        };
        assert.deepEqual(told.nodes[1]?.indexes, { checked: 3, damaged: [found], unchecked: [] });
        assert.deepEqual(told.collections[0]?.indexDifferences, [
          { node: "two", missing: ["of_false"], extra: ["of_true"], different: ["by_s"] },
        ]);
        const skipped = await verified([twoUrl], { indexes: false });
        assert.equal(skipped.code, 0);
        assert.match(
          skipped.text,
          /^EQUAL: 1 collection, 1,200 documents, 3 indexes \(keys not checked\), 1 node$/m,
        );
        const made = await two.request("POST", "/admin/rebuild-index/orders/by_n");
        assert.equal(made.status, 200, await made.text());
        assert.equal((await verified([twoUrl])).code, 0);
      }));
  },
);

test("dfdb status: answers 1 when a node is not there, and says so", async () => {
  await withStatus("one", async (_, url) => {
    let text = "";
    const process = {
      ...runtime.process,
      columns: null,
      stdoutIsTerminal: false,
      stdout: (more: string) => void (text += more),
    };
    assert.equal(await showStatus({ ...runtime, process }, [url], {}), 0);
    assert.match(text, /^one +none +read-write/m);
    assert.equal(await showStatus({ ...runtime, process }, [url, "127.0.0.1:1"], {}), 1);
    assert.match(text, /^http:\/\/127.0.0.1:1 +- +NO STATUS$/m);
    assert.match(text, /nobody answers at http:\/\/127.0.0.1:1/);
  });
});
