/** Writes that a follower passes on: two nodes, the follower's fetch is the way to the leader. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fetch } from "../../src/http/types.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { NodeOptions, TestNode, Transport } from "./http_fixture.ts";
import { refused, testNodeId, told, waitingForPositions, withNode } from "./http_fixture.ts";

interface Pair {
  readonly leader: TestNode;
  readonly follower: TestNode;
  /** URL and init of each request that the follower sent. */
  readonly sent: { readonly url: string; readonly init: RequestInit }[];
  /** Brings the follower to where the leader is, now and from now on. */
  replicate(): void;
}

interface PairOptions {
  readonly leader?: NodeOptions;
  readonly follower?: NodeOptions;
  /** Stands in for the way to the leader. */
  readonly fetch?: Fetch;
}

/** Calls the node as a fetch would. */
const fetchOf = (node: TestNode): Fetch => (url, init = {}) => {
  const headers = Object.fromEntries(new Headers(init.headers));
  const body = init.body === undefined || init.body === null ? {} : { body: init.body };
  return node.request(init.method ?? "GET", url.slice(node.url.length), { headers, ...body });
};

type Run = (pair: Pair) => Promise<void>;

function pairs(runtime: Runtime, transport: Transport): (options: PairOptions, run: Run) => Promise<void> {
  return (options, run) =>
    withNode(runtime, transport, options.leader ?? {}, (leader) => {
      const sent: Pair["sent"] = [];
      const way = options.fetch ?? (transport.name === "direct" ? fetchOf(leader) : runtime.fetch);
      const fetch: Fetch = (url, init = {}) => {
        sent.push({ url, init });
        return way(url, init);
      };
      const around: NodeOptions["around"] = (given) =>
        (options.follower?.around ?? ((same) => same))({ ...given, fetch, forwardWrites: true });
      return withNode(runtime, transport, { ...options.follower, around }, async (follower) => {
        follower.state.role = "follower";
        follower.state.leaderHttpUrl = leader.url;
        const ship = (): void => {
          const { log } = leader.storage, after = follower.storage.log.last.seq;
          const entries = log.entries(after, { bytesMax: 2 ** 26, entriesMax: 1_000 });
          if (entries !== "compacted" && entries.length > 0) void follower.engine.apply(entries);
        };
        const replicate = (): void => {
          ship();
          leader.engine.committed.subscribe(ship);
        };
        await run({ leader, follower, sent, replicate });
      });
    });
}

/** A follower that does not wait for its leader's writes. */
const impatient = waitingForPositions(1);

type Write = readonly [method: string, path: string, body: string | null, status: number];

const writes: readonly Write[] = [
  ["PUT", "/collections/orders/a", '{"n":1.50}', 201],
  ["PUT", "/collections/orders/a", '{"n":2}', 200],
  ["PATCH", "/collections/orders/a", '{"m":1}', 200],
  [
    "POST",
    "/collections/orders/a/conditional",
    '{"conditions":[{"field":"n","op":"==","value":2}],"operations":[{"field":"n","op":"inc","value":1}]}',
    200,
  ],
  ["PUT", "/collections/orders/x%2Fy%20%25", "{}", 201],
  ["POST", "/collections/orders", '{"_id":"b"}', 201],
  ["POST", "/collections/orders/bulk?skipIndexes=true&other=%20", '[{"_id":"c"},{"_id":"d"}]', 200],
  ["POST", "/tx/batch", '[{"op":"insert","collection":"items","doc":{"_id":"i"}}]', 200],
  ["DELETE", "/collections/orders/a", null, 200],
  ["DELETE", "/collections/items", null, 200],
  [
    "POST",
    "/query",
    '{"sql":"INSERT INTO orders (_id, n) VALUES (?, 1.50), (NEWID(), 2)","params":["q"]}',
    200,
  ],
  ["POST", "/query?other=%20", '{"sql":"UPDATE orders SET n = 2, at = NOW(), x = NEWID() WHERE n > 0"}', 200],
  ["POST", "/index", '{"collection":"orders","path":"n"}', 200],
  ["POST", "/query", '{"sql":"CREATE INDEX byX ON orders (x)"}', 200],
  ["PATCH", "/collections/orders/by/n/2", '{"n":3}', 200],
  ["PUT", "/collections/orders/by/n/3", '{"n":"4"}', 200],
  ["POST", "/tx/batch", '[{"op":"deleteByField","collection":"orders","field":"n","value":4}]', 200],
  ["DELETE", "/collections/orders/by/n/2", null, 200],
  ["POST", "/query", '{"sql":"DELETE FROM orders WHERE _id = \'c\'"}', 200],
  ["DELETE", "/index/orders/BYX", null, 200],
];

export function forwardSuite(runtime: Runtime, transport: Transport): void {
  const withPair = pairs(runtime, transport);
  const it = (what: string, run: Run, options: PairOptions = {}): void =>
    void test(`forwarded writes, ${transport.name}: ${what}`, () => withPair(options, run));
  passedOnTests(it);
  refusalTests(it);
  failureTests(it);
}

type It = (what: string, run: Run, options?: PairOptions) => void;

/** Everything that a database holds: collections, documents with the entries of their changes, indexes. */
function contents({ storage }: TestNode): unknown {
  return storage.read((view) =>
    view.collections().map(({ number, name, documents }) => ({
      ...{ number, name, documents },
      all: view.page(number, 0, { documentsMax: 1_000, bytesMax: 2 ** 26 }).documents,
      indexes: view.indexes(number).map((index) => ({ ...index, number: 0 })),
    }))
  );
}

function passedOnTests(it: It): void {
  it("every write goes to the leader, as it is, and can be read here then", async (pair) => {
    const { leader, follower, sent, replicate } = pair;
    replicate();
    for (const [method, path, body, status] of writes) {
      sent.length = 0;
      const headers = { "x-confirm": "true", authorization: "Bearer mine", "x-own": "kept" };
      const answer = await follower.request(method, path, { headers, ...(body === null ? {} : { body }) });
      const text = await answer.text();
      assert.deepEqual([answer.status, sent.length], [status, 1], `${method} ${path}: ${text}`);
      assert.equal(sent[0]?.url, `${leader.url}${path}`);
      const passed = new Headers(sent[0]?.init.headers);
      assert.deepEqual(
        ["authorization", "x-own", "x-dfdb-forwarded", "host", "connection"].map((name) => passed.get(name)),
        [
          "Bearer mine",
          "kept",
          testNodeId,
          null,
          null,
        ],
      );
      assert.equal(answer.headers.get("content-type"), "application/json");
      assert.equal(answer.headers.get("x-dfdb-position"), `1.abababab-${leader.storage.log.last.seq}`);
      assert.equal(answer.headers.get("x-dfdb-applied"), "true");
      assert.equal(
        answer.headers.get("location"),
        status !== 201 ? null : path.endsWith("orders") ? "/collections/orders/b" : path,
      );
      assert.equal(JSON.parse(text)["success"], true);
      assert.deepEqual(follower.storage.log.last, leader.storage.log.last);
    }
    assert.equal((await told(follower.request("GET", "/collections/orders/d"))).status, 200);
    let filling = true;
    while (filling) filling = follower.storage.buildSlice();
    assert.deepEqual(contents(follower), contents(leader));
  });

  it("a statement that reads stays here, and so does what is wrong with one", async ({ follower, sent, replicate }) => {
    replicate();
    const ask = (sql: string) => follower.request("POST", "/query", { body: JSON.stringify({ sql }) });
    assert.equal((await told(ask('INSERT INTO c VALUES {"a":1}'))).body["affected"], 1);
    sent.length = 0;
    assert.equal((await told(ask("SELECT * FROM c"))).body["count"], 1);
    await refused(ask("UPDATE c SET"), 400, "bad_request");
    await refused(ask("SELECT"), 400, "bad_request");
    await refused(ask("SELECT * FROM d"), 400, "collection_not_found");
    assert.equal(sent.length, 0);
    await refused(ask("CREATE INDEX i ON d (a)"), 400, "collection_not_found");
    await refused(ask("DROP INDEX i ON c"), 404, "not_found");
    assert.equal(sent.length, 2);
  });

  it("a request that is sent again here is made once, wherever the first was sent", async ({ leader, follower, replicate }) => {
    replicate();
    const body = '{"n":1}', headers = { "idempotency-key": "k" };
    const ask = async (node: TestNode) => {
      const answer = await node.request("POST", "/collections/orders", { headers, body });
      return [answer.status, answer.headers.get("x-dfdb-position"), await answer.text()];
    };
    const first = await ask(follower);
    assert.equal(first[0], 201);
    assert.deepEqual([await ask(follower), await ask(leader)], [first, first]);
    assert.equal(leader.storage.log.last.seq, 2);
  });

  it("keys count on the follower too, and go on with what it forwards", async ({ leader, follower, sent, replicate }) => {
    replicate();
    assert.equal((await follower.request("GET", "/stats")).status, 200);
    const mint = async (scopes: string, authorization = "") => {
      const body = `{"scopes":["${scopes}"]}`;
      const { status, body: made } = await told(
        follower.request("POST", "/admin/keys", { headers: { authorization }, body }),
      );
      assert.equal(status, 201);
      return `Bearer ${made["secret"]}`;
    };
    const admin = await mint("*"),
      writer = await mint("db:default", admin),
      reader = await mint("read", admin);
    for (const node of [leader, follower]) {
      await refused(node.request("GET", "/stats"), 401, "unauthorized");
      assert.equal((await node.request("GET", "/stats", { headers: { authorization: reader } })).status, 200);
    }
    const write = (authorization: string) =>
      follower.request("PUT", "/collections/a/x", { headers: { authorization }, body: "{}" });
    assert.equal((await write(writer)).status, 201);
    assert.equal(new Headers(sent.at(-1)?.init.headers).get("authorization"), writer);
    const count = sent.length;
    await refused(write(reader), 403, "forbidden");
    assert.equal(sent.length, count, "what may not be done is not passed on");
  });

  it("conditions, refusals and their headers are the leader's", async ({ leader, follower, replicate }) => {
    replicate();
    const path = "/collections/orders/a";
    const { body: { etag } } = await told(follower.request("PUT", path, { body: "{}" }));
    const refusals:
      readonly (readonly [string, string, Record<string, string>, string | null, number, string])[] = [
        ["PUT", path, { "if-match": '"1.abababab-1"' }, "{}", 412, "precondition_failed"],
        ["PUT", path, { "if-none-match": "*" }, "{}", 412, "precondition_failed"],
        ["DELETE", path, { "if-match": '"1.abababab-1"' }, null, 412, "precondition_failed"],
        ["PATCH", path, { "if-match": '"1.abababab-1"' }, "{}", 412, "precondition_failed"],
        ["PATCH", "/collections/orders/none", {}, "{}", 404, "not_found"],
        ["DELETE", "/collections/orders/none", {}, null, 404, "not_found"],
        ["DELETE", "/collections/orders", {}, null, 400, "bad_request"],
        ["PUT", path, {}, "{", 400, "bad_request"],
        ["PUT", path, {}, "", 400, "bad_request"],
        ["PUT", path, { "content-encoding": "gzip" }, "{}", 400, "bad_request"],
        ["POST", "/collections/orders", { "idempotency-key": "k k" }, "{}", 400, "bad_request"],
        ["POST", "/collections/orders", {}, '{"_id":"a"}', 409, "duplicate_key"],
        ["POST", "/collections/1a", {}, "{}", 400, "bad_request"],
      ];
    const before = leader.storage.log.last;
    for (const [method, at, headers, body, status, code] of refusals) {
      const answer = await follower.request(method, at, { headers, ...(body === null ? {} : { body }) });
      assert.equal(answer.headers.get("x-dfdb-applied"), null);
      const given = await refused(answer, status, code);
      if (code === "precondition_failed") assert.equal(given["actual"], etag);
    }
    assert.equal(leader.storage.log.last, before);
    const again = await follower.request("PUT", path, {
      body: '{"n":1}',
      headers: { "if-match": `"${etag}"` },
    });
    assert.equal(again.status, 200);
  });

  it("large bodies, with and without a length", async ({ leader, follower, replicate }) => {
    replicate();
    const text = `{"a":"${"x".repeat(6 * 1024 * 1024)}"}`;
    assert.equal((await follower.request("PUT", "/collections/orders/a", { body: text })).status, 201);
    let at = 0;
    const chunks = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= text.length) return controller.close();
        controller.enqueue(new TextEncoder().encode(text.slice(at, at += 100_000)));
      },
    });
    assert.equal((await follower.request("PUT", "/collections/orders/b", { body: chunks })).status, 201);
    for (const id of ["a", "b"]) {
      const stored = await (await leader.request("GET", `/collections/orders/${id}`)).text();
      assert.ok(stored.endsWith(text.slice(1)), id);
    }
    const body = `{"a":"${"x".repeat(17 * 1024 * 1024)}"}`;
    await refused(follower.request("PUT", "/collections/orders/c", { body }), 413, "payload_too_large");
    assert.equal(
      (await follower.request("PUT", "/collections/orders/d", { body: "{}" })).status,
      201,
      "it goes on",
    );
  });

  it("an answer that cannot be read here yet says so", async ({ leader, follower }) => {
    const answer = await follower.request("PUT", "/collections/orders/a", { body: "{}" });
    assert.deepEqual([answer.status, answer.headers.get("x-dfdb-applied")], [201, "false"]);
    assert.equal(answer.headers.get("x-dfdb-position"), `1.abababab-${leader.storage.log.last.seq}`);
  }, { follower: impatient });

  it("an answer in another history says so at once", async ({ leader, follower }) => {
    follower.state.role = "none";
    for (const n of [1, 2, 3]) {
      await follower.request("PUT", "/collections/orders/own", { body: `{"n":${n}}` });
    }
    follower.state.role = "follower";
    const { storage } = leader;
    assert.ok(storage.log.last.seq < follower.storage.log.last.seq);
    const answer = await follower.request("PUT", "/collections/orders/a", { body: "{}" });
    assert.deepEqual([answer.status, answer.headers.get("x-dfdb-applied")], [201, "false"]);
  }, {
    leader: {
      around: (given) => {
        const submit: typeof given.engine.submit = async (plan) => {
          const { value, position } = await given.engine.submit(plan);
          return { value, position: { ...position, run: "cd".repeat(16) as typeof position.run } };
        };
        const { engine } = given;
        return {
          ...given,
          engine: {
            committed: engine.committed,
            submit,
            apply: (entries) => engine.apply(entries),
            exchange: (run) => engine.exchange(run),
            close: () => engine.close(),
          },
        };
      },
    },
  });

  it("who leads by now writes itself, reads and changes of the role stay here", async ({ follower, sent }) => {
    assert.equal((await follower.request("GET", "/collections")).status, 200);
    await refused(follower.request("GET", "/collections/orders/a"), 404, "not_found");
    await refused(follower.request("POST", "/replication/promote", { body: "[]" }), 400, "bad_request");
    await refused(
      follower.request("PATCH", "/collections/orders", { body: "{}" }),
      405,
      "method_not_allowed",
    );
    await refused(follower.request("PUT", "/collections/orders/%ff", { body: "{}" }), 400, "bad_request");
    follower.state.role = "leader";
    assert.equal((await follower.request("PUT", "/collections/orders/a", { body: "{}" })).status, 201);
    assert.deepEqual(sent, []);
  });
}

function refusalTests(it: It): void {
  it("one hop, then 421", async ({ leader, follower, sent }) => {
    leader.state.role = "follower";
    leader.state.leaderHttpUrl = "http://third:5000";
    for (const [method, path, body] of writes) {
      const answer = await follower.request(method, path, body === null ? {} : { body });
      assert.equal(answer.headers.get("x-dfdb-leader"), "http://third:5000");
      assert.equal((await refused(answer, 421, "not_leader"))["leader"], "http://third:5000");
    }
    sent.length = 0;
    const headers = { "x-dfdb-forwarded": "f".repeat(32) };
    const answer = await follower.request("PUT", "/collections/orders/a", { body: "{}", headers });
    assert.equal(answer.headers.get("x-dfdb-leader"), leader.url);
    await refused(answer, 421, "not_leader");
    assert.deepEqual(sent, []);
  });

  it("a leader that is not known, or whose URL is none, is 421", async ({ follower, sent }) => {
    for (const url of [null, "", "leader:5000", "ftp://leader", "http://", "http://a b/"]) {
      follower.state.leaderHttpUrl = url;
      const answer = follower.request("PUT", "/collections/orders/a", { body: "{}" });
      assert.equal((await refused(answer, 421, "not_leader"))["leader"], url);
    }
    assert.deepEqual(sent, []);
  });

  it("the client's own key counts, at both", async ({ leader, follower }) => {
    const put = (key: string) =>
      follower.request("PUT", "/collections/orders/a", {
        body: "{}",
        headers: { authorization: `Bearer ${key}` },
      });
    await refused(put("leader"), 401, "unauthorized");
    const answer = await put("follower");
    assert.match(answer.headers.get("www-authenticate") ?? "", /^Bearer/);
    await refused(answer, 401, "unauthorized");
    assert.equal(leader.storage.log.last.seq, 0);
  }, { leader: { apiKey: "leader" }, follower: { apiKey: "follower" } });
}

function failureTests(it: It): void {
  const fail = (error: unknown, read: boolean): Fetch => async (_url, init) => {
    if (read) await new Response(init?.body ?? null).arrayBuffer();
    throw error;
  };
  const refusedError = new TypeError("fetch failed", {
    cause: Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }),
  });
  const lostError = new TypeError("fetch failed", { cause: new Error("other side closed") });

  it("a leader that cannot be reached: nothing was sent", async ({ leader, follower }) => {
    for (const [method, path, body] of writes) {
      const answer = await follower.request(method, path, body === null ? {} : { body });
      assert.equal(answer.headers.get("retry-after"), "1");
      assert.equal(answer.headers.get("x-dfdb-leader"), leader.url);
      const given = await refused(answer, 503, "not_ready");
      assert.match(given["error"], /nothing was written$/);
      assert.equal(given["leader"], leader.url);
    }
  }, { fetch: fail(refusedError, true) });

  it("a body that was never asked for was not sent, whatever went wrong", async ({ follower }) => {
    await refused(follower.request("PUT", "/collections/a/b", { body: "{}" }), 503, "not_ready");
    await refused(follower.request("DELETE", "/collections/a/b"), 504, "outcome_unknown");
  }, { fetch: fail(lostError, false) });

  it("an answer that is lost leaves the outcome open", async ({ leader, follower }) => {
    for (const [method, path, body] of writes) {
      const answer = follower.request(method, path, body === null ? {} : { body });
      assert.equal((await refused(answer, 504, "outcome_unknown"))["leader"], leader.url);
    }
  }, { fetch: fail(lostError, true) });

  const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(lostError) });
  it("an answer that breaks off leaves the outcome open", async ({ follower }) => {
    await refused(follower.request("DELETE", "/collections/a/b"), 504, "outcome_unknown");
  }, { fetch: () => Promise.resolve(new Response(broken, { status: 200 })) });

  it("answers of every form come back", async ({ follower }) => {
    const answer = await follower.request("DELETE", "/collections/a/b");
    assert.deepEqual([answer.status, await answer.text(), answer.headers.get("retry-after")], [204, "", "7"]);
    assert.equal(answer.headers.get("x-other"), null);
  }, {
    fetch: () =>
      Promise.resolve(new Response(null, { status: 204, headers: { "retry-after": "7", "x-other": "1" } })),
  });
}
