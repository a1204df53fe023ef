/** Replication between masters over any way to reach their HTTP API: two databases of one node that know each other by URL. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { Resolve } from "../../src/document/judge.ts";
import { severalDatabases } from "../../src/http/databases.ts";
import { Databases } from "../../src/node/databases.ts";
import type { Settings } from "../../src/node/settings.ts";
import { defaultSettings } from "../../src/node/settings.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { freePorts } from "../tool/ports.ts";
import { count, exactly, flag, hexId, is, moment, orNull, text, yes } from "./http_contract_shapes.ts";
import type { Bad, Good, Row } from "./http_contract_table.ts";
import { badFault, goodFault, send } from "./http_contract_table.ts";
import type { Body, RequestOptions, TestNode, Transport } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { inFolder } from "./storage_fixture.ts";

export const masterRoutes: readonly string[] = [
  "GET /replication/lastEtag",
  "PUT /replication/lastEtag",
  ...["replicate", "replicateDocs", "heartbeat", "resolve"].map((name) => `POST /replication/${name}`),
  "GET /replication/info",
  "DELETE /replication/peers/:id",
  "POST /admin/replication/purge-tombstones",
];

const own = "http://this-node:5000";
const peer = "1".repeat(32), run = "a".repeat(32), otherRun = "b".repeat(32);
const from = `from=${encodeURIComponent("http://peer:5000/db/x/")}&dbid=${peer}`;

interface Node {
  readonly databases: Databases;
  readonly request: TestNode["request"];
  /** Requests of masters to each other. */
  readonly asked: string[];
  /** Below `/db/{name}`. */
  at(name: string): TestNode["request"];
}

interface NodeOptions {
  readonly settings?: Partial<Settings>;
  /** Databases that are made with the bundle. */
  readonly masters?: readonly string[];
  readonly resolve?: Resolve;
}

function withNode(
  runtime: Runtime,
  transport: Transport,
): (folder: string, options: NodeOptions, run: (node: Node) => Promise<void>) => Promise<void> {
  return async (folder, { settings = {}, masters = [], resolve }, run) => {
    const asked: string[] = [], reach: { request: TestNode["request"] | null } = { request: null };
    const fetch: Runtime["fetch"] = async (url, { method = "GET", headers = {}, body, signal } = {}) => {
      assert.ok(url.startsWith(`${own}/`), url);
      const path = url.slice(own.length), { request } = reach;
      asked.push(`${method} ${path.split("?")[0]}`);
      if (request === null) throw new TypeError("nobody listens");
      signal?.throwIfAborted();
      const sent: RequestOptions = { headers: headers as Record<string, string>, ...(body ? { body } : {}) };
      return await request(method, path, sent);
    };
    const databases = await Databases.open({
      runtime: { ...runtime, fetch },
      settings: { ...defaultSettings(), masterRequestMs: 30_000, ...settings },
      logger: silentLogger,
      dataDir: folder,
      httpUrl: own,
      startedAt: runtime.clock.monotonic(),
      resolve,
    });
    const handler = severalDatabases({ databases, dependencies: databases.main.dependencies });
    try {
      for (const name of masters) {
        const bundles = ["replication"] as const;
        await databases.attach(name, { path: null, create: true, bundles, adoptExisting: false });
      }
      await transport.serve(handler, async (request) => {
        reach.request = request;
        databases.served();
        const at: Node["at"] = (name) => (method, path, options) =>
          request(method, `/db/${name}${path}`, options);
        await run({ databases, request, asked, at });
        reach.request = null;
      });
    } finally {
      await databases.close();
    }
  };
}

/** A version of a hand-made client, written by database `peer`. */
function element(id: string, seq: number, document: object, more: object = {}): object {
  return {
    "@metadata": {
      "@id": id,
      "@etag": `1:${run}:${seq}`,
      "Last-Modified": "2024-05-06T07:08:09.123Z",
      "Raven-Replication-Source": peer,
      "Raven-Replication-Version": seq,
      "Raven-Replication-Run": run,
      "Raven-Replication-Vector": `${peer}:${run}:${seq}`,
      ...more,
    },
    ...document,
  };
}

const runs = {
  "Raven-Replication-Runs": [{ database: peer, run, epoch: 1, firstSeq: 1, parent: null }],
};

const cursor = `1:${run}:2@1:${run}:3`;
const answerShape = (etag: string | null, more: v.ObjectEntries = {}) =>
  exactly({
    LastDocumentEtag: etag === null ? v.null() : is(etag),
    ServerInstanceId: hexId,
    Source: is("http://peer:5000/db/x"),
    Term: v.pipe(v.string(), v.regex(/^[0-9]+:[0-9a-f]{32}$/)),
    History: v.array(text),
    ...more,
  });
const infoShape = exactly({
  Self: is(`${own}/db/a`),
  MostRecentDocumentEtag: v.pipe(v.string(), v.regex(/^[0-9]+:[0-9a-f]{32}:[0-9]+$/)),
  Stats: v.array(exactly({
    Url: text,
    LastHeartbeatReceived: orNull(moment),
    LastReplicatedEtag: orNull(text),
    LastSuccessTimestamp: orNull(moment),
    LastFailureTimestamp: orNull(moment),
    FailureCount: count,
    LastError: orNull(text),
    lastErrorCode: orNull(text),
    databaseId: orNull(hexId),
    leaderUrl: orNull(text),
    filter: text,
    state: text,
    batchItems: count,
  })),
  databaseId: hexId,
  sends: flag,
  passes: count,
  problems: v.array(text),
  policy: text,
  conflicts: count,
  tombstones: count,
  tombstonesHeldBack: v.array(exactly({ databaseId: hexId, url: text, tombstones: count })),
  received: exactly({ batches: count, stored: count, rejected: count, ignored: count, disagreements: count }),
  sources: v.array(exactly({ databaseId: hexId, url: text, filter: text, lastEtag: orNull(text) })),
});

const noSender: readonly Bad[] = [
  { path: `?dbid=${peer}`, status: 400, code: "bad_request", more: { parameter: is("from") } },
  { path: `?from=//&dbid=${peer}`, status: 400, code: "bad_request", more: { parameter: is("from") } },
  { path: "?from=http://x", status: 400, code: "bad_request", more: { parameter: is("dbid") } },
  { path: "?from=http://x&dbid=XY", status: 400, code: "bad_request", more: { parameter: is("dbid") } },
];

/** In this order; paths are what follows the route's own. */
const rows: readonly Row[] = [
  {
    route: "GET /replication/lastEtag",
    good: [{ path: `?${from}`, answer: answerShape(null, { Seq: count }) }],
    bad: [
      ...noSender,
      {
        path: `?${from}&relies=1:${run}:1`,
        status: 409,
        code: "peer_too_old",
        more: { databaseId: is(peer), lacks: is(`1:${run}:1`) },
      },
      { path: `?${from}&relies=7`, status: 400, code: "bad_request" },
    ],
  },
  {
    route: "PUT /replication/lastEtag",
    good: [{ path: `?${from}&docEtag=${cursor}`, answer: answerShape(cursor) }],
    bad: [
      ...noSender,
      { path: `?${from}&docEtag=7`, status: 400, code: "bad_request" },
      { path: `?${from}&term=7`, status: 400, code: "bad_request" },
      { path: `?${from}&to=7`, status: 400, code: "bad_request", more: { parameter: is("to") } },
    ],
  },
  ...["replicate", "replicateDocs"].map((name, i): Row => ({
    route: `POST /replication/${name}`,
    good: [
      { path: `?${from}`, body: "[]", answer: answerShape(cursor) },
      {
        path: `?${from}`,
        body: [element(`orders/${i}`, 5 + i, { n: i }, runs)],
        answer: answerShape(cursor),
      },
    ],
    bad: [
      ...noSender.map((bad) => ({ ...bad, body: "[]" })),
      { path: `?${from}`, body: "{}", status: 400, code: "bad_request", more: { offset: is(0) } },
      { path: `?${from}`, status: 400, code: "bad_request" },
    ],
  })),
  { route: "POST /replication/heartbeat", good: [{ path: `?${from}`, answer: exactly({}) }], bad: noSender },
  {
    route: "GET /replication/info",
    good: [{ answer: infoShape }],
    bad: [{ method: "PATCH", status: 405, code: "method_not_allowed", more: { allow: is("GET, HEAD") } }],
  },
  {
    route: "POST /replication/resolve",
    good: [{ writes: true, answer: exactly({ success: yes, resolved: count, open: count }) }],
    bad: [{ method: "GET", status: 405, code: "method_not_allowed", more: { allow: is("POST") } }],
  },
  {
    route: "POST /admin/replication/purge-tombstones",
    good: [{ writes: true, answer: exactly({ success: yes, purged: count, kept: count }) }],
    bad: [{ method: "GET", status: 405, code: "method_not_allowed", more: { allow: is("POST") } }],
  },
  {
    route: "DELETE /replication/peers/:id",
    good: [{ path: `/${peer}`, writes: true, answer: exactly({ success: yes }) }],
    bad: [
      { path: "/7", status: 400, code: "bad_request" },
      { path: `/${"f".repeat(32)}`, status: 404, code: "not_found" },
    ],
  },
];

/** What the row's request is sent to. */
function asked<Case extends Good | Bad>({ route }: Row, given: Case): Case {
  const base = route.split(" ")[1]?.replace("/:id", "") ?? "";
  return { ...given, path: `${base}${given.path ?? (route.endsWith(":id") ? `/${peer}` : "")}` };
}

export function httpMastersSuite(runtime: Runtime, transport: Transport): void {
  const nodes = withNode(runtime, transport);
  const it = (what: string, run: (folder: string) => Promise<void>): void =>
    void test(`masters, ${transport.name}: ${what}`, () => inFolder(run));
  const until = async (holds: () => Promise<boolean>): Promise<void> => {
    while (!await holds()) await new Promise<void>((resolve) => void runtime.clock.timer(10, resolve));
  };

  it("each route, asked well and badly", async (folder) => {
    await nodes(folder, { masters: ["a"] }, async (node) => {
      assert.deepEqual(rows.map(({ route }) => route).sort(), [...masterRoutes].sort());
      const request = node.at("a"), faults: (string | null)[] = [];
      for (const row of rows) {
        const told = (how: string, fault: string | null) =>
          faults.push(fault && `${row.route}, ${how}: ${fault}`);
        for (const bad of row.bad) {
          told("bad", await badFault(await send(request, row, asked(row, bad)), bad));
        }
        for (const good of row.good) {
          told("good", await goodFault(await send(request, row, asked(row, good)), good));
        }
      }
      assert.deepEqual(faults.filter((fault) => fault !== null), []);
      assert.equal((await told(request("GET", "/collections/orders/1"))).body["n"], 1);
      // Forgotten just now.
      await refused(request("GET", `/replication/lastEtag?${from}`), 409, "peer_forgotten");
    });
  });

  it("without the bundle there is nothing at these paths, and an administrator alone gets to them", async (folder) => {
    const apiKey = "the administrator";
    await nodes(folder, { masters: ["a"], settings: { apiKey } }, async ({ request, at }) => {
      const admin = { authorization: `Bearer ${apiKey}` };
      const { body: { secret } } = await told(
        request("POST", "/admin/keys", { headers: admin, body: '{"scopes":["db:*:read","db:*:write"]}' }),
      );
      for (const row of rows) {
        const good = asked(row, row.good[0] as Good);
        const ask = (through: TestNode["request"], headers: Readonly<Record<string, string>>) =>
          send(through, row, { ...good, headers });
        await refused(ask(request, admin), 404, "bundle_not_active");
        await refused(ask(at("a"), {}), 401, "unauthorized");
        await refused(ask(at("a"), { authorization: `Bearer ${secret}` }), 403, "forbidden");
      }
    });
  });

  it("a follower names its leader and its database, and passes nothing on", async (folder) => {
    const [port] = await freePorts(1);
    await nodes(folder, { masters: ["a"], settings: { forwardWrites: true } }, async ({ at }) => {
      const request = at("a"), follow = JSON.stringify({ host: "127.0.0.1", port });
      const { body: { databaseId } } = await told(request("GET", "/replication/status"));
      await told(request("POST", "/replication/read-only"));
      assert.equal(
        (await told(request("POST", "/replication/start-follower", { body: follow }))).status,
        200,
      );
      for (const row of rows) {
        if (row.route === "GET /replication/info") continue;
        const body = await refused(send(request, row, asked(row, row.good[0] as Good)), 421, "not_leader");
        assert.deepEqual([body["leader"], body["databaseId"]], [null, databaseId], row.route);
      }
      const { body } = await told(request("GET", "/replication/info"));
      assert.deepEqual([body["sends"], body["databaseId"]], [false, databaseId]);
    });
  });

  it("its own id, another database, another term, a body that is too large", async (folder) => {
    await nodes(folder, { masters: ["a"] }, async ({ at, databases }) => {
      const request = at("a"), { databaseId, log } = databases.find("a")!.database.storage;
      const self = `from=http://x&dbid=${databaseId}`;
      await refused(request("GET", `/replication/lastEtag?${self}`), 409, "same_database");
      const { last } = log;
      const put = (more: string) =>
        told(request("PUT", `/replication/lastEtag?${from}&docEtag=${cursor}${more}`));
      for (const more of [`&to=${peer}`, `&to=${databaseId}&term=${last.epoch}:${otherRun}`]) {
        assert.equal((await put(more)).body["LastDocumentEtag"], null, more);
      }
      await refused(request("GET", `/docs/Raven/Replication/Sources/${peer}`), 404, "not_found");
      const { body } = await put(`&to=${databaseId}&term=${last.epoch}:${last.run}`);
      assert.equal(body["LastDocumentEtag"], cursor);
      if (transport.name !== "direct") return;
      const headers = { "content-length": String(limits.masterBodyBytesMax + 1) };
      const options = { headers, body: "[]" };
      await refused(request("POST", `/replication/replicateDocs?${from}`, options), 413, "payload_too_large");
    });
  });

  const shown = async (node: Node, name: string, id: string): Promise<unknown> => {
    const { status, body } = await told(node.at(name)("GET", `/collections/orders/${id}`));
    return status === 200 ? body["n"] : status;
  };
  const both = async (node: Node, id: string, value: unknown): Promise<void> => {
    await until(async () =>
      (await Promise.all(["a", "b"].map((name) => shown(node, name, id)))).every((n) => n === value)
    );
  };
  const put = async (node: Node, name: string, id: string, n: number): Promise<void> => {
    const { status, body } = await told(
      node.at(name)("PUT", `/collections/orders/${id}`, { body: `{"n":${n}}` }),
    );
    assert.ok(status < 300, JSON.stringify(body));
  };
  const destinations = async (node: Node, Disabled = false): Promise<void> => {
    for (const [name, Database] of [["a", "b"], ["b", "a"]] as const) {
      const body = JSON.stringify({ Destinations: [{ Url: own, Database, Disabled }] });
      const answer = await told(node.at(name)("PUT", "/docs/Raven/Replication/Destinations", { body }));
      assert.ok(answer.status < 300, JSON.stringify(answer.body));
    }
  };
  /** Of documents, without what each keeps of the other. */
  const seqs = (node: Node): readonly number[] =>
    ["a", "b"].map((name) => node.databases.find(name)!.database.storage.log.last.seq);

  it("two masters send each other what is written, and nothing else", async (folder) => {
    await nodes(folder, { masters: ["a", "b"] }, async (node) => {
      await put(node, "a", "before", 1);
      await destinations(node);
      await both(node, "before", 1);
      await put(node, "b", "x", 2);
      await both(node, "x", 2);
      await put(node, "a", "x", 3);
      await both(node, "x", 3);
      const before = seqs(node);
      // What goes to and fro would go on while these do.
      for (let n = 10; n < 15; n++) {
        await put(node, "a", "y", n);
        await both(node, "y", n);
      }
      assert.deepEqual(seqs(node).map((seq, i) => seq - (before[i] as number)), [5, 5]);
      await told(node.at("b")("DELETE", "/collections/orders/x"));
      await both(node, "x", 404);
      const { body } = await told(node.at("a")("GET", "/replication/info"));
      const [row] = body["Stats"] as Body[];
      assert.deepEqual([row?.["Url"], row?.["FailureCount"], body["sends"]], [`${own}/db/b`, 0, true]);
      assert.equal((await told(node.at("a")("GET", "/replication/status"))).body["masters"]["sends"], true);
      assert.equal((await told(node.request("GET", "/replication/status"))).body["masters"], null);
    });
    // The cursors, and who was sent to, are there still.
    await nodes(folder, {}, async (node) => {
      await put(node, "a", "z", 1);
      await both(node, "z", 1);
    });
  });

  it("what two masters wrote against a unique index and a schema is counted by each", async (folder) => {
    await nodes(folder, { masters: ["a", "b"] }, async (node) => {
      const index = { body: JSON.stringify({ collection: "orders", name: "byN", path: "n", unique: true }) };
      for (const name of ["a", "b"]) assert.ok((await node.at(name)("POST", "/index", index)).ok);
      const schema = { body: '{"checks":["n < 5"]}' };
      assert.ok((await node.at("a")("PUT", "/collections/orders/schema", schema)).ok);
      await put(node, "a", "of-a", 1);
      await put(node, "b", "of-b", 1);
      await put(node, "b", "large", 7);
      await destinations(node);
      for (const [id, n] of [["of-a", 1], ["of-b", 1], ["large", 7]] as const) await both(node, id, n);
      for (const name of ["a", "b"]) {
        const { body } = await told(node.at(name)("GET", "/indexes/orders?violations=true"));
        assert.deepEqual(body["indexes"].map(({ violations }: Body) => violations), [1], name);
      }
      const path = "/collections/orders/schema?violations=true";
      assert.equal((await told(node.at("a")("GET", path))).body["violations"], 1);
      await refused(node.at("b")("GET", path), 404, "not_found");
      await put(node, "a", "of-b", 2);
      await both(node, "of-b", 2);
      for (const name of ["a", "b"]) {
        const { body } = await told(node.at(name)("GET", "/indexes/orders?violations=true"));
        assert.deepEqual(body["indexes"].map(({ violations }: Body) => violations), [0], name);
      }
    });
  });

  it("a conflict is one on both, and is settled by a person, or by the policy for all", async (folder) => {
    await nodes(folder, { masters: ["a", "b"] }, async (node) => {
      await destinations(node, true);
      for (const id of ["person", "policy"]) {
        await put(node, "a", id, 1);
        await put(node, "b", id, 2);
      }
      await destinations(node);
      await both(node, "person", 409);
      await both(node, "policy", 409);
      await put(node, "a", "person", 3);
      await both(node, "person", 3);
      for (const name of ["a", "b"]) {
        const { body } = await told(node.at(name)("POST", "/replication/resolve"));
        assert.deepEqual([body["resolved"], body["open"]], [0, 1], "manual leaves it to people");
      }
      const config = { body: '{"policy": "latest"}' };
      for (const name of ["a", "b"]) {
        assert.ok((await node.at(name)("PUT", "/docs/Raven/Replication/Config", config)).ok);
        const answer = await node.at(name)("POST", "/replication/resolve");
        assert.match(answer.headers.get("x-dfdb-position") ?? "", /^[0-9]+\.[0-9a-f]{8}-[0-9]+$/);
        await told(answer);
        const { body } = await told(node.at(name)("GET", "/replication/info"));
        assert.deepEqual([body["policy"], body["conflicts"]], ["latest", 0]);
      }
      const values = await Promise.all(["a", "b"].map((name) => shown(node, name, "policy")));
      assert.equal(values[0], values[1]);
      assert.ok(values[0] === 1 || values[0] === 2);
      // From now on there are none.
      await destinations(node, true);
      await put(node, "a", "later", 1);
      await put(node, "b", "later", 2);
      await destinations(node);
      await until(async () => {
        const [a, b] = await Promise.all(["a", "b"].map((name) => shown(node, name, "later")));
        return a === b && typeof a === "number";
      });
    });
  });

  it("failures of a destination are at its key, to be read by an administrator, until it answers", async (folder) => {
    await nodes(folder, { masters: ["a", "b"] }, async (node) => {
      const request = node.at("a"), key = "/docs/raven/Replication/Destinations/this-node5000dblate";
      const body = JSON.stringify({ Destinations: [{ Url: own, Database: "late" }] });
      await told(request("PUT", "/docs/Raven/Replication/Destinations", { body }));
      await until(async () => (await request("GET", key)).status === 200);
      const answer = (await told(request("GET", key))).body;
      assert.deepEqual(
        [answer["_id"], answer["Destination"], answer["FailureCount"] > 0, answer["lastErrorCode"]],
        ["Replication/Destinations/this-node5000dblate", `${own}/db/late`, true, "not_found"],
      );
      assert.match(answer["LastFailureTimestamp"], /^\d{4}-.*Z$/);
      assert.equal(typeof answer["LastError"], "string");
      assert.equal((await request("HEAD", key)).status, 200);
      await refused(request("PUT", key, { body: "{}" }), 400, "bad_request");
      await refused(request("DELETE", key), 404, "not_found");
      await refused(node.at("b")("GET", key), 404, "not_found");
      const bundles = ["replication"] as const;
      await node.databases.attach("late", { path: null, create: true, bundles, adoptExisting: false });
      await put(node, "a", "x", 1);
      await until(async () => await shown(node, "late", "x") === 1);
      await until(async () => (await request("GET", key)).status === 404);
    });
  });

  it("a function of the program settles conflicts, on both alike", async (folder) => {
    const numberIn = (body: Uint8Array | null): number => body === null ? 0 : JSON.parse(utf8Text(body)).n;
    const resolve: Resolve = (candidates) =>
      utf8(`{"n":${candidates.reduce((sum, { body }) => sum + numberIn(body), 0)}}`);
    await nodes(folder, { masters: ["a", "b"], resolve }, async (node) => {
      await destinations(node, true);
      await put(node, "a", "x", 1);
      await put(node, "b", "x", 2);
      await destinations(node);
      await both(node, "x", 3);
      assert.equal((await told(node.at("a")("GET", "/replication/info"))).body["policy"], "function");
    });
  });
}
