/** TCP of the simulator behaves as TCP does, in good times and in bad ones. */
import assert from "node:assert/strict";
import test from "node:test";
import { concat, utf8, utf8Text } from "../../src/base/bytes.ts";
import type { Connection, PlainConnection } from "../../src/runtime/net.ts";
import { bytePipe } from "../../src/wire/byte_pipe.ts";
import { accept, connect, listen, netProcess, pair, settled, watched } from "./net_tools.ts";
import { SimNetwork } from "./sim_net.ts";
import { World } from "./world.ts";

function setting(seed = 1) {
  const world = new World(seed), network = new SimNetwork(world);
  const a = netProcess(world, network, "a"), b = netProcess(world, network, "b");
  return { world, network, a, b };
}

async function connected(seed = 1) {
  const around = setting(seed), { client, server } = await pair(around.world, around.a, around.b);
  return { ...around, client, server, here: bytePipe(client), there: bytePipe(server) };
}

/** Reads on and on; what came, and how it ended. */
function reading(
  pipe: PlainConnection,
): { readonly text: () => string; readonly parts: Uint8Array[]; end: string } {
  const parts: Uint8Array[] = [];
  const state = { parts, text: () => utf8Text(concat(parts)), end: "" };
  const run = async (): Promise<string> => {
    for (let bytes = await pipe.read(); bytes !== null; bytes = await pipe.read()) parts.push(bytes);
    return "closed";
  };
  run().then((end) => state.end = end, (thrown: Error) => state.end = thrown.message);
  return state;
}

test("bytes arrive in order, split and merged; each direction takes its time", async () => {
  const { world, network, here, there } = await connected();
  network.link("a", "b").splitRate = 0.5;
  const got = reading(there);
  let expected = "";
  for (let i = 0; i < 100; i++) {
    expected += `<${i}>`;
    assert.equal(here.write(utf8(`<${i}>`)), null, "there is room");
    if (i % 3 === 0) await world.pass(0.3);
  }
  assert.ok(got.text().length < expected.length, "the last are under way");
  await world.pass(5);
  assert.equal(got.text(), expected);
  assert.ok(network.figures.splits > 5);
  here.close();
  await world.pass(10);
  assert.equal(got.end, "closed");
  assert.equal(network.openConnections, 0);
});

test("a byte changes on a bad line; the sender's own bytes do not", async () => {
  const { world, network, here, there } = await connected();
  network.link("a", "b").flipRate = 1;
  const sent = utf8("hello"), got = reading(there);
  here.write(sent);
  await world.pass(5);
  assert.equal(utf8Text(sent), "hello");
  const bytes = concat(got.parts);
  assert.equal(bytes.filter((byte, i) => byte !== sent[i]).length, 1);
});

test("a peer that reads nothing stops the writer; a slow line takes its time", async () => {
  const { world, network, here, there } = await connected();
  const chunk = new Uint8Array(10_000);
  let taken = 0, waiting: Promise<void> | null = null;
  while (waiting === null) {
    waiting = here.write(chunk);
    taken += chunk.length;
    await world.pass(10);
  }
  assert.ok(taken > 60_000 && taken < 200_000, `${taken}`);
  const write = watched(waiting.then(() => "taken"));
  await world.pass(10_000);
  assert.equal(write.now, "waits");
  const got = reading(there);
  await world.pass(20);
  assert.equal(write.now, "taken");
  network.link("a", "b").bytesPerMs = 10;
  here.write(chunk);
  await world.pass(900);
  assert.equal(concat(got.parts).length, taken);
  await world.pass(200);
  assert.equal(concat(got.parts).length, taken + chunk.length);
});

test("nobody listens: refused after a round trip; a local listener; ports", async () => {
  const { world, a, b } = setting();
  const startedAt = world.now;
  await assert.rejects(settled(world, connect(a, "b", 9)), { code: "unreachable", message: /refused/ });
  assert.ok(world.now - startedAt > 0.2 && world.now - startedAt < 4);
  const local = await listen(b, 700, "127.0.0.1");
  await assert.rejects(settled(world, connect(a, "b", 700)), /refused/);
  assert.equal((await settled(world, connect(b, "localhost", 700))).remote.hostname, "127.0.0.1");
  await assert.rejects(listen(b, 700), { code: "port_in_use", details: { port: 700 } });
  await local.close();
  assert.equal((await listen(b, 700)).port, 700);
  assert.ok((await listen(a, 0)).port > 0);
});

test("behind a cut a connect hangs: until healing, the signal, or a minute", async () => {
  const { world, network, a, b } = setting();
  await listen(b, 700);
  network.link("b", "a").cut = true; // the answer does not come
  const abort = new AbortController();
  const first = watched(connect(a, "b", 700)), second = watched(connect(a, "b", 700, abort.signal));
  await world.pass(10_000);
  assert.deepEqual([first.now, second.now], ["waits", "waits"]);
  abort.abort(new Error("enough"));
  await world.pass(1);
  assert.match(String(second.now), /enough/);
  network.heal();
  await world.pass(300);
  assert.equal((first.now as Connection).remote.hostname, "b");
  network.link("a", "b").cut = true;
  const third = watched(connect(a, "b", 700));
  await world.pass(61_000);
  assert.match(String(third.now), /no answer/);
  network.heal();
  await world.pass(1_000);
  assert.equal(network.openConnections, 1);
});

test("what was sent into a cut arrives in order after healing", async () => {
  const { world, network, here, there } = await connected();
  const got = reading(there), link = network.link("a", "b");
  let expected = "";
  for (let i = 0; i < 20; i++) {
    if (i === 5) link.cut = true;
    expected += `<${i}>`;
    here.write(utf8(`<${i}>`));
    await world.pass(1);
  }
  await world.pass(100_000);
  assert.ok(got.text().length < 20 && expected.startsWith(got.text()));
  there.write(utf8("x"));
  const back = reading(here);
  await world.pass(5);
  assert.equal(back.text(), "x", "the other direction is whole");
  link.cut = false;
  await world.pass(210);
  assert.equal(got.text(), expected);
});

test("a killed process: its peers hear of it, nothing of it goes out any more, its port is free", async () => {
  const ends = new Set<string>();
  for (let seed = 1; seed <= 8; seed++) {
    const { world, network, a, b, here, there } = await connected(seed);
    await listen(b, 700);
    const got = reading(here);
    there.write(utf8("last words"));
    b.die("kill");
    there.write(utf8("of a ghost"));
    await world.pass(5);
    if (got.end === "closed") assert.equal(got.text(), "last words");
    ends.add(got.end.replace(/.*: /, ""));
    await assert.rejects(settled(world, connect(a, "b", 700)), /refused/);
    await listen(netProcess(world, network, "b", 1), 700);
    await settled(world, connect(a, "b", 700));
    assert.equal(network.openConnections, 1);
  }
  assert.deepEqual([...ends].sort(), ["closed", "the peer reset the connection"]);
});

test("bytes that nobody read any more: always a reset", async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { world, b, here } = await connected(seed), got = reading(here);
    here.write(utf8("too late"));
    b.die("kill");
    await world.pass(5);
    assert.match(got.end, /reset/);
  }
});

test("power: silence, then a reset for who sends when the machine is up again", async () => {
  const { world, network, a, b, here } = await connected(), got = reading(here);
  await listen(b, 700);
  b.die("power");
  await world.pass(1_000);
  here.write(utf8("anybody?"));
  const hanging = watched(connect(a, "b", 700));
  await world.pass(20_000);
  assert.deepEqual([got.end, hanging.now], ["", "waits"]);
  await listen(netProcess(world, network, "b", 1), 700);
  await world.pass(1_100);
  assert.match(got.end, /reset/);
  assert.equal((hanging.now as Connection).remote.port, 700);
});

test("power: who stays silent learns nothing, even when the machine is up again", async () => {
  const { world, network, b, here } = await connected(), got = reading(here);
  b.die("power");
  netProcess(world, network, "b", 1);
  await world.pass(60_000);
  assert.equal(got.end, "");
  here.write(utf8("anybody?"));
  await world.pass(5);
  assert.match(got.end, /reset/);
  assert.equal(network.openConnections, 0);
});

test("abort resets the peer; into a cut it is lost for ever, or comes late", async () => {
  let lost = 0, late = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const { world, network, client, here, there } = await connected(seed), got = reading(there);
    const link = network.link("a", "b");
    link.cut = seed > 2;
    client.abort(new Error("enough"));
    await assert.rejects(async () => await here.read(), /enough/);
    await world.pass(10);
    if (seed <= 2) assert.match(got.end, /reset/);
    link.cut = false;
    await world.pass(60_000);
    if (seed <= 2) continue;
    if (got.end !== "") late++;
    else {
      lost++;
      there.write(utf8("hello?"));
      await world.pass(5);
    }
    assert.match(got.end, /reset/);
    assert.equal(network.openConnections, 0);
  }
  assert.ok(lost > 1 && late > 1, `${lost} lost, ${late} late`);
});

test("faults: broken for both ends; forgotten at one side", async () => {
  const { world, network, a, b, here, there } = await connected();
  const ends = [reading(here), reading(there)];
  here.write(utf8("lost"));
  assert.equal(network.reset((from) => from === "b"), 0);
  assert.equal(network.reset((from, to) => from === "a" && to === "b"), 1);
  await world.pass(5);
  for (const { end, text } of ends) assert.match(end + text(), /reset the connection$/);
  assert.equal(network.openConnections, 0);
  let told = 0;
  for (let i = 0; i < 20; i++) {
    const { client, server } = await pair(world, a, b);
    const [here, there] = [bytePipe(client), bytePipe(server)], ends = [reading(here), reading(there)];
    assert.equal(network.stale(() => true), 1);
    here.write(utf8("?"));
    there.write(utf8("!"));
    await world.pass(10_000);
    assert.ok(ends.every(({ parts }) => parts.length === 0));
    const count = ends.filter(({ end }) => /reset/.test(end)).length;
    assert.ok(count < 2, "the side that was forgotten hears nothing");
    told += count;
    client.abort(new Error("silence"));
    server.abort(new Error("silence"));
    assert.equal(network.openConnections, 0);
  }
  assert.ok(told > 4 && told < 16, `${told} of 20`);
});

test("a process that is busy gets its bytes late, and a dead one none", async () => {
  const { world, a, b, here, there } = await connected(), got = reading(there);
  b.work(5_000);
  for (let i = 0; i < 5; i++) {
    here.write(utf8("x"));
    await world.pass(900);
  }
  assert.equal(got.text(), "");
  await world.pass(600);
  assert.equal(got.text(), "xxxxx");
  const back = reading(here);
  b.work(1_000);
  there.write(utf8("sent after the work"));
  await world.pass(990);
  assert.equal(back.text(), "");
  await world.pass(20);
  assert.equal(back.text(), "sent after the work");
  a.die("power");
  there.write(utf8("!"));
  await world.pass(5);
  assert.equal(back.text(), "sent after the work");
});

test("what a busy thread was going to send is not sent when it dies before", async () => {
  for (const how of ["kill", "power"] as const) {
    const { world, b, here, there } = await connected(), got = reading(here);
    there.write(utf8("before "));
    b.work(100);
    there.write(utf8("after"));
    await world.pass(50);
    b.die(how);
    await world.pass(500);
    assert.equal(got.text(), "before ");
  }
});

test("the system of a machine answers while its process is busy", async () => {
  const { world, a, b } = setting();
  const listener = await listen(b, 700);
  b.work(5_000);
  const client = watched(connect(a, "b", 700));
  await world.pass(5);
  assert.notEqual(client.now, "waits");
  const server = watched(accept(listener));
  await world.pass(4_900);
  assert.equal(server.now, "waits");
  await world.pass(100);
  assert.notEqual(server.now, "waits");
});

test("thousands of connections leave nothing behind", async () => {
  const { world, network, a, b } = setting();
  const listener = await listen(b, 700);
  (async () => {
    for await (const connection of listener) {
      const pipe = bytePipe(connection);
      pipe.read().then((bytes) => pipe.write(bytes as Uint8Array)).then(() => pipe.close()).catch(() => {});
    }
  })();
  for (let i = 0; i < 2_000; i++) {
    const client = await settled(world, connect(a, "b", 700)), pipe = bytePipe(client);
    if (i % 3 === 0) {
      client.abort(new Error("enough"));
      continue;
    }
    pipe.write(utf8("echo"));
    assert.equal((await settled(world, pipe.read()))?.length, 4);
    assert.equal(await settled(world, pipe.read()), null);
  }
  await world.pass(2_000);
  assert.equal(network.openConnections, 0);
});

/** Everything that happens to some connections under every fault, as text. */
async function story(seed: number, streams: boolean): Promise<string> {
  const { world, network, a, b } = setting(seed), lines: string[] = [];
  network.streams = streams;
  world.trace = (line) => void lines.push(line);
  for (const link of [network.link("a", "b"), network.link("b", "a")]) {
    Object.assign(link, { flipRate: 0.1, splitRate: 0.2, bytesPerMs: 500 });
  }
  for (let i = 0; i < 4; i++) {
    const { client, server } = await pair(world, a, b), pipe = bytePipe(client);
    const sizes = [bytePipe(server)].map(reading);
    for (let n = 0; n < 5; n++) {
      await settled(world, Promise.resolve(pipe.write(new Uint8Array(30_000 * n + 1))));
    }
    network.link("a", "b").cut = i === 2;
    if (i === 1) network.reset(() => true);
    if (i === 3) network.stale(() => true);
    await world.pass(50);
    network.heal();
    await world.pass(5_000);
    lines.push(
      `${world.now} ${sizes.map(({ parts, end }) => `${parts.length} ${concat(parts).length} ${end}`)}`,
    );
  }
  return [...lines, JSON.stringify(network.figures)].join("\n");
}

for (const streams of [false, true]) {
  test(`the same seed gives the same run, ${streams ? "with streams" : "plain"}; another seed another`, async () => {
    const first = await story(5, streams);
    assert.equal(await story(5, streams), first);
    assert.notEqual(await story(6, streams), first);
  });
}
