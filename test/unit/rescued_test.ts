/** `dfdb rescued` as a user meets it: its arguments, what it prints, its exit code, and what it does to a leader. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import test from "node:test";
import { nodeIdOf } from "../../src/base/ids.ts";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { main } from "../../src/cli/main.ts";
import { rescue } from "../../src/node/rescue.ts";
import { tasks } from "../../src/node/tasks.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { WriteTransaction } from "../../src/storage/storage.ts";
import type { NodeOptions, TestNode } from "../suites/http_fixture.ts";
import { directTransport, withNode } from "../suites/http_fixture.ts";
import { beginTerm, patient, plainFiles, put, remove, testOptions, wall } from "../suites/storage_fixture.ts";
import type { Sent } from "../suites/version_writes.ts";
import { receive } from "../suites/version_writes.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { inlineWorkers, stillClock } from "../tool/resync_rig.ts";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

interface Rig {
  readonly leader: TestNode;
  /** Folder of the old node. */
  readonly dataDir: string;
  /** Requests that changed something, or tried to. */
  readonly writes: string[];
  /** Runs `dfdb rescued` with `--data-dir`. */
  dfdb(command: string, ...args: readonly string[]): Promise<Ran>;
  /** Body of a document of the leader, null: none. */
  body(id: string, collection?: string): Promise<unknown>;
}

/** Writes the tail of a node that had everything of the leader up to now; `collection` is `orders`. */
type Tail = (tx: WriteTransaction, collection: CollectionNumber, seqOf: (id: string) => number) => void;

const before = ["a", "b", "c", "d", "e"];

interface RescueRigOptions extends NodeOptions {
  /** Written before the old node has its copy. */
  readonly first?: (leader: TestNode) => Promise<unknown>;
}

function withRescue(
  tail: Tail,
  run: (rig: Rig) => Promise<void>,
  options: RescueRigOptions = {},
): Promise<void> {
  const runtime = currentRuntime();
  return withNode(runtime, directTransport(), options, async (leader) => {
    const key: Record<string, string> = options.apiKey === undefined
      ? {}
      : { authorization: `Bearer ${options.apiKey}` };
    for (const id of before) {
      await leader.request("PUT", `/collections/orders/${id}`, {
        headers: key,
        body: `{"by":"both","id":"${id}"}`,
      });
    }
    await options.first?.(leader);
    const dataDir = `${dirname(leader.storage.stats().path)}/old`, dataPath = `${dataDir}/data.dfdb`;
    mkdirSync(dataDir);
    const hold = <Result>(work: () => Result): Result => work();
    tasks["sqlite.copyDatabase"]({ path: leader.storage.stats().path, target: dataPath }, {
      progress: () => {},
      hold,
      stopped: false,
    });
    const old = await openStorage(testOptions(dataPath)), common = old.log.last.seq;
    old.write((tx) => {
      tx.append([beginTerm(7, "7")], wall);
      const { number } = tx.collection("orders")!;
      tail(tx, number, (id) => tx.documentSeq(number, id as never));
    });
    const clock = stillClock(), rescuedFolder = `${dataDir}/rescued`;
    await rescue({
      runtime: { clock, files: plainFiles, workers: inlineWorkers(), crashPoint: () => {} },
      storage: old,
      dataPath,
      rescuedFolder,
      nodeId: nodeIdOf("b".repeat(32)),
      logger: silentLogger,
    }, common);
    old.close();
    const writes: string[] = [];
    await run({
      leader,
      dataDir,
      writes,
      async dfdb(command, ...args) {
        let out = "", error = "";
        const process = {
          ...runtime.process,
          env: {},
          args: ["rescued", command, ...args, "--data-dir", dataDir],
          stdout: (text: string) => void (out += text),
          stderr: (text: string) => void (error += text),
        };
        const fetch: Runtime["fetch"] = (url, { method = "GET", headers = {}, body } = {}) => {
          const { pathname } = new URL(url);
          if (method !== "GET") writes.push(`${method} ${pathname}`);
          const init = { headers: headers as Record<string, string> };
          return leader.request(method, pathname, typeof body === "string" ? { ...init, body } : init);
        };
        return { code: await main({ ...runtime, process, fetch }), out, error };
      },
      async body(id, collection = "orders") {
        const answer = await leader.request("GET", `/collections/${collection}/${encodeURIComponent(id)}`);
        if (answer.status === 404) return null;
        const { _id, _etag, ...rest } = await answer.json() as Record<string, unknown>;
        return rest;
      },
    });
  });
}

const file = (from: number, to: number): string => `20251009T085320Z-${from}-${to}.jsonl`;
const url = ["--to", "http://leader:5000/"];

const conflicts: Tail = (tx, orders, seqOf) => {
  tx.append([put(orders, "a", seqOf("a"), '{"by":"old","n":1}')], wall);
  tx.append([put(orders, "b", seqOf("b"), '{"by":"old"}'), remove(orders, "d", seqOf("d"))], wall);
  tx.append([put(orders, "a", seqOf("a"), '{"by":"old","n":2.50}')], wall);
  tx.append([put(orders, "new/ö", 0, '{"by":"old"}')], wall);
  tx.append([remove(orders, "e", seqOf("e"))], wall);
  tx.append([put(orders, "brief", 0, '{"by":"old"}')], wall);
  tx.append([remove(orders, "brief", seqOf("brief"))], wall);
};

test(
  "list and show: what is there, in words and as JSON",
  patient,
  () =>
    withRescue(conflicts, async ({ dfdb, dataDir, leader }) => {
      const from = leader.storage.log.last.seq + 1, name = file(from, from + 7);
      const list = await dfdb("list");
      assert.equal(list.code, 0, list.error);
      const [head, row] = list.out.trimEnd().split("\n") as [string, string];
      assert.match(head, /^FILE +WHEN +ENTRIES +FROM-TO +DOCUMENTS$/);
      assert.deepEqual(row.split(/ {2,}/), [name, "2025-10-09 08:53:20", "8", `${from}-${from + 7}`, "6"]);
      const shown = (await dfdb("show", name)).out.trimEnd().split("\n");
      assert.equal(shown.length, 10);
      assert.match(shown[2] as string, /put orders\/a 1\.\w{8}-\d+ -> 7\.77777777-\d+ \{"by":"old","n":1\}$/);
      assert.match(shown[6] as string, /put orders\/new\/ö new -> /);
      const json = (await dfdb("show", `${dataDir}/rescued/${name}`, "--json")).out.trimEnd().split("\n");
      assert.equal(json.length, 9);
      assert.deepEqual((JSON.parse(json[1] as string) as { doc: unknown }).doc, { by: "old", n: 1 });
      const none = await dfdb("show", "none.jsonl");
      assert.deepEqual([none.code, none.out], [1, ""]);
      assert.match(none.error, /^ERROR: There is no file none\.jsonl/);
    }),
);

test(
  "replay writes what nobody changed, lists what was, writes that when forced; again it changes nothing",
  patient,
  () =>
    withRescue(conflicts, async ({ dfdb, leader, body, writes }) => {
      const from = leader.storage.log.last.seq + 1, name = file(from, from + 7);
      await leader.request("PUT", "/collections/orders/b", { body: '{"by":"leader"}' });
      await leader.request("DELETE", "/collections/orders/e");
      const dry = await dfdb("replay", name, ...url, "--dry-run");
      assert.equal(dry.code, 2, dry.error);
      assert.match(
        dry.out,
        /^MISMATCH orders\/b: .*\ndry run, nothing was written: 3 applied, 2 already there, 0 forced, 1 not/,
      );
      assert.deepEqual(writes, []);
      const first = await dfdb("replay", name, ...url);
      assert.equal(first.code, 2, first.error);
      assert.match(
        first.out,
        /^MISMATCH orders\/b: rescued change of 1\.\w{8}-\d+, there is 1\.\w{8}-\d+ now\n3 applied, 2 already there, 0 forced, 1 not written\n$/,
      );
      assert.deepEqual(await body("a"), { by: "old", n: 2.5 });
      assert.deepEqual(await body("b"), { by: "leader" });
      assert.deepEqual(await body("new/ö"), { by: "old" });
      assert.equal(await body("d"), null);
      assert.deepEqual(await body("c"), { by: "both", id: "c" });
      const end = leader.storage.log.last.seq;
      const again = await dfdb("replay", name, ...url);
      assert.deepEqual(
        [again.code, /0 applied, 5 already there, 0 forced, 1 not/.test(again.out)],
        [2, true],
        again.out,
      );
      assert.equal(leader.storage.log.last.seq, end);
      const other = await dfdb("replay", name, ...url, "--force", "orders/x", "a");
      assert.equal(other.code, 2);
      const forced = await dfdb("replay", name, ...url, "--force", "orders/b");
      assert.equal(forced.code, 0, forced.out);
      assert.match(
        forced.out,
        /^FORCED orders\/b: .*\n0 applied, 5 already there, 1 forced, 0 not written\n$/,
      );
      assert.deepEqual(await body("b"), { by: "old" });
      await leader.request("PUT", "/collections/orders/a", { body: '{"by":"leader"}' });
      assert.equal((await dfdb("replay", name, ...url, "--force-all")).code, 0);
      assert.deepEqual(await body("a"), { by: "old", n: 2.5 });
    }),
);

test(
  "replay: a document that was made on both sides, one deleted here, a collection that was dropped",
  patient,
  () =>
    withRescue((tx, orders, seqOf) => {
      tx.append([put(orders, "twin", 0, '{"by":"old"}')], wall);
      tx.append([put(orders, "c", seqOf("c"), '{"by":"old"}')], wall);
      const other = tx.newCollectionNumber();
      tx.append([{ kind: "createCollection", collection: other, name: "fresh" }], wall);
      tx.append([put(other, "x", 0, '{"by":"old"}')], wall);
      const gone = tx.newCollectionNumber();
      tx.append([{ kind: "createCollection", collection: gone, name: "gone" }], wall);
      tx.append([put(gone, "y", 0, '{"by":"old"}')], wall);
      tx.append([{ kind: "dropCollection", collection: gone }], wall);
    }, async ({ dfdb, leader, body }) => {
      const from = leader.storage.log.last.seq + 1, name = file(from, from + 7);
      await leader.request("PUT", "/collections/orders/twin", { body: '{"by":"leader"}' });
      await leader.request("DELETE", "/collections/orders/c");
      await leader.request("PUT", "/collections/Gone2/z", { body: "{}" });
      const { code, out } = await dfdb("replay", name, ...url);
      assert.equal(code, 2);
      assert.match(out, /MISMATCH orders\/twin: rescued change of nothing, there is 1\./);
      assert.match(out, /MISMATCH orders\/c: rescued change of 1\.\S+, there is nothing now/);
      assert.match(out, /\n1 applied, 0 already there, 0 forced, 2 not written\n$/);
      assert.deepEqual(await body("x", "fresh"), { by: "old" });
      assert.equal(await body("y", "gone"), null);
      const all = await dfdb("replay", name, ...url, "--force-all");
      assert.equal(all.code, 0, all.out);
      assert.deepEqual(await body("c"), { by: "old" });
    }),
);

test(
  "replay: a dropped collection is left to people, and nothing of it is written",
  patient,
  () =>
    withRescue((tx, orders, seqOf) => {
      tx.append([put(orders, "a", seqOf("a"), '{"by":"old"}')], wall);
      tx.append([{ kind: "dropCollection", collection: orders }], wall);
      const again = tx.newCollectionNumber();
      tx.append([{ kind: "createCollection", collection: again, name: "later" }], wall);
      tx.append([{ kind: "dropCollection", collection: again }], wall);
    }, async ({ dfdb, leader, body, writes }) => {
      const from = leader.storage.log.last.seq + 1;
      const { code, out } = await dfdb("replay", file(from, from + 4), ...url, "--force-all");
      assert.deepEqual([code, writes], [2, []], out);
      assert.match(out, /^DROPPED orders: drop it there yourself/);
      assert.deepEqual(await body("a"), { by: "both", id: "a" });
    }),
);

test(
  "replay stops with one clear line: a follower, a wrong key, no server, a cut file, a whole database",
  patient,
  () =>
    withRescue(conflicts, async ({ dfdb, dataDir, leader }) => {
      const from = leader.storage.log.last.seq + 1,
        name = file(from, from + 7),
        end = leader.storage.log.last.seq;
      const key = ["--api-key", "secret"];
      const fails = async (pattern: RegExp, ...args: readonly string[]): Promise<void> => {
        const { code, error } = await dfdb("replay", ...args);
        assert.equal(code, 1);
        assert.match(error, pattern);
        assert.equal(error.trimEnd().split("\n").length, 1, error);
      };
      await fails(/^ERROR: .*API key/, name, ...url);
      await fails(/^ERROR: .*API key is not valid/, name, ...url, "--api-key", "wrong");
      leader.state.role = "follower";
      leader.state.leaderHttpUrl = "http://other:5000";
      await fails(/^ERROR: .*follows a leader.*; the leader is http:\/\/other:5000/, name, ...url, ...key);
      leader.state.role = "none";
      await fails(/^ERROR: --to: expected a URL/, name, "--to", "leader", ...key);
      const whole = `${dataDir}/rescued/20251009T085320Z-9.dfdb`;
      writeFileSync(whole, "");
      await fails(/^ERROR: .* is a whole database/, whole, ...url, ...key);
      assert.match((await dfdb("show", whole)).out, /dfdb serve --data-dir old/);
      const cut = await plainFiles.read(`${dataDir}/rescued/${name}`);
      writeFileSync(`${dataDir}/rescued/${name}`, cut!.subarray(0, -10));
      await fails(/^ERROR: .* is not complete; nothing was written/, name, ...url, ...key);
      assert.match((await dfdb("list")).out, /the file was cut/);
      assert.equal(leader.storage.log.last.seq, end);
    }, { apiKey: "secret" }),
);

test(
  "replay leaves out what was remembered of requests, and says what may not be written",
  patient,
  () =>
    withRescue((tx, orders, seqOf) => {
      const own = (name: string) => {
        const collection = tx.newCollectionNumber();
        return { collection, made: { kind: "createCollection" as const, collection, name } };
      };
      const answers = own("_remembered"), keys = own("_keys");
      tx.append([
        put(orders, "a", seqOf("a"), '{"by":"old"}'),
        answers.made,
        put(answers.collection, "k", 0, '{"request":"r"}'),
      ], wall);
      tx.append([keys.made, put(keys.collection, "key", 0, "{}")], wall);
    }, async ({ dfdb, leader, body }) => {
      const from = leader.storage.log.last.seq + 1, name = file(from, from + 2);
      const { out, error } = await dfdb("replay", name, ...url);
      assert.deepEqual(await body("a"), { by: "old" });
      assert.doesNotMatch(out + error, /_remembered/);
      assert.match(out, /_keys\/key/);
    }),
);

/** What other masters sent to the old node. */
function sentTo(tx: WriteTransaction, id: string, sent: readonly Sent[]): void {
  const submit =
    ((plan: { run(tx: WriteTransaction, wallMs: number): unknown }) =>
      Promise.resolve(plan.run(tx, wall))) as unknown as TestNode["engine"]["submit"];
  void receive({ engine: { submit } as TestNode["engine"] }, ["orders", id], sent);
}

/** Two masters wrote the key without having seen each other. */
const apart: readonly Sent[] = [{ digit: "5", seq: 7, text: '{"by":5}' }, {
  digit: "6",
  seq: 8,
  text: '{"by":6}',
}];

test(
  "replay: what settled a conflict is not taken for done, and is written when forced",
  patient,
  () =>
    withRescue(
      (tx, orders) => {
        tx.append([remove(orders, "gone", 0)], wall);
        tx.append([put(orders, "said", 0, '{"by":"old"}')], wall);
        tx.append([put(orders, "both", 0, '{"by":"old"}')], wall);
        tx.append([remove(orders, "both", tx.documentSeq(orders, "both" as never))], wall);
        tx.append([remove(orders, "else", 0)], wall);
      },
      async ({ dfdb, leader, body, writes }) => {
        const from = leader.storage.log.last.seq + 1, name = file(from, from + 5);
        await leader.request("PUT", "/collections/orders/else", { body: '{"by":"leader"}' });
        const dry = await dfdb("replay", name, ...url, "--dry-run");
        assert.deepEqual([dry.code, writes], [2, []], dry.error);
        const { code, out } = await dfdb("replay", name, ...url);
        assert.equal(code, 2);
        for (const id of ["gone", "said", "both"]) {
          const line =
            `MISMATCH orders/${id}: rescued change of nothing, there is the conflict 1\\.\\w{8}-\\d+ now`;
          assert.match(out, new RegExp(line), id);
        }
        assert.match(
          out,
          /MISMATCH orders\/else: .* there is 1\.\w{8}-\d+ now\n0 applied, 0 already there, 0 forced, 4 not/,
        );
        assert.equal((await leader.request("GET", "/collections/orders/gone")).status, 409);
        const forced = await dfdb("replay", name, ...url, "--force", "gone", "said");
        assert.match(forced.out, /FORCED orders\/gone: .*\n[^]*0 applied, 0 already there, 2 forced, 2 not/);
        assert.deepEqual([await body("gone"), await body("said")], [null, { by: "old" }]);
        const again = await dfdb("replay", name, ...url);
        assert.match(again.out, /0 applied, 2 already there, 0 forced, 2 not/);
        assert.deepEqual(await body("else"), { by: "leader" });
      },
      {
        bundle: true,
        async first(leader) {
          for (const id of ["gone", "said", "both", "else"]) await receive(leader, ["orders", id], apart);
        },
      },
    ),
);

test(
  "replay: what other masters sent is theirs to send again; what they had not seen is written",
  patient,
  () =>
    withRescue(
      (tx, orders, seqOf) => {
        const run = "7".repeat(32) as never;
        const own = (id: string, text: string) => {
          const { seq } = tx.append([put(orders, id, seqOf(id), text)], wall);
          return { run, seq };
        };
        const superseded = own("a", '{"by":"old"}'), beside = own("b", '{"by":"old"}');
        sentTo(tx, "a", [{ digit: "5", seq: 3, text: '{"by":5}', seen: [superseded] }]);
        sentTo(tx, "b", [{ digit: "5", seq: 4, text: '{"n":2.50}' }]);
        sentTo(tx, "theirs", [{ digit: "5", seq: 5, text: '{"by":5}' }]);
        sentTo(tx, "settled", apart);
        tx.append([put(orders, "settled", 0, '{"by":"old"}')], wall);
        assert.equal(beside.seq, superseded.seq + 1);
        const collection = tx.newCollectionNumber();
        tx.append([
          { kind: "createCollection", collection, name: "Raven" },
          put(collection, "Replication/Config", 0, '{"policy":"latest"}'),
          put(collection, "Replication/Sources/1", 0, '{"Source":"x"}'),
        ], wall);
      },
      async ({ dfdb, leader, body }) => {
        const [row] = (await dfdb("list")).out.trimEnd().split("\n").slice(1) as [string];
        const name = row.split(" ")[0] as string;
        assert.deepEqual(
          row.split(/ {2,}/).at(-1),
          "6",
          "documents, those of other masters and the node's own",
        );
        const shown = await dfdb("show", name);
        assert.match(shown.out, /setVersions orders\/b .* 1 version of other masters, shown: a conflict/);
        assert.match(shown.out, / learnRuns/);
        assert.ok((await dfdb("show", name, "--json")).out.includes('"doc":{"n":2.50}'), "to the letter");
        // Not what the old node had: it was in conflict there before it was settled.
        await receive(leader, ["orders", "settled"], apart);
        const { code, out, error } = await dfdb("replay", name, ...url);
        assert.equal(code, 2, error);
        assert.match(
          out,
          /^MISMATCH orders\/settled: rescued change of 7\.77777777-\d+, there is the conflict 1\.\S+ now\n2 applied, 0 already there, 0 forced, 1 not written\n$/,
        );
        assert.deepEqual(await body("a"), { by: "both", id: "a" }, "whoever replaced it sends that");
        assert.deepEqual([await body("b"), await body("theirs")], [{ by: "old" }, null]);
        const config = await leader.request("GET", "/docs/Raven/Replication/Config");
        assert.equal((await config.json() as { policy: string }).policy, "latest");
        assert.equal((await leader.request("GET", "/docs/Raven/Replication/Sources/1")).status, 404);
      },
      { bundle: true },
    ),
);
