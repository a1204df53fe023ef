import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import type { DfdbError } from "../../src/base/errors.ts";
import type { HttpHandler, HttpServer } from "../../src/runtime/http_host.ts";
import type { Connection } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { clientTls, serverTls } from "../tool/certificates.ts";
import { connectTo, gate, readText, readUntilOver, rejection, within } from "./runtime_tools.ts";

const limits = { bodyBytesMax: 1_000, headersMs: 10_000, requestMs: 60_000, keepAliveMs: 10_000, idleMs: 0 };

function serve(runtime: Runtime, handler: HttpHandler): Promise<HttpServer> {
  return runtime.http.serve({ hostname: "127.0.0.1", port: 0, tls: serverTls(), handler, limits });
}

function connect(runtime: Runtime, { port }: HttpServer): Promise<Connection> {
  const { signal } = new AbortController();
  return runtime.net.connect({ hostname: "localhost", port, tls: clientTls(), signal });
}

/** The answer to one request whose connection ends with it. */
async function ask(runtime: Runtime, server: HttpServer, method: string, body = ""): Promise<string> {
  const client = await connect(runtime, server);
  const head = `${method} /a?b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n`;
  await client.writable.getWriter().write(utf8(`${head}content-length: ${body.length}\r\n\r\n${body}`));
  return await readText(client.readable.getReader(), () => false);
}

/** What {@linkcode runtimeSuite} asks of serving HTTPS. */
export function httpsSuite(name: string, makeRuntime: () => Runtime): void {
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: https: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });

  it("a request there and back, with the peer's address", async (runtime) => {
    const server = await serve(runtime, async (request, { hostname }) => {
      const { protocol, pathname, search } = new URL(request.url);
      return Response.json({ protocol, path: pathname + search, hostname, body: await request.text() });
    });
    const answer = await ask(runtime, server, "POST", "hello");
    assert.match(answer, /^HTTP\/1\.1 200 /);
    const json = /\{.*\}/.exec(answer)?.[0] ?? "";
    const expected = { protocol: "https:", path: "/a?b", hostname: "127.0.0.1", body: "hello" };
    assert.deepEqual(JSON.parse(json), expected);
    assert.match(await ask(runtime, server, "POST", "x".repeat(1_001)), /^HTTP\/1\.1 413 /);
    await server.close(1_000);
  });

  it("plain HTTP fails, and the next client is served", async (runtime) => {
    const server = await serve(runtime, () => new Response("secret"));
    const plain = await connectTo(runtime, server.port);
    await plain.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    const got = new TextDecoder().decode(await readUntilOver(plain.readable));
    assert.ok(!got.includes("secret"), got);
    assert.match(await ask(runtime, server, "GET"), /secret/);
    await server.close(1_000);
  });

  it("closing is prompt with idle clients and one that said nothing; a running request ends first", async (runtime) => {
    const asked = gate(), release = gate();
    const server = await serve(runtime, async (request) => {
      if (request.method === "POST") {
        asked.open();
        await release.promise;
      }
      return new Response("done");
    });
    const silent = await connectTo(runtime, server.port);
    const idle = await connect(runtime, server);
    await idle.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    const reader = idle.readable.getReader();
    assert.match(await readText(reader, (text) => text.includes("done")), /200/);
    const running = ask(runtime, server, "POST", "x");
    await asked.promise;
    // Longer than the test may take: who waits for the grace period fails.
    const closed = server.close(3_600_000);
    release.open();
    assert.match(await running, /done/);
    await closed;
    silent.abort(new Error("done"));
    reader.releaseLock();
    idle.abort(new Error("done"));
  });

  it("a port that is taken", async (runtime) => {
    const server = await serve(runtime, () => new Response());
    const { port } = server;
    const again = runtime.http.serve({
      hostname: "127.0.0.1",
      port,
      tls: serverTls(),
      handler: () => new Response(),
      limits,
    });
    assert.equal((await rejection(again) as DfdbError).code, "port_in_use");
    await server.close(1_000);
  });
}
