/**
 * The limit of a runtime: hono on the same HTTP adapter as dfdb, with the least a server can do for the same requests.
 * PUT reads the body and parses it; GET answers a document; POST /query reads the body, parses it, and answers as many documents as dfdb
 * would. Nothing is stored. Argument: the port.
 */
import { Hono } from "hono";
import process from "node:process";
import { currentRuntime } from "../tool/current_runtime.ts";
import { orders } from "./documents.ts";
import { collection } from "./load_types.ts";
import { benchQueries, queryNames } from "./queries.ts";

const document = orders(1)[0]!;
const app = new Hono();
app.get("/health", (c) => c.json({ status: "ok" }));
app.get(
  `/collections/${collection}/:id`,
  (c) => c.body(document, 200, { "content-type": "application/json" }),
);
app.put(`/collections/${collection}/:id`, async (c) => {
  const body = await c.req.json() as Record<string, unknown>;
  return c.json({ success: "pnr" in body, id: c.req.param("id"), collection }, 201);
});
// As long as what dfdb answers.
const row = `{"_id":"order-000000000","_etag":"1.01234567-12345",${document.slice(1)}`;
const answers = new Map(queryNames.map((name) => {
  const { sql, rows } = benchQueries[name], documents = Array.from({ length: rows }, () => row).join(",");
  const rest = { success: true, count: rows, affected: 0, plan: "INDEX_SCAN(idx_orders_pnr)" };
  const text = JSON.stringify({ ...rest, executionTimeMs: 0.12, message: null });
  return [sql, `${text.slice(0, -1)},"documents":[${documents}]}`];
}));
app.post("/query", async (c) => {
  const { sql } = await c.req.json() as { readonly sql: string };
  return c.body(answers.get(sql)!, 200, { "content-type": "application/json" });
});

await currentRuntime().http.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  tls: null,
  handler: (request) => app.fetch(request),
  limits: {
    bodyBytesMax: 64 << 20,
    headersMs: 10_000,
    requestMs: 300_000,
    keepAliveMs: 60_000,
    idleMs: 120_000,
  },
});
process.on("SIGTERM", () => process.exit(0));
