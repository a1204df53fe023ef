/** Real nodes in virtual time: what a handover must keep when somebody dies or is cut off in the middle. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { SqliteNodeStore } from "../../src/storage/sqlite/sqlite_node_store.ts";
import type { Machine } from "../sim/cluster.ts";
import { inQuietWorld, type QuietWorld } from "../sim/quiet_world.ts";
import type { Answer } from "../sim/types.ts";

const put = (n: number) => ({ method: "PUT", path: `/collections/c/${n}`, body: `{"n":${n}}` }) as const;

/** Two nodes that are connected, and one write. */
async function began({ cluster, start, until, ask }: QuietWorld): Promise<[Machine, Machine]> {
  const [first, second] = cluster.machines as [Machine, Machine];
  await start();
  await until("they are connected", () => first.observed?.followers().length === 1);
  assert.equal((await ask(first, put(1))).status, 201);
  await until("it is there", () => second.node?.storage.log.last.seq === first.node?.storage.log.last.seq);
  return [first, second];
}

function handOver({ ask }: QuietWorld, from: Machine, to: Machine): Promise<Answer> {
  return ask(from, { method: "POST", path: "/replication/handover", body: `{"to":"${to.name}"}` });
}

const leads = ({ node }: Machine): boolean => node !== null && node.role.leadership !== null;
const mayWrite = (machine: Machine): boolean => leads(machine) && machine.node?.role.readOnly.on === false;

test("an old leader that dies as soon as it knows of its successor does not lead again", async () => {
  await inQuietWorld({ seed: 1, machines: 2, secret: true }, async (own) => {
    const [first, second] = await began(own);
    const answer = handOver(own, first, second).catch(() => {});
    await own.until("it stopped leading", () => !leads(first));
    first.end("kill");
    first.start();
    await own.until("it is up", () => first.node !== null);
    assert.equal(first.node?.role.kind, "follower");
    await answer;
    await own.until("it follows", () => second.observed?.followers().length === 1);
  });
});

test("a connection that breaks while the target takes over does not give the role back", async () => {
  await inQuietWorld({ seed: 2, machines: 2, secret: true }, async (own) => {
    const [first, second] = await began(own), { world, network, until } = own;
    const busy = Promise.withResolvers<void>();
    const exchange = second.node?.engine.exchange(() => busy.promise);
    handOver(own, first, second).catch(() => {});
    await until("the target takes over", () => second.node?.role.leadership !== null);
    network.reset(() => true);
    await world.pass(10_000);
    assert.ok(!mayWrite(first), "the old leader takes writes, and the target is about to");
    busy.resolve();
    await until("it leads", () => mayWrite(second) && !leads(first));
    await exchange;
    await until("it is followed", () => second.observed?.followers().length === 1);
  });
});

test("a target that comes back with its promotion unfinished does not lead beside a leader that was forced", async () => {
  await inQuietWorld({ seed: 3, machines: 2, secret: true }, async (own) => {
    const [first, second] = await began(own), { world, until, ask } = own;
    second.crashAt = { label: /^promote:kept$/, skip: 0, how: "kill" };
    handOver(own, first, second).catch(() => {});
    await until("the target dies", () => second.process === null);
    await until("in doubt", () => first.node?.role.readOnly.reason === "handover_in_doubt");
    const forced = { method: "POST", path: "/replication/read-write", body: '{"force":true}' } as const;
    assert.equal((await ask(first, forced)).status, 200);
    assert.equal((await ask(first, put(2))).status, 201);
    second.start();
    for (let i = 0; i < 100; i++) {
      await world.pass(100);
      assert.ok(!(mayWrite(first) && mayWrite(second)), "both take writes");
    }
    assert.ok(mayWrite(first) && first.observed?.followers().length === 1);
  });
});

test("a write that comes while the target takes over waits for followers, too", async () => {
  const options = { seed: 4, machines: 2, secret: true, required: 1, syncTimeoutMs: 2_000 };
  await inQuietWorld(options, async (own) => {
    const [first, second] = await began(own), { world, until, ask } = own;
    const busy = Promise.withResolvers<void>();
    const exchange = second.node?.engine.exchange(() => busy.promise);
    handOver(own, first, second).catch(() => {});
    await until("the target takes over", () => second.node?.role.leadership !== null);
    const answer = ask(second, put(2));
    await world.pass(50);
    first.end("kill");
    busy.resolve();
    assert.equal((await answer).status, 504);
    await exchange;
  });
});

test("a leader that an operator forced out of doubt is not overtaken by its target, which was only slow", async () => {
  await inQuietWorld({ seed: 5, machines: 2, secret: true }, async (own) => {
    const [first, second] = await began(own), { world, network, until, ask } = own;
    const busy = Promise.withResolvers<void>();
    const exchange = second.node?.engine.exchange(() => busy.promise);
    handOver(own, first, second).catch(() => {});
    await until("the target takes over", () => second.node?.role.leadership !== null);
    network.link(first.name, second.name).cut = network.link(second.name, first.name).cut = true;
    await until("in doubt", () => first.node?.role.readOnly.reason === "handover_in_doubt");
    const forced = { method: "POST", path: "/replication/read-write", body: '{"force":true}' } as const;
    assert.equal((await ask(first, forced)).status, 200);
    assert.equal((await ask(first, put(2))).status, 201);
    busy.resolve();
    await exchange;
    network.heal();
    await until("the target follows", () => first.observed?.followers().length === 1);
    await world.pass(5_000);
    assert.ok(mayWrite(first) && !leads(second));
    assert.equal((await ask(first, { method: "GET", path: "/collections/c/2" })).status, 200);
  });
});

test("a target that dies with its promotion unfinished leads when it is back, whichever of the two asks first", async () => {
  for (let seed = 10; seed < 30; seed++) {
    await inQuietWorld({ seed, machines: 2, secret: true }, async (own) => {
      const [first, second] = await began(own), { world, until } = own;
      second.crashAt = { label: /^promote:kept$/, skip: 0, how: "kill" };
      const answer = handOver(own, first, second);
      await until("the target dies", () => second.process === null);
      await world.pass(seed * 37);
      second.start();
      assert.equal((await answer).status, 200);
      await until(
        "it leads and is followed",
        () => mayWrite(second) && !leads(first) && second.observed?.followers().length === 1,
      );
    });
  }
});

test("a target that can neither begin to lead nor keep that it does not leaves its old leader in doubt", async () => {
  await inQuietWorld({ seed: 6, machines: 2, secret: true }, async (own) => {
    const [first, second] = await began(own), { world, until, ask } = own, store = SqliteNodeStore.prototype;
    const { setState } = store;
    let full = false;
    second.atLabel = (label) => void (full ||= second.disk.faults.full = label === "promote:kept");
    store.setState = function (this: SqliteNodeStore, ...args) {
      if (full && world.running === second.process) throw new DfdbError("disk_full", "no room left");
      return setState.apply(this, args);
    };
    try {
      handOver(own, first, second).catch(() => {});
      await until("the disk is full", () => full);
      await world.pass(5_000);
      assert.ok(!mayWrite(first), "its target leads when it comes back");
      assert.ok(!mayWrite(second));
    } finally {
      store.setState = setState;
    }
    second.atLabel = null;
    second.end("kill");
    second.disk.faults.full = false;
    second.start();
    for (let i = 0; i < 100; i++) {
      await world.pass(100);
      assert.ok(!(mayWrite(first) && mayWrite(second)), "both take writes");
    }
    const [leader, other] = leads(first) ? [first, second] : [second, first];
    assert.ok(mayWrite(leader) && !leads(other) && leader.observed?.followers().length === 1);
    assert.equal((await ask(leader, put(2))).status, 201);
  });
});

test("a target waits for the candidate of its leader, which may not have heard of it", async () => {
  const options = {
    seed: 7,
    machines: 3,
    candidates: [1],
    silenceMs: 4_000,
    secret: true,
    required: 1,
    syncTimeoutMs: 2_000,
  };
  await inQuietWorld(options, async (own) => {
    const { cluster, network, world, start, until, ask } = own;
    const [first, second, third] = cluster.machines as [Machine, Machine, Machine];
    await start();
    await until("they are connected", () => first.observed?.followers().length === 2);
    assert.equal((await ask(first, put(1))).status, 201);
    for (const { name } of [first, third]) {
      network.link(second.name, name).cut = network.link(name, second.name).cut = true;
    }
    assert.equal((await handOver(own, first, third)).status, 200);
    await until("the old leader follows", () => third.observed?.followers().length === 1);
    assert.equal((await ask(third, put(2))).status, 504);
    await until("the candidate takes over", () => mayWrite(second));
    network.heal();
    await until("one leads", () => leads(second) !== leads(third));
    const leader = leads(second) ? second : third;
    await until("all follow", () => leader.observed?.followers().length === 2 && mayWrite(leader));
    await world.pass(5_000);
    assert.equal((await ask(leader, put(3))).status, 201);
  });
});
