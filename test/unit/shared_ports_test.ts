import assert from "node:assert/strict";
import { test } from "node:test";
import type { DfdbError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { SharedPorts } from "../../src/replication/shared_ports.ts";
import type { Connection, Listener } from "../../src/runtime/net.ts";
import { bytePipe } from "../../src/wire/byte_pipe.ts";
import { encodeMessage } from "../../src/wire/codec.ts";
import { encodeFrame } from "../../src/wire/frame.ts";
import type { Hello } from "../../src/wire/message.ts";
import { ManualClock } from "../tool/manual_clock.ts";
import { MemoryNet } from "../tool/memory_net.ts";
import { sampleMessages } from "../tool/sample_messages.ts";

const port = 5_500, hostname = "127.0.0.1", tls = null;

function helloTo(database: string): Uint8Array {
  const hello = sampleMessages.find(({ type }) => type === "hello") as Hello;
  return encodeMessage({ ...hello, database });
}

/** A port of a node with the databases `names`. */
function rig(...names: string[]) {
  const net = new MemoryNet(), clock = new ManualClock(), databases = new Set(names);
  const ports = new SharedPorts({ net, clock, logger: silentLogger, databases: () => databases });
  const listen = (name: string, host = hostname): Promise<Listener> =>
    ports.netFor(name).listen({ hostname: host, port, tls });
  const connect = (): Promise<Connection> =>
    net.connect({ hostname, port, tls, signal: new AbortController().signal });
  return { net, clock, ports, listen, connect, databases };
}

async function next(listener: Listener): Promise<Connection> {
  const { value, done } = await listener[Symbol.asyncIterator]().next();
  assert.ok(done !== true, "a connection came");
  return value;
}

async function bytesOf(connection: Connection, length: number): Promise<Uint8Array> {
  const pipe = bytePipe(connection), all = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const bytes = await pipe.read();
    assert.ok(bytes !== null, "it goes on");
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}

/** Everything that waits for nothing but its turn runs until `holds`. */
async function until(holds: () => boolean): Promise<void> {
  for (let turns = 0; !holds(); turns++) {
    assert.ok(turns < 100_000, "it comes to be");
    await Promise.resolve();
  }
}

test("a connection goes to the database that its hello names, with all of its bytes", async () => {
  const { listen, connect } = rig("default", "shop");
  const [main, shop] = [await listen("default"), await listen("shop")];
  assert.deepEqual([main.port, shop.port], [port, port]);
  for (const [name, listener] of [["shop", shop], ["default", main], ["SHOP", shop]] as const) {
    const client = bytePipe(await connect()), hello = helloTo(name), more = Uint8Array.of(1, 2, 3);
    await client.write(hello);
    const connection = await next(listener);
    await client.write(more);
    const got = await bytesOf(connection, hello.length + more.length);
    assert.deepEqual(got, Uint8Array.of(...hello, ...more));
    await bytePipe(connection).write(Uint8Array.of(9));
    assert.deepEqual(await client.read(), Uint8Array.of(9));
  }
});

test("a hello may come in pieces, and with what follows it", async () => {
  const { listen, connect } = rig("default", "shop");
  await listen("default");
  const shop = await listen("shop"), hello = helloTo("shop"), more = Uint8Array.of(7, 8);
  const byByte = bytePipe(await connect());
  const waiting = next(shop);
  for (const byte of hello) await byByte.write(Uint8Array.of(byte));
  assert.deepEqual(await bytesOf(await waiting, hello.length), hello);
  const together = bytePipe(await connect());
  await together.write(Uint8Array.of(...hello, ...more));
  assert.deepEqual(await bytesOf(await next(shop), hello.length + 2), Uint8Array.of(...hello, ...more));
});

test("what is handed over has streams, too", async () => {
  const { listen, connect } = rig("default", "shop");
  const main = await listen("default"), client = bytePipe(await connect()), hello = helloTo("default");
  await client.write(hello);
  const { readable, writable } = await next(main),
    reader = readable.getReader(),
    writer = writable.getWriter();
  assert.deepEqual((await reader.read()).value, hello);
  await writer.write(Uint8Array.of(5));
  assert.deepEqual(await client.read(), Uint8Array.of(5));
  await writer.close();
  assert.equal((await reader.read()).done, true);
  assert.equal(await client.read(), null);
});

test("garbage, a huge frame and an unknown database get their refusal from one that listens", async () => {
  const { listen, connect } = rig("default", "shop");
  const main = await listen("default");
  const huge = encodeFrame(new Uint8Array(limits.helloBytesMax + 1));
  const other = encodeMessage(sampleMessages.find(({ type }) => type === "ack") ?? assert.fail("an ack"));
  for (const first of [new TextEncoder().encode("GET / HTTP/1.1\r\n"), huge, helloTo("nobody"), other]) {
    const client = bytePipe(await connect());
    void client.write(first);
    assert.deepEqual(await bytesOf(await next(main), first.length), first);
  }
});

test("a database that does not listen here is as if nobody did", async () => {
  const { net, listen, connect } = rig("default", "shop");
  const main = await listen("default"), client = bytePipe(await connect());
  await client.write(helloTo("shop"));
  await assert.rejects(async () => await client.read());
  assert.equal(net.line.open, false);
  await bytePipe(await connect()).write(helloTo("default"));
  assert.ok(await next(main));
});

test("with one database alone nothing is read before it has the connection", async () => {
  const { listen, connect } = rig("default");
  const main = await listen("default");
  await connect();
  assert.ok(await next(main), "not a byte was sent");
});

test("who says nothing has as long as a handshake may take; who leaves is forgotten", async () => {
  const { net, clock, listen, connect } = rig("default", "shop");
  await listen("default");
  await connect();
  const silent = net.line;
  await bytePipe(await connect()).write(helloTo("default").subarray(0, 20));
  const half = net.line;
  await until(() => clock.timers === 2);
  const leaver = bytePipe(await connect());
  await until(() => clock.timers === 3);
  await leaver.close();
  await until(() => clock.timers === 2);
  await clock.advance(limits.handshakeMs - 1);
  assert.deepEqual([silent.open, half.open], [true, true]);
  await clock.advance(1);
  assert.deepEqual([silent.open, half.open], [false, false]);
});

test("of too many that wait for their hello the oldest silent one goes", async () => {
  const { net, clock, listen, connect } = rig("default", "shop");
  await listen("default");
  await bytePipe(await connect()).write(helloTo("default").subarray(0, 20));
  const heard = net.line;
  await until(() => heard.toServer.bytesWritten === 20 && clock.timers === 1);
  await connect();
  const silent = net.line;
  for (let i = 2; i < limits.handshakesMax; i++) await connect();
  await until(() => clock.timers === limits.handshakesMax);
  assert.deepEqual([heard.open, silent.open], [true, true]);
  await connect();
  await until(() => !silent.open);
  assert.deepEqual([heard.open, net.line.open], [true, true]);
});

test("the port is open as long as one database listens, and free when the last has left", async () => {
  const { net, clock, listen, connect } = rig("default", "shop");
  const main = await listen("default"), shop = await listen("shop");
  await assert.rejects(listen("shop"), (error: DfdbError) => error.code === "port_in_use");
  await assert.rejects(listen("other", "0.0.0.0"), (error: DfdbError) => error.code === "port_in_use");
  await main.close();
  await main.close();
  assert.equal((await main[Symbol.asyncIterator]().next()).done, true);
  const client = bytePipe(await connect());
  await client.write(helloTo("shop"));
  assert.ok(await next(shop));
  await connect();
  const waiting = net.line;
  await until(() => clock.timers === 1);
  await shop.close();
  assert.equal(waiting.open, false, "closed while its hello was awaited");
  await assert.rejects(connect(), (error: DfdbError) => error.code === "unreachable");
  const [again, both] = await Promise.all([listen("default"), listen("shop")]);
  assert.deepEqual([again.port, both.port], [port, port]);
});

test("a port that is taken elsewhere is told, and tried anew by the next", async () => {
  const { net, listen } = rig("default", "shop");
  const stranger = await net.listen({ hostname, port, tls });
  const both = await Promise.allSettled([listen("default"), listen("shop")]);
  assert.deepEqual(both.map(({ status }) => status), ["rejected", "rejected"]);
  await stranger.close();
  assert.equal((await listen("shop")).port, port);
});

test("port 0 picks one that others can share", async () => {
  const { ports } = rig("default", "shop");
  const main = await ports.netFor("default").listen({ hostname, port: 0, tls });
  const shop = await ports.netFor("shop").listen({ hostname, port: main.port, tls });
  assert.equal(shop.port, main.port);
});

test("when the listener fails all are told, and can listen anew", async () => {
  const { net, listen } = rig("default", "shop");
  const failure = new Error("the network is gone"), real = net.listen.bind(net);
  let fail = (): void => {};
  net.listen = async (options) => {
    const { promise, reject } = Promise.withResolvers<never>();
    fail = () => reject(failure);
    promise.catch(() => {});
    const { hostname, port, close } = await real(options).then((listener) => ({
      hostname: listener.hostname,
      port: listener.port,
      close: () => listener.close(),
    }));
    return { hostname, port, close, [Symbol.asyncIterator]: () => ({ next: () => promise }) };
  };
  const main = await listen("default"), shop = await listen("shop");
  const ends = [main, shop].map((listener) => listener[Symbol.asyncIterator]().next());
  fail();
  for (const end of ends) await assert.rejects(end, failure);
  await Promise.all([main.close(), shop.close()]);
  net.listen = real;
  assert.equal((await listen("shop")).port, port);
});
