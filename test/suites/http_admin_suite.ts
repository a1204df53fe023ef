import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { everything, testOptions } from "./storage_fixture.ts";

const post = (node: TestNode, path: string, body?: unknown): Promise<{ status: number; body: Body }> =>
  told(node.request("POST", path, body === undefined ? {} : { body: JSON.stringify(body) }));

async function fill(node: TestNode, name: string, count: number, padding = ""): Promise<void> {
  const documents = Array.from({ length: count }, (_, i) => ({ _id: `d${i}`, i, padding }));
  const { body } = await post(node, `/collections/${name}/bulk`, documents);
  assert.equal(body["success"], true);
}

/** Runs `run` with a folder that is not the node's. */
async function elsewhere(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "dfdb-copies-"));
  try {
    await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The data file, copies of it, and the settings. */
export function adminSuite(it: It): void {
  it("/stats has the indexes of each collection, and hides what is reserved", async (node) => {
    await fill(node, "orders", 3);
    const index = { collection: "orders", path: "i", unique: true };
    assert.equal((await post(node, "/index", index)).status, 200);
    assert.equal(
      (await node.request("PUT", "/collections/orders/ttl", { body: '{"field":"at"}' })).status,
      200,
    );
    const { collections } = (await told(node.request("GET", "/stats"))).body;
    assert.deepEqual(collections, [{
      name: "orders",
      documentCount: 3,
      indexes: [{ name: "idx_orders_i", path: "i", entries: 3, unique: true }],
    }]);
  });

  it("/admin/flush and /admin/checkpoint bring what was written into the data file", async (node) => {
    for (const path of ["/admin/flush", "/admin/checkpoint"]) {
      await fill(node, path.slice(7), 500, "x".repeat(500));
      const { path: file } = node.storage.stats();
      const { status, body } = await post(node, path);
      assert.equal(status, 200);
      assert.deepEqual([body["success"], body["pagesLeft"]], [true, 0]);
      assert.ok(body["pages"] > 0 && body["timeMs"] >= 0);
      assert.equal(statSync(file).size, node.storage.stats().fileBytes, "all of it is there");
    }
    await refused(node.request("GET", "/admin/flush"), 405, "method_not_allowed");
  });

  it("/admin/compact gives back what is free, and loses no write that comes meanwhile", async (node) => {
    await fill(node, "orders", 1_000, "x".repeat(2_000));
    await fill(node, "people", 200);
    await node.request("DELETE", "/collections/orders", { headers: { "x-confirm": "true" } });
    while (node.storage.reclaim());
    const before = node.storage.stats(), content = everything(node.storage);
    const asked = post(node, "/admin/compact/People");
    const { status, body } = await asked;
    assert.deepEqual([status, body["success"], body["collection"]], [200, true, "people"]);
    const after = node.storage.stats();
    assert.ok(before.fileBytes - after.fileBytes > 1_000 * 1_000, JSON.stringify([before, after]));
    assert.deepEqual(
      [body["bytesReclaimed"], body["pagesCompacted"]],
      [before.fileBytes - after.fileBytes, after.pageCount],
    );
    assert.equal(statSync(after.path).size, after.fileBytes, "the file on disk is shorter");
    assert.deepEqual(everything(node.storage), content);
    assert.deepEqual(readdirSync(join(dirname(after.path), "snapshots")), []);
    // Writes wait while another one runs; reads do not.
    const busy = post(node, "/admin/compact/people");
    const writes = Array.from(
      { length: 20 },
      (_, i) => node.request("PUT", `/collections/people/n${i}`, { body: "{}" }),
    );
    assert.equal((await node.request("GET", "/collections/people/d7")).status, 200);
    for (const write of writes) assert.equal((await write).status, 201);
    assert.equal((await busy).body["success"], true);
    assert.equal((await told(node.request("GET", "/stats"))).body["collections"][0]["documentCount"], 220);
    assert.equal((await told(node.request("GET", "/verify/log"))).body["bad"], null);
  });

  it("/admin/compact goes on where an index and a collection are dropped and not freed yet", async (node) => {
    for (const name of ["orders", "people"]) {
      await fill(node, name, 10);
      assert.equal((await post(node, "/index", { collection: name, path: "i", name: "by_i" })).status, 200);
    }
    assert.equal((await node.request("DELETE", "/index/orders/by_i")).status, 200);
    const dropped = await node.request("DELETE", "/collections/people", { headers: { "x-confirm": "true" } });
    assert.equal(dropped.status, 200);
    const content = everything(node.storage);
    assert.deepEqual((await post(node, "/admin/compact/orders")).body["success"], true);
    assert.deepEqual(everything(node.storage), content);
    while (node.storage.reclaim());
    assert.equal(node.storage.stats().collectionsDropped, 0, "they are freed afterwards");
    assert.equal((await post(node, "/admin/compact/orders")).body["success"], true);
    const { indexes } = (await told(node.request("GET", "/indexes/orders"))).body;
    assert.deepEqual(indexes, []);
  });

  it("/admin/compact wants a collection, and to be alone", async (node) => {
    await refused(node.request("POST", "/admin/compact/nothing"), 404, "collection_not_found");
    await refused(node.request("POST", "/admin/compact/_settings"), 400, "bad_request");
    await fill(node, "orders", 500, "x".repeat(500));
    const answers = await Promise.all([1, 2, 3].map(() => node.request("POST", "/admin/compact/orders")));
    const statuses = answers.map(({ status }) => status).sort();
    assert.ok(
      statuses[0] === 200 && statuses.every((status) => status === 200 || status === 503),
      statuses.join(),
    );
    for (const answer of answers) if (answer.status === 503) await refused(answer, 503, "busy");
  });

  it("/admin/snapshot makes a database that can be opened", async (node) => {
    await fill(node, "orders", 300);
    await elsewhere(async (folder) => {
      const targetPath = join(folder, "copy one.dfdb");
      const { status, body } = await post(node, "/admin/snapshot", { targetPath });
      assert.deepEqual([status, body["success"], body["targetPath"]], [200, true, targetPath]);
      assert.equal(body["bytesCopied"], statSync(targetPath).size);
      assert.deepEqual(readdirSync(folder), ["copy one.dfdb"]);
      await fill(node, "later", 1);
      const copy = await openStorage(testOptions(targetPath, { known: () => false }));
      try {
        assert.equal(copy.databaseId, node.storage.databaseId);
        assert.deepEqual(copy.read((view) => view.collections().map(({ documents }) => documents)), [300]);
      } finally {
        copy.close();
      }
      const again = await refused(
        node.request("POST", "/admin/snapshot", { body: JSON.stringify({ targetPath }) }),
        409,
        "conflict",
      );
      assert.match(again["error"], /already/);
    });
  });

  it("/admin/snapshot refuses to write where it must not", async (node) => {
    const data = dirname(node.storage.stats().path);
    await fill(node, "orders", 1);
    await elsewhere(async (folder) => {
      const wrong = [
        "",
        "copy.dfdb",
        "./copy.dfdb",
        `${folder}/../copy.dfdb`,
        `${folder}/copy.db`,
        `${folder}/.bashrc`,
        `${folder}/missing/copy.dfdb`,
        `${data}/copy.dfdb`,
        `${data}/snapshots/copy.dfdb`,
        node.storage.stats().path,
        `${folder}/a\0.dfdb`,
      ];
      for (const targetPath of wrong) {
        const body = await refused(
          node.request("POST", "/admin/snapshot", { body: JSON.stringify({ targetPath }) }),
          400,
          "bad_request",
        );
        assert.equal(body["field"], "targetPath", JSON.stringify(targetPath));
      }
      for (const body of ["", "{}", '{"targetPath":1}', `{"targetPath":"${folder}/a.dfdb","x":1}`]) {
        await refused(node.request("POST", "/admin/snapshot", { body }), 400, "bad_request");
      }
      // What is there stays: a file, a folder, and where a link leads.
      writeFileSync(join(folder, "file.dfdb"), "mine");
      symlinkSync(join(folder, "file.dfdb"), join(folder, "link.dfdb"));
      for (const name of ["file.dfdb", "link.dfdb"]) {
        const targetPath = join(folder, name);
        await refused(
          node.request("POST", "/admin/snapshot", { body: JSON.stringify({ targetPath }) }),
          409,
          "conflict",
        );
      }
      assert.deepEqual(readdirSync(folder).sort(), ["file.dfdb", "link.dfdb"]);
      assert.equal(statSync(join(folder, "file.dfdb")).size, 4);
    });
    assert.ok(!existsSync(join(data, "copy.dfdb")));
  });

  const apiKey = "a secret that nobody sees";
  it("/admin/config shows settings and no secrets, and changes what can be changed", async (node) => {
    const headers = { authorization: `Bearer ${apiKey}` };
    await refused(node.request("GET", "/admin/config"), 401, "unauthorized");
    const answer = await node.request("GET", "/admin/config", { headers }), text = await answer.text();
    assert.ok(!text.includes(apiKey));
    const config = JSON.parse(text) as Body;
    const sha256 = createHash("sha256").update(apiKey).digest("hex");
    assert.deepEqual(config["security"], {
      adminKeyConfigured: true,
      adminKeyFingerprint: `sha256:${sha256.slice(0, 8)}`,
      replicationSecretConfigured: false,
      replicationSecretFingerprint: null,
      tls: { configured: false, certPath: null, certPasswordConfigured: false },
      scopedKeys: [],
    });
    assert.deepEqual(config["liveEditable"], ["minSyncReplicas", "syncTimeoutSeconds"]);
    assert.ok(config["restartRequired"].includes("apiKey"));
    assert.deepEqual([config["node"]["nodeName"], config["node"]["port"], config["network"]], [
      "test-node",
      5000,
      {
        publicBaseUrl: null,
      },
    ]);
    const minted = await told(
      node.request("POST", "/admin/keys", { headers, body: '{"scopes":["*"],"description":"mine"}' }),
    );
    const { secret } = minted.body,
      fingerprint = createHash("sha256").update(secret).digest("hex").slice(0, 8);
    const { security } = (await told(node.request("GET", "/admin/config", { headers }))).body;
    assert.deepEqual(security["scopedKeys"], [
      { description: "mine", scopes: ["*"], keyFingerprint: `sha256:${fingerprint}` },
    ]);
    const change = (body: unknown) =>
      node.request("PUT", "/admin/config", { headers, body: JSON.stringify(body) });
    const both = await told(change({ minSyncReplicas: 2, syncTimeoutSeconds: 0.5 }));
    assert.deepEqual([both.status, both.body["saved"], both.body["applied"]], [200, true, [
      "minSyncReplicas",
      "syncTimeoutSeconds",
    ]]);
    assert.deepEqual(
      [
        both.body["config"]["replication"]["minSyncReplicas"],
        both.body["config"]["replication"]["syncTimeoutSeconds"],
      ],
      [2, 0.5],
    );
    const fixed = await refused(change({ minSyncReplicas: 1, apiKey: "other" }), 400, "restart_required");
    assert.equal(fixed["field"], "apiKey");
    const nothing = await refused(change({}), 400, "bad_request");
    assert.deepEqual(nothing["liveEditable"], config["liveEditable"]);
    for (
      const body of [
        { minSyncReplicas: -1 },
        { minSyncReplicas: 1.5 },
        { minSyncReplicas: 65 },
        { minSyncReplicas: "1" },
        { syncTimeoutSeconds: 0 },
        { syncTimeoutSeconds: 1, unknown: 1 },
        { minSyncReplicas: 3, syncTimeoutSeconds: 1e9 },
      ]
    ) await refused(change(body), 400, "bad_request");
    const { replication } = (await told(node.request("GET", "/admin/config", { headers }))).body;
    assert.deepEqual([replication["minSyncReplicas"], replication["syncTimeoutSeconds"]], [2, 0.5]);
  }, { apiKey });
}
