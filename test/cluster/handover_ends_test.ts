/** Handovers that fail in the middle: each end has a name, the role is at one node, and no two nodes ever accept writes at the same time. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import test from "node:test";
import { eventually, status } from "./cluster.ts";
import type { FrameProxy } from "./frame_proxy.ts";
import { frameProxy } from "./frame_proxy.ts";
import { follows, handOver } from "./group.ts";
import { goesOn, named, pair, wentOver } from "./handover_pair.ts";

test("a target that is stopped: not_caught_up, and it follows on when it wakes", (t) =>
  pair(t, ["node", "bun"], async (all) => {
    await all.to.process.pause();
    await all.load.more(20);
    named(await handOver(all.from, all.to, 1), "not_caught_up");
    await goesOn(all);
    all.to.process.signal("SIGCONT");
    await follows(all.to, all.from);
    await goesOn(all);
  }));

test("a target that dies in the middle: unreachable; one that is dead: conflict", (t) =>
  pair(t, ["bun", "deno"], async (all) => {
    const { from, to, load } = all;
    await to.process.pause();
    await load.more(20);
    const answer = handOver(from, to);
    await eventually("the handover waits", async () => (await status(from)).handover === null ? null : true);
    await to.kill9();
    named(await answer, "unreachable");
    await goesOn(all);
    named(await handOver(from, to), "conflict");
    await to.start();
    await goesOn(all);
  }));

test("a target whose port is taken declines: port_in_use", (t) =>
  pair(t, ["deno", "node"], async (all) => {
    const { from, to } = all, squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(to.wirePort, "127.0.0.1", resolve));
    named(await handOver(from, to), "port_in_use");
    await goesOn(all);
    await new Promise((resolve) => squatter.close(resolve));
    assert.equal((await handOver(from, to)).status, 200);
    await wentOver(all);
  }));

for (const [type, ends] of [["commit", goesOn], ["promoted", wentOver]] as const) {
  test(`the line is cut at ${type}: the old leader finds out what became of it`, async (t) => {
    const proxies: FrameProxy[] = [];
    t.after(() => proxies.forEach((proxy) => proxy.close()));
    const through = async (port: number): Promise<number> => {
      proxies.push(await frameProxy(port));
      return (proxies[0] as FrameProxy).port;
    };
    await pair(t, ["deno", "node"], async (all) => {
      proxies[0]?.swallow(type);
      const answer = await handOver(all.from, all.to);
      assert.equal(proxies[0]?.swallowed, 1);
      if (type === "promoted") assert.equal(answer.status, 200, JSON.stringify(answer.body));
      else named(answer, "unreachable");
      await ends(all);
    }, through);
  });
}
