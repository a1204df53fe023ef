import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "../../src/base/crc32.ts";
import type { Connection } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import {
  accepted,
  connectTo,
  drain,
  isUnreachable,
  listen,
  pair,
  pattern,
  pendingFor,
  readText,
  readUntilOver,
  rejection,
  within,
} from "./runtime_tools.ts";

const MiB = 1024 * 1024;

/** Writes without end until it is told to stop or fails; counts what the stream took. */
function flood(connection: Connection): { sent(): number; stop(): void; readonly over: Promise<unknown> } {
  const writer = connection.writable.getWriter();
  const chunk = pattern(65_536);
  let sent = 0, going = true;
  const run = async (): Promise<void> => {
    while (going) {
      await writer.write(chunk);
      sent += chunk.byteLength;
    }
    await writer.close();
  };
  const over = run().then(() => null, (error) => error);
  return { sent: () => sent, stop: () => void (going = false), over };
}

/** Lets a flood run until it makes no progress any more. */
async function stalled(
  runtime: Runtime,
  flooding: { sent(): number; over: Promise<unknown> },
): Promise<number> {
  for (;;) {
    const before = flooding.sent();
    await pendingFor(runtime, 100, flooding.over);
    if (flooding.sent() === before && before > 0) return before;
  }
}

/** What {@linkcode runtimeSuite} asks of byte streams. */
export function tcpStreamSuite(name: string, makeRuntime: () => Runtime): void {
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: tcp: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });

  it("20 MB in odd chunk sizes come back whole", async (runtime) => {
    const { client, server } = await pair(runtime);
    const echo = server.readable.pipeTo(server.writable);
    const bytes = pattern(20_000_003);
    const write = async (): Promise<void> => {
      const writer = client.writable.getWriter();
      let at = 0;
      for (let size = 1; at < bytes.length; size = (size * 7 + 13) % 300_007) {
        await writer.write(bytes.subarray(at, at + size));
        at += size;
      }
    };
    const read = async (): Promise<number> => {
      let length = 0, crc = 0;
      const reader = client.readable.getReader();
      while (length < bytes.length) {
        const { done, value } = await reader.read();
        assert.equal(done, false, `ended after ${length} bytes`);
        length += value!.byteLength;
        crc = crc32(value!, crc);
      }
      assert.equal(length, bytes.length);
      await reader.cancel();
      return crc;
    };
    const [crc] = await Promise.all([read(), write()]);
    assert.equal(crc, crc32(bytes));
    await echo.catch(() => {});
  });

  it("a writer waits while nobody reads, and goes on when somebody does", async (runtime) => {
    const { client, server } = await pair(runtime);
    const flooding = flood(client);
    const taken = await stalled(runtime, flooding);
    assert.ok(taken < 16 * MiB, `${taken} bytes were taken without a reader`);
    flooding.stop();
    const { length, crc } = await drain(server.readable);
    assert.equal(await flooding.over, null);
    assert.equal(length, flooding.sent());
    let expected = 0;
    for (let i = 0; i < length / 65_536; i++) expected = crc32(pattern(65_536), expected);
    assert.equal(crc, expected);
  });

  it("one write that is larger than all buffers resolves only when it was taken", async (runtime) => {
    const { client, server } = await pair(runtime);
    const bytes = pattern(40 * MiB);
    const writer = client.writable.getWriter();
    const write = writer.write(bytes);
    assert.equal(await pendingFor(runtime, 100, write), true);
    const read = drain(server.readable);
    await write;
    await writer.close();
    assert.deepEqual(await read, { length: bytes.length, crc: crc32(bytes) });
  });

  it("close sends everything, then ends both ends", async (runtime) => {
    const { client, server } = await pair(runtime);
    const bytes = pattern(3 * MiB);
    const writer = client.writable.getWriter();
    void writer.write(bytes);
    const closed = writer.close();
    assert.deepEqual(await drain(server.readable), { length: bytes.length, crc: crc32(bytes) });
    await closed;
    assert.equal((await client.readable.getReader().read()).done, true);
    const late = server.writable.getWriter();
    assert.ok(isUnreachable(await rejection(late.write(pattern(1)))));
  });

  it("last words arrive although their writer leaves bytes unread", async (runtime) => {
    const { client, server } = await pair(runtime);
    const flooding = flood(client);
    await stalled(runtime, flooding);
    const writer = server.writable.getWriter();
    const words = pattern(100_000, 2);
    void writer.write(words);
    const closed = writer.close();
    assert.deepEqual(await drain(client.readable), { length: words.length, crc: crc32(words) });
    await closed;
    assert.ok(isUnreachable(await flooding.over));
  });

  it("abort fails a waiting read here and ends it there", async (runtime) => {
    const { client, server } = await pair(runtime);
    const reason = new Error("enough");
    const here = rejection(client.readable.getReader().read());
    const there = readUntilOver(server.readable);
    client.abort(reason);
    client.abort(new Error("a second time changes nothing"));
    assert.equal(await here, reason);
    assert.equal(await rejection(client.writable.getWriter().write(pattern(1))), reason);
    assert.equal((await there).length, 0);
  });

  it("abort fails a waiting write, and the reader keeps a prefix", async (runtime) => {
    const { client, server } = await pair(runtime);
    const flooding = flood(client);
    await stalled(runtime, flooding);
    const reason = new Error("enough");
    client.abort(reason);
    assert.equal(await flooding.over, reason);
    const got = await readUntilOver(server.readable);
    const chunk = pattern(65_536);
    for (let at = 0; at < got.length; at += chunk.length) {
      const part = got.subarray(at, at + chunk.length);
      assert.equal(crc32(part), crc32(chunk.subarray(0, part.length)), `wrong bytes at ${at}`);
    }
  });

  it("abort by the reader fails a waiting write as unreachable", async (runtime) => {
    const { client, server } = await pair(runtime);
    const flooding = flood(client);
    await stalled(runtime, flooding);
    server.abort(new Error("enough"));
    assert.ok(isUnreachable(await flooding.over));
    await rejection(client.readable.getReader().closed.then(() => Promise.reject(new Error("ended"))));
  });

  it("aborting the writable breaks a write that waits", async (runtime) => {
    const { client, server } = await pair(runtime);
    const reason = new Error("enough");
    const writer = client.writable.getWriter();
    const write = rejection(writer.write(pattern(40 * MiB)));
    const reader = server.readable.getReader();
    assert.equal((await reader.read()).done, false);
    await writer.abort(reason);
    assert.equal(await write, reason);
    reader.releaseLock();
    await readUntilOver(server.readable);
  });

  it("cancelling the readable closes the connection", async (runtime) => {
    const { client, server } = await pair(runtime);
    await client.readable.cancel();
    await readUntilOver(server.readable);
    assert.ok(isUnreachable(await rejection(client.writable.getWriter().write(pattern(1)))));
    assert.ok(isUnreachable(await flood(server).over));
  });

  it("a half-written message and an abort leave the listener in order", async (runtime) => {
    const listener = await listen(runtime);
    const [first, broken] = await Promise.all([connectTo(runtime, listener.port), accepted(listener)]);
    await first.writable.getWriter().write(pattern(10));
    const reader = broken.readable.getReader();
    assert.equal((await reader.read()).value?.byteLength, 10);
    first.abort(new Error("enough"));
    await reader.read().catch(() => {});
    const [second, server] = await Promise.all([connectTo(runtime, listener.port), accepted(listener)]);
    const writer = second.writable.getWriter();
    await writer.write(new Uint8Array([104, 105]));
    assert.equal(await readText(server.readable.getReader(), (text) => text.length === 2), "hi");
    server.abort(new Error("done"));
    second.abort(new Error("done"));
    await listener.close();
  });
}
