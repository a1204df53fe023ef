/** `dfdb conflicts` in front of a node that has some. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { main } from "../../src/cli/main.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { TestNode } from "../suites/http_fixture.ts";
import { directTransport, withNode } from "../suites/http_fixture.ts";
import { inFolder } from "../suites/storage_fixture.ts";
import type { Sent } from "../suites/version_writes.ts";
import { databaseOf, idOf, receive } from "../suites/version_writes.ts";
import type { CliOptions, CliRun } from "../tool/cli_rig.ts";
import { runCli } from "../tool/cli_rig.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { FakeHttpNodes, ok, refusal } from "../tool/fake_http_nodes.ts";

const five: Sent = { digit: "5", seq: 7, text: '{"total":1.50,"to":{"city":"Bonn","zip":1},"same":true}' };
const six: Sent = { digit: "6", seq: 8, text: '{"total":2,"to":{"city":"Köln","zip":1},"same":true}' };
const gone: Sent = { digit: "7", seq: 9, text: null };

interface Rig {
  readonly node: TestNode;
  dfdb(args: readonly string[], options?: CliOptions): Promise<CliRun>;
  /** What was asked by others than GET. */
  readonly writes: string[];
}

function withConflicts(run: (rig: Rig) => Promise<void>): Promise<void> {
  return withNode(currentRuntime(), directTransport(), { bundle: true }, async (node) => {
    await receive(node, ["orders", "1"], [five, six]);
    await receive(node, ["orders", "a b"], [five, gone]);
    await receive(node, ["flights", "x"], [six, gone]);
    const writes: string[] = [];
    const fetch: Runtime["fetch"] = (url, { method = "GET", headers = {}, body } = {}) => {
      const { pathname, search } = new URL(url), sent = headers as Record<string, string>;
      if (method !== "GET") writes.push(`${method} ${pathname} ${sent["if-match"]}`);
      return node.request(method, pathname + search, {
        headers: sent,
        ...(typeof body === "string" ? { body } : {}),
      });
    };
    const dfdb: Rig["dfdb"] = ([what = "", ...args], options = {}) =>
      runCli(["conflicts", what, "a:5000", ...args], { fetch, env: { NO_COLOR: "1" }, ...options });
    await run({ node, dfdb, writes });
  });
}

const lines = (text: string): string[] => text.trimEnd().split("\n");

test("list: a table that fits, lines for programs, one collection, so many", async () => {
  await withConflicts(async ({ dfdb }) => {
    const all = await dfdb(["list"], { columns: 60 });
    assert.deepEqual([all.code, all.err], [0, "3 in conflict\n"]);
    assert.match(
      all.out,
      /^key +versions +etag\norders\/1 +2 +1\.abababab-\d+\norders\/a b +2 .*\nflights\/x +2 /,
    );
    const narrow = await dfdb(["list"], { columns: 24 });
    for (const line of lines(narrow.out)) assert.ok(line.length <= 24, line);
    const json = lines((await dfdb(["list", "--json"])).out).map((line) => JSON.parse(line));
    assert.deepEqual(json.map(({ key }) => key), ["orders/1", "orders/a b", "flights/x"]);
    assert.deepEqual(json[0].Conflicts, [idOf("5", 7), idOf("6", 8)]);
    const flights = await dfdb(["list", "--collection", "Flights", "--json"]);
    assert.deepEqual([lines(flights.out).length, flights.err], [1, "1 in conflict in Flights\n"]);
    const two = await dfdb(["list", "--limit", "2"]);
    assert.deepEqual([lines(two.out).length, two.err], [3, "2 of 3 in conflict\n"]);
    const bad = await dfdb(["list", "--limit", "0"]);
    assert.deepEqual([bad.code, /\(bad_request\)/.test(bad.err)], [1, true]);
  });
});

test("list goes through all pages", async () => {
  const nodes = new FakeHttpNodes(), { runtime } = nodes;
  const page = (key: string, next?: string) =>
    ok({
      conflicts: [{ key, collection: "o", Conflicts: [] }],
      count: 1,
      total: 2,
      ...(next ? { next } : {}),
    });
  nodes.scripts.set("GET http://a:5000/db/s/conflicts?limit=500", () => page("o/1", "3-61"));
  nodes.scripts.set("GET http://a:5000/db/s/conflicts?limit=500&after=3-61", () => page("o/2"));
  const process = { ...runtime.process, args: ["conflicts", "list", "a:5000", "--database", "s", "--json"] };

  assert.equal(await nodes.ended(main({ ...runtime, process })), 0, nodes.err);
  assert.deepEqual(lines(nodes.out).map((line) => JSON.parse(line).key), ["o/1", "o/2"]);
  assert.equal(nodes.err, "2 in conflict\n");
});

test("list asks the node for the collection that is wanted", async () => {
  const nodes = new FakeHttpNodes(), { runtime } = nodes;
  const page = ok({ conflicts: [{ key: "a b/1", collection: "a b", Conflicts: [] }], count: 1, total: 3 });
  nodes.scripts.set("GET http://a:5000/conflicts?limit=1&collection=a%20b", () => page);
  const args = ["conflicts", "list", "a:5000", "--collection", "a b", "--limit", "1", "--json"];

  assert.equal(await nodes.ended(main({ ...runtime, process: { ...runtime.process, args } })), 0, nodes.err);
  assert.equal(nodes.err, "1 of 3 in conflict in a b\n");
});

test("show: side by side, what differs in colour, and how it is settled", async () => {
  await withConflicts(async ({ dfdb }) => {
    const { code, out, err } = await dfdb(["show", "orders/1"], { columns: 100 });
    const [head, ...rows] = lines(out);
    assert.equal(code, 0, err);
    assert.match(head as string, /^orders\/1: in conflict, 2 versions, ETag 1\.abababab-\d+$/);
    const cells = rows.map((row) => row.split(/ {2,}/));
    assert.deepEqual(cells, [
      ["version", "55555555-7", "66666666-8"],
      ["written by", databaseOf("5"), databaseOf("6")],
      ["at", "2023-11-14 22:13:20.000Z", "2023-11-14 22:13:20.000Z"],
      ["total", "1.50", "2"],
      ["to.city", '"Bonn"', '"Köln"'],
      ["to.zip", "1", "1"],
      ["same", "true", "true"],
    ]);
    const etag = /ETag (\S+)/.exec(head as string)?.[1];
    assert.equal(
      err,
      `settle it: dfdb conflicts resolve a:5000 orders/1 --etag ${etag} --take 55555555-7\n`,
    );
    const shown = await dfdb(["show", "orders/1"], { columns: 100, env: {} });
    const painted = (code: number, text: string) => `\u001b[${code}m${text}\u001b[0m`;
    for (const text of [painted(33, "1.50"), painted(33, '"Köln"'), painted(2, "true")]) {
      assert.ok(shown.out.includes(text), text);
    }
    const piped = await dfdb(["show", "orders/1"], { env: {} });
    assert.ok(!`${piped.out}${piped.err}`.includes("\u001b"));
  });
});

test("show: below each other on a narrow screen, and a deletion", async () => {
  await withConflicts(async ({ dfdb }) => {
    const { out, err } = await dfdb(["show", "orders/a b"], { columns: 40 });
    for (const line of lines(out)) assert.ok(line.length <= 40 || line.startsWith("orders/a b:"), line);
    const [, first = "", second = ""] = out.split(/^version +/m);
    assert.match(first, /^55555555-7\n(.*\n)*total +1\.50\n/);
    assert.match(second, /^77777777-9\nwritten by .*\nat .*\ndocument +deleted\n$/);
    assert.match(err, / 'orders\/a b' --etag /);
  });
});

test("show --json: documents to the letter", async () => {
  await withConflicts(async ({ dfdb }) => {
    const { out, err } = await dfdb(["show", "orders/a b", "--json"]);
    assert.equal(err, "");
    assert.ok(out.includes(`"document":${five.text}`), out);
    const { key, state, versions } = JSON.parse(out);
    assert.deepEqual([key, state, versions.length], ["orders/a b", "conflict", 2]);
    assert.deepEqual([versions[1].id, versions[1].deleted, versions[1].document], [idOf("7", 9), true, null]);
    assert.equal(versions[1]["@metadata"]["Raven-Replication-Source"], databaseOf("7"));
  });
});

test("show: from what a policy has chosen, one version alone, nothing, no master", async () => {
  await withConflicts(async ({ node, dfdb }) => {
    await receive(node, ["orders", "p"], [five, { ...six, modifiedMs: 1_800_000_000_000 }], {
      kind: "latest",
    });
    await receive(node, ["orders", "d"], [five, { ...gone, modifiedMs: 1_800_000_000_000 }], {
      kind: "latest",
    });
    await node.request("PUT", "/docs/orders/one", { body: '{"n":1}' });
    const chosen = await dfdb(["show", "orders/p"], { columns: 120 });
    assert.match(chosen.out, /^orders\/p: not in conflict, the policy chose from 2 versions, ETag \S+\n/);
    assert.match(chosen.out, /55555555-7 +66666666-8 \(shown\)\n(.*\n)*total +1\.50 +2\n/);
    assert.equal(chosen.err, "");
    const deleted = await dfdb(["show", "orders/d"], { columns: 120 });
    assert.match(deleted.out, /the policy chose the deletion from 2 versions\n(.*\n)*document +deleted\n/);
    const one = await dfdb(["show", "orders/one"], { columns: 120 });
    assert.match(one.out, /^orders\/one: not in conflict, 1 version, .*\n(.*\n)*n +1\n/);
    const none = await dfdb(["show", "orders/none"]);
    assert.deepEqual([none.code, /\(not_found\)\n$/.test(none.err)], [1, true]);
  });
  await withNode(currentRuntime(), directTransport(), {}, async (node) => {
    await node.request("PUT", "/docs/orders/one", { body: '{"n":1}' });
    const fetch: Runtime["fetch"] = (url) => node.request("GET", new URL(url).pathname);
    for (const args of [["show", "a:1", "orders/one"], ["list", "a:1"]]) {
      const { code, err } = await runCli(["conflicts", ...args], { fetch });
      assert.deepEqual([code, /\(bundle_not_active\)\n$/.test(err)], [1, true], err);
    }
  });
});

test("resolve: a version to the letter, a deletion, a file", async () => {
  await withConflicts(async ({ node, dfdb, writes }) => {
    const get = async (path: string) => await (await node.request("GET", `/docs/${path}`)).text();
    const taken = await dfdb(["resolve", "orders/1", "--take", "55555555-7"]);
    assert.equal(taken.code, 0, taken.err);
    assert.match(
      taken.out,
      /^orders\/1: settled, ETag 1\.\S+ with 55555555-7; it takes the place of 2 versions\n$/,
    );
    assert.ok((await get("orders/1")).endsWith(`,${five.text?.slice(1)}`), "to the letter");
    assert.match(writes[0] as string, /^PUT \/docs\/orders%2F1 "1\.abababab-\d+"$/);
    const removed = await dfdb(["resolve", "orders/a b", "--take", idOf("7", 9)]);
    assert.match(removed.out, /^orders\/a b: deleted with 77777777-9; /);
    assert.equal((await node.request("GET", "/docs/orders/a b")).status, 404);
    await inFolder(async (folder) => {
      writeFileSync(`${folder}/x.json`, '{"n": 2.50}');
      const { code, err } = await dfdb(["resolve", "flights/x", "--file", `${folder}/x.json`]);
      assert.equal(code, 0, err);
    });
    assert.match(await get("flights/x"), /"n":2\.50}$/);
    await receive(node, ["orders", "2"], [five, six]);
    assert.equal((await dfdb(["resolve", "orders/2", "--delete"])).code, 0);
    await receive(node, ["orders", "3"], [five, six]);
    assert.equal((await dfdb(["resolve", "orders/3", "--file", "-"], { stdin: ['{"n"', ":1}"] })).code, 0);
    assert.match(await get("orders/3"), /"n":1}$/);
    assert.equal((await dfdb(["list"])).err, "0 in conflict\n");
  });
});

test("resolve writes nothing over what came meanwhile", async () => {
  await withConflicts(async ({ node, dfdb, writes }) => {
    const etag = /--etag (\S+)/.exec((await dfdb(["show", "orders/1"])).err)?.[1] as string;
    await receive(node, ["orders", "1"], [{ digit: "8", seq: 3, text: '{"total":3}' }]);
    const late = await dfdb(["resolve", "orders/1", "--take", "55555555-7", "--etag", etag]);
    assert.deepEqual([late.code, writes], [1, []]);
    assert.match(
      late.err,
      /^ERROR: orders\/1 is not as it was shown: .*nothing was written\. Look again with dfdb conflicts show http:\/\/a:5000 orders\/1 \(precondition_failed\)\n/,
    );
    // Between the look and the write of one command, too.
    const real = node.request;
    const fetch: Runtime["fetch"] = async (url, { method = "GET", headers = {} } = {}) => {
      const { pathname, search } = new URL(url);
      if (method === "DELETE") {
        await receive(node, ["orders", "1"], [{ digit: "9", seq: 4, text: '{"total":4}' }]);
      }
      return await real(method, pathname + search, { headers: headers as Record<string, string> });
    };
    const raced = await dfdb(["resolve", "orders/1", "--delete"], { fetch });
    assert.deepEqual([raced.code, /\(precondition_failed\)/.test(raced.err)], [1, true], raced.err);
    const { versions } = JSON.parse((await dfdb(["show", "orders/1", "--json"])).out);
    assert.equal(versions.length, 4);
    await node.request("DELETE", "/docs/orders/1");
    const settled = await dfdb(["resolve", "orders/1", "--delete", "--etag", etag]);
    assert.match(settled.err, /\(precondition_failed\)/);
  });
});

test("resolve refuses what is not said well", async () => {
  await withConflicts(async ({ node, dfdb, writes }) => {
    const fails = async (code: string, ...args: readonly string[]): Promise<void> => {
      const { code: exit, err } = await dfdb(["resolve", ...args]);
      assert.deepEqual([exit, new RegExp(`\\(${code}\\)\n`).test(err)], [1, true], err);
    };
    await fails("bad_request", "orders/1");
    await fails("bad_request", "orders/1", "--delete", "--take", "5");
    await fails("bad_request", "orders/1", "--all");
    await fails("bad_request");
    await fails("bad_request", "--all", "--delete");
    await fails("not_found", "orders/1", "--take", "9");
    await fails("not_found", "orders/1", "--file", "/nowhere/x.json");
    await fails("not_found", "orders/none", "--delete");
    await node.request("PUT", "/docs/orders/one", { body: '{"n":1}' });
    await fails("not_found", "orders/one", "--delete");
    await receive(node, ["orders", "1"], [{ digit: "5", seq: 17, text: "{}", seen: [] }]);
    await fails("bad_request", "orders/a b", "--take", "");
    assert.deepEqual(writes, []);
    node.state.role = "follower";
    node.state.leaderHttpUrl = "http://leader:5000";
    const { err } = await dfdb(["resolve", "orders/1", "--delete"]);
    assert.match(err, /\(not_leader\)\n {2}Ask its leader: http:\/\/leader:5000\n$/);
  });
});

test("resolve --all: by the policy that the database has", async () => {
  const run = async (args: readonly string[], policy: string, open = 0) => {
    const nodes = new FakeHttpNodes(), { runtime } = nodes;
    nodes.scripts.set("GET http://a:5000/replication/info", () => ok({ policy }));
    nodes.scripts.set(
      "POST http://a:5000/replication/resolve",
      () => ok({ success: true, resolved: 1200, open }),
    );

    const process = { ...runtime.process, args: ["conflicts", "resolve", "a:5000", ...args] };
    const code = await nodes.ended(main({ ...runtime, process }));
    return { code, out: nodes.out, err: nodes.err, asked: nodes.asked };
  };
  const all = await run(["--all", "--policy", "latest"], "latest");
  assert.deepEqual(
    [all.code, all.out],
    [0, "1,200 settled by the policy latest, 0 left to people\n"],
    all.err,
  );
  const some = await run(["--all"], "prefer", 3);
  assert.deepEqual([some.code, some.out], [2, "1,200 settled by the policy prefer, 3 left to people\n"]);
  const other = await run(["--all", "--policy", "latest"], "manual");
  assert.equal(other.code, 1);
  assert.match(other.err, /the policy of http:\/\/a:5000 is manual, not latest: .* \(conflict\)/);
  assert.deepEqual(other.asked, ["GET http://a:5000/replication/info"]);
  const nodes = new FakeHttpNodes(), { runtime } = nodes;
  nodes.scripts.set("GET http://a:5000/replication/info", () => refusal("bundle_not_active"));

  const process = { ...runtime.process, args: ["conflicts", "resolve", "a:5000", "--all"] };
  assert.equal(await nodes.ended(main({ ...runtime, process })), 1);
  assert.match(nodes.err, /\(bundle_not_active\)/);
});
