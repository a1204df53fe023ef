/** Whole nodes with a lease in etcd, in virtual time: who leads when the lease is lost, and after restarts. */
import assert from "node:assert/strict";
import test from "node:test";
import { combine } from "../sim/disk_image.ts";
import type { Cluster, Machine } from "../sim/cluster.ts";
import { inQuietWorld, type QuietWorld } from "../sim/quiet_world.ts";
import type { SimEtcd } from "../sim/sim_etcd.ts";

/** Nobody is a candidate unless `candidates` says so. */
const etcdWorld = {
  machines: 2,
  authority: "etcd",
  secret: true,
  heartbeatMs: 1_000,
  silenceMs: 2_000,
  candidates: [],
  leaderStartMs: 2_000,
} as const;

const put = { method: "PUT", path: "/collections/orders/1", body: "{}" } as const;

function leads({ node }: Machine): boolean {
  return node !== null && node.role.leadership !== null && !node.role.readOnly.on;
}

/** The first one leads, the second one has its database. */
async function streaming({ until, ask, cluster }: QuietWorld): Promise<[Machine, Machine]> {
  const [first, second] = cluster.machines as [Machine, Machine];
  await until("the first leads", () => leads(first));
  assert.equal((await ask(first, put)).status, 201);
  await until("the other one follows", () => second.node?.storage.log.last.seq === 2);
  return [first, second];
}

function writers({ machines }: Cluster): number {
  return machines.filter(leads).length;
}

test("a leader that lost its lease leads again, also after a restart, when nobody else does", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 11 }, async (own) => {
    const { start, until, ask, cluster } = own, etcd = own.etcd as SimEtcd;
    await start();
    const [first, second] = await streaming(own);
    const epoch = first.node?.role.leadership?.epoch ?? 0;
    etcd.end("kill");
    await until("it gives up", () => first.node?.role.kind === "follower");
    assert.notEqual((await ask(first, put)).status, 200);
    for (const machine of [first, second]) {
      machine.end("kill");
      machine.start();
    }
    await until("both are up", () => cluster.machines.every(({ node }) => node !== null));
    await etcd.start();
    await until("the one that led last leads", () => leads(first));
    assert.ok((first.node?.role.leadership?.epoch ?? 0) > epoch);
    await until("it is followed", () => first.observed?.followers().length === 1);
    assert.equal(writers(cluster), 1);
    assert.equal((await ask(first, put)).status, 200);
  });
});

test("a leader by force follows the one that has the lease, when that one says that it leads", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 12 }, async (own) => {
    const { start, until, cluster } = own;
    await start();
    const [first, second] = await streaming(own);
    second.end("kill");
    Object.assign(second, { command: { role: "leader" }, forceRole: true });
    second.start();
    await until("it is a leader by its command line", () => second.node?.role.leadership != null);
    await until("it follows", () => second.node?.role.kind === "follower");
    await until("it is served", () => first.observed?.followers().length === 1);
    assert.equal(writers(cluster), 1);
    assert.ok(leads(first));
  });
});

test("a leader by force takes the lease of one that is gone", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 13 }, async (own) => {
    const { start, until } = own;
    await start();
    const [first, second] = await streaming(own);
    first.end("power");
    second.end("kill");
    Object.assign(second, { command: { role: "leader" }, forceRole: true });
    second.start();
    await until("it leads when the lease is over", () => leads(second));
  });
});

test("of several candidates one takes over when the lease of a leader that is gone is over", async () => {
  const options = { ...etcdWorld, machines: 3, candidates: [0, 1, 2], seed: 14 };
  await inQuietWorld(options, async (own) => {
    const { start, until, cluster } = own, [first] = cluster.machines as [Machine];
    await start();
    await until("all follow", () => first.observed?.followers().length === 2);
    first.end("power");
    await until("another one leads", () => writers(cluster) === 1);
    first.start();
    await until("two follow", () => cluster.leader.observed?.followers().length === 2);
    assert.equal(writers(cluster), 1);
  });
});

/** The newest epoch that etcd gave for the machine's database. */
function given(etcd: SimEtcd, machine: Machine): number {
  return Number(keptIn(etcd, machine, "epoch"));
}

/** What etcd has for the machine's database. */
function keptIn(etcd: SimEtcd, { node }: Machine, name: "epoch" | "sync"): string {
  const key = btoa(`/dfdb/${node?.storage.databaseId}/${name}`),
    { body } = etcd.store.call("/v3/kv/range", { key });
  const [kept] = body["kvs"] as readonly { readonly value: string }[];
  return atob(kept?.value ?? "");
}

test("accept-loss begins an epoch that etcd gave", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 15 }, async (own) => {
    const { world, start, until, ask } = own, etcd = own.etcd as SimEtcd;
    await start();
    const [first, second] = await streaming(own);
    const older = first.disk.image("kill");
    assert.equal((await ask(first, { ...put, path: "/collections/orders/2" })).status, 201);
    await until("the follower has more", () => second.node?.storage.log.last.seq === 3);
    await world.pass(5_000); // until its sidecar says so
    first.end("kill");
    const newest = first.disk.image("kill"), rest = { node: newest, mirrors: newest, rest: newest };
    first.disk.mount(combine({ data: older, ...rest }));
    first.start();
    await until("it is behind", () => first.node?.role.readOnly.reason === "behind_followers");
    const answer = await ask(first, { method: "POST", path: "/replication/accept-loss" });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(given(etcd, first), first.node?.role.leadership?.epoch);
    assert.equal((await ask(first, { ...put, path: "/collections/orders/3" })).status, 201);
  });
});

test("forced to take writes, a leader gets its epoch from the authority, and can give its role away afterwards", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 16 }, async (own) => {
    const { start, until, ask } = own;
    await start();
    const [first, second] = await streaming(own), epoch = first.node?.role.leadership?.epoch ?? 0;
    const forced = await ask(first, {
      method: "POST",
      path: "/replication/read-write",
      body: '{"force":true}',
    });
    assert.equal(forced.status, 200);
    await until(
      "it leads in a higher epoch",
      () => leads(first) && first.node?.role.leadership?.epoch !== epoch,
    );
    await until("it is followed", () => first.observed?.followers()[0]?.ackedSeq === 3);
    const body = JSON.stringify({ to: second.name, timeoutSeconds: 5 });
    const given = await ask(first, { method: "POST", path: "/replication/handover", body });
    assert.equal(given.status, 200);
    assert.ok(leads(second));
    assert.equal(second.node?.role.leadership?.epoch, epoch + 2);
  });
});

test("an old leader in doubt has its place again when its target took over and lost it", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 18 }, async (own) => {
    const { world, start, until, ask, network, cluster } = own;
    await start();
    const [first, second] = await streaming(own), etcd = own.etcd as SimEtcd;
    const busy = Promise.withResolvers<void>();
    const exchange = second.node?.engine.exchange(() => busy.promise);
    const handover = { method: "POST", path: "/replication/handover", body: '{"to":"n2"}' } as const;
    ask(first, handover).catch(() => {});
    await until("the target takes over", () => second.node?.role.leadership != null);
    first.end("kill");
    busy.resolve();
    await exchange;
    await until("it leads", () => leads(second));
    const lines = [network.link(second.name, etcd.machine), network.link(etcd.machine, second.name)];
    for (const line of lines) line.cut = true;
    await until("it has lost its place", () => second.node?.role.kind === "follower");
    await world.pass(10_000);
    first.start();
    await until("in doubt", () => first.node?.role.readOnly.reason === "handover_in_doubt");
    await until("the first leads", () => leads(first));
    for (const line of lines) line.cut = false;
    await until("it is followed", () => first.observed?.followers().length === 1);
    assert.equal(writers(cluster), 1);
    assert.equal((await ask(first, put)).status, 200);
  });
});

test("a node that never met its leader cannot be promoted, not by force either: its database is another one", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 19 }, async (own) => {
    const { world, start, until, ask, network, cluster } = own;
    const [first, second] = cluster.machines as [Machine, Machine];
    const lines = [network.link(first.name, second.name), network.link(second.name, first.name)];
    for (const line of lines) line.cut = true;
    await start();
    await until("the first leads", () => leads(first));
    const promote = async (body: string): Promise<string> => {
      const answer = await ask(second, { method: "POST", path: "/replication/promote", body });
      return answer.status === 200 ? "ok" : JSON.parse(answer.text).reason;
    };
    assert.equal(await promote("{}"), "stranger");
    assert.equal(await promote('{"force":true}'), "stranger");
    assert.equal(writers(cluster), 1);
    for (const line of lines) line.cut = false;
    await until("it follows", () => first.observed?.followers().length === 1);
    first.end("power");
    assert.equal(await promote('{"force":true}'), "held", "it asks for the right one now");
    await world.pass(12_000); // until the lease is over
    assert.equal(await promote('{"force":true}'), "ok");
    assert.ok(leads(second));
  });
});

for (const quiet of [true, false]) {
  const who = quiet
    ? "who may, and was told to take no writes, is promoted"
    : "who may, and led last, leads by itself";
  test(`a leader by force that may lack answered writes never leads; ${who} beside it`, async () => {
    await inQuietWorld({ ...etcdWorld, machines: 3, required: 1, seed: 20 }, async (own) => {
      const { world, start, until, ask, cluster } = own, etcd = own.etcd as SimEtcd;
      await start();
      const [first, ...others] = cluster.machines as [Machine, Machine, Machine];
      await until("all follow", () => first.observed?.followers().length === 2);
      await until("it leads", () => leads(first));
      assert.equal((await ask(first, put)).status, 201);
      await until("all hold it", () => others.every(({ node }) => node?.storage.log.last.seq === 2));
      const members = keptIn(etcd, first, "sync");
      const third = others.find(({ node }) => !members.includes(node?.nodeId as string)) as Machine;
      third.end("kill");
      Object.assign(third, { command: { role: "leader" }, forceRole: true });
      third.start();
      if (quiet) await ask(first, { method: "POST", path: "/replication/read-only" });
      first.end("kill");
      Object.assign(first, { command: { role: "follower", leader: third.name } });
      await world.pass(12_000); // until the lease is over
      first.start();
      await until("it follows", () => first.node?.replication.following?.status().state === "streaming");
      if (quiet) {
        await world.pass(10_000);
        assert.equal(writers(cluster), 0);
        assert.equal(third.node?.role.readOnly.reason, "no_lease");
        const promote = { method: "POST", path: "/replication/promote", body: '{"force":true}' } as const;
        assert.equal((await ask(first, promote)).status, 200);
      }
      await until("the one that led last leads", () => leads(first));
      await until("the third follows", () => third.node?.role.kind === "follower");
      await until("all follow", () => first.observed?.followers().length === 2);
      assert.equal(writers(cluster), 1);
      assert.equal((await ask(first, put)).status, 200);
    });
  });
}

test("who led last leads again beside a leader by force that lacks what is here", async () => {
  await inQuietWorld({ ...etcdWorld, required: 1, seed: 27 }, async (own) => {
    const { start, until, ask, cluster } = own;
    await start();
    const [first, second] = await streaming(own);
    for (const machine of [first, second]) machine.end("kill");
    first.start();
    await until("it leads in a higher epoch", () => first.node?.storage.log.last.seq === 3);
    first.end("kill");
    Object.assign(first, { command: { role: "follower", leader: second.name } });
    Object.assign(second, { command: { role: "leader" }, forceRole: true });
    for (const machine of [first, second]) machine.start();
    await until("it is refused", () => first.node?.replication.following?.status().state === "refused");
    await until("it leads", () => leads(first));
    await until("it is followed", () => first.observed?.followers().length === 1);
    assert.equal(writers(cluster), 1);
    assert.equal((await ask(first, put)).status, 200);
  });
});

test("where nobody ever had the lease, and all are followers, the first one leads by force of its command line", async () => {
  await inQuietWorld({ ...etcdWorld, seed: 21 }, async (own) => {
    const { start, until, ask, cluster } = own, etcd = own.etcd as SimEtcd;
    const [first] = cluster.machines as [Machine];
    first.command = { role: "follower", leader: "n2" };
    await start();
    for (const machine of cluster.machines) {
      const promote = { method: "POST", path: "/replication/promote", body: '{"force":true}' } as const;
      assert.equal((await ask(machine, promote)).status, 409);
    }
    first.end("kill");
    Object.assign(first, { command: { role: "leader" }, forceRole: true });
    first.start();
    await until("it leads", () => leads(first));
    await until("it is followed", () => first.observed?.followers().length === 1);
    assert.equal(given(etcd, first), first.node?.role.leadership?.epoch);
    assert.equal((await ask(first, put)).status, 201);
  });
});

test("a node that is older than what it had leads by an operator's word only, also where nobody else may have the lease", async () => {
  await inQuietWorld({ ...etcdWorld, candidates: [1], required: 1, seed: 22 }, async (own) => {
    const { world, start, until, ask, network, cluster } = own, etcd = own.etcd as SimEtcd;
    const [first, second] = cluster.machines as [Machine, Machine];
    const cut = (name: string, other: string, on: boolean): void => {
      for (const line of [network.link(name, other), network.link(other, name)]) line.cut = on;
    };
    cut(first.name, etcd.machine, true);
    await start();
    await until("it follows", () => second.node?.replication.following?.status().connects === 1);
    cut(first.name, second.name, true); // or the first one would follow it
    await until(
      "its candidate is the first to have the lease",
      () => second.node?.storage.log.last.seq === 1,
    );
    first.end("power");
    second.end("kill");
    const older = second.disk.image("kill");
    second.start();
    await until("it leads in a higher epoch", () => second.node?.storage.log.last.seq === 2);
    await world.pass(5_000); // until its sidecar says so
    second.end("kill");
    const newest = second.disk.image("kill"), rest = { node: newest, mirrors: newest, rest: newest };
    second.disk.mount(combine({ data: older, ...rest }));
    cut(second.name, etcd.machine, true);
    second.start();
    await until("it has lost its place", () => second.node?.role.kind === "follower");
    second.end("kill"); // with what it asked as a leader
    network.heal();
    for (const machine of [first, second]) machine.start();
    await world.pass(10_000);
    assert.equal(writers(cluster), 0);
    assert.equal(first.node?.role.readOnly.reason, "no_lease");
    const promote = async (body: string): Promise<string> => {
      const answer = await ask(second, { method: "POST", path: "/replication/promote", body });
      return answer.status === 200 ? "ok" : JSON.parse(answer.text).code;
    };
    assert.equal(await promote("{}"), "behind_final_position");
    assert.equal(await promote('{"force":true}'), "ok");
    await until("the first follows", () => second.observed?.followers().length === 1);
    assert.equal(writers(cluster), 1);
    assert.equal((await ask(second, put)).status, 201);
  });
});

for (const dies of [true, false]) {
  const old = `an old leader in doubt${dies ? " that was started again" : ""}`;
  test(`${old} has its place anew when its target is gone for good`, async () => {
    await inQuietWorld({ ...etcdWorld, machines: 3, required: 1, seed: 24 }, async (own) => {
      const { start, until, ask } = own;
      await start();
      const [first, second] = own.cluster.machines as [Machine, Machine, Machine];
      await until("both follow", () => first.observed?.followers().length === 2 && leads(first));
      assert.equal((await ask(first, put)).status, 201);
      const epoch = first.node?.role.leadership?.epoch ?? 0;
      const inDoubt = (): boolean => first.node?.role.readOnlyCauses.has("in_doubt") === true;
      if (dies) first.crashAt = { label: /^handover:stored$/, skip: 0, how: "kill" };
      ask(first, { method: "POST", path: "/replication/handover", body: '{"to":"n2"}' }).catch(() => {});
      await until("the target is told to lead", () => dies ? first.process === null : inDoubt());
      second.end("power");
      if (dies) first.start();
      await until("in doubt", inDoubt);
      await until("it leads", () => leads(first));
      assert.ok((first.node?.role.leadership?.epoch ?? 0) > epoch);
      assert.equal((await ask(first, put)).status, 200, "the third one confirms it");
      second.start();
      await until("the target follows", () => first.observed?.followers().length === 2);
    });
  });
}

for (const dies of [true, false]) {
  const old = `an old leader in doubt${dies ? " that was started again" : ""}`;
  test(`${old} leads on when its target is a leader by force of its command line, without the lease`, async () => {
    await inQuietWorld({ ...etcdWorld, seed: 23 }, async (own) => {
      const { start, until, ask, cluster } = own;
      await start();
      const [first, second] = await streaming(own), epoch = first.node?.role.leadership?.epoch ?? 0;
      const inDoubt = (): boolean => first.node?.role.readOnlyCauses.has("in_doubt") === true;
      if (dies) first.crashAt = { label: /^handover:stored$/, skip: 0, how: "kill" };
      ask(first, { method: "POST", path: "/replication/handover", body: '{"to":"n2"}' }).catch(() => {});
      await until("the target is told to lead", () => dies ? first.process === null : inDoubt());
      second.end("kill");
      Object.assign(second, { command: { role: "leader" }, forceRole: true });
      if (dies) {
        first.start();
        await until("in doubt", inDoubt);
      }
      second.start();
      await until("it is a leader by its command line", () => second.node?.role.leadership != null);
      await until("the old leader leads", () => leads(first));
      assert.ok((first.node?.role.leadership?.epoch ?? 0) > epoch);
      await until("it is followed", () => first.observed?.followers().length === 1);
      assert.equal(writers(cluster), 1);
      assert.equal((await ask(first, put)).status, 200);
    });
  });
}

test("a leader that lost its place leads again when the one that it follows has no lease, and may have none", async () => {
  await inQuietWorld({ ...etcdWorld, required: 1, seed: 24 }, async (own) => {
    const { world, start, until, ask, network, cluster } = own, etcd = own.etcd as SimEtcd;
    await start();
    const [first, second] = await streaming(own);
    const lines = [network.link(first.name, etcd.machine), network.link(etcd.machine, first.name)];
    for (const line of lines) line.cut = true;
    await until("it has lost its place", () => first.node?.role.kind === "follower");
    second.end("kill");
    Object.assign(second, { command: { role: "leader" }, forceRole: true });
    second.start();
    await until("it follows", () => first.node?.replication.following?.status().state === "streaming");
    for (const line of lines) line.cut = false;
    await until("the one that led last leads", () => leads(first));
    await until("it is followed", () => first.observed?.followers().length === 1);
    await world.pass(10_000);
    assert.equal(writers(cluster), 1);
    assert.equal((await ask(first, put)).status, 200);
  });
});

for (const dies of [true, false]) {
  const old = `an old leader in doubt${dies ? " that was started again" : ""}`;
  test(`${old} leads on when its target follows a leader by force, without the lease`, async () => {
    await inQuietWorld({ ...etcdWorld, machines: 3, seed: 25 }, async (own) => {
      const { start, until, ask, cluster } = own;
      await start();
      const [first, second, third] = cluster.machines as [Machine, Machine, Machine];
      await until("all follow", () => first.observed?.followers().length === 2);
      await until("it leads", () => leads(first));
      assert.equal((await ask(first, put)).status, 201);
      const inDoubt = (): boolean => first.node?.role.readOnlyCauses.has("in_doubt") === true;
      await until(
        "all hold it",
        () => cluster.followers.every(({ node }) => node?.storage.log.last.seq === 2),
      );
      if (dies) first.crashAt = { label: /^handover:stored$/, skip: 0, how: "kill" };
      ask(first, { method: "POST", path: "/replication/handover", body: '{"to":"n2"}' }).catch(() => {});
      await until("the target is told to lead", () => dies ? first.process === null : inDoubt());
      for (const machine of [second, third]) machine.end("kill");
      Object.assign(second, { command: { role: "follower", leader: third.name } });
      Object.assign(third, { command: { role: "leader" }, forceRole: true });
      if (dies) first.start();
      await until("in doubt", inDoubt);
      third.start();
      await until("it is a leader by its command line", () => third.node?.role.leadership != null);
      second.start();
      await until("the old leader leads", () => leads(first));
      await until("all follow", () => first.observed?.followers().length === 2);
      assert.equal(writers(cluster), 1);
      assert.equal((await ask(first, put)).status, 200);
    });
  });
}

test("where leader and follower were exchanged by settings, the new one waits for the lease of the old one's last run, and leads", async () => {
  await inQuietWorld(
    { ...etcdWorld, candidates: [0, 1], silenceMs: 8_000, required: 1, seed: 28 },
    async (own) => {
      const { world, start, until, ask, cluster } = own, etcd = own.etcd as SimEtcd;
      await start();
      const [first, second] = await streaming(own);
      const nodeId = second.node?.nodeId as string;
      await until("both may lead", () => keptIn(etcd, first, "sync").includes(nodeId));
      for (const machine of [first, second]) machine.end("kill");
      Object.assign(first, { command: { role: "follower", leader: second.name } });
      first.silenceMs = null;
      Object.assign(second, { command: { role: "leader" }, forceRole: true });
      for (const machine of [second, first]) machine.start();
      await until("it follows", () => first.node?.replication.following?.status().state === "streaming");
      await until("the other one leads", () => leads(second));
      await world.pass(20_000);
      assert.equal(writers(cluster), 1);
      assert.equal(first.node?.role.kind, "follower");
      assert.equal((await ask(second, put)).status, 200);
    },
  );
});

for (const way of ["handover", "promote"] as const) {
  test(`a leader that was made read-only before its first write gives its role away: ${way}`, async () => {
    await inQuietWorld({ ...etcdWorld, seed: 26 }, async (own) => {
      const { start, until, ask } = own;
      await start();
      const [first, second] = await streaming(own);
      const readOnly = { method: "POST", path: "/replication/read-only" } as const;
      assert.equal((await ask(first, readOnly)).status, 200);
      first.end("kill");
      first.start();
      await until("it has the lease", () => first.node?.role.readOnly.reason === "operator");
      await until("it is followed", () => second.node?.replication.following?.status().state === "streaming");
      const epoch = first.node?.role.leadership?.epoch ?? 0;
      assert.ok(epoch > (first.node?.storage.log.last.epoch ?? 0), "nothing is written in its epoch");
      const [asked, body] = way === "promote" ? [second, "{}"] : [first, `{"to":"${second.name}"}`];
      const answer = await ask(asked, { method: "POST", path: `/replication/${way}`, body });
      assert.equal(answer.status, 200, answer.text);
      assert.ok(leads(second));
      assert.equal(second.node?.role.leadership?.epoch, epoch + 1);
      await until("the old leader follows", () => second.observed?.followers().length === 1);
      assert.equal((await ask(second, put)).status, 200);
    });
  });
}
