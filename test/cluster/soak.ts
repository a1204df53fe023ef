/**
 * `npm run soak`: a mixed cluster under load, random nodes killed with SIGKILL and started again; then a frozen
 * follower. Ends with exit 1 when a promise is broken.
 *
 *   npm run soak -- --kills 20 --seed 1 --documents 100000
 */
import { parseArgs } from "node:util";
import { prng } from "../../src/base/prng.ts";
import { runtimeNames } from "../tool/node_process.ts";
import { checksum, cluster, converged, eventually } from "./cluster.ts";
import { frozenFollower } from "./frozen_follower.ts";
import { writers } from "./writers.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    documents: { type: "string", default: "100000" },
    leader: { type: "string", default: "node" },
    only: { type: "string", default: "all" },
  },
});

/** True when every promise held. */
async function kills(count: number, seed: number): Promise<boolean> {
  const chance = prng(seed), leader = runtimeNames.find((name) => name === values.leader) ?? "node";
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
if (values.only !== "frozen") good = await kills(Number(values.kills), seed) && good;
if (values.only !== "kills") good = await frozenFollower(Number(values.documents)) && good;
console.log(good ? "every promise held" : "FAILED");
process.exit(good ? 0 : 1);
