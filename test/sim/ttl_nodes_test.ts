/** Expiry on whole nodes in virtual time: who leads deletes, followers do as the log says, and the next leader goes on. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Machine } from "./cluster.ts";
import { inQuietWorld } from "./quiet_world.ts";

const entries = (machine: Machine): number => machine.node?.storage.log.last.seq ?? 0;
const documents = (machine: Machine): number =>
  machine.node?.storage.read((view) => view.collection("sessions")?.documents ?? 0) ?? 0;

test("expired documents go by the leader's log alone, also after a promotion and a restart", async () => {
  await inQuietWorld({ seed: 3, machines: 2 }, async ({ world, cluster, start, until, ask }) => {
    const { leader, followers: [follower] } = cluster;
    assert.ok(follower !== undefined);
    await start();
    await until("they are connected", () => leader.observed?.followers().length === 1);
    const put = async (machine: Machine, id: string, body: string): Promise<void> => {
      const { status } = await ask(machine, { method: "PUT", path: `/collections/sessions/${id}`, body });
      assert.ok(status === 201 || status === 200, `${id}: ${status}`);
    };
    await put(leader, "ttl".repeat(2), '{"end":"never"}');
    await put(leader, "ttl", '{"field":"end","intervalSeconds":2}');
    for (const id of ["a", "b", "c"]) await put(leader, id, `{"end":${id === "c" ? 9e12 : 1_000}}`);
    await until("two are gone", () => documents(leader) === 2);
    await until("the follower has the same", () => entries(follower) === entries(leader));
    assert.equal(documents(follower), 2);
    const list = await ask(follower, { method: "GET", path: "/ttl" });
    assert.equal(list.text, '{"ttls":[{"collection":"sessions","field":"end","intervalSeconds":2}]}');

    // Without its leader the follower deletes nothing.
    await put(leader, "d", '{"end":1000}');
    await until("it is there", () => documents(follower) === 3 && entries(follower) === entries(leader));
    leader.end("kill");
    const before = entries(follower);
    await world.pass(20_000);
    assert.deepEqual([documents(follower), entries(follower)], [3, before]);

    const promoted = await ask(follower, {
      method: "POST",
      path: "/replication/promote",
      body: '{"force":true}',
    });
    assert.equal(promoted.status, 200, promoted.text);
    await until("the new leader goes on", () => documents(follower) === 2);
    await put(follower, "e", '{"end":1000}');
    await until("and on", () => documents(follower) === 2);

    leader.start();
    await until("the old one follows", () => entries(leader) === entries(follower));
    assert.equal(documents(leader), 2);
  });
});
