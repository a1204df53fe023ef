import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "../../src/base/crc32.ts";
import type { DfdbError } from "../../src/base/errors.ts";
import type { Connection } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import {
  accepted,
  connectTo,
  gate,
  isUnreachable,
  listen,
  pattern,
  rejection,
  within,
} from "./runtime_tools.ts";

/** What {@linkcode runtimeSuite} asks of listening and connecting. */
export function tcpListenSuite(name: string, makeRuntime: () => Runtime): void {
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: tcp: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });

  it("nobody listens: unreachable", async (runtime) => {
    const listener = await listen(runtime);
    await listener.close();
    const error = await rejection(connectTo(runtime, listener.port));
    assert.ok(isUnreachable(error), String(error));
    assert.equal((error as DfdbError).details["port"], listener.port);
  });

  it("connect gives up when it is told to, before and while it tries", async (runtime) => {
    const listener = await listen(runtime);
    const early = AbortSignal.abort(new Error("never mind"));
    assert.ok(isUnreachable(await rejection(connectTo(runtime, listener.port, early))));
    const controller = new AbortController();
    const trying = rejection(connectTo(runtime, listener.port, controller.signal));
    controller.abort(new Error("never mind"));
    assert.ok(isUnreachable(await trying));
    await listener.close();
  });

  it("an abort after connecting changes nothing", async (runtime) => {
    const listener = await listen(runtime);
    const controller = new AbortController();
    const connecting = connectTo(runtime, listener.port, controller.signal);
    const [client, server] = await Promise.all([connecting, accepted(listener)]);
    controller.abort();
    await client.writable.getWriter().write(pattern(5));
    assert.equal((await server.readable.getReader().read()).value?.byteLength, 5);
    assert.deepEqual(client.remote, { hostname: "127.0.0.1", port: listener.port });
    assert.equal(server.remote.hostname, "127.0.0.1");
    client.abort(new Error("done"));
    server.abort(new Error("done"));
    await listener.close();
  });

  it("a port that is taken, an address that is not ours", async (runtime) => {
    const listener = await listen(runtime);
    const taken = await rejection(listen(runtime, listener.port)) as DfdbError;
    assert.equal(taken.code, "port_in_use");
    assert.equal(taken.message, `port ${listener.port} is already in use`);
    assert.deepEqual(taken.details, { port: listener.port });
    const elsewhere = runtime.net.listen({ hostname: "192.0.2.1", port: 0, tls: null });
    assert.equal((await rejection(elsewhere) as DfdbError).code, "io_error");
    await listener.close();
    await listener.close();
    const again = await listen(runtime, listener.port);
    await again.close();
  });

  it("closing the listener ends the iteration; accepted connections go on", async (runtime) => {
    const listener = await listen(runtime);
    const server = gate<Connection>();
    const iterate = async (): Promise<number> => {
      let count = 0;
      for await (const connection of listener) {
        count++;
        server.open(connection);
      }
      return count;
    };
    const iterating = iterate();
    const client = await connectTo(runtime, listener.port);
    const other = await server.promise;
    await listener.close();
    assert.equal(await iterating, 1);
    await client.writable.getWriter().write(pattern(5));
    assert.equal((await other.readable.getReader().read()).value?.byteLength, 5);
    client.abort(new Error("done"));
    other.abort(new Error("done"));
  });

  it("200 connections at once", async (runtime) => {
    const listener = await listen(runtime);
    const serve = async (): Promise<void> => {
      for await (const connection of listener) {
        connection.readable.pipeTo(connection.writable).catch(() => {});
      }
    };
    const serving = serve();
    const one = async (seed: number): Promise<void> => {
      const client = await connectTo(runtime, listener.port);
      const bytes = pattern(10_000, seed);
      const writer = client.writable.getWriter();
      await writer.write(bytes);
      let length = 0, crc = 0;
      const reader = client.readable.getReader();
      while (length < bytes.length) {
        const { value } = await reader.read();
        length += value!.byteLength;
        crc = crc32(value!, crc);
      }
      assert.equal(crc, crc32(bytes));
      await writer.close();
    };
    await Promise.all(Array.from({ length: 200 }, (_, seed) => one(seed + 1)));
    await listener.close();
    await serving;
  });
}
