/** Masters under load while their lines are cut and they are killed: at the end all have the same, and nothing that was answered is ignored. */
import { setTimeout as pause } from "node:timers/promises";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeNames } from "../tool/node_process.ts";
import type { Fault } from "./chaos_proxy.ts";
import type { Member } from "./cluster.ts";
import { eventually } from "./cluster.ts";
import { sharedWriters } from "./master_load.ts";
import type { Mesh } from "./master_mesh.ts";
import { differ, done, info, mesh, openConflicts, sentAll, traffic } from "./master_mesh.ts";
import { writers } from "./writers.ts";

export interface MasterSoakPlan {
  readonly masters: number;
  readonly first: RuntimeName;
  /** Answered writes, on all of them together. */
  readonly writes: number;
  readonly seed: number;
}

/** HTTP has no sum of its own, so nothing is garbled. */
const faults: readonly Fault[] = ["cut", "cut", "freeze", "slow", "refuse"];
/** Lines are bad and masters die in this part of the load; the rest of it brings those back that are tried seldom. */
const badPart = 0.85, troubles = 25, settleMsMax = 600_000, restMs = 20_000;

/** True when every promise held. */
export async function masterSoak({ masters: count, first, writes, seed }: MasterSoakPlan): Promise<boolean> {
  const at = runtimeNames.indexOf(first), chance = prng(seed);
  const runtimes = Array.from({ length: count }, (_, i) => runtimeNames[(at + i) % 3] as RuntimeName);
  const m = await mesh({ runtimes, seed, requestMs: 2_000 });
  try {
    return await soak(m, writes, seed, chance);
  } finally {
    await m.stop();
  }
}

async function soak(m: Mesh, writes: number, seed: number, chance: Prng): Promise<boolean> {
  const { masters } = m, began = performance.now();
  const own = masters.map((master, i) =>
    writers({
      leader: () => master.url,
      writers: 6,
      documentsEach: 2_000,
      seed: seed + i,
      collection: `of-${i}`,
    })
  );
  const shared = await sharedWriters(masters, 200, (i) => prng(seed * 100 + i));
  const answered = (): number => shared.acknowledged + own.reduce((sum, each) => sum + each.acknowledged, 0);
  const until = (target: number): Promise<true> =>
    eventually(`${target} writes`, () => Promise.resolve(answered() >= target ? true : null), 1_200_000);
  const done = await trouble(m, chance, until, writes);
  await until(writes);
  await Promise.all([shared.stop(), ...own.map((each) => each.stop())]);
  const seconds = (performance.now() - began) / 1000, total = answered();
  console.log(
    `${masters.length} masters (${
      masters.map(({ runtime }) => runtime).join(", ")
    }): ${total} writes answered in ${seconds.toFixed(1)} s, ${
      (total / seconds).toFixed(0)
    }/s, of which ${shared.acknowledged} to shared documents; ${done}`,
  );
  const broken: string[] = [];
  await end(m, broken);
  for (const [i, each] of own.entries()) {
    broken.push(...await each.broken(masters[(i + 1) % masters.length] as Member));
  }
  for (const master of masters) broken.push(...await shared.ignored(master));
  console.log(`promises broken: ${broken.length}`);
  for (const sentence of broken.slice(0, 20)) console.log(sentence);
  const codes = await Promise.all(masters.map((each) => each.stop()));
  console.log(`exit codes at the end: ${codes.join(" ")}`);
  return broken.length === 0 && codes.every((code) => code === 0);
}

/** Treats lines badly and kills masters until the bad part of the load is over; what it did. */
async function trouble(
  { masters, lines }: Mesh,
  chance: Prng,
  until: (target: number) => Promise<true>,
  writes: number,
): Promise<string> {
  const done = new Map<string, number>(), step = writes * badPart / troubles;
  let open = 0;
  for (let i = 0; i < troubles; i++) {
    const kill = chance.below(3) === 0, fault = faults[chance.below(faults.length)] as Fault;
    const master = masters[chance.below(masters.length)] as Member;
    const bad = lines.filter(() => chance.below(lines.length) < 2);
    done.set(kill ? "kill -9" : fault, (done.get(kill ? "kill -9" : fault) ?? 0) + 1);
    if (kill) await master.kill9();
    else for (const line of bad) line.set(fault);
    await until(step * (i + 0.1 + chance.below(70) / 100));
    if (kill) await master.start();
    else for (const line of bad) line.set(null);
    open = Math.max(open, ...await openConflicts(masters));
    await until(step * (i + 1));
  }
  return `${[...done].map((entry) => entry.join(" ")).join(", ")}; at most ${open} conflicts open`;
}

/** They come to rest, are equal, stay at rest, and settle what is in conflict by themselves once they may. */
async function end(m: Mesh, broken: string[]): Promise<void> {
  const { masters } = m, seconds = (await sentAll(masters, settleMsMax) / 1000).toFixed(1);
  broken.push(...await unequal(masters, "at rest"));
  const open = await openConflicts(masters);
  const before = await traffic(m), sums = await Promise.all(masters.map(info));
  await pause(restMs);
  const after = await traffic(m), bytes = (after.at(-1) as number) - (before.at(-1) as number);
  if (before.join() !== after.join()) {
    broken.push(`masters at rest: ${before.join(" ")} became ${after.join(" ")}`);
  }
  if (new Set(open).size > 1) broken.push(`open conflicts: ${open.join(" ")}`);
  console.log(
    `at rest after ${seconds} s; conflicts open ${open.join(" ")}; in ${
      restMs / 1000
    } s of rest ${bytes} bytes on all lines, entries ${
      after.slice(0, -1).map((seq, i) => seq - (before[i] as number)).join(" ")
    }; received ${
      sums.map(({ received }) =>
        `${received.batches} batches ${received.stored} versions ${received.rejected} rejected ${received.disagreements} disagreements`
      ).join(", ")
    }`,
  );
  for (const { received: { rejected, disagreements } } of sums) {
    if (rejected + disagreements > 0) broken.push(`rejected ${rejected}, disagreements ${disagreements}`);
  }
  for (const each of masters) await done(each, "PUT", "/docs/Raven/Replication/Config", { policy: "latest" });
  const from = performance.now();
  for (const each of masters) await done(each, "POST", "/replication/resolve");
  await sentAll(masters, settleMsMax);
  const left = await openConflicts(masters);
  console.log(
    `resolved by the policy latest in ${((performance.now() - from) / 1000).toFixed(1)} s; open: ${
      left.join(" ")
    }`,
  );
  if (left.some((count) => count > 0)) broken.push(`conflicts are left: ${left.join(" ")}`);
  broken.push(...await unequal(masters, "resolved"));
}

async function unequal(masters: readonly Member[], when: string): Promise<readonly string[]> {
  const output = await differ(masters);
  return output === null ? [] : [`${when}: masters differ\n${output}`];
}

/** One master is away while the other one changes `changes` documents, then comes back: no conflict, and nobody has to do anything. */
export async function awayMaster(first: RuntimeName, changes: number): Promise<boolean> {
  const at = runtimeNames.indexOf(first);
  const m = await mesh({ runtimes: [first, runtimeNames[(at + 1) % 3] as RuntimeName], requestMs: 2_000 });
  try {
    const [a, b] = m.masters as [Member, Member], kept = 2 * Math.ceil(changes / 20);
    await change(b, "insert", "of-b", kept);
    await sentAll(m.masters, settleMsMax);
    await b.kill9();
    const began = performance.now();
    // Edits of what the other one wrote, twice, and deletes of half of it; the rest is new.
    for (const version of [1, 2]) await change(a, "replace", "of-b", kept, version);
    await change(a, "delete", "of-b", kept / 2);
    await change(a, "insert", "new", changes - 2.5 * kept);
    const wrote = performance.now();
    await b.start();
    const started = performance.now(), caughtUp = await sentAll(m.masters, settleMsMax);
    const open = await openConflicts(m.masters), different = await differ(m.masters);
    console.log(
      `${b.runtime} away for ${changes} changes on ${a.runtime} (${
        ((wrote - began) / 1000).toFixed(1)
      } s): ` +
        `started in ${((started - wrote) / 1000).toFixed(1)} s, has all ${
          (caughtUp / 1000).toFixed(1)
        } s later (${(changes / caughtUp * 1000).toFixed(0)}/s); conflicts ${open.join(" ")}; ${
          different === null ? "equal" : `DIFFERENT\n${different}`
        }`,
    );
    const codes = await Promise.all(m.masters.map((each) => each.stop()));
    console.log(`exit codes at the end: ${codes.join(" ")}`);
    return different === null && open.every((count) => count === 0) && codes.every((code) => code === 0);
  } finally {
    await m.stop();
  }
}

/** So many documents, 1,000 in an entry. */
async function change(
  at: Member,
  op: "insert" | "replace" | "delete",
  prefix: string,
  count: number,
  version = 0,
): Promise<void> {
  const collection = "load", padding = "x".repeat(200);
  for (let n = 0; n < count; n += 1_000) {
    const operations = Array.from({ length: Math.min(1_000, count - n) }, (_, i) => {
      const id = `${prefix}-${n + i}`, doc = { n: n + i, version, padding };
      if (op === "insert") return { op, collection, doc: { _id: id, ...doc } };
      return op === "replace" ? { op, collection, id, doc } : { op, collection, id };
    });
    await done(at, "POST", "/tx/batch", operations);
  }
}
