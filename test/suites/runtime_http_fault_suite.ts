import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, utf8, utf8Text } from "../../src/base/bytes.ts";
import type { DfdbError } from "../../src/base/errors.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { serve } from "./runtime_http_suite.ts";
import { connectTo, gate, pattern, readText, readUntilOver, rejection, within } from "./runtime_tools.ts";

/** What {@linkcode runtimeSuite} asks of serving HTTP to clients and handlers that misbehave. */
export function httpFaultSuite(name: string, makeRuntime: () => Runtime): void {
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: http: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });

  it("a handler that throws answers 500 and tells nothing", async (runtime) => {
    const { server, url } = await serve(runtime, (request) => {
      if (request.url.endsWith("later")) return Promise.reject(new Error("secret"));
      throw new Error("secret");
    });
    for (const path of ["now", "later"]) {
      const response = await runtime.fetch(url + path);
      assert.equal(response.status, 500);
      assert.deepEqual(await response.json(), { error: "internal error", code: "internal" });
    }
    await server.close(1_000);
  });

  it("a streamed answer that fails midway is cut, not ended", async (runtime) => {
    const fail = gate();
    const { server, url } = await serve(runtime, (request) => {
      if (request.url.endsWith("alive")) return new Response("alive");
      const stream = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(utf8("started")),
        pull: () => fail.promise.then(() => Promise.reject(new Error("secret"))),
      });
      return new Response(stream);
    });
    const client = await connectTo(runtime, server.port);
    await client.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    const reader = client.readable.getReader();
    await readText(reader, (text) => text.includes("started"));
    fail.open();
    const rest = await readText(reader, () => false).catch(() => "");
    assert.ok(!rest.includes("secret") && !rest.includes("0\r\n\r\n"), rest);
    assert.equal(await (await runtime.fetch(`${url}alive`)).text(), "alive");
    await server.close(1_000);
  });

  it("a body that announces too much is refused with 413", async (runtime) => {
    let called = 0;
    const { server, url } = await serve(runtime, () => {
      called++;
      return new Response("fine");
    }, { bodyBytesMax: 1_000 });
    const body = pattern(1_001) as Uint8Array<ArrayBuffer>;
    const response = await runtime.fetch(url, { method: "POST", body });
    assert.equal(response.status, 413);
    await response.body?.cancel();
    assert.equal(called, 0);
    const fits = await runtime.fetch(url, { method: "POST", body: body.subarray(1) });
    assert.equal(await fits.text(), "fine");
    await server.close(1_000);
  });

  it("a chunked body beyond the limit is cut, or the handler can count it", async (runtime) => {
    const { server } = await serve(runtime, async (request) => {
      let length = 0;
      for await (const chunk of request.body!) length += chunk.byteLength;
      return new Response(null, { status: length > 1_000 ? 413 : 200 });
    }, { bodyBytesMax: 1_000 });
    const client = await connectTo(runtime, server.port);
    const head = utf8(
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
    );
    const chunk = concat([utf8("400\r\n"), pattern(1_024), utf8("\r\n")]);
    const writer = client.writable.getWriter();
    await writer.write(concat([head, chunk, chunk, utf8("0\r\n\r\n")])).catch(() => {});
    const answer = await readText(client.readable.getReader(), (text) => text.includes("\r\n\r\n")).catch(
      () => "",
    );
    if (answer !== "") assert.match(answer, /^HTTP\/1\.1 413 /);
    client.abort(new Error("done"));
    await server.close(1_000);
  });

  it("a client that leaves cancels the stream it was reading, also a silent one", async (runtime) => {
    const cancelled = [gate(), gate()] as const;
    const chunk = pattern(65_536);
    const { server } = await serve(runtime, (request) => {
      const endless = new URL(request.url).pathname === "/endless";
      return new Response(
        new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(utf8("started")),
          pull(controller) {
            if (endless) controller.enqueue(chunk);
          },
          cancel: () => cancelled[endless ? 0 : 1].open(),
        }),
      );
    });
    for (const [i, path] of ["endless", "silent"].entries()) {
      const client = await connectTo(runtime, server.port);
      await client.writable.getWriter().write(utf8(`GET /${path} HTTP/1.1\r\nhost: a\r\n\r\n`));
      await readText(client.readable.getReader(), (text) => text.includes("started"));
      client.abort(new Error("done"));
      await within(runtime, `cancel of the ${path} stream`, cancelled[i]!.promise);
    }
    await server.close(1_000);
  });

  it("a client that leaves while it sends ends the reading of its body", async (runtime) => {
    const outcome = gate<unknown>();
    const begun = gate();
    const { server } = await serve(runtime, async (request) => {
      const reader = request.body!.getReader();
      await reader.read();
      begun.open();
      outcome.open(await reader.read().catch((error) => error));
      return new Response("too late");
    });
    const client = await connectTo(runtime, server.port);
    await client.writable.getWriter().write(
      utf8("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nfirst"),
    );
    await begun.promise;
    client.abort(new Error("done"));
    assert.ok(await outcome.promise instanceof Error);
    await server.close(1_000);
  });

  it("rubbish does not disturb it", async (runtime) => {
    const { server, url } = await serve(runtime, () => new Response("alive"));
    const rubbish = [
      pattern(1_000, 5),
      utf8("\r\n\r\n\r\n"),
      utf8("GET / HTTP/1.1\r\nhost: bad host\r\n\r\n"),
      utf8("GET /\\ HTTP/1.1\r\nhost: a\r\n\r\n"),
      utf8("GET http://[/ HTTP/1.1\r\nhost: a\r\n\r\n"),
      utf8("GET / HTTP/1.1\r\n\r\n"),
      utf8("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n"),
      utf8("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
      utf8(`GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(2_000_000)}\r\n\r\n`),
    ];
    for (const bytes of rubbish) {
      const client = await connectTo(runtime, server.port);
      await client.writable.getWriter().write(bytes).catch(() => {});
      client.abort(new Error("done"));
      assert.equal(await (await runtime.fetch(url)).text(), "alive");
    }
    await server.close(1_000);
  });

  it("a port that is taken, an address that is not ours", async (runtime) => {
    const { server } = await serve(runtime, () => new Response("first"));
    const limits = { bodyBytesMax: 0, headersMs: 0, requestMs: 0, keepAliveMs: 1_000, idleMs: 0 };
    const other = { tls: null, handler: () => new Response("second"), limits };
    const taken = await rejection(
      runtime.http.serve({ ...other, hostname: "127.0.0.1", port: server.port }),
    ) as DfdbError;
    assert.equal(taken.code, "port_in_use");
    assert.deepEqual(taken.details, { port: server.port });
    const elsewhere = runtime.http.serve({ ...other, hostname: "192.0.2.1", port: 0 });
    assert.equal((await rejection(elsewhere) as DfdbError).code, "io_error");
    await server.close(1_000);
  });
}

/** What {@linkcode runtimeSuite} asks of ending a server. */
export function httpCloseSuite(name: string, makeRuntime: () => Runtime): void {
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: http: close: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });

  it("idle and silent connections are closed at once, and the port is free", async (runtime) => {
    const { server, url } = await serve(runtime, () => new Response("hello"));
    const silent = await connectTo(runtime, server.port);
    const idle = await connectTo(runtime, server.port);
    await idle.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    const reader = idle.readable.getReader();
    await readText(reader, (text) => text.endsWith("hello"));
    await server.close(60_000);
    assert.equal(await readText(reader, () => false).catch(() => ""), "");
    // A system may hold a silent connection back from the server until it says something (TCP_DEFER_ACCEPT).
    await silent.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n")).catch(() => {});
    assert.equal((await readUntilOver(silent.readable)).length, 0);
    await rejection(runtime.fetch(url));
    const listener = await runtime.net.listen({ hostname: "127.0.0.1", port: server.port, tls: null });
    await listener.close();
  });

  it("a running request is answered first", async (runtime) => {
    const arrived = gate(), release = gate();
    const { server } = await serve(runtime, async () => {
      arrived.open();
      await release.promise;
      return new Response("finished");
    });
    const client = await connectTo(runtime, server.port);
    await client.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    await arrived.promise;
    const closed = server.close(60_000);
    // A late comer is refused, sent away or told so; it is not served.
    const late = await connectTo(runtime, server.port).catch(() => null);
    await late?.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n")).catch(() => {});
    const answered = (text: string): boolean => text.includes('"closing"');
    const told = late === null ? "" : await readText(late.readable.getReader(), answered).catch(() => "");
    if (told !== "") assert.match(told, /^HTTP\/1\.1 503 [^]*"closing"/);
    release.open();
    assert.match(
      utf8Text(await readUntilOver(client.readable)),
      /^HTTP\/1\.1 200 [^]*finished/,
    );
    await closed;
    late?.abort(new Error("done"));
  });

  it("what takes longer than the grace is cut", async (runtime) => {
    const arrived = gate(), cancelled = gate(), release = gate();
    const { server } = await serve(runtime, async (request) => {
      if (request.url.endsWith("stream")) {
        const stream = new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(utf8("started")),
          cancel: () => cancelled.open(),
        });
        return new Response(stream);
      }
      arrived.open();
      await release.promise;
      return new Response("too late");
    });
    const streaming = await connectTo(runtime, server.port);
    await streaming.writable.getWriter().write(utf8("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n"));
    const reader = streaming.readable.getReader();
    await readText(reader, (text) => text.includes("started"));
    const waiting = await connectTo(runtime, server.port);
    await waiting.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    await arrived.promise;
    await server.close(50);
    assert.equal((await readUntilOver(waiting.readable)).length, 0);
    await readText(reader, () => false).catch(() => "");
    await cancelled.promise;
    release.open();
  });
}
