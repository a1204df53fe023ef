import assert from "node:assert/strict";
import type { Body, It, RequestOptions, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const apiKey = "k-0123456789";
const configured = bearer(apiKey);

function bearer(secret: string): RequestOptions {
  return { headers: { authorization: `Bearer ${secret}` } };
}

/** Mints a key; returns the answer's body. */
async function mint(node: TestNode, scopes: readonly string[], by: RequestOptions = {}): Promise<Body> {
  const answer = await node.request("POST", "/admin/keys", { ...by, body: JSON.stringify({ scopes }) });
  assert.equal(answer.status, 201, await answer.clone().text());
  return await answer.json() as Body;
}

/** Status of each request with this key. */
async function statuses(
  node: TestNode,
  secret: string,
  asked: readonly (readonly [string, string, string?])[],
): Promise<number[]> {
  const all: number[] = [];
  for (const [method, path, body] of asked) {
    const answer = await node.request(method, path, {
      ...bearer(secret),
      ...(body === undefined ? {} : { body }),
    });
    await answer.body?.cancel();
    all.push(answer.status);
  }
  return all;
}

const reads = [["GET", "/collections"], ["GET", "/collections/a/x"], ["GET", "/stats"], ["GET", "/version"], [
  "GET",
  "/replication/status",
]] as const;
const writes = [
  ["PUT", "/collections/a/x", "{}"],
  ["POST", "/collections/a", "{}"],
  [
    "POST",
    "/collections/a/bulk",
    "[{}]",
  ],
  ["POST", "/tx/batch", "[]"],
  ["DELETE", "/collections/a/none"],
] as const;
const admins = [
  ["GET", "/admin/keys"],
  ["POST", "/admin/keys", "{}"],
  ["DELETE", "/admin/keys/none"],
  ["POST", "/replication/read-only"],
  ["POST", "/replication/handover", "{}"],
  ["GET", "/replication/other"],
  ["POST", "/verify/hold", "{}"],
  ["GET", "/databases"],
  ["DELETE", "/databases/a"],
  ["GET", "/db/default/admin/keys"],
  ["GET", "/a/route/that/nobody/thought/of"],
] as const;

/** Scoped API keys. */
export function keysSuite(it: It): void {
  it("a key is minted, listed without its secret, counts, and is revoked", async (node) => {
    const { request, storage } = node;
    const body = '{"scopes":["db:default:read","db:default:read"],"description":"reports"}';
    const answer = await request("POST", "/admin/keys", { ...configured, body });
    assert.equal(answer.status, 201);
    assert.ok(answer.headers.get("x-dfdb-position"));
    const { id, secret, warning, createdAt, ...rest } = await answer.json() as Body;
    assert.deepEqual(rest, { scopes: ["db:default:read"], description: "reports" });
    assert.match(secret, /^dfdb_[A-Za-z0-9_-]{43}$/);
    assert.match(warning, /shown this once/);
    const { body: list } = await told(request("GET", "/admin/keys", configured));
    assert.deepEqual(list, {
      count: 1,
      keys: [{ id, scopes: ["db:default:read"], description: "reports", createdAt }],
    });
    assert.ok(Math.abs(Date.parse(createdAt) - node.clock.wall()) < 3_600_000);
    const kept = storage.read((view) => view.document(view.collection("_keys")!.number, id));
    assert.ok(kept !== null && !kept.body.includes(secret.slice(5)), "only the hash is kept");
    assert.equal((await request("GET", "/stats", bearer(secret))).status, 200);
    const forbidden = await refused(
      request("PUT", "/collections/a/x", { ...bearer(secret), body: "{}" }),
      403,
      "forbidden",
    );
    assert.deepEqual([forbidden["matchedKey"], forbidden["needed"]], [id, "db:default:write"]);
    const { body: gone } = await told(request("DELETE", `/admin/keys/${id}`, configured));
    assert.deepEqual(gone, { id, revoked: true });
    await refused(request("GET", "/stats", bearer(secret)), 401, "unauthorized");
    await refused(request("DELETE", `/admin/keys/${id}`, configured), 404, "not_found");
    assert.deepEqual((await told(request("GET", "/admin/keys", configured))).body, { count: 0, keys: [] });
    assert.deepEqual(node.logged, []);
  }, { apiKey });

  it("every route wants its scope", async (node) => {
    await node.request("PUT", "/collections/a/x", { ...configured, body: "{}" });
    const all = [...reads, ...writes, ...admins];
    const expect = async (scopes: readonly string[], ...allowed: readonly boolean[]) => {
      const { secret } = await mint(node, scopes, configured);
      const [canRead, canWrite, canAll] = allowed;
      const got = (await statuses(node, secret, all)).map((status) => {
        assert.notEqual(status, 401);
        return status !== 403;
      });
      const wanted = [
        ...reads.map(() => canRead),
        ...writes.map(() => canWrite),
        ...admins.map(() => canAll),
      ];
      assert.deepEqual(got, wanted, scopes.join());
    };
    await expect(["read"], true, false, false);
    await expect(["write"], false, true, false);
    await expect(["db:*"], true, true, false);
    await expect(["db:*:read"], true, false, false);
    await expect(["db:DEFAULT"], true, true, false);
    await expect(["db:default:read"], true, false, false);
    await expect(["db:default:write"], false, true, false);
    await expect(["db:other"], false, false, false);
    await expect(["db:other:read", "db:default:write"], false, true, false);
  }, {
    apiKey,
    around: (given) => ({
      ...given,
      control: { ...given.control, setReadOnly: () => Promise.resolve() },
    }),
  });

  it("a statement that writes wants more than one that reads", async (node) => {
    await node.request("PUT", "/collections/a/x", { ...configured, body: '{"n":1}' });
    const { secret } = await mint(node, ["read"], configured);
    const { secret: both } = await mint(node, ["db:default"], configured);
    const { secret: writer } = await mint(node, ["write"], configured);
    const asked = [
      "SELECT * FROM a",
      "UPDATE a SET n = 2",
      "INSERT INTO a VALUES {}",
      "DELETE FROM a",
      "CREATE INDEX i ON a (n)",
    ]
      .map((sql) => ["POST", "/query", JSON.stringify({ sql })] as const);
    assert.deepEqual(await statuses(node, secret, asked), [200, 403, 403, 403, 403]);
    assert.deepEqual(await statuses(node, writer, asked), [403, 403, 403, 403, 403], "a statement reads too");
    assert.deepEqual(await statuses(node, both, asked), [200, 200, 200, 200, 200]);
  }, { apiKey });

  it("a key for one database is one for its paths only", async (node) => {
    const { secret } = await mint(node, ["db:other"], configured);
    assert.deepEqual(
      await statuses(node, secret, [
        ["GET", "/db/other/collections/a/x"],
        ["PUT", "/db/%6fther/collections/a/x"],
        ["GET", "/db/other/replication/status"],
        ["GET", "/collections?database=other"],
        ["GET", "/db/default/collections/a/x"],
        ["GET", "/db/other/admin/keys"],
        ["POST", "/db/other/replication/promote"],
        ["GET", "/collections?database=default"],
        ["GET", "/collections/a?database=other"],
        ["GET", "/db/other"],
      ]),
      [404, 404, 404, 404, 403, 403, 403, 403, 403, 403],
    );
    await refused(node.request("GET", "/db/%ff/collections", bearer(secret)), 400, "bad_request");
    const everything = (await mint(node, ["admin"], configured))["secret"] as string;
    assert.deepEqual(
      await statuses(node, everything, [["GET", "/admin/keys"], ["GET", "/collections"], [
        "GET",
        "/nothing",
      ]]),
      [200, 200, 404],
    );
  }, { apiKey });

  it("where no key is configured the first one closes the door, the last one opens it", async (node) => {
    const { request } = node;
    const first = await refused(
      request("POST", "/admin/keys", { body: '{"scopes":["db:default"]}' }),
      400,
      "bad_request",
    );
    assert.match(first["error"], /must have the scope "\*"/);
    assert.equal((await request("GET", "/stats")).status, 200);
    const admin = await mint(node, ["*"]), by = bearer(admin["secret"]);
    await refused(request("GET", "/stats"), 401, "unauthorized");
    await refused(request("PUT", "/collections/a/x", { body: "{}" }), 401, "unauthorized");
    assert.equal((await request("GET", "/health")).status, 200);
    assert.equal((await request("GET", "/ready")).status, 200, "this test is on loopback");
    const reader = await mint(node, ["read"], by);
    const refusal = await refused(request("DELETE", `/admin/keys/${admin["id"]}`, by), 409, "conflict");
    assert.match(refusal["error"], /last key with the scope/);
    const second = await mint(node, ["admin"], by);
    assert.equal((await request("DELETE", `/admin/keys/${admin["id"]}`, by)).status, 200);
    await refused(request("GET", "/stats", by), 401, "unauthorized");
    const other = bearer(second["secret"]);
    assert.equal((await request("DELETE", `/admin/keys/${reader["id"]}`, other)).status, 200);
    assert.equal((await request("DELETE", `/admin/keys/${second["id"]}`, other)).status, 200);
    assert.equal((await request("PUT", "/collections/a/x", { body: "{}" })).status, 201);
  });

  it("keys outlive a rescue of the cache: many changes in between", async (node) => {
    const { secret } = await mint(node, ["*"]);
    const by = bearer(secret);
    for (let n = 0; n < 20; n++) {
      const answers = await Promise.all([
        node.request("PUT", `/collections/a/${n}`, { ...by, body: "{}" }),
        node.request("GET", "/stats", by),
        node.request("GET", "/stats", bearer(`${secret}x`)),
      ]);
      assert.deepEqual(answers.map(({ status }) => status), [201, 200, 401]);
    }
  });

  it("what is no key is refused", async (node) => {
    const { request, storage } = node;
    for (
      const body of [
        "{}",
        '{"scopes":[]}',
        '{"scopes":"*"}',
        '{"scopes":[""]}',
        '{"scopes":["db:"]}',
        '{"scopes":["db:a:all"]}',
        '{"scopes":["db:a b"]}',
        '{"scopes":["Read"]}',
        '{"scopes":["*",7]}',
        '{"scopes":["*"],"secret":"mine"}',
        `{"scopes":["*"],"description":"${"x".repeat(501)}"}`,
        JSON.stringify({ scopes: Array.from({ length: 65 }, (_, i) => `db:d${i}`) }),
      ]
    ) {
      await refused(request("POST", "/admin/keys", { ...configured, body }), 400, "bad_request");
    }
    const headers = { ...configured.headers, "idempotency-key": "k" };
    const remembered = await refused(
      request("POST", "/admin/keys", { headers, body: '{"scopes":["*"]}' }),
      400,
      "bad_request",
    );
    assert.match(remembered["error"], /has a secret in it/);
    assert.equal(storage.log.last.seq, 0);
    await refused(request("GET", "/collections/_keys", configured), 400, "bad_request");
    node.state.role = "follower";
    await refused(
      request("POST", "/admin/keys", { ...configured, body: '{"scopes":["*"]}' }),
      421,
      "not_leader",
    );
    await refused(request("DELETE", "/admin/keys/x", configured), 421, "not_leader");
  }, { apiKey });
}
