/** A follower that is stopped with SIGSTOP while the leader takes writes: latency and memory of the leader stay flat. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import type { Cluster, Member } from "./cluster.ts";
import { checksum, cluster, converged } from "./cluster.ts";

const window = 20_000;
const warmUp = 50_000;
const MiB = 1024 * 1024;

/** Latencies in ms, in order, of `count` inserts over 16 kept-alive connections; ids begin with `prefix`. */
async function write(
  leader: Member,
  prefix: string,
  count: number,
  onAnswer = (_: number) => {},
): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 }), latencies: number[] = [];
  const body = JSON.stringify({ padding: "x".repeat(480) });
  let next = 0;
  const one = (id: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const startedAt = performance.now();
      const options = { agent, method: "PUT", headers: { "content-length": body.length } };
      const sent = request(`${leader.url}/collections/frozen/${prefix}${id}`, options, (response) => {
        response.resume();
        response.on("end", () => {
          onAnswer(latencies.push(performance.now() - startedAt));
          if (response.statusCode === 201) resolve();
          else reject(new Error(`unexpected answer ${response.statusCode}`));
        });
      });
      sent.on("error", reject);
      sent.end(body);
    });
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (next < count) await one(next++);
  }));
  agent.destroy();
  return latencies;
}

/** Resident memory of the leader, bytes. */
function memory(leader: Member): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${leader.process.pid}/status`, "utf8"))?.[1];
  return Number(kib) * 1024;
}

const p99 = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? NaN;

/** True when p99 at most doubled, memory grew at most 64 MiB, and the follower caught up by itself. */
export async function frozenFollower(documents: number): Promise<boolean> {
  let good = true;
  for (const [leader, follower] of [["node", "bun"], ["deno", "node"], ["bun", "deno"]] as const) {
    const c: Cluster = await cluster({ leader, followers: [follower] });
    // Warm: compiled, page cache full, heap at its working size. What grows after this is the frozen follower's.
    await write(c.leader, "warm", warmUp);
    const frozen = c.followers[0] as Member;
    await converged(c);
    await frozen.process.pause();
    const before = memory(c.leader);
    let largest = before;
    const latencies = await write(c.leader, "f", documents, (answers) => {
      if (answers % 1_000 === 0) largest = Math.max(largest, memory(c.leader));
    });
    const grown = largest - before;
    frozen.process.signal("SIGCONT");
    const startedAt = performance.now();
    await converged(c, 120_000);
    const seconds = (performance.now() - startedAt) / 1000;
    const first = p99(latencies.slice(0, window)), last = p99(latencies.slice(-window));
    const sums = await Promise.all(c.members.map(checksum));
    const held = last <= 2 * first && grown <= 64 * MiB && sums[0] === sums[1];
    good &&= held;
    console.log(
      `frozen follower, leader on ${leader}: ${documents} writes, p99 of the first ${window} ${
        first.toFixed(2)
      } ms, of the ` +
        `last ${last.toFixed(2)} ms (ratio ${(last / first).toFixed(2)}); memory +${
          (grown / MiB).toFixed(1)
        } MiB; ` +
        `follower caught up in ${seconds.toFixed(1)} s; contents ${
          sums[0] === sums[1] ? "equal" : "DIFFER"
        }` +
        `${held ? "" : " — FAILED"}`,
    );
    await c.stop();
  }
  return good;
}
