/** Many planned handovers in a row between two nodes under load: nothing lost, nothing twice, and how long writes paused. */
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeAfter } from "./cluster.ts";
import type { Group, Peer } from "./group.ts";
import { follows, group, handOver, sameContents } from "./group.ts";
import type { Inserters } from "./inserters.ts";
import { inserters, quantile } from "./inserters.ts";
import { twoLeaders } from "./one_leader.ts";

const writesBetween = 50, minutesMax = 30;

/** True when every promise held. */
export async function handovers(count: number, first: RuntimeName): Promise<boolean> {
  const runtimes = [first, runtimeAfter(first)], g = await group({ runtimes });
  const load = inserters({ members: g.peers, clients: 16 });
  try {
    return await run(g, load, count);
  } finally {
    await load.stop();
    await g.stop();
  }
}

async function run(g: Group, load: Inserters, count: number): Promise<boolean> {
  const end = performance.now() + minutesMax * 60_000, told: number[] = [], seen: number[] = [];
  let failed = 0, [from, to] = g.peers as [Peer, Peer];
  await load.more(200);
  for (let i = 1; i <= count; i++) {
    if (performance.now() > end) throw new Error(`${i - 1} handovers took more than ${minutesMax} minutes`);
    await follows(to, from);
    const startedAt = performance.now(), { status, body } = await handOver(from, to);
    if (status !== 200) {
      failed++;
      console.log(`handover ${i}: ${status} ${JSON.stringify(body)}`);
      await load.more(writesBetween);
      continue;
    }
    await load.more(writesBetween);
    told.push(Number(body["pausedMs"]));
    seen.push(load.longestPauseMs(startedAt));
    [from, to] = [to, from];
    if (i % 20 === 0) console.log(`handover ${i}/${count}: ${load.accepted.length} writes accepted so far`);
  }
  await load.stop();
  await sameContents(from, g.peers);
  const { lost, duplicated } = await load.tally(from), two = twoLeaders(load.accepted);
  const others = [...load.errors.keys()].filter((code) => code !== "read_only" && code !== "not_leader");
  const ms = (values: readonly number[]): string =>
    `median ${quantile(values, 0.5).toFixed(0)} ms, p99 ${quantile(values, 0.99).toFixed(0)} ms`;
  console.log(
    `${count} handovers between ${g.peers.map(({ runtime }) => runtime).join(" and ")}: failed ${failed}; ` +
      `writes accepted ${load.accepted.length}, lost ${lost.length}, duplicated ${duplicated.length}, unknown ${load.unknown}`,
  );
  console.log(`pause as the node tells: ${ms(told)}; longest time without an accepted write: ${ms(seen)}`);
  console.log(`errors by code: ${[...load.errors].map((each) => each.join(" ")).join(", ")}`);
  for (const sentence of two.slice(0, 20)) console.log(sentence);
  return failed + lost.length + duplicated.length + load.unknown + two.length + others.length === 0;
}
