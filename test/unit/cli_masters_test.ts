/** `dfdb masters`. */
import assert from "node:assert/strict";
import test from "node:test";
import { main } from "../../src/cli/main.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Body } from "../suites/http_fixture.ts";
import { directTransport, told, withNode } from "../suites/http_fixture.ts";
import type { CliRun } from "../tool/cli_rig.ts";
import { runCli } from "../tool/cli_rig.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { FakeHttpNodes, ok, refusal } from "../tool/fake_http_nodes.ts";

const one = "d".repeat(32), two = "e".repeat(32), run = "a".repeat(32);

const destination = {
  Url: "https://berlin:5000/db/shop",
  LastReplicatedEtag: `1:${run}:1188`,
  LastSuccessTimestamp: "2026-11-14T22:13:20.123Z",
  LastFailureTimestamp: null,
  FailureCount: 0,
  LastError: null,
  lastErrorCode: null,
  state: "idle",
};

const info = {
  Self: "http://a:5000/db/shop",
  MostRecentDocumentEtag: `1:${run}:2400`,
  databaseId: one,
  sends: true,
  policy: "manual",
  conflicts: 3,
  tombstones: 1500,
  problems: ["Destinations[2] is skipped: Url is missing"],
  Stats: [destination, {
    ...destination,
    Url: "http://rome:5000",
    LastReplicatedEtag: null,
    LastSuccessTimestamp: null,
    FailureCount: 12,
    LastError: "nobody answers",
    lastErrorCode: "unreachable",
  }],
  sources: [{ databaseId: two, url: "http://b:1/db/x", filter: "", lastEtag: `2:${run}:7@2:${run}:9` }],
  tombstonesHeldBack: [{ databaseId: two, url: "http://b:1/db/x", tombstones: 1400 }],
};

const colourCode = new RegExp("\u001b\\[\\d+m", "g");

async function masters(
  args: readonly string[],
  scripts: Readonly<Record<string, ReturnType<typeof ok>>>,
  columns: number | null = null,
): Promise<{ code: number; out: string; err: string; asked: readonly string[] }> {
  const nodes = new FakeHttpNodes(columns), { runtime } = nodes;
  for (const [what, answer] of Object.entries(scripts)) nodes.scripts.set(what, () => answer);
  const process = { ...runtime.process, args: ["masters", ...args] };
  const code = await nodes.ended(main({ ...runtime, process }));
  return { code, out: nodes.out, err: nodes.err, asked: nodes.asked };
}

test("status: destinations and how far behind, senders, what holds tombstones back", async () => {
  const asked = { "GET http://a:5000/db/shop/replication/info": ok(info) };
  const { code, out, err } = await masters(["status", "a:5000", "--database", "shop"], asked);
  assert.equal(code, 0, err);
  const lines = out.trimEnd().split("\n").map((line) => line.split(/ {2,}/));
  assert.deepEqual(lines, [
    [`http://a:5000/db/shop, database ${one}`],
    ["it sends to its destinations"],
    ["policy manual, 3 in conflict, 1,500 tombstones"],
    ["Destinations[2] is skipped: Url is missing"],
    [""],
    ["destination", "state", "behind", "failures", "last success", "last error"],
    ["https://berlin:5000/db/shop", "idle", "1,212", "0", "2026-11-14 22:13:20Z"],
    ["http://rome:5000", "idle", "-", "12", "-", "unreachable: nobody answers"],
    [""],
    ["sender", "database", "received up to"],
    ["http://b:1/db/x", two, `2:${run}:7`],
    [""],
    [`1,400 old tombstones wait for ${two} (http://b:1/db/x)`],
  ]);
  const shown = await masters(["status", "a:5000/db/shop"], asked, 100);
  const widths = shown.out.split("\n").map((line) => line.replaceAll(colourCode, "").length);
  assert.ok(Math.max(...widths) <= 100, shown.out);
  assert.ok(shown.out.includes("\u001b[33m12\u001b[0m"));
  const json = await masters(["status", "a:5000/db/shop", "--json"], asked);
  assert.deepEqual(JSON.parse(json.out), info);
  const bare = { ...info, sends: false, problems: [], Stats: [], sources: [], tombstonesHeldBack: [] };
  const follower = await masters(["status", "a:5000"], { "GET http://a:5000/replication/info": ok(bare) });
  assert.match(follower.out, /does not send.*\n.*\nno destinations\nnobody has sent to it\n$/);
  const none = await masters(["status", "a:5000"], {
    "GET http://a:5000/replication/info": refusal("bundle_not_active"),
  });
  assert.deepEqual([none.code, /\(bundle_not_active\)\n$/.test(none.err)], [1, true]);
});

test("add and remove write the destinations that were read, and leave the others as they are", async () => {
  await withNode(currentRuntime(), directTransport(), { bundle: true }, async (node) => {
    let between = (): Promise<unknown> => Promise.resolve();
    const fetch: Runtime["fetch"] = async (url, { method = "GET", headers = {}, body } = {}) => {
      if (method === "PUT") await between();
      const sent = typeof body === "string" ? { body } : {};
      const options = { headers: headers as Record<string, string>, ...sent };
      return await node.request(method, new URL(url).pathname, options);
    };
    const dfdb = (...args: readonly string[]): Promise<CliRun> =>
      runCli(["masters", args[0] as string, "a:5000", ...args.slice(1)], {
        fetch,
        env: { DFDB_DESTINATION_KEY: "secret" },
      });
    const path = "/docs/Raven/Replication/Destinations";
    const list = async (): Promise<Body> => (await told(node.request("GET", path))).body["Destinations"];
    const added = await dfdb("add", "http://b:5000/db/shop/");
    assert.deepEqual(
      [added.code, added.out],
      [0, "http://a:5000 sends to http://b:5000/db/shop/\n"],
      added.err,
    );
    const by =
      '{"Destinations":[{"Url":"http://b:5000/","Database":"x","Disabled":true},{"Url":7}],"mine":1}';
    await node.request("PUT", path, { body: by });
    const more = ["--collections", "orders, flights", "--transitive", "--destination-key", "other"];
    assert.equal((await dfdb("add", "https://c:1", ...more)).code, 0);
    assert.deepEqual(await list(), [
      { Url: "http://b:5000/", Database: "x", Disabled: true },
      { Url: 7 },
      {
        Url: "https://c:1",
        ApiKey: "other",
        SpecifiedCollections: ["orders", "flights"],
        TransitiveReplicationBehavior: "Replicate",
      },
    ]);
    const fails = async (code: string, ...args: readonly string[]): Promise<void> => {
      const before = node.storage.log.last.seq, { code: exit, err } = await dfdb(...args);
      assert.deepEqual([exit, new RegExp(`\\(${code}\\)\n`).test(err)], [1, true], err);
      assert.equal(node.storage.log.last.seq, before);
    };
    await fails("conflict", "add", "http://b:5000/db/x");
    await fails("bad_request", "add", "b:5000");
    await fails("bad_request", "add", "http://d", "--collections", "_keys");
    await fails("not_found", "remove", "http://b:5000");
    assert.equal((await dfdb("remove", "http://b:5000/db/x")).code, 0);
    assert.deepEqual((await list() as Body[]).map(({ Url }) => Url), [7, "https://c:1"]);
    assert.equal((await told(node.request("GET", path))).body["mine"], 1);
    between = async () => {
      between = () => Promise.resolve();
      await node.request("PUT", path, { body: '{"Destinations":[]}' });
    };
    const raced = await dfdb("add", "http://e");
    assert.match(raced.err, /somebody else changed .*nothing was written \(precondition_failed\)/);
    assert.deepEqual(await list(), []);
    await node.request("PUT", path, { body: '{"Destinations":{}}' });
    await fails("conflict", "remove", "http://e");
  });
});

test("forget wants to be said twice", async () => {
  const careless = await masters(["forget", "a:5000", two], {});
  assert.deepEqual([careless.code, careless.asked], [1, []]);
  assert.match(careless.err, /--yes \(bad_request\)\n/);
  const done = await masters(["forget", "a:5000", two, "--yes"], {
    [`DELETE http://a:5000/replication/peers/${two}`]: ok({ success: true }),
  });
  assert.deepEqual([done.code, done.out], [0, `http://a:5000 waits for ${two} no more\n`], done.err);
});
