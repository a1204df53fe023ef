import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "../../src/base/crc32.ts";
import type { PlainConnection } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { bytePipe } from "../../src/wire/byte_pipe.ts";
import { drain, isUnreachable, pair, pattern, pendingFor, rejection, within } from "./runtime_tools.ts";

const MiB = 1024 * 1024;

/** Reads to the end. */
async function readAll(pipe: PlainConnection): Promise<{ length: number; crc: number }> {
  let length = 0, crc = 0;
  for (let bytes = await pipe.read(); bytes !== null; bytes = await pipe.read()) {
    length += bytes.byteLength;
    crc = crc32(bytes, crc);
  }
  return { length, crc };
}

/** What {@linkcode runtimeSuite} asks of a connection that is used without its streams. */
export function plainConnectionSuite(name: string, makeRuntime: () => Runtime): void {
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: plain connection: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });

  it("bytes in odd sizes arrive whole and in order, then the end", async (runtime) => {
    const { client, server } = await pair(runtime), from = bytePipe(client), to = bytePipe(server);
    const bytes = pattern(5_000_003), reading = readAll(to);
    let at = 0;
    for (let size = 1; at < bytes.length; size = (size * 7 + 13) % 300_007) {
      await from.write(bytes.subarray(at, at + size));
      at += size;
    }
    await from.close();
    assert.deepEqual(await reading, { length: bytes.length, crc: crc32(bytes) });
    assert.equal(await from.read(), null);
    assert.ok(isUnreachable(await rejection((async () => await to.write(pattern(1)))())));
  });

  it("the peer may use its streams, and what came before they were asked for is in them", async (runtime) => {
    const { client, server } = await pair(runtime), from = bytePipe(client), bytes = pattern(1_000);
    await from.write(bytes);
    const reading = drain(server.readable), writer = server.writable.getWriter();
    await writer.write(bytes);
    assert.equal(crc32(await from.read() ?? pattern(1)), crc32(bytes));
    await from.close();
    assert.deepEqual(await reading, { length: 1_000, crc: crc32(bytes) });
  });

  it("a write that is larger than all buffers waits for the reader", async (runtime) => {
    const { client, server } = await pair(runtime), from = bytePipe(client), bytes = pattern(40 * MiB);
    const writing = from.write(bytes);
    assert.ok(writing !== null, "no system takes 40 MiB at once");
    assert.equal(await pendingFor(runtime, 100, writing), true);
    const reading = drain(server.readable);
    await writing;
    await from.close();
    assert.deepEqual(await reading, { length: bytes.length, crc: crc32(bytes) });
  });

  it("a peer that nobody reads is slowed down", async (runtime) => {
    const { client, server } = await pair(runtime), from = bytePipe(client), to = bytePipe(server);
    const chunk = pattern(65_536);
    let taken = 0;
    assert.equal((await Promise.all([from.write(pattern(1)), to.read()]))[1]?.byteLength, 1);
    for (;;) {
      const writing = from.write(chunk);
      taken += chunk.byteLength;
      if (writing !== null && await pendingFor(runtime, 100, writing)) {
        assert.ok(taken < 16 * MiB, `${taken} bytes were taken without a reader`);
        const over = rejection(writing);
        client.abort(new Error("enough"));
        assert.match(String(await over), /enough/);
        return server.abort(new Error("done"));
      }
    }
  });

  it("abort fails a waiting read here and ends it there", async (runtime) => {
    const { client, server } = await pair(runtime), here = bytePipe(client), there = bytePipe(server);
    const reason = new Error("enough"), reading = rejection(here.read());
    const ending = there.read().then((bytes) => bytes === null, isUnreachable);
    client.abort(reason);
    assert.equal(await reading, reason);
    assert.equal(await ending, true);
    assert.equal(await rejection((async () => await here.write(pattern(1)))()), reason);
  });
}
