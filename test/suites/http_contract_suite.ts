/**
 * The contract of the HTTP API as one table: each endpoint asked well and badly, and the whole shape of what it answers. A route that has no row here fails, so
 * does a row without a route. Rows that change a node's role are in http_contract_roles.ts, those of masters in http_masters_suite.ts, on whole nodes.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { httpRouter } from "../../src/http/app.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { bundleRows, conflicted, docsRows } from "./http_contract_docs_rows.ts";
import { documentRows } from "./http_contract_document_rows.ts";
import { adminRows, livenessRows, verifyRows } from "./http_contract_node_rows.ts";
import { queryRows, ruleRows } from "./http_contract_query_rows.ts";
import { roleRoutes } from "./http_contract_roles.ts";
import { setRows } from "./http_contract_set_rows.ts";
import type { Asked, Bad, Good, Request, Row } from "./http_contract_table.ts";
import { badFault, goodFault, methodOf, prepare, send } from "./http_contract_table.ts";
import type { NodeOptions, TestNode, Transport } from "./http_fixture.ts";
import { told, withNode } from "./http_fixture.ts";
import { masterRoutes } from "./http_masters_suite.ts";
import { patient } from "./storage_fixture.ts";

/** What the contract promises, as routes: its page, not the router, says what must be there. */
const promised: readonly string[] = [
  ...["GET /health", "GET /ready", "GET /version", "GET /stats", "GET /collections"],
  ...["POST", "GET", "DELETE"].map((method) => `${method} /collections/:collection`),
  "POST /collections/:collection/bulk",
  ...["GET", "PUT", "PATCH", "DELETE"].map((method) => `${method} /collections/:collection/:id`),
  "POST /collections/:collection/:id/conditional",
  ...["GET", "PUT", "DELETE"].map((method) => `${method} /docs/:key{.+}`),
  ...["GET /conflicts", "GET /collections/:collection/:id/conflicts/:version"],
  ...["GET", "PUT", "PATCH", "DELETE"].map((method) => `${method} /collections/:collection/by/:field/:value`),
  ...["POST /tx/batch", "POST /query", "GET /indexes/:collection", "POST /index"],
  "DELETE /index/:collection/:name",
  ...["PUT", "DELETE"].map((method) => `${method} /collections/:collection/ttl`),
  ...["GET /ttl", "POST /admin/ttl/sweep"],
  ...["PUT", "GET", "DELETE"].map((method) => `${method} /collections/:collection/schema`),
  ...["flush", "checkpoint", "compact/:collection", "snapshot", "rebuild-indexes/:collection"].map((name) =>
    `POST /admin/${name}`
  ),
  "POST /admin/rebuild-index/:collection/:name",
  ...["GET /admin/config", "PUT /admin/config", "GET /admin/keys", "POST /admin/keys"],
  ...["DELETE /admin/keys/:id", "GET /changes", "POST /seed", "GET /replication/status"],
  ...["start-leader", "start-follower", "promote", "read-only", "read-write", "handover", "accept-loss"].map((
    name,
  ) => `POST /replication/${name}`),
  ...["enable", "disable"].map((name) => `POST /replication/auto-failover/${name}`),
  ...["replicate", "replicateDocs", "heartbeat", "resolve"].map((name) => `POST /replication/${name}`),
  ...["GET /replication/lastEtag", "PUT /replication/lastEtag", "GET /replication/info"],
  ...["POST /admin/replication/purge-tombstones", "DELETE /replication/peers/:id"],
];

const apiKey = "the key of the table";
const open = ["GET /health", "GET /ready"];

export function httpContractSuite(runtime: Runtime, transport: Transport): void {
  const it = (
    what: string,
    run: (node: TestNode, table: readonly Row[], given: HttpDependencies) => Promise<void>,
    options: NodeOptions = {},
  ): void =>
    void test(`http contract, ${transport.name}: ${what}`, patient, async () => {
      const folder = mkdtempSync(join(tmpdir(), "dfdb-contract-"));
      let given: HttpDependencies | null = null;
      const around = (dependencies: HttpDependencies): HttpDependencies => given = dependencies;
      try {
        await withNode(runtime, transport, { ...options, apiKey, around }, async (node) => {
          assert.ok(given !== null);
          await run(node, tableFor(join(folder, "copy.dfdb")), given);
        });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });

  it("every route has a row that asks well and badly, and every row a route", (_node, table, given) => {
    const routes = httpRouter(given).routes.map(({ method, path }) => `${method} ${path}`).sort();
    const rows = table.map(({ route }) => route);
    assert.deepEqual([...rows, ...roleRoutes, ...masterRoutes].sort(), routes);
    assert.equal(new Set(routes).size, routes.length, "one handler each");
    for (const { route, good, bad } of table) assert.ok(good.length > 0 && bad.length > 0, route);
    const missing = promised.filter((route) => !routes.includes(route));
    assert.deepEqual(missing, [], "the contract promises them");
    return Promise.resolve();
  });

  const everyRow = async (node: TestNode, table: readonly Row[]): Promise<void> => {
    const request = withKey(node, apiKey), faults: string[] = [];
    const judge = async <Case extends Asked>(
      row: Row,
      cases: readonly Case[],
      fault: (answer: Response, asked: Case) => Promise<string | null>,
    ): Promise<void> => {
      for (const [i, asked] of cases.entries()) {
        const found = await fault(await send(request, row, asked), asked);
        if (found !== null) {
          faults.push(`${row.route}, ${fault === goodFault as unknown ? "good" : "bad"} ${i}: ${found}`);
        }
      }
    };
    for (const row of table) {
      await judge<Good>(row, row.good, goodFault);
      await judge<Bad>(row, row.bad, badFault);
    }
    assert.deepEqual([...faults, ...node.logged], [], "all is as it should be, and nothing is internal");
  };

  it(
    "every row: the status, the headers and the whole shape of the answer",
    (node, table) => everyRow(node, table.filter((row) => !bundleRows.includes(row))),
  );

  it("rows of a database with the bundle, and the same shapes of documents there", async (node) => {
    await conflicted(node);
    await everyRow(node, [...bundleRows, ...documentRows]);
  }, { bundle: true });

  it("every row wants a key, and one that is for it", async (node, table) => {
    const made = await told(
      withKey(node, apiKey)("POST", "/admin/keys", { body: '{"scopes":["db:elsewhere"]}' }),
    );
    const secret = String(made.body["secret"]), matchedKey = String(made.body["id"]);
    for (const row of table) {
      const asked = { ...(row.good[0] as Good), path: pathFor(row) };
      const answers = [
        await send(node.request, row, asked, true),
        await send(withKey(node, secret), row, asked, true),
      ];
      const bodies = await Promise.all(answers.map(async (answer) => [answer.status, await answer.json()]));
      if (open.includes(row.route)) {
        assert.deepEqual(answers.map(({ status }) => status), [200, 200], row.route);
        continue;
      }
      const [[without, first], [foreign, second]] = bodies as [
        [number, Record<string, unknown>],
        [number, Record<string, unknown>],
      ];
      assert.deepEqual([without, first["code"]], [401, "unauthorized"], row.route);
      assert.deepEqual(
        [foreign, second["code"], second["matchedKey"]],
        [403, "forbidden", matchedKey],
        row.route,
      );
    }
  });

  it(
    "every write is refused by a follower and by a read-only node, and nothing is written",
    async (node, table) => {
      const request = withKey(node, apiKey);
      const writes = table.flatMap((row) =>
        row.good.filter((good) => good.writes).map((good) => ({ row, good }))
      );
      assert.ok(writes.length > 30, "they are found");
      const made = new Map<Good, Asked>();
      for (const { row, good } of writes) {
        const before = await prepare(request, good);
        made.set(good, {
          ...good,
          path: typeof good.path === "function" ? good.path(before) : good.path ?? row.route.split(" ")[1]!,
        });
      }
      const { last } = node.storage.log;
      const refusals = [["follower", 421, "not_leader"], ["read-only", 503, "read_only"]] as const;
      for (const [state, status, code] of refusals) {
        node.state.role = state === "follower" ? "follower" : "none";
        node.state.readOnly = state === "read-only";
        for (const { row, good } of writes) {
          const { status: found, body } = await told(send(request, row, made.get(good) as Asked, true));
          assert.deepEqual(
            [found, body["code"]],
            [status, code],
            `${state}: ${row.route} ${JSON.stringify(body)}`,
          );
        }
      }
      assert.deepEqual(node.storage.log.last, last);
    },
  );
}

function tableFor(copyPath: string): readonly Row[] {
  return [
    ...livenessRows,
    ...documentRows,
    ...docsRows,
    ...bundleRows,
    ...setRows,
    ...queryRows,
    ...ruleRows,
    ...adminRows(copyPath),
    ...verifyRows,
  ];
}

function withKey(node: TestNode, key: string): Request {
  return (method, path, options = {}) =>
    node.request(method, path, {
      ...options,
      headers: { authorization: `Bearer ${key}`, ...options.headers },
    });
}

/** A path of the row, whether there is something at it or not. */
function pathFor(row: Row): string {
  const { path } = row.good[0] as Good;
  return typeof path === "string" ? path : row.route.slice(methodOf(row).length + 1).replaceAll(":", "");
}
