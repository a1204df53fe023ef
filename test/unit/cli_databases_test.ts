/** `dfdb databases`, and `--database` of the other subcommands. */
import assert from "node:assert/strict";
import test from "node:test";
import { main } from "../../src/cli/main.ts";
import type { ScriptedAnswer } from "../tool/fake_http_nodes.ts";
import { FakeHttpNodes, nodeStatus, ok } from "../tool/fake_http_nodes.ts";

async function run(
  args: readonly string[],
  scripts: Readonly<Record<string, ScriptedAnswer>>,
): Promise<{ code: number; out: string; err: string; asked: readonly string[] }> {
  const nodes = new FakeHttpNodes(), { runtime } = nodes;
  for (const [what, answer] of Object.entries(scripts)) nodes.scripts.set(what, () => answer);
  const code = await nodes.ended(main({ ...runtime, process: { ...runtime.process, args } }));
  return { code, out: nodes.out, err: nodes.err, asked: nodes.asked };
}

const shop = {
  name: "shop",
  filePath: "/data/databases/shop/data.dfdb",
  isDefault: false,
  status: "unavailable",
  role: null,
  error: { code: "data_corrupt", message: "it is damaged" },
};

test("databases are listed, made and dropped", async () => {
  const listed = await run(["databases", "list", "a:5000"], {
    "GET http://a:5000/databases": ok({ default: "default", count: 1, databases: [shop] }),
  });
  assert.equal(listed.code, 0, listed.err);
  assert.match(listed.out, /shop +unavailable: it is damaged +\/data\/databases\/shop\/data\.dfdb/);
  const made = await run(["databases", "create", "http://a:5000/", "shop", "--path", "x.dfdb"], {
    "POST http://a:5000/databases": ok({ name: "shop", filePath: "/data/x.dfdb", isDefault: false }),
  });
  assert.deepEqual([made.code, made.out], [0, "http://a:5000/db/shop: /data/x.dfdb\n"]);
  const master = await run(
    ["databases", "create", "a:5000", "m", "--bundle", "replication", "--adopt-existing"],
    { "POST http://a:5000/databases": ok({ name: "m", filePath: "/data/m.dfdb", isDefault: false }) },
  );
  assert.equal(master.code, 0, master.err);
  assert.match(master.asked.join(), /{"name":"m","bundles":\["replication"\],"adoptExisting":true}/);
  const careless = await run(["databases", "drop", "a:5000", "shop"], {});
  assert.equal(careless.code, 1);
  assert.match(careless.err, /--yes/);
  assert.deepEqual(careless.asked, []);
  const gone = { name: "shop", action: "dropped", defaultAfter: "default" };
  const dropped = await run(["databases", "drop", "a:5000", "shop", "--yes"], {
    "DELETE http://a:5000/databases/shop?deleteFiles=true": ok(gone),
  });
  assert.deepEqual([dropped.code, dropped.out], [0, 'http://a:5000: "shop" is dropped\n']);
  const detached = await run(["databases", "drop", "a:5000", "shop", "--keep-files"], {
    "DELETE http://a:5000/databases/shop": ok({ ...gone, action: "detached" }),
  });
  assert.match(detached.out, /"shop" is detached/);
});

test("--database asks that database of each node", async () => {
  const at = (node: string) => `http://${node}:5000/db/a%20b`;
  const status = await run(["status", "a:5000", "http://b:5000/", "--database", "a b", "--json"], {
    [`GET ${at("a")}/replication/status`]: ok(nodeStatus({})),
    [`GET ${at("b")}/replication/status`]: ok(nodeStatus({})),
  });
  assert.equal(status.code, 0, status.err);
  assert.deepEqual(
    (JSON.parse(status.out) as { url: string }[]).map(({ url }) => url),
    [at("a"), at("b")],
  );
  const closed = await run(["read-only", "a:5000", "on", "--database", "shop"], {
    "POST http://a:5000/db/shop/replication/read-only": ok({}),
  });
  assert.deepEqual([closed.code, closed.out], [0, "http://a:5000/db/shop is read-only\n"]);
  const file = await run(["query", "shop.dfdb", "SELECT 1", "--database", "shop"], {});
  assert.equal(file.code, 1);
  assert.match(file.err, /shop\.dfdb is a file/);
});
