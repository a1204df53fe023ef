import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import type { HttpHandler, HttpLimits, HttpServer } from "../../src/runtime/http_host.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { connectTo, drain, gate, pattern, readText, within } from "./runtime_tools.ts";

const limitsDefault: HttpLimits = {
  bodyBytesMax: 1_000_000,
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 10_000,
  idleMs: 0,
};

/** Serves on a free port of this machine. */
export async function serve(
  runtime: Runtime,
  handler: HttpHandler,
  limits: Partial<HttpLimits> = {},
): Promise<{ server: HttpServer; url: string }> {
  const server = await runtime.http.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: null,
    handler,
    limits: { ...limitsDefault, ...limits },
  });
  return { server, url: `http://127.0.0.1:${server.port}/` };
}

/** A stream that is fed from outside. */
export function fed(): { stream: ReadableStream<Uint8Array>; send(text: string): void; end(): void } {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  return { stream, send: (text) => controller.enqueue(utf8(text)), end: () => controller.close() };
}

/** What {@linkcode runtimeSuite} asks of serving HTTP in good times. */
export function httpSuite(name: string, makeRuntime: () => Runtime): void {
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: http: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });

  it("JSON there and back, with the peer's address", async (runtime) => {
    const { server, url } = await serve(runtime, async (request, peer) => {
      const body = await request.json() as Record<string, unknown>;
      const { pathname, search } = new URL(request.url);
      return Response.json({ ...body, pathname, search, method: request.method, peer: peer.hostname }, {
        status: 201,
        headers: { "x-extra": "1" },
      });
    });
    const response = await runtime.fetch(`${url}a%20b?c=d`, {
      method: "PUT",
      body: JSON.stringify({ ä: "ö" }),
    });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("x-extra"), "1");
    assert.match(response.headers.get("content-type") ?? "", /application\/json/);
    assert.deepEqual(await response.json(), {
      ä: "ö",
      pathname: "/a%20b",
      search: "?c=d",
      method: "PUT",
      peer: "127.0.0.1",
    });
    await server.close(1_000);
  });

  it("HEAD gets the headers without a body", async (runtime) => {
    const { server, url } = await serve(runtime, () => new Response("12345", { headers: { etag: '"7"' } }));
    const response = await runtime.fetch(url, { method: "HEAD" });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("etag"), '"7"');
    assert.equal(await response.text(), "");
    assert.equal(await (await runtime.fetch(url)).text(), "12345");
    await server.close(1_000);
  });

  it("a streamed answer arrives in parts, and a pause does not cut it", async (runtime) => {
    const body = fed();
    const { server, url } = await serve(runtime, (request) => {
      if (request.url.endsWith("release")) {
        body.send("second");
        body.end();
        return new Response(null, { status: 204 });
      }
      body.send("first");
      return new Response(body.stream);
    });
    const response = await runtime.fetch(url);
    const reader = response.body!.getReader();
    assert.equal(await readText(reader, (text) => text.length >= 5), "first");
    const release = await runtime.fetch(`${url}release`);
    assert.equal(release.status, 204);
    await release.body?.cancel();
    assert.equal(await readText(reader, () => false), "second");
    await server.close(1_000);
  });

  it("a request body can be read while it is sent", async (runtime) => {
    const seen = gate<string>();
    const { server } = await serve(runtime, async (request) => {
      const reader = request.body!.getReader();
      const first = await readText(reader, (text) => text.length >= 5);
      seen.open(first);
      return new Response(first + await readText(reader, () => false));
    });
    const client = await connectTo(runtime, server.port);
    const writer = client.writable.getWriter();
    await writer.write(
      utf8("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\nconnection: close\r\n\r\nfirst"),
    );
    assert.equal(await seen.promise, "first");
    await writer.write(utf8("after"));
    const answer = await readText(client.readable.getReader(), (text) => text.endsWith("firstafter"));
    assert.match(answer, /^HTTP\/1\.1 200 /);
    client.abort(new Error("done"));
    await server.close(1_000);
  });

  it("large bodies both ways are whole", async (runtime) => {
    const { server, url } = await serve(runtime, async (request) => {
      return new Response(new Uint8Array(await request.arrayBuffer()));
    }, { bodyBytesMax: 20_000_000 });
    const bytes = pattern(10_000_001) as Uint8Array<ArrayBuffer>;
    const response = await runtime.fetch(url, { method: "POST", body: bytes });
    const expected = await drain(new Response(bytes).body!);
    assert.deepEqual(await drain(response.body!), expected);
    await server.close(1_000);
  });

  it("a slow reader holds a streamed answer back", async (runtime) => {
    let pulled = 0;
    const chunk = pattern(65_536);
    const cancelled = gate();
    const { server } = await serve(runtime, () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            pulled += chunk.length;
            controller.enqueue(chunk);
          },
          cancel: () => cancelled.open(),
        }),
      ));
    const client = await connectTo(runtime, server.port);
    await client.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    for (let before = -1; before !== pulled || pulled === 0;) {
      before = pulled;
      const waited = gate();
      runtime.clock.timer(100, waited.open);
      await waited.promise;
      assert.ok(pulled < 32 * 1024 * 1024, `${pulled} bytes were pulled without a reader`);
    }
    client.abort(new Error("done"));
    await cancelled.promise;
    await server.close(1_000);
  });

  it("100 requests at once, on connections that are used again", async (runtime) => {
    const { server, url } = await serve(
      runtime,
      (request) => Response.json({ path: new URL(request.url).pathname }),
    );
    for (let round = 0; round < 3; round++) {
      const one = async (i: number): Promise<void> => {
        const response = await runtime.fetch(`${url}${round}/${i}`);
        assert.deepEqual(await response.json(), { path: `/${round}/${i}` });
      };
      await Promise.all(Array.from({ length: 100 }, (_, i) => one(i)));
    }
    await server.close(1_000);
  });
}
