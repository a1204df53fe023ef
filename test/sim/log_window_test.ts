/** The log's window of a whole node, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { inQuietWorld } from "./quiet_world.ts";

const hour = 3_600_000, MiB = 1024 * 1024;

test("a node keeps its log to its bytes and its age, and shows the window", { timeout: 60_000 }, async () => {
  const options = { seed: 3, machines: 1, logBytesMax: MiB, logAgeMs: 2 * hour };
  await inQuietWorld(options, async ({ world, cluster, start, ask }) => {
    const { leader } = cluster;
    await start();
    const write = async (id: number): Promise<void> => {
      const body = JSON.stringify({ pad: "p".repeat(20_000) });
      const { status } = await ask(leader, { method: "PUT", path: `/collections/orders/${id}`, body });
      assert.equal(status, 201);
    };
    const shown = async () => {
      const { text } = await ask(leader, { method: "GET", path: "/replication/status" });
      return (JSON.parse(text) as { log: Record<string, unknown> & { window: Record<string, number> } }).log;
    };
    for (let i = 0; i < 80; i++) await write(i);
    await world.pass(1_000);
    const { window, ...log } = await shown();
    assert.equal(log["lastSeq"], 81);
    assert.ok(Number(log["firstSeq"]) > 20);
    assert.ok(window["bytes"] as number <= MiB && window["bytes"] as number > 0.8 * MiB);
    assert.deepEqual({ ...window, seconds: 0 }, {
      entries: 82 - Number(log["firstSeq"]),
      bytes: log["bytes"],
      seconds: 0,
      bytesMax: MiB,
      ageMsMax: 2 * hour,
    });
    await world.pass(3 * hour);
    assert.equal((await shown()).firstSeq, log["firstSeq"], "an idle log does not age");
    await write(80);
    await world.pass(61_000);
    const aged = await shown();
    assert.deepEqual([aged.firstSeq, aged.lastSeq, aged.window["entries"]], [82, 82, 1]);
  });
});
