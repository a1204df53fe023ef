/** Writes by every route, so that what they leave behind can be compared between nodes; and which routes there are. */
import assert from "node:assert/strict";
import { httpRouter } from "../../src/http/app.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import { directTransport, withNode } from "../suites/http_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

/** Routes that take something and write nothing that replicates, by what they do instead. */
export const writesNothing: Readonly<Record<string, string>> = {
  "POST /admin/snapshot": "copies the database",
  "PUT /admin/config": "settings of one node",
  "POST /verify/hold": "holds a follower",
  "POST /verify/release": "and lets it go on",
  "POST /replication/start-leader": "roles",
  "POST /replication/start-follower": "roles",
  "POST /replication/promote": "roles",
  "POST /replication/handover": "roles",
  "DELETE /replication/handover": "roles",
  "POST /replication/auto-failover/enable": "roles",
  "POST /replication/auto-failover/disable": "roles",
  "DELETE /replication/nodes/:id": "the leader's list of nodes",
  "POST /replication/read-only": "the gate",
  "POST /replication/read-write": "the gate",
  "POST /replication/accept-loss": "a new epoch",
  "POST /replication/resync": "a new copy",
  "POST /replication/replicate":
    "of another master, in a database with the bundle: masters_test.ts, as what follows",
  "POST /replication/replicateDocs": "the same",
  "PUT /replication/lastEtag": "the same, the cursor alone",
  "POST /replication/heartbeat": "wakes who sends",
  "POST /replication/resolve": "conflicts between masters",
  "POST /admin/replication/purge-tombstones": "tombstones that masters need no more",
  "DELETE /replication/peers/:id": "who is waited for by tombstones",
};

/** Every route that is no GET: `METHOD /its/:path`. */
export async function takingRoutes(): Promise<readonly string[]> {
  const runtime = currentRuntime();
  let given: HttpDependencies | null = null;
  const around = (dependencies: HttpDependencies): HttpDependencies => given = dependencies;
  await withNode(runtime, directTransport(), { around }, () => Promise.resolve());
  assert.ok(given !== null);
  return httpRouter(given).routes.map(({ method, path }) => `${method} ${path}`).filter((route) =>
    !route.startsWith("GET ")
  );
}

// deno-lint-ignore no-explicit-any -- answers of every shape
type Body = Record<string, any>;

export interface Sender {
  /** Asks the node at `url`; fails unless the answer is one of success. A body that is no text goes as JSON. */
  send(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Body>;
  /** The same, of another node. */
  to(url: string): Sender;
  /** From now on with this key. */
  useKey(secret: string | null): void;
  /** Of `takingRoutes`, those that answered with success. */
  readonly used: ReadonlySet<string>;
}

export function sender(url: string, routes: readonly string[]): Sender {
  const used = new Set<string>();
  let secret: string | null = null;
  const at = (target: string): Sender => ({
    async send(method, path, body, headers = {}) {
      const answer = await fetch(`${target}${path}`, {
        method,
        headers: { ...headers, ...(secret === null ? {} : { authorization: `Bearer ${secret}` }) },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        signal: AbortSignal.timeout(60_000),
      });
      const text = await answer.text();
      assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
      const route = routeOf(routes, method, path);
      if (route !== null) used.add(route);
      return JSON.parse(text) as Body;
    },
    to: at,
    useKey: (key) => void (secret = key),
    used,
  });
  return at(url);
}

/** As the router chooses: of those that fit, the one with the fewest parameters. */
function routeOf(routes: readonly string[], method: string, path: string): string | null {
  const parts = `${method} ${path.split("?")[0]}`.split("/");
  const parameters = (route: string): number => route.split("/:").length;
  const fits = routes.filter((route) => {
    const wanted = route.split("/");
    return wanted.length === parts.length &&
      wanted.every((part, i) => part.startsWith(":") || part === parts[i]);
  });
  return fits.sort((a, b) => parameters(a) - parameters(b))[0] ?? null;
}

/** Leaves something behind by each route, with and without indexes, unique ones, schemas, references, expiry, keys of retries. */
export async function everyWrite(leader: Sender): Promise<void> {
  await documents(leader);
  await many(leader);
  await statements(leader);
  await rules(leader);
  await expiry(leader);
  await dropped(leader);
  await leader.send("POST", "/seed", { orders: 40 });
}

const once = (key: string): Readonly<Record<string, string>> => ({ "idempotency-key": key });

async function documents({ send }: Sender): Promise<void> {
  await send("POST", "/index", { collection: "docs", path: "n", name: "by_n" });
  await send("POST", "/index", { collection: "docs", path: "code", unique: true });
  for (const [i, id] of ["a", "b", "c", "d", "e", "f"].entries()) {
    await send("PUT", `/collections/docs/${id}`, { n: i, code: `c${i}`, tags: [id, "t", "t"], stock: 5 });
  }
  const { etag } = await send("PUT", "/collections/docs/a", { n: 10, code: "c0", tags: ["x"] });
  await send("PUT", "/collections/docs/a", { n: 11, code: "c0" }, { "if-match": `"${etag}"` });
  await send("PUT", "/collections/docs/a%2Fb", { n: null }, { "if-none-match": "*" });
  await send("PUT", "/collections/docs/%C3%BC", '{"n":1.50,"s":"\\u0000\\ud83d\\ude00"}');
  await send("POST", "/collections/docs", { n: 7, tags: [] });
  for (let i = 0; i < 2; i++) await send("POST", "/collections/docs", { n: 8 }, once("insert"));
  await send("PATCH", "/collections/docs/b", { n: 20, tags: null, deep: { er: [1, { x: 2 }] } });
  const steps = [{ field: "n", op: "inc", value: 3 }, { field: "tags[0]", op: "set", value: "patched" }];
  await send("PATCH", "/collections/docs/c", { $ops: steps });
  await send("POST", "/collections/docs/c/conditional", {
    conditions: [{ field: "stock", op: ">", value: 0 }],
    operations: [{ field: "stock", op: "dec", value: 1 }],
  });
  await send("PUT", "/collections/docs/by/code/c3", { n: 30, code: "c3", by: "field" });
  await send("PATCH", "/collections/docs/by/code/c4", { n: 40 });
  await send("DELETE", "/collections/docs/by/code/c5");
  await send("POST", "/index", { collection: "docs", path: "tags[*]", name: "by_tag" });
  await send("POST", "/index", { collection: "docs", path: "deep.er, n", name: "by_two" });
  await send("POST", "/index", { collection: "docs", path: "gone", name: "gone" });
  await send("DELETE", "/index/docs/gone");
  await send("DELETE", "/collections/docs/e");
  for (const key of ["left", "gone"]) await send("PUT", `/docs/${key}`, { n: 1, key });
  await send("DELETE", "/docs/gone");
}

async function many({ send }: Sender): Promise<void> {
  const list = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, i) => ({ _id: `${prefix}${i}`, n: i % 7, tags: [`t${i % 3}`, i] }));
  // One of them is there already, one has a code that is taken.
  const plain = await send("POST", "/collections/docs/bulk", [
    ...list("p", 50),
    { _id: "p0" },
    { _id: "late", code: "c0" },
  ]);
  assert.equal(plain["errors"].length, 2);
  await send("POST", "/collections/docs/bulk?skipIndexes=true", list("s", 5));
  await send("POST", "/collections/docs/bulk?atomic=true", list("q", 50));
  for (let i = 0; i < 2; i++) await send("POST", "/collections/docs/bulk", list("r", 5), once("bulk"));
  const batch = [
    { op: "insert", collection: "docs", doc: { _id: "tx", n: 1, code: "c1-taken-over" } },
    { op: "insert", collection: "made_by_tx", doc: { n: 2 } },
    { op: "replace", collection: "docs", id: "tx", doc: { n: 2, code: "tx" } },
    { op: "replace", collection: "docs", id: "p1", doc: { n: "text", tags: [[1], { a: 1 }, null, true] } },
    { op: "delete", collection: "docs", id: "p2" },
    { op: "delete", collection: "docs", id: "nobody" },
    { op: "deleteByField", collection: "docs", field: "n", value: 6 },
  ];
  const { results } = await send("POST", "/tx/batch", batch);
  assert.ok(results.at(-1)["deleted"] > 5);
  const kept = [{ op: "insert", collection: "docs", doc: { n: 3 } }];
  for (let i = 0; i < 2; i++) await send("POST", "/tx/batch", kept, once("tx"));
}

async function statements({ send }: Sender): Promise<void> {
  const run = (sql: string, params: unknown = [], headers = {}): Promise<Body> =>
    send("POST", "/query", { sql, params }, headers);
  await run('INSERT INTO sql VALUES {"_id":"x","n":1.50,"at":{"k":"v"}}, {"_id":"y","n":2}');
  await run("INSERT INTO sql (_id, n, at.k, made) VALUES (NEWID(), ?, UPPER('z'), NOW())", [3]);
  await run("CREATE INDEX by_k ON sql (at.k)");
  await run("CREATE UNIQUE INDEX one_n ON sql (n)");
  await run("CREATE INDEX short_lived ON sql (made)");
  await run("UPDATE sql SET n = n + 10, tag = _id, seen = NOW() WHERE n < :most", { most: 3 });
  for (let i = 0; i < 2; i++) await run("INSERT INTO sql (n) VALUES (99)", [], once("sql"));
  await run("DELETE FROM sql WHERE n = 3");
  await run("DROP INDEX short_lived ON sql");
}

async function rules({ send }: Sender): Promise<void> {
  for (const collection of ["pets", "visits"]) await send("POST", "/index", { collection, path: "owner" });
  const refs = (onDelete: string) => [{ field: "owner", collection: "owners", onDelete }];
  await send("PUT", "/collections/pets/schema", { required: ["owner"], refs: refs("cascade") });
  await send("PUT", "/collections/visits/schema", { types: { n: "int" }, refs: refs("setNull") });
  await send("PUT", "/collections/owners/schema", { checks: ["n >= 0"] });
  for (const owner of ["o1", "o2"]) {
    await send("PUT", `/collections/owners/${owner}`, { n: 1 });
    await send("PUT", `/collections/pets/of-${owner}`, { owner });
    await send("PUT", `/collections/visits/of-${owner}`, { owner, n: 3 });
  }
  await send("DELETE", "/collections/owners/o1");
  assert.equal((await send("GET", "/collections/pets"))["documents"].length, 1, "deleted with its owner");
  assert.equal((await send("GET", "/collections/visits/of-o1"))["owner"], null);
  await send("DELETE", "/collections/owners/schema");
}

async function expiry({ send }: Sender): Promise<void> {
  for (const [id, year] of [["over", 2001], ["past", 2002], ["alive", 2999]] as const) {
    await send("PUT", `/collections/sessions/${id}`, { expiresAt: `${year}-01-01T00:00:00Z` });
  }
  await send("PUT", "/collections/sessions/ttl", { field: "expiresAt", intervalSeconds: 3_600 });
  await send("PUT", "/collections/docs/ttl", { field: "expires" });
  await send("POST", "/admin/ttl/sweep");
  const left = await send("GET", "/collections/sessions");
  assert.deepEqual(left["documents"].map(({ _id }: Body) => _id), ["alive"]);
  await send("DELETE", "/collections/docs/ttl");
}

/** With everything that hangs on it; then one of its name again. */
async function dropped({ send }: Sender): Promise<void> {
  for (const left of [20, 3]) {
    await send("POST", "/index", { collection: "dropped", path: "n", unique: left === 20 });
    await send("PUT", "/collections/dropped/ttl", { field: "at" });
    await send("PUT", "/collections/dropped/schema", { required: ["n"] });
    await send(
      "POST",
      "/collections/dropped/bulk?atomic=true",
      Array.from({ length: left }, (_, n) => ({ n, at: "2999-01-01" })),
    );
    if (left === 20) await send("DELETE", "/collections/dropped", undefined, { "x-confirm": "true" });
  }
}

/** What each node does for itself. */
export async function upkeep({ send }: Sender): Promise<void> {
  await send("POST", "/admin/rebuild-index/docs/by_tag");
  await send("POST", "/admin/rebuild-indexes/sql");
  await send("POST", "/admin/flush");
  await send("POST", "/admin/checkpoint");
  await send("POST", "/admin/compact/docs");
}

/** Keys for the API; afterwards everybody needs the one that is left, which is answered. */
export async function keys(leader: Sender): Promise<{ readonly id: string; readonly secret: string }> {
  const all = await leader.send("POST", "/admin/keys", { scopes: ["*"], description: "left" });
  leader.useKey(all["secret"]);
  const { id } = await leader.send("POST", "/admin/keys", { scopes: ["db:default:read"] });
  await leader.send("DELETE", `/admin/keys/${id}`);
  return { id: all["id"], secret: all["secret"] };
}
