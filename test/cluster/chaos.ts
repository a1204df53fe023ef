/** Minutes of bad connections between a leader and its followers under load: cut, frozen, garbled, slow, refused. */
import { prng } from "../../src/base/prng.ts";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeNames } from "../tool/node_process.ts";
import { type ChaosProxy, chaosProxy, faults } from "./chaos_proxy.ts";
import type { Member } from "./cluster.ts";
import { checksum, cluster, converged, eventually, status } from "./cluster.ts";
import { writers } from "./writers.ts";

export interface ChaosPlan {
  readonly leader: RuntimeName;
  readonly minutes: number;
  readonly seed: number;
}

/** True when at the end every promise held, all contents are equal, and every error shown has a code. */
export async function chaos({ leader, minutes, seed }: ChaosPlan): Promise<boolean> {
  const chance = prng(seed), proxies: ChaosProxy[] = [], counts = new Map<string, number>();
  const c = await cluster({
    leader,
    followers: runtimeNames.filter((name) => name !== leader),
    // A small log: those that were away for long need a snapshot.
    flags: ["--replication-secret", "cluster-secret", "--log-bytes-max", String(8 * 1024 * 1024)],
    through: async (port) => {
      const proxy = await chaosProxy(port, prng(seed + 1 + proxies.length));
      proxies.push(proxy);
      return proxy.port;
    },
  });
  const load = writers({ leader: () => c.leader.url, writers: 16, documentsEach: 500, seed, padding: 400 });
  const errors = new Map<string, number>(), end = performance.now() + minutes * 60_000;
  const note = async (): Promise<void> => {
    for (const follower of c.followers) {
      const { lastError, state } = (await status(follower)).follower;
      const key = `${state}${lastError === null ? "" : `, last ${lastError.code}`}`;
      errors.set(key, (errors.get(key) ?? 0) + 1);
    }
  };
  while (performance.now() < end) {
    const proxy = proxies[chance.below(proxies.length)], fault = faults[chance.below(faults.length)];
    if (proxy === undefined || fault === undefined) throw new Error("there are proxies and faults");
    const begun = load.acknowledged;
    proxy.set(fault);
    counts.set(fault, (counts.get(fault) ?? 0) + 1);
    // Now and then until the follower has given the connection up, by the contact that was lost.
    const long = chance.below(10) === 0, until = long ? 60_000 : 500 + chance.below(10_000);
    const follower = c.followers[proxies.indexOf(proxy)] as Member;
    await eventually("writes", async () => {
      if (load.acknowledged - begun >= until) return true;
      return long && (await status(follower)).follower.state === "waiting" ? true : null;
    }, 120_000);
    await note();
    proxy.set(null);
    const healed = load.acknowledged + chance.below(6_000);
    await eventually("writes", () => Promise.resolve(load.acknowledged >= healed ? true : null), 120_000);
  }
  for (const proxy of proxies) proxy.set(null);
  await load.stop();
  await converged(c, 120_000);
  const broken = await load.broken(c.leader), sums = await Promise.all(c.members.map(checksum));
  const equal = new Set(sums).size === 1;
  console.log(
    `chaos on a leader on ${leader}: ${minutes} minutes, faults: ${
      [...counts].map((entry) => entry.join(" ")).join(", ")
    }; ` +
      `bytes flipped ${proxies.reduce((sum, { done }) => sum + done.flipped, 0)}, connections cut ${
        proxies.reduce((sum, { done }) => sum + done.cut, 0)
      }`,
  );
  console.log(`states seen: ${[...errors].map(([state, n]) => `${state} (${n})`).join("; ")}`);
  for (const follower of c.followers) {
    const { gapsDetected, connects, snapshotsInstalled, rescues, lastError } =
      (await status(follower)).follower;
    console.log(
      `${follower.name} (${follower.runtime}): gapsDetected ${gapsDetected}, connects ${connects}, snapshots ${snapshotsInstalled}, ` +
        `rescues ${rescues}, last error ${
          lastError === null ? "none" : `${lastError.code}: ${lastError.message}`
        }`,
    );
  }
  console.log(
    `writes answered: ${load.acknowledged}, without an answer: ${load.unanswered}, promises broken: ${broken.length}; ` +
      `contents ${equal ? "equal" : "DIFFER"}`,
  );
  for (const sentence of broken.slice(0, 20)) console.log(sentence);
  const codes = await c.stop();
  await Promise.all(proxies.map((proxy) => proxy.close()));
  console.log(`exit codes at the end: ${codes.join(" ")}`);
  return broken.length === 0 && equal && codes.every((code) => code === 0);
}
