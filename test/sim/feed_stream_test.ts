/** Answers that do not end, over the simulated network: pieces in order, a slow client, hanging up, breaks, ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import type { HttpHandler, HttpServer } from "../../src/runtime/http_host.ts";
import { netProcess } from "./net_tools.ts";
import { SimNetwork } from "./sim_net.ts";
import { World } from "./world.ts";

const limits = { bodyBytesMax: 0, headersMs: 0, requestMs: 0, keepAliveMs: 0, idleMs: 0 };

async function setting(handler: HttpHandler) {
  const world = new World(1), network = new SimNetwork(world), b = netProcess(world, network, "b");
  const server: HttpServer = await b.runtime.http.serve({
    hostname: "0.0.0.0",
    port: 5000,
    tls: null,
    handler,
    limits,
  });
  const said: unknown[] = [];
  const follow = (tookMs = 0) =>
    network.follow("client", "http://b:5000/changes", { method: "GET" }, {
      answered: (status) => void said.push(status),
      piece: (text) => {
        said.push(text);
        return tookMs;
      },
      over: (end) => void said.push(end),
    });
  return { world, network, b, server, said, follow };
}

/** A body of numbers, as many as are asked for, `most` of them; what became of it. */
function numbers(most = Infinity) {
  const state = { given: 0, left: false };
  const handler: HttpHandler = async () =>
    new Response(
      new ReadableStream<Uint8Array>({
        pull(controller) {
          if (state.given < most) controller.enqueue(utf8(`${++state.given};`));
          else controller.close();
        },
        cancel: () => void (state.left = true),
      }, { highWaterMark: 0 }),
    );
  return { state, handler };
}

test("pieces come in order, and the end", async () => {
  const { handler } = numbers(3), { world, network, said, follow } = await setting(handler);
  follow();
  assert.equal(network.openRequests, 1);
  await world.pass(100);
  assert.deepEqual(said, [200, "1;", "2;", "3;", "whole"]);
  assert.deepEqual([network.openRequests, network.figures.answers], [0, 1]);
});

test("a slow client holds the server up; one that hangs up ends it", async () => {
  const { state, handler } = numbers(), { world, said, follow } = await setting(handler);
  const stream = follow(1_000);
  await world.pass(500);
  assert.deepEqual([state.given, said.length], [4, 5]);
  await world.pass(5_000);
  assert.ok(state.given >= 12 && state.given <= 28, `${state.given}`);
  assert.equal(stream.connected, true);
  stream.hangUp();
  await world.pass(5);
  assert.equal(state.left, true);
  const { length } = said;
  await world.pass(5_000);
  assert.deepEqual([said.length, stream.connected], [length, false]);
});

test("a cut line delays, a break ends both sides", async () => {
  const { state, handler } = numbers(), { world, network, said, follow } = await setting(handler);
  const stream = follow(100);
  await world.pass(50);
  network.link("b", "client").cut = true;
  await world.pass(10_000);
  const { length } = said;
  assert.ok(length <= 5, `${length}`);
  network.heal();
  await world.pass(1_000);
  assert.ok(said.length > length);
  assert.deepEqual(said.slice(1), Array.from({ length: said.length - 1 }, (_, i) => `${i + 1};`));
  network.reset(() => true);
  await world.pass(10);
  assert.deepEqual([said.at(-1), state.left, stream.connected, network.openRequests], [
    "lost",
    true,
    false,
    0,
  ]);
});

test("the end of the process: a kill is heard, a power failure is not; nobody serves", async () => {
  for (const how of ["kill", "power"] as const) {
    const { handler } = numbers(), { world, b, said, follow } = await setting(handler);
    const stream = follow(100);
    await world.pass(50);
    b.die(how);
    await world.pass(20);
    assert.deepEqual([said.at(-1) === "lost", stream.connected], [how === "kill", false]);
    const { length } = said;
    follow();
    await world.pass(20);
    assert.deepEqual(said.slice(length), how === "kill" ? ["refused"] : []);
    await world.pass(31_000);
    assert.equal(said.at(-1), how === "kill" ? "refused" : "lost");
  }
});

test("a server that closes waits for streams, then cuts them", async () => {
  for (const most of [10, Infinity]) {
    const { handler } = numbers(most), { world, server, said, follow } = await setting(handler);
    follow(100);
    await world.pass(50);
    let closed = false;
    server.close(5_000).then(() => closed = true);
    await world.pass(1_000);
    assert.equal(closed, most === 10);
    await world.pass(5_000);
    assert.deepEqual([closed, said.at(-1)], [true, most === 10 ? "whole" : "lost"]);
  }
});
