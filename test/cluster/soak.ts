/**
 * `npm run soak`: a mixed cluster under load, random nodes killed with SIGKILL and started again; a frozen follower;
 * minutes of bad connections; followers that were away; handovers and failovers in a row; partitions; masters, and one that was away.
 * Ends with exit 1 when a promise is broken. `npm run soak -- --help` tells its parts.
 */
import { prng } from "../../src/base/prng.ts";
import { runtimeNames } from "../tool/node_process.ts";
import { awayFollowers } from "./away.ts";
import { chaos } from "./chaos.ts";
import { checksum, cluster, converged, eventually } from "./cluster.ts";
import { failovers } from "./failovers.ts";
import { frozenFollower } from "./frozen_follower.ts";
import { handovers } from "./handovers.ts";
import { awayMaster, masterSoak } from "./master_soak.ts";
import { partitions } from "./partitions.ts";
import type { SoakPart } from "./soak_options.ts";
import { readSoakOptions } from "./soak_options.ts";
import { writers } from "./writers.ts";

const options = readSoakOptions(process.argv);
const { leader: runtime, seed } = options;

/** True when every promise held. */
async function kills(count: number, seed: number): Promise<boolean> {
  const chance = prng(seed), leader = runtime;
  const c = await cluster({ leader, followers: runtimeNames.filter((name) => name !== leader) });
  const load = writers({ leader: () => c.leader.url, writers: 16, documentsEach: 200, seed, padding: 400 });
  const killed = new Map<string, number>();
  for (let i = 1; i <= count; i++) {
    const target = load.acknowledged + 200 + chance.below(800);
    await eventually("load", () => Promise.resolve(load.acknowledged >= target ? true : null), 120_000);
    const member = c.members[chance.below(c.members.length)];
    if (member === undefined) continue;
    await member.kill9();
    await member.start();
    killed.set(member.name, (killed.get(member.name) ?? 0) + 1);
    console.log(
      `kill ${i}/${count}: ${member.name} (${member.runtime}); ${load.acknowledged} writes answered so far`,
    );
  }
  await load.stop();
  await converged(c, 120_000);
  const broken = await load.broken(c.leader);
  const sums = await Promise.all(c.members.map(checksum));
  const codes = await c.stop();
  const equal = new Set(sums).size === 1;
  console.log(`kills by node: ${[...killed].map(([name, n]) => `${name} ${n}`).join(", ")}`);
  console.log(
    `writes answered: ${load.acknowledged}, without an answer: ${load.unanswered}, promises broken: ${broken.length}`,
  );
  console.log(`contents ${equal ? "equal" : "DIFFER"}: ${sums.map((sum) => sum.slice(0, 16)).join(" ")}`);
  console.log(`exit codes at the end: ${codes.join(" ")}`);
  for (const sentence of broken.slice(0, 20)) console.log(sentence);
  return broken.length === 0 && equal && codes.every((code) => code === 0);
}

console.log(`seed ${seed}`);
let good = true;
const parts: Readonly<Record<SoakPart, () => Promise<boolean>>> = {
  kills: () => kills(options.kills, seed),
  frozen: () => frozenFollower(options.documents),
  chaos: () => chaos({ leader: runtime, minutes: options.minutes, seed }),
  away: () => awayFollowers(runtime, options.gigabytes),
  handovers: () => handovers(options.handovers, runtime),
  failovers: () => failovers({ count: options.failovers, sync: true }),
  "failovers-async": () => failovers({ count: options.failovers, sync: false }),
  partitions: () => partitions(options.partitions, seed),
  masters: async () => {
    const plan = { first: runtime, writes: options.writes, seed };
    let held = true;
    for (const masters of options.masters) held = await masterSoak({ ...plan, masters }) && held;
    return held;
  },
  "away-master": () => awayMaster(runtime, options.changes),
};
for (const name of options.parts) good = await parts[name]() && good;
console.log(good ? "every promise held" : "FAILED");
process.exit(good ? 0 : 1);
