/** The log's window of a whole node, in virtual time. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { silentLogger } from "../../src/base/logger.ts";
import { startNode } from "../../src/node/node.ts";
import { readSettings } from "../../src/node/read_settings.ts";
import { memoryFiles, SimNetwork, simRuntime } from "./sim_runtime.ts";
import { World } from "./world.ts";

const hour = 3_600_000, MiB = 1024 * 1024;

test("a node keeps its log to its bytes and its age, and shows the window", { timeout: 60_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), "dfdb-sim-"));
  const world = new World(3), network = new SimNetwork(world);
  const settle = async <Value>(promise: Promise<Value>): Promise<Value> => {
    let settled = false;
    promise.finally(() => settled = true).catch(() => {});
    assert.ok(await world.until(() => settled, 4 * hour));
    return await promise;
  };
  const flags = { "data-dir": root, "log-bytes-max": `${MiB}`, "log-age-seconds": "7200" };
  const settings = readSettings({ flags, env: {}, file: null });
  const node = await settle(startNode(simRuntime(network, memoryFiles(root)), settings, silentLogger));
  const pass = (ms: number) => settle(new Promise<void>((resolve) => void world.timer(ms, resolve)));
  const write = async (id: number) => {
    const body = JSON.stringify({ pad: "p".repeat(20_000) });
    const url = `http://x:5000/collections/orders/${id}`;
    assert.equal((await settle(network.fetch(url, { method: "PUT", body }))).status, 201);
  };
  const shown = async () => {
    const answer = await settle(network.fetch("http://x:5000/replication/status"));
    return (await answer.json() as { log: Record<string, unknown> & { window: Record<string, number> } }).log;
  };
  for (let i = 0; i < 80; i++) await write(i);
  await pass(1_000);
  const { window, ...log } = await shown();
  assert.equal(log["lastSeq"], 81);
  assert.ok(Number(log["firstSeq"]) > 20);
  assert.ok(window["bytes"] as number <= MiB && window["bytes"] as number > 0.8 * MiB);
  assert.deepEqual(window, {
    entries: 82 - Number(log["firstSeq"]),
    bytes: log["bytes"],
    seconds: 1,
    bytesMax: MiB,
    ageMsMax: 2 * hour,
  });
  await pass(3 * hour);
  assert.equal((await shown()).firstSeq, log["firstSeq"], "an idle log does not age");
  await write(80);
  await pass(61_000);
  const aged = await shown();
  assert.deepEqual([aged.firstSeq, aged.lastSeq, aged.window["entries"]], [82, 82, 1]);
  await settle(node.stop());
  rmSync(root, { recursive: true });
});
