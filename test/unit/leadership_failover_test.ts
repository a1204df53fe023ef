/** Real nodes in virtual time: a candidate takes over when it has to, and only then. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Machine } from "../sim/cluster.ts";
import { inQuietWorld } from "../sim/quiet_world.ts";

const put = (n: number) => ({ method: "PUT", path: `/collections/c/${n}`, body: `{"n":${n}}` }) as const;
const leads = ({ node }: Machine): boolean => node !== null && node.role.leadership !== null;
const mayWrite = (machine: Machine): boolean => leads(machine) && machine.node?.role.readOnly.on === false;
const state = ({ node }: Machine): string | undefined => node?.replication.autoFailover?.state;

const silenceMs = 5_000;

test("a promotion that failed is tried again, though the leader does not come back", async () => {
  await inQuietWorld({ seed: 1, machines: 2, secret: true, silenceMs }, async (own) => {
    const { cluster, start, until, ask, world } = own,
      [first, second] = cluster.machines as [Machine, Machine];
    await start();
    assert.equal((await ask(first, put(1))).status, 201);
    await until("it is armed", () => state(second) === "watching");
    second.disk.faults.full = true;
    first.end("kill");
    await until("it tried in vain", () => second.disk.injected.full > 0);
    await world.pass(5_000);
    second.disk.faults.full = false;
    await until("it leads", () => mayWrite(second));
  });
});

test("a candidate that the next leader does not accept does not take over from the one before", async () => {
  await inQuietWorld({ seed: 2, machines: 3, secret: true, silenceMs }, async (own) => {
    const { cluster, start, until, ask, world } = own, [first, second, third] = cluster.machines as Machine[];
    assert.ok(first && second && third);
    // All but the target: the old leader comes back as a candidate before the other one finds the new leader.
    first.silenceMs = silenceMs;
    await start();
    assert.equal((await ask(first, put(1))).status, 201);
    await until("it is armed", () => state(second) === "watching");
    await until("all are connected", () => first.observed?.followers().length === 2);
    const { network } = own;
    const link = network.link(second.name, third.name);
    link.cut = true;
    const body = `{"to":"${third.name}"}`;
    assert.equal((await ask(first, { method: "POST", path: "/replication/handover", body })).status, 200);
    // Its leader's candidate is the target's until it is forgotten.
    const path = `/replication/nodes/${second.node?.nodeId}`;
    assert.equal((await ask(third, { method: "DELETE", path })).status, 200);
    network.reset(() => true);
    await until("the old leader is its candidate", () => state(first) === "watching");
    link.cut = false;
    assert.ok(!await world.until(() => leads(second), 60_000), "it leads beside the new leader");
    assert.ok(mayWrite(third));
  });
});

test("a leader that went above a higher epoch while it was read-only begins its own when it may write, though nobody does", async () => {
  await inQuietWorld({ seed: 11, machines: 2, secret: true }, async ({ cluster, start, until, ask }) => {
    const [first, second] = cluster.machines as [Machine, Machine];
    await start();
    assert.equal((await ask(first, put(1))).status, 201);
    await until("it is there", () => second.node?.storage.log.last.seq === 2);
    first.end("kill");
    await until("it is gone", () => second.node?.replication.following?.status().state === "waiting");
    const promoted = await ask(second, {
      method: "POST",
      path: "/replication/promote",
      body: `{"force":true}`,
    });
    assert.equal(promoted.status, 200, promoted.text);
    assert.equal((await ask(second, put(2))).status, 201);
    second.end("kill");
    first.start();
    await until(
      "the old leader leads, and nobody tells it otherwise",
      () => first.node?.role.readOnly.on === false,
    );
    await ask(first, { method: "POST", path: "/replication/read-only" });
    Object.assign(second, { command: { role: "follower", leader: first.name }, forceRole: true });
    second.start();
    await until("it is above", () => first.node?.role.leadership?.epoch === 3);
    assert.equal(first.node?.storage.log.last.epoch, 1, "read-only: nothing was written");
    await ask(first, { method: "POST", path: "/replication/read-write" });
    await until("it follows", () => second.node?.replication.following?.status().state === "streaming");
    assert.equal(first.node?.storage.log.last.epoch, 3);
    assert.deepEqual(second.node?.storage.log.last, first.node?.storage.log.last);
  });
});

test("a leader by force ends the one below it when they meet, though nobody has written to it", async () => {
  await inQuietWorld({ seed: 12, machines: 2, secret: true }, async ({ cluster, start, until, ask }) => {
    const [first, second] = cluster.machines as [Machine, Machine];
    await start();
    assert.equal((await ask(first, put(1))).status, 201);
    await until("it is there", () => second.node?.storage.log.last.seq === 2);
    first.end("kill");
    second.end("kill");
    Object.assign(second, { command: { role: "leader" }, forceRole: true });
    second.start();
    await until("it leads", () => mayWrite(second));
    assert.equal(second.node?.storage.log.last.epoch, 1, "nobody has written");
    first.start();
    await until("it follows", () => first.node?.replication.following?.status().state === "streaming");
    assert.equal(second.node?.storage.log.last.epoch, 2);
    assert.deepEqual(first.node?.storage.log.last, second.node?.storage.log.last);
  });
});
