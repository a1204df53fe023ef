/** The role goes round three nodes of three runtimes under load: nothing is lost, nothing happens twice, nobody gets another error than a refusal. */
import assert from "node:assert/strict";
import test from "node:test";
import { dfdb, follows, group, handOver, onlyOneWritable, sameContents } from "./group.ts";
import type { Peer } from "./group.ts";
import { inserters } from "./inserters.ts";

test("six handovers in a row under 16 clients", async (t) => {
  const g = await group({ runtimes: ["deno", "bun", "node"] });
  t.after(() => g.stop());
  const { peers } = g, load = inserters({ members: peers, clients: 16 });
  t.after(() => load.stop());
  await load.more(200);
  for (let round = 0; round < 6; round++) {
    const [from, to, third] = [0, 1, 2].map((i) => peers[(round + i) % 3] as Peer) as [Peer, Peer, Peer];
    await follows(to, from);
    const startedAt = performance.now();
    const pausedMs = round === 3 ? await byCommand(from, to) : await byRequest(from, to);
    const thirdMs = await follows(third, to);
    await follows(from, to);
    await load.more(200);
    t.diagnostic(
      `${from.runtime} to ${to.runtime}: paused ${pausedMs} ms, without an accepted write ` +
        `${load.longestPauseMs(startedAt).toFixed(0)} ms, third node there after ${thirdMs.toFixed(0)} ms`,
    );
    await onlyOneWritable(peers, to);
  }
  await load.stop();
  const leader = peers[0] as Peer;
  await sameContents(leader, peers);
  const { lost, duplicated } = await load.tally(leader);
  assert.deepEqual({ lost, duplicated }, { lost: [], duplicated: [] });
  assert.equal(load.unknown, 0, JSON.stringify([...load.errors]));
  const codes = [...load.errors.keys()].filter((code) => code !== "read_only" && code !== "not_leader");
  assert.deepEqual(codes, []);
  t.diagnostic(`${load.accepted.length} writes, refused ${JSON.stringify([...load.errors])}`);
  assert.deepEqual(await g.stop(), [0, 0, 0]);
});

async function byRequest(from: Peer, to: Peer): Promise<string> {
  const { status, body } = await handOver(from, to);
  assert.equal(status, 200, JSON.stringify(body));
  return String(body["pausedMs"]);
}

async function byCommand(from: Peer, to: Peer): Promise<string> {
  const { code, output } = await dfdb("bun", ["handover", "--from", from.url, "--to", to.name]);
  assert.equal(code, 0, output);
  return `(${output.trim().split("\n").join(" | ")})`;
}
