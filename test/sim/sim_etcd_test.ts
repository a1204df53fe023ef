/** The etcd of the simulated world answers as the real one does (test/cluster/etcd_test.ts runs the same calls on that). */
import assert from "node:assert/strict";
import test from "node:test";
import { etcdSuite, type EtcdUnderTest, type Json } from "../suites/etcd_suite.ts";
import { netProcess, settled, watched } from "./net_tools.ts";
import { SimEtcd } from "./sim_etcd.ts";
import { SimNetwork } from "./sim_net.ts";
import { World } from "./world.ts";

async function setting() {
  const world = new World(1), network = new SimNetwork(world), etcd = new SimEtcd(world, network);
  await settled(world, etcd.start());
  const process = netProcess(world, network, "a");
  const send = (path: string, body: Json) =>
    process.runtime.fetch(etcd.url + path, { method: "POST", body: JSON.stringify(body) });
  const call = async (path: string, body: Json) => {
    const response = await settled(world, send(path, body));
    return { status: response.status, body: await response.json() as Json };
  };
  return { world, network, etcd, send, call };
}

async function open(): Promise<EtcdUnderTest> {
  const { world, call } = await setting();
  return {
    call,
    async until(condition, what, limitMs) {
      const end = world.now + limitMs;
      while (!await condition()) {
        assert.ok(world.now < end, `not within ${limitMs} virtual ms: ${what}`);
        await world.pass(100);
      }
    },
    async close() {},
  };
}

etcdSuite("simulated etcd", open);

const key = btoa("k");

async function bound(call: Awaited<ReturnType<typeof setting>>["call"], ttl: number): Promise<void> {
  const { body } = await call("/v3/lease/grant", { TTL: `${ttl}` });
  await call("/v3/kv/put", { key, lease: body["ID"] });
}

test("the end of a lease is an event of its own", async () => {
  const { world, etcd, call } = await setting();
  await bound(call, 5);
  const before = etcd.store.revision;
  await world.pass(4_900);
  assert.equal(etcd.store.revision, before);
  await world.pass(200);
  assert.equal(etcd.store.revision, before + 1);
  assert.equal(etcd.store.nextExpiry, null);
});

test("what it holds outlives its processes; each lease has its whole time again", async () => {
  const { world, etcd, send, call } = await setting();
  await bound(call, 5);
  await world.pass(3_000);
  etcd.end("power");
  const waits = watched(send("/v3/kv/range", { key }));
  await world.pass(10_000);
  assert.equal(waits.now, "waits");
  await etcd.start();
  await world.pass(4_000);
  assert.equal((await call("/v3/kv/range", { key })).body["count"], "1");
  await world.pass(2_000);
  assert.equal((await call("/v3/kv/range", { key })).body["count"], undefined);
  etcd.end("kill");
  await assert.rejects(call("/v3/kv/range", { key }), /refused/);
});
