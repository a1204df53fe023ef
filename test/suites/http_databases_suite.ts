/** Several databases of one node, over any way to reach its HTTP API. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { DfdbError } from "../../src/base/errors.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { severalDatabases } from "../../src/http/databases.ts";
import { Databases } from "../../src/node/databases.ts";
import { openLocalApi } from "../../src/node/local_api.ts";
import type { Settings } from "../../src/node/settings.ts";
import { defaultSettings } from "../../src/node/settings.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { freePorts } from "../tool/ports.ts";
import type { Body, RequestOptions, TestNode, Transport } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { inFolder } from "./storage_fixture.ts";

interface SeveralNode {
  readonly databases: Databases;
  readonly request: TestNode["request"];
  post(path: string, body?: unknown, options?: RequestOptions): Promise<Response>;
  /** Status and body of a GET. */
  get(path: string): Promise<{ readonly status: number; readonly body: Body }>;
}

type With = (
  folder: string,
  settings: Partial<Settings>,
  run: (node: SeveralNode) => Promise<void>,
  /** Default: that of the runtime. */
  fetch?: Runtime["fetch"],
) => Promise<void>;

/** Opens the node in `folder`, runs, closes: what is opened there again is the same node. */
function withDatabases(runtime: Runtime, transport: Transport): With {
  return async (folder, given, run, fetch = runtime.fetch) => {
    const databases = await Databases.open({
      runtime: { ...runtime, fetch },
      settings: { ...defaultSettings(), ...given },
      logger: silentLogger,
      dataDir: folder,
      httpUrl: "http://this-node:5000",
      startedAt: runtime.clock.monotonic(),
    });
    const handler = severalDatabases({ databases, dependencies: databases.main.dependencies });
    try {
      await transport.serve(handler, (request) =>
        run({
          databases,
          request,
          post: (path, body, options = {}) =>
            request("POST", path, {
              ...options,
              ...(body === undefined ? {} : { body: JSON.stringify(body) }),
            }),
          get: (path) => told(request("GET", path)),
        }));
    } finally {
      await databases.close();
    }
  };
}

async function create(
  node: SeveralNode,
  name: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Body> {
  const { status, body } = await told(node.post("/databases", { name, ...more }));
  assert.equal(status, 201, JSON.stringify(body));
  return body;
}

const sumOf = (names: readonly unknown[]): string => names.map(String).sort().join(" ");

export function httpDatabasesSuite(runtime: Runtime, transport: Transport): void {
  const withNode = withDatabases(runtime, transport);
  const until = async (holds: () => Promise<boolean>): Promise<void> => {
    while (!await holds()) await new Promise<void>((resolve) => void runtime.clock.timer(5, resolve));
  };
  const it = (what: string, run: (folder: string) => Promise<void>): void =>
    void test(`databases, ${transport.name}: ${what}`, () => inFolder(run));

  it("a database is made, listed, kept over a restart, dropped with its files", async (folder) => {
    const path = `${folder}/databases/Shop/data.dfdb`;
    await withNode(folder, {}, async (node) => {
      assert.deepEqual(await node.get("/databases"), {
        status: 200,
        body: {
          default: "default",
          count: 1,
          databases: [{
            name: "default",
            filePath: `${folder}/data.dfdb`,
            isDefault: true,
            status: "open",
            role: "none",
            bundles: [],
            error: null,
          }],
        },
      });
      assert.deepEqual(await create(node, "Shop"), {
        name: "Shop",
        filePath: path,
        isDefault: false,
        bundles: [],
      });
      const put = await node.request("PUT", "/db/Shop/collections/orders/1", { body: '{"n":1}' });
      assert.equal(put.status, 201);
      assert.equal(put.headers.get("location"), "/db/Shop/collections/orders/1");
      assert.equal(
        (await node.request("GET", "/collections/orders/1")).status,
        404,
        "not in the default one",
      );
      assert.deepEqual((await node.get("/db/sHOP/collections")).body, {
        database: "Shop",
        collections: ["orders"],
      });
      assert.deepEqual((await node.get("/collections?database=shop")).body, {
        database: "Shop",
        collections: ["orders"],
      });
      await refused(node.request("GET", "/collections?database=other"), 404, "not_found");
      assert.equal((await node.get("/db/Shop/replication/status")).body["database"], "Shop");
      assert.equal((await node.get("/db/default/replication/status")).body["database"], undefined);
      assert.deepEqual(
        (await told(node.post("/db/Shop/query", { sql: "SELECT n FROM orders" }))).body["documents"],
        [
          { _id: "1", n: 1 },
        ],
      );
    });
    await withNode(folder, {}, async (node) => {
      assert.equal((await node.get("/db/Shop/collections/orders/1")).body["n"], 1);
      assert.equal(
        (await node.get("/db/Shop/replication/status")).body["nodeId"],
        (await node.get("/replication/status")).body["nodeId"],
        "one node",
      );
      assert.deepEqual((await told(node.request("DELETE", "/databases/shop?deleteFiles=true"))).body, {
        name: "Shop",
        action: "dropped",
        defaultAfter: "default",
      });
      await refused(node.request("GET", "/db/Shop/collections"), 404, "not_found");
      assert.deepEqual(readdirSync(`${folder}/databases/Shop`), []);
      await create(node, "Shop");
      assert.deepEqual((await node.get("/db/Shop/collections")).body["collections"], [], "another database");
    });
  });

  it("names, paths and bundles are checked", async (folder) => {
    await withNode(folder, {}, async (node) => {
      for (const name of ["_system", "a/b", "", "1st", "x".repeat(101), "ä", ".."]) {
        await refused(node.post("/databases", { name }), 400, "bad_request");
      }
      const outside = [
        "/etc/x.dfdb",
        "../x.dfdb",
        "a/../../x.dfdb",
        `${folder}/../x.dfdb`,
        "x.txt",
        "a//x.dfdb",
      ];
      const own = ["data.dfdb", "node.dfdb", "snapshots/x.dfdb", "rescued/x.dfdb", `${folder}/data.dfdb`];
      for (const path of [...outside, ...own]) {
        const { field } = await refused(node.post("/databases", { name: "x", path }), 400, "bad_request");
        assert.equal(field, "path", path);
      }
      for (const bundles of [["y"], ["replication", "y"]]) {
        const { error, field } = await refused(
          node.post("/databases", { name: "x", bundles }),
          400,
          "bad_request",
        );
        assert.match(error, /no bundle "y"/);
        assert.equal(field, "bundles");
      }
      await refused(node.post("/databases", { name: "x", pth: "y" }), 400, "bad_request");
      await refused(node.post("/databases", { name: "x", createIfMissing: false }), 404, "not_found");
      await refused(node.post("/databases", { name: "Default" }), 409, "conflict");
      const { filePath } = await create(node, "x", { path: "archive/2024.dfdb" });
      assert.equal(filePath, `${folder}/archive/2024.dfdb`);
      await refused(node.post("/databases", { name: "X" }), 409, "conflict");
      await refused(
        node.post("/databases", { name: "y", path: `${folder}/archive/2024.dfdb` }),
        409,
        "conflict",
      );
      await refused(node.request("DELETE", "/databases/default"), 409, "conflict");
      await refused(node.request("DELETE", "/databases/none"), 404, "not_found");
      await refused(node.request("DELETE", "/databases/_none"), 400, "bad_request");
      const { headers } = await node.request("PATCH", "/databases/x");
      assert.equal(headers.get("allow"), "DELETE");
      assert.equal((await node.get("/databases")).body["count"], 2);
    });
  });

  it("the replication bundle is there before anybody gets to the database, and over restarts", async (folder) => {
    const bundles = ["replication"];
    const shown = async (node: SeveralNode): Promise<unknown> =>
      ((await node.get("/databases")).body["databases"] as Body[]).map((
        { name, bundles },
      ) => [name, bundles]);
    await withNode(folder, {}, async (node) => {
      assert.deepEqual((await create(node, "shop", { bundles }))["bundles"], bundles);
      assert.deepEqual((await create(node, "plain"))["bundles"], []);
      await node.request("PUT", "/db/plain/collections/c/1", { body: "{}" });
      await refused(node.request("GET", "/db/plain/replication/info"), 404, "bundle_not_active");
      assert.equal((await node.get("/db/shop/replication/info")).status, 200);
      assert.deepEqual(await shown(node), [["default", []], ["shop", bundles], ["plain", []]]);
      const { status } = await node.get("/db/shop/replication/lastEtag?from=http://x&dbid=" + "1".repeat(32));
      assert.equal(status, 200);
    });
    await withNode(folder, {}, async (node) => {
      assert.deepEqual(await shown(node), [["default", []], ["shop", bundles], ["plain", []]]);
      for (const name of ["plain", "shop"]) await told(node.request("DELETE", `/databases/${name}`));
      // As a node leaves it that dies while it makes one.
      await create(node, "empty");
      await told(node.request("DELETE", "/databases/empty"));
      assert.deepEqual((await create(node, "empty", { bundles }))["bundles"], bundles);
      await told(node.request("DELETE", "/databases/empty?deleteFiles=true"));
      // What has it has it still; what has documents is not given it without a word.
      assert.deepEqual((await create(node, "shop", { bundles }))["bundles"], bundles);
      const { error } = await refused(node.post("/databases", { name: "plain", bundles }), 409, "conflict");
      assert.match(error, /adoptExisting/);
      assert.equal((await node.get("/databases")).body["count"], 2, "it was not attached");
      assert.deepEqual((await create(node, "plain"))["bundles"], []);
      await told(node.request("DELETE", "/databases/plain"));
      const adopted = await create(node, "plain", { bundles, adoptExisting: true });
      assert.deepEqual(adopted["bundles"], bundles);
      assert.equal((await node.get("/db/plain/collections/c/1")).status, 200);
    });
  });

  it("replication.bundle is for a new default database", async (folder) => {
    const settings = { replicationBundle: true };
    for (const given of [settings, settings, {}]) {
      await withNode(folder, given, async (node) => {
        assert.deepEqual((await node.get("/databases")).body["databases"][0]["bundles"], ["replication"]);
        assert.equal((await node.get("/replication/info")).status, 200);
        await node.request("PUT", "/collections/c/1", { body: "{}" });
      });
    }
    const old = `${folder}/old`;
    await withNode(old, {}, async (node) => {
      await node.request("PUT", "/collections/c/1", { body: "{}" });
    });
    await assert.rejects(
      withNode(old, settings, () => assert.fail("it must not start")),
      (error: DfdbError) => {
        assert.match(error.message, /adoptExisting/);
        return error.code === "setting_invalid" && error.details["setting"] === "--replication-bundle";
      },
    );
    for (const given of [{ ...settings, adoptExisting: true }, settings]) {
      await withNode(old, given, async (node) => {
        assert.equal((await node.get("/collections/c/1")).status, 200);
        assert.equal((await node.get("/replication/info")).status, 200);
      });
    }
  });

  it("paths keep their encoding, HEAD and the methods of a route", async (folder) => {
    await withNode(folder, {}, async (node) => {
      await create(node, "a.b");
      const id = "x%2Fy%20%C3%A4";
      const put = await node.request("PUT", `/db/a%2Eb/collections/c/${id}`, { body: "{}" });
      assert.equal(put.headers.get("location"), `/db/a%2Eb/collections/c/x%2Fy%20%C3%A4`);
      assert.equal((await node.get(`/db/a.b/collections/c/${id}`)).body["_id"], "x/y ä");
      const head = await node.request("HEAD", `/db/a.b/collections/c/${id}`);
      assert.deepEqual([head.status, await head.text()], [200, ""]);
      const wrong = await node.request("PATCH", "/db/a.b/query");
      assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
      await wrong.body?.cancel();
      await refused(node.request("GET", "/db/a.b/db/a.b/collections"), 404, "not_found");
      await refused(node.request("GET", "/db/a.b"), 404, "not_found");
      await refused(node.request("GET", "/db//collections"), 404, "not_found");
      await refused(node.request("GET", "/db/%ff/collections"), 400, "bad_request");
      await refused(node.request("GET", "/docsX"), 404, "not_found");
      const inserted = await node.post("/db/a.b/collections/c", { _id: "n" });
      assert.equal(inserted.headers.get("location"), "/db/a.b/collections/c/n");
      const missing = await node.request("HEAD", "/db/none/collections");
      assert.deepEqual([missing.status, await missing.text()], [404, ""]);
    });
  });

  it("set-default moves the flat paths at once, and over restarts", async (folder) => {
    await withNode(folder, {}, async (node) => {
      await create(node, "shop");
      await node.request("PUT", "/collections/c/old", { body: "{}" });
      assert.deepEqual(await told(node.post("/databases/SHOP/set-default")), {
        status: 200,
        body: { name: "shop", isDefault: true },
      });
      await node.request("PUT", "/collections/c/new", { body: "{}" });
      assert.deepEqual((await node.get("/collections")).body["database"], "shop");
      await refused(node.post("/databases/none/set-default"), 404, "not_found");
      // A follower of the database "default" passes its writes on to a flat path.
      const forwarded = { headers: { "x-dfdb-forwarded": "0".repeat(32) }, body: "{}" };
      assert.equal((await node.request("PUT", "/collections/c/passed", forwarded)).status, 201);
    });
    await withNode(folder, {}, async (node) => {
      const ids = async (path: string): Promise<string> =>
        sumOf((await node.get(path)).body["documents"].map((each: Body) => each["_id"]));
      assert.equal(await ids("/collections/c"), "new");
      assert.equal(await ids("/db/shop/collections/c"), "new");
      assert.equal(await ids("/db/default/collections/c"), "old passed");
      assert.deepEqual((await told(node.request("DELETE", "/databases/shop"))).body, {
        name: "shop",
        action: "detached",
        defaultAfter: "default",
      });
      assert.equal(await ids("/collections/c"), "old passed");
      const { body } = await node.get("/databases/unattached");
      assert.deepEqual(
        body["files"].map((file: Body) => [file["suggestedName"], file["nameConflict"], file["path"]]),
        [["shop", false, `${folder}/databases/shop/data.dfdb`]],
      );
      await create(node, "shop");
      assert.equal(await ids("/db/shop/collections/c"), "new", "attached again as it was");
    });
  });

  it("one that cannot be opened keeps nothing else from its work", async (folder) => {
    await withNode(folder, {}, async (node) => {
      for (const name of ["bad", "gone", "good"]) await create(node, name);
      await node.request("PUT", "/db/good/collections/c/1", { body: "{}" });
      await node.post("/databases/bad/set-default");
    });
    writeFileSync(`${folder}/databases/bad/data.dfdb`, "not a database at all, not a database at all");
    renameSync(`${folder}/databases/gone/data.dfdb`, `${folder}/gone.kept`);
    await withNode(folder, {}, async (node) => {
      const shown = (await node.get("/databases")).body["databases"] as Body[];
      assert.deepEqual(
        shown.map(({ name, status, error }) => [name, status, error?.["code"] ?? null]),
        [
          ["default", "open", null],
          ["bad", "unavailable", "data_corrupt"],
          ["gone", "unavailable", "not_found"],
          ["good", "open", null],
        ],
      );
      assert.equal(
        (await refused(node.request("GET", "/db/gone/collections"), 503, "database_unavailable"))["database"],
        "gone",
      );
      await refused(node.request("GET", "/collections"), 503, "database_unavailable");
      assert.equal((await node.get("/health")).status, 200, "the node lives");
      assert.equal((await node.get("/db/good/collections/c/1")).status, 200);
      await refused(node.post("/databases", { name: "gone" }), 409, "conflict");
      await told(node.request("DELETE", "/databases/gone"));
      await told(node.request("DELETE", "/databases/bad?deleteFiles=true"));
      assert.ok(!existsSync(`${folder}/databases/bad/data.dfdb`));
      assert.equal((await node.get("/collections")).body["database"], "default");
    });
    writeFileSync(`${folder}/databases.json`, "{");
    await assert.rejects(
      withNode(folder, {}, () => assert.fail("it must not start")),
      (error: DfdbError) => error.code === "data_corrupt",
    );
  });

  it("a drop that was cut off is finished at the next start", async (folder) => {
    const catalog = `${folder}/databases.json`, data = `${folder}/databases/shop/data.dfdb`;
    await withNode(folder, {}, async (node) => {
      await create(node, "shop");
      await node.request("PUT", "/db/shop/collections/c/1", { body: "{}" });
      const copies = [`${folder}/copy.dfdb`, `${folder}/databases/shop/copy.dfdb`];
      for (const targetPath of copies) {
        await refused(node.post("/db/shop/admin/snapshot", { targetPath }), 400, "bad_request");
      }
    });
    const kept = JSON.parse(readFileSync(catalog, "utf8")) as { databases: { dropping: boolean }[] };
    for (const each of kept.databases) each.dropping = true;
    writeFileSync(catalog, JSON.stringify(kept));
    assert.ok(existsSync(data));
    await withNode(folder, {}, async (node) => {
      assert.ok(!existsSync(data));
      assert.equal((await node.get("/databases")).body["count"], 1);
      await refused(node.request("GET", "/db/shop/collections"), 404, "not_found");
    });
    assert.deepEqual((JSON.parse(readFileSync(catalog, "utf8")) as { databases: unknown[] }).databases, []);
  });

  it("the file of a database that no node has open answers as that database", async (folder) => {
    await withNode(folder, {}, async (node) => {
      await create(node, "shop");
      await node.request("PUT", "/db/shop/collections/c/1", { body: "{}" });
    });
    const path = `${folder}/databases/shop/data.dfdb`;
    const local = await openLocalApi({ runtime, logger: silentLogger, path, create: false });
    const { nodeId } = await (await local.fetch("http://x/replication/status")).json() as { nodeId: string };
    await local.fetch("http://x/collections/c/2", { method: "PUT", body: "{}" });
    await local.close();
    await withNode(folder, {}, async (node) => {
      assert.equal((await node.get("/replication/status")).body["nodeId"], nodeId, "of the same node");
      assert.equal((await node.get("/db/shop/collections/c")).body["documents"].length, 2);
      await assert.rejects(
        openLocalApi({ runtime, logger: silentLogger, path, create: false }),
        (error: DfdbError) => error.code === "data_locked",
      );
    });
  });

  it("a copy of a database that is attached is refused", async (folder) => {
    await withNode(folder, {}, async (node) => {
      await create(node, "one");
      await node.request("PUT", "/db/one/collections/c/1", { body: "{}" });
      await told(node.request("DELETE", "/databases/one"));
      writeFileSync(`${folder}/two.dfdb`, readFileSync(`${folder}/databases/one/data.dfdb`));
      await create(node, "one");
      await refused(node.post("/databases", { name: "two", path: "two.dfdb" }), 409, "same_database");
      assert.equal((await node.get("/db/one/collections/c/1")).status, 200);
      await refused(
        node.post("/databases", { name: "bad", path: "bad.dfdb", createIfMissing: false }),
        404,
        "not_found",
      );
      writeFileSync(`${folder}/bad.dfdb`, "something else entirely, which is no database");
      await refused(node.post("/databases", { name: "bad", path: "bad.dfdb" }), 409, "data_corrupt");
    });
  });

  it("keys are the node's, scopes are per database", async (folder) => {
    const apiKey = "k-0123456789", admin = { authorization: `Bearer ${apiKey}` };
    await withNode(folder, { apiKey }, async (node) => {
      await told(node.post("/databases", { name: "shop" }, { headers: admin }));
      await told(node.post("/databases", { name: "other" }, { headers: admin }));
      const mint = async (path: string, ...scopes: string[]): Promise<RequestOptions> => {
        const { body, status } = await told(node.post(path, { scopes }, { headers: admin }));
        assert.equal(status, 201, JSON.stringify(body));
        return { headers: { authorization: `Bearer ${body["secret"]}` } };
      };
      const reader = await mint("/admin/keys", "db:Shop:read");
      const writer = await mint("/db/shop/admin/keys", "db:shop");
      const { count } = (await told(node.request("GET", "/db/other/admin/keys", { headers: admin }))).body;
      assert.equal(count, 2, "one list for all");
      assert.equal(
        (await node.request("PUT", "/db/shop/collections/c/1", { ...writer, body: "{}" })).status,
        201,
      );
      assert.equal((await node.request("GET", "/db/shop/collections/c/1", reader)).status, 200);
      assert.equal((await node.request("GET", "/collections?database=shop", reader)).status, 200);
      const no: readonly (readonly [string, string, RequestOptions])[] = [
        ["PUT", "/db/shop/collections/c/1", { ...reader, body: "{}" }],
        ["GET", "/db/other/collections", writer],
        ["GET", "/db/none/collections", writer],
        ["GET", "/collections", writer],
        ["GET", "/collections?database=other", writer],
        ["GET", "/databases", writer],
        ["DELETE", "/databases/shop", writer],
        ["GET", "/db/shop/admin/keys", writer],
        ["POST", "/db/shop/replication/promote", writer],
      ];
      for (const [method, path, options] of no) {
        await refused(node.request(method, path, options), 403, "forbidden");
      }
      await refused(node.request("GET", "/db/none/collections"), 401, "unauthorized");
      await refused(node.request("GET", "/db/shop/collections"), 401, "unauthorized");
      await refused(node.request("GET", "/databases"), 401, "unauthorized");
      await told(node.post("/databases/shop/set-default", undefined, { headers: admin }));
      assert.equal((await node.request("GET", "/collections/c/1", reader)).status, 200, "flat is shop now");
      await refused(node.request("GET", "/db/default/collections", reader), 403, "forbidden");
      assert.equal((await told(node.request("GET", "/admin/keys", { headers: admin }))).body["count"], 2);
    });
  });

  it("dropping ends feeds, and waits for writes", async (folder) => {
    await withNode(folder, {}, async (node) => {
      await create(node, "shop");
      await node.request("PUT", "/db/shop/collections/c/1", { body: "{}" });
      const feed = await node.request("GET", "/db/shop/changes", {
        headers: { accept: "application/x-ndjson" },
      });
      assert.equal(feed.status, 200);
      const text = feed.text();
      const documents = Array.from({ length: 10_000 }, (_, i) => ({ _id: `d${i}`, text: "x".repeat(400) }));
      const bulk = told(node.post("/db/shop/collections/c/bulk", documents));
      const begun = async (): Promise<boolean> =>
        (await node.request("HEAD", "/db/shop/collections/c/d0")).ok;
      await until(begun);
      const list = await node.request("GET", "/db/shop/collections/c?limit=10000");
      const drop = (): Promise<Response> => node.request("DELETE", "/databases/shop?deleteFiles=true");
      const [dropped, again] = await Promise.all([told(drop()), drop()]);
      const { status, body } = await bulk;
      assert.deepEqual([status, body["count"]], [200, 10_000]);
      assert.equal(dropped.status, 200);
      assert.equal(again.status, 404);
      await again.body?.cancel();
      assert.match(await text.catch(String), /./);
      // What streams breaks off, or was whole before.
      assert.match(await list.text().catch(String), /./);
      await refused(node.request("GET", "/db/shop/collections/c/1"), 404, "not_found");
    });
  });

  it("a new database leads on the port of the default one, and another node follows both", async (folder) => {
    const [wire] = await freePorts(1) as [number];
    const quick = { heartbeatMs: 50, leaderStartMs: 1_000, replicationSecret: "secret" };
    const leading = { ...quick, replicationRole: "leader", replicationPort: wire };
    const follow = {
      ...quick,
      replicationRole: "follower",
      leaderHost: "127.0.0.1",
      leaderPort: wire,
      nodeName: "f",
    };
    await withNode(`${folder}/a`, leading, async (leader) => {
      await create(leader, "shop");
      await create(leader, "own");
      const status = (await leader.get("/db/shop/replication/status")).body;
      assert.deepEqual([status["role"], status["leader"]["port"]], ["leader", wire]);
      const passedOn: string[] = [];
      const passOn: Runtime["fetch"] = (url, { method = "GET", headers, body } = {}) => {
        passedOn.push(`${method} ${url}`);
        const sent = body === null || body === undefined ? {} : { body };
        const path = new URL(url).pathname;
        return leader.request(method, path, { headers: Object.fromEntries(new Headers(headers)), ...sent });
      };
      await withNode(`${folder}/b`, follow, async (follower) => {
        await create(follower, "shop");
        await create(follower, "none-there");
        const put = await leader.request("PUT", "/db/shop/collections/c/1", { body: "{}" });
        await leader.request("PUT", "/collections/c/2", { body: "{}" });
        assert.equal(put.status, 201);
        const has = async (path: string): Promise<boolean> =>
          (await follower.request("GET", path)).status === 200;
        await until(() => has("/db/shop/collections/c/1"));
        await until(() => has("/collections/c/2"));
        assert.equal(await has("/collections/c/1"), false);
        const refusedWrite = await follower.request("PUT", "/db/shop/collections/c/3", { body: "{}" });
        assert.equal(refusedWrite.headers.get("x-dfdb-leader"), "http://this-node:5000/db/shop");
        assert.equal(
          (await refused(refusedWrite, 421, "not_leader"))["leader"],
          "http://this-node:5000/db/shop",
        );
        await until(async () => {
          const { lastError } = (await follower.get("/db/none-there/replication/status")).body["follower"];
          return lastError?.["code"] === "wrong_database";
        });
        await told(leader.request("DELETE", "/databases/shop?deleteFiles=true"));
        await until(async () =>
          (await follower.get("/db/shop/replication/status")).body["follower"]["lastError"]?.["code"] ===
            "wrong_database"
        );
        await leader.request("PUT", "/collections/c/4", { body: "{}" });
        await until(() => has("/collections/c/4"));
      });
      await create(leader, "again");
      await withNode(`${folder}/c`, { ...follow, nodeName: "c", forwardWrites: true }, async (follower) => {
        await create(follower, "again");
        await until(async () => {
          const { follower: { state }, leader: at } =
            (await follower.get("/db/again/replication/status")).body;
          return state === "streaming" && at !== undefined;
        });
        await told(follower.post("/databases/again/set-default"));
        for (
          const path of ["/db/again/collections/c/n%2F1", "/collections/c/2", "/db/default/collections/c/3"]
        ) {
          const put = await follower.request("PUT", path, { body: "{}" });
          assert.equal(put.status, 201, `${path}: ${await put.text()}`);
          assert.equal(put.headers.get("x-dfdb-applied"), "true");
        }
        assert.deepEqual(passedOn, [
          "PUT http://this-node:5000/db/again/collections/c/n%2F1",
          "PUT http://this-node:5000/db/again/collections/c/2",
          "PUT http://this-node:5000/collections/c/3",
        ]);
      }, passOn);
    });
  });
}
