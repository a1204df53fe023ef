/**
 * `npm run soak`: a mixed cluster under load, random nodes killed with SIGKILL and started again; a frozen follower;
 * minutes of bad connections; followers that were away; handovers and failovers in a row; partitions; masters, and one that was away.
 * Ends with exit 1 when a promise is broken.
 *
 *   npm run soak -- --kills 20 --seed 1 --documents 100000
 *   npm run soak -- --only chaos --minutes 5 --leader deno
 *   npm run soak -- --only away --gigabytes 1
 *   npm run soak -- --only handovers --handovers 200 --leader node
 *   npm run soak -- --only failovers --failovers 100      (failovers-async: without semi-synchronous replication)
 *   npm run soak -- --only partitions --partitions 60
 *   npm run soak -- --only masters --masters 2,5 --writes 100000
 *   npm run soak -- --only away-master --changes 50000
 */
import { parseArgs } from "node:util";
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
import { writers } from "./writers.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    documents: { type: "string", default: "100000" },
    leader: { type: "string", default: "node" },
    minutes: { type: "string", default: "5" },
    gigabytes: { type: "string", default: "1" },
    handovers: { type: "string", default: "200" },
    failovers: { type: "string", default: "100" },
    partitions: { type: "string", default: "60" },
    masters: { type: "string", default: "2,5" },
    writes: { type: "string", default: "100000" },
    changes: { type: "string", default: "50000" },
    only: { type: "string", default: "all" },
  },
});

const runtime = runtimeNames.find((name) => name === values.leader) ?? "node";

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

const seed = Number(values.seed);
console.log(`seed ${seed}`);
let good = true;
const parts: Record<string, () => Promise<boolean>> = {
  kills: () => kills(Number(values.kills), seed),
  frozen: () => frozenFollower(Number(values.documents)),
  chaos: () => chaos({ leader: runtime, minutes: Number(values.minutes), seed }),
  away: () => awayFollowers(runtime, Number(values.gigabytes)),
  handovers: () => handovers(Number(values.handovers), runtime),
  failovers: () => failovers({ count: Number(values.failovers), sync: true }),
  partitions: () => partitions(Number(values.partitions), seed),
  masters: async () => {
    const plan = { first: runtime, writes: Number(values.writes), seed };
    let held = true;
    for (const masters of values.masters.split(",").map(Number)) {
      held = await masterSoak({ ...plan, masters }) && held;
    }
    return held;
  },
  "away-master": () => awayMaster(runtime, Number(values.changes)),
  "failovers-async": () => failovers({ count: Number(values.failovers), sync: false }),
};
for (const [name, part] of Object.entries(parts)) {
  if (values.only === "all" || values.only === name) good = await part() && good;
}
console.log(good ? "every promise held" : "FAILED");
process.exit(good ? 0 : 1);
