/** HTTP of the simulator: what becomes of requests when nothing happens, and when something does. */
import assert from "node:assert/strict";
import test from "node:test";
import type { HttpHandler, HttpServer } from "../../src/runtime/http_host.ts";
import { connect, netProcess, settled, watched } from "./net_tools.ts";
import { SimNetwork } from "./sim_net.ts";
import type { SimProcess } from "./sim_process.ts";
import type { Reply } from "./types.ts";
import { World } from "./world.ts";

const limits = { bodyBytesMax: 0, headersMs: 0, requestMs: 0, keepAliveMs: 0, idleMs: 0 };

const echo: HttpHandler = async (request, peer) =>
  Response.json({
    method: request.method,
    path: new URL(request.url).pathname,
    body: await request.text(),
    ...peer,
  });

function serve(process: SimProcess, handler: HttpHandler, hostname = "0.0.0.0"): Promise<HttpServer> {
  return process.runtime.http.serve({ hostname, port: 5000, tls: null, handler, limits });
}

/** A handler that answers when `open` is called, and how often it was called. */
function gated(): { readonly handler: HttpHandler; count: number; open(): void } {
  const waiting: (() => void)[] = [];
  const state = {
    count: 0,
    handler: () => {
      state.count++;
      return new Promise<Response>((resolve) => waiting.push(() => resolve(new Response("late"))));
    },
    open: () => waiting.splice(0).forEach((run) => run()),
  };
  return state;
}

function setting(seed = 1) {
  const world = new World(seed), network = new SimNetwork(world);
  const a = netProcess(world, network, "a"), b = netProcess(world, network, "b");
  const put = (body = "{}") => network.request("client", null, "http://b:5000/x", { method: "PUT", body });
  return { world, network, a, b, put };
}

const kindOf = (reply: Promise<Reply>): { now: string } => watched(reply.then(({ kind }) => kind));

test("a request there and an answer back", async () => {
  const { world, network, b, put } = setting();
  await serve(b, echo);
  const reply = await settled(world, put("body"));
  assert.ok(world.now > 0.2 && world.now < 4, `${world.now}`);
  assert.equal(reply.kind, "answer");
  if (reply.kind !== "answer") return;
  assert.equal(reply.answer.status, 200);
  assert.match(reply.answer.headers.get("content-type") ?? "", /json/);
  const seen = { method: "PUT", path: "/x", body: "body", hostname: "client" };
  assert.deepEqual(JSON.parse(reply.answer.text), seen);
  assert.deepEqual([network.figures.requests, network.figures.answers, network.openRequests], [1, 1, 0]);
});

test("the runtime's fetch", async () => {
  const { world, a, b } = setting();
  await assert.rejects(settled(world, a.runtime.fetch("http://b:5000/")), TypeError);
  const gate = gated();
  await serve(
    b,
    (request, peer) => request.method === "DELETE" ? gate.handler(request, peer) : echo(request, peer),
  );
  const response = await settled(
    world,
    a.runtime.fetch("http://b:5000/y", { method: "POST", body: "ü", headers: { "x-a": "1" } }),
  );
  assert.deepEqual(await response.json(), { method: "POST", path: "/y", body: "ü", hostname: "a" });
  const abort = new AbortController();
  const aborted = watched(a.runtime.fetch("http://b:5000/y", { method: "DELETE", signal: abort.signal }));
  await world.pass(100);
  assert.equal(aborted.now, "waits");
  abort.abort(new Error("enough"));
  await world.pass(1);
  assert.equal(aborted.now, "enough");
});

test("nobody serves: refused; a local server; a port of another kind", async () => {
  const { world, network, b, put } = setting();
  assert.equal((await settled(world, put())).kind, "refused");
  assert.ok(world.now > 0.2 && world.now < 4);
  const server = await serve(b, echo, "127.0.0.1");
  assert.equal((await settled(world, put())).kind, "refused");
  const local = await settled(world, b.runtime.fetch("http://127.0.0.1:5000/"));
  assert.equal((await local.json()).hostname, "127.0.0.1");
  await assert.rejects(serve(b, echo), { code: "port_in_use" });
  await assert.rejects(settled(world, connect(b, "localhost", 5000)), /refused/);
  await server.close(0);
  await b.runtime.net.listen({ hostname: "b", port: 5000, tls: null });
  assert.equal((await settled(world, put())).kind, "lost");
  assert.equal(network.figures.refused, 3);
});

test("a kill loses running requests soon, a power failure after the client's patience", async () => {
  for (const how of ["kill", "power"] as const) {
    const { world, b, put } = setting(), gate = gated();
    await serve(b, gate.handler);
    const reply = kindOf(put());
    await world.pass(10);
    assert.equal(gate.count, 1);
    b.die(how);
    gate.open();
    await world.pass(5);
    assert.equal(reply.now, how === "kill" ? "lost" : "waits");
    await world.pass(30_000);
    assert.equal(reply.now, "lost");
    const next = kindOf(put());
    await world.pass(29_000);
    assert.equal(next.now, how === "kill" ? "refused" : "waits");
  }
});

test("an answer that left its process comes, whatever becomes of that", async () => {
  for (const how of ["kill", "power"] as const) {
    const { world, network, b, put } = setting();
    await serve(b, echo);
    network.link("b", "client").delayMs = { min: 100, max: 100 };
    const reply = kindOf(put());
    await world.pass(50);
    b.die(how);
    await world.pass(60);
    assert.equal(reply.now, "answer");
  }
});

test("an answer that a busy process had ready does not come when it dies before it had time", async () => {
  for (const how of ["kill", "power"] as const) {
    const { world, b, put } = setting();
    await serve(b, () => {
      b.work(100);
      return new Response("done");
    });
    const first = kindOf(put());
    await world.pass(90);
    assert.equal(first.now, "waits");
    await world.pass(20);
    assert.equal(first.now, "answer");
    const second = kindOf(put());
    await world.pass(50);
    b.die(how);
    await world.pass(30_000);
    assert.equal(second.now, "lost");
  }
});

test("a machine that is down is asked again when it is up", async () => {
  const { world, network, b, put } = setting();
  b.die("power");
  const reply = kindOf(put());
  await world.pass(1_000);
  await serve(netProcess(world, network, "b", 1), echo);
  await world.pass(1_100);
  assert.equal(reply.now, "answer");
});

test("a cut: the client gives up, the request arrives all the same", async () => {
  const { world, network, b, put } = setting(), gate = gated();
  await serve(b, gate.handler);
  network.link("client", "b").cut = true;
  const given = kindOf(put());
  await world.pass(29_900);
  assert.equal(given.now, "waits");
  await world.pass(200);
  assert.equal(given.now, "lost");
  assert.deepEqual([network.openRequests, gate.count], [0, 0]);
  const patient = kindOf(put());
  await world.pass(100);
  network.heal();
  await world.pass(300);
  assert.equal(gate.count, 2);
  network.link("b", "client").cut = true;
  gate.open();
  await world.pass(1_000);
  assert.equal(patient.now, "waits");
  network.heal();
  await world.pass(300);
  assert.equal(patient.now, "answer");
});

test("a reset loses a request on its way or its answer", async () => {
  const { world, network, b, put } = setting(), gate = gated();
  await serve(b, gate.handler);
  const onItsWay = kindOf(put());
  assert.equal(network.reset((from, to) => from === "client" && to === "b"), 1);
  await world.pass(5);
  const running = kindOf(put());
  await world.pass(5);
  assert.equal(network.reset(() => true), 1);
  gate.open();
  await world.pass(5);
  assert.deepEqual([onItsWay.now, running.now, gate.count], ["lost", "lost", 1]);
});

test("closing waits for what runs, then cuts it; new requests are refused", async () => {
  const { world, b, put } = setting(), gate = gated();
  let server = await serve(b, gate.handler);
  const first = kindOf(put());
  await world.pass(5);
  let closing = watched(server.close(1_000).then(() => "closed"));
  assert.equal((await settled(world, put())).kind, "refused");
  assert.deepEqual([first.now, closing.now], ["waits", "waits"]);
  gate.open();
  await world.pass(5);
  assert.deepEqual([first.now, closing.now], ["answer", "closed"]);
  server = await serve(b, gate.handler);
  const second = kindOf(put());
  await world.pass(5);
  closing = watched(server.close(1_000).then(() => "closed"));
  await world.pass(990);
  assert.equal(closing.now, "waits");
  await world.pass(20);
  assert.deepEqual([second.now, closing.now], ["lost", "closed"]);
});

test("a busy process answers late; a client's reply is an event of the client", async () => {
  const { world, network, a, b } = setting();
  await serve(b, echo);
  b.work(500);
  const ask = () => kindOf(network.request("a", a, "http://b:5000/", { method: "GET" }));
  const reply = ask();
  await world.pass(490);
  assert.equal(reply.now, "waits");
  await world.pass(15);
  assert.equal(reply.now, "answer");
  const next = ask();
  a.die("kill");
  await world.pass(40_000);
  assert.equal(next.now, "waits");
});

test("an answer whose body fails midway is lost; a handler that throws ends the run", async () => {
  const { world, b, put } = setting();
  let body: (controller: ReadableStreamDefaultController<Uint8Array>) => void = (controller) =>
    controller.error("no");
  await serve(b, () => new Response(new ReadableStream({ start: (controller) => body(controller) })));
  assert.equal((await settled(world, put())).kind, "lost");
  body = () => {
    throw new Error("a fault of the program");
  };
  await assert.rejects(settled(world, put()), /fault of the program/);
});
