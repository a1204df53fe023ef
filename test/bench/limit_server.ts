/**
 * The limit of a runtime: hono on the same HTTP adapter as dfdb, with the least a server can do for the same requests.
 * PUT reads the body and parses it; GET answers a document. Nothing is stored. Argument: the port.
 */
import { Hono } from "hono";
import process from "node:process";
import { currentRuntime } from "../tool/current_runtime.ts";
import { orders } from "./documents.ts";
import { collection } from "./load_types.ts";

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
