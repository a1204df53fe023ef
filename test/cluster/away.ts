/**
 * Followers that were away: for a few entries, for about the reference's ring, past the log's window, and for ever (a new
 * one beside a large leader). Each converges by itself while the leader takes writes at full rate.
 */
import { Agent, request } from "node:http";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeNames, startNodeProcess } from "../tool/node_process.ts";
import type { Cluster, Member } from "./cluster.ts";
import { cluster, converged, eventually, json, status } from "./cluster.ts";

const MiB = 1024 * 1024;
/** Answers before the rate is taken, and those that it is taken of. */
const warmAnswers = 10_000, timedAnswers = 30_000;

interface Load {
  /** Time of every answer, ms, in order; and how long each took. */
  readonly answers: { readonly at: number; readonly ms: number }[];
  stop(): Promise<void>;
}

/** 16 connections that put new documents of about 500 bytes as fast as they are answered. */
function fullRate(leader: Member, prefix: string): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 }), answers: { at: number; ms: number }[] = [];
  const body = JSON.stringify({ padding: "x".repeat(480) });
  let running = true, next = 0;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const from = performance.now();
      const options = { agent, method: "PUT", headers: { "content-length": body.length } };
      const sent = request(`${leader.url}/collections/load/${prefix}${next++}`, options, (response) => {
        response.resume();
        response.on("end", () => {
          const at = performance.now();
          answers.push({ at, ms: at - from });
          if (response.statusCode === 201) resolve();
          else reject(new Error(`unexpected answer ${response.statusCode}`));
        });
      });
      sent.on("error", reject);
      sent.end(body);
    });
  const tasks = Array.from({ length: 16 }, async () => {
    while (running) await one();
  });
  return {
    answers,
    async stop() {
      running = false;
      await Promise.all(tasks);
      agent.destroy();
    },
  };
}

const p99 = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? NaN;

interface Rate {
  readonly perSecond: number;
  readonly p99Ms: number;
  /** Longest time between two answers. */
  readonly gapMs: number;
}

function rate(answers: Load["answers"], from: number, to: number): Rate {
  const within = answers.filter(({ at }) => at >= from && at <= to);
  let gapMs = 0, last = from;
  for (const at of [...within.map((answer) => answer.at), to]) {
    gapMs = Math.max(gapMs, at - last);
    last = at;
  }
  return {
    perSecond: within.length / (to - from) * 1000,
    p99Ms: p99(within.map(({ ms }) => ms)),
    gapMs,
  };
}

/** Inserts `count` documents of `bytes` each, in bulk. */
async function fill(leader: Member, prefix: string, count: number, bytes: number): Promise<void> {
  const padding = "y".repeat(bytes - 40);
  for (let at = 0; at < count; at += 1_000) {
    const list = Array.from(
      { length: Math.min(1_000, count - at) },
      (_, i) => ({ _id: `${prefix}${at + i}`, padding }),
    );
    const answer = await json<{ count: number }>(`${leader.url}/collections/filled/bulk`, {
      method: "POST",
      body: JSON.stringify(list),
    });
    if (answer.count !== list.length) throw new Error(`bulk: ${JSON.stringify(answer).slice(0, 200)}`);
  }
}

const converge = async (c: Cluster, load: Load): Promise<void> => {
  await load.stop();
  await converged(c, 180_000);
};

/** A follower is stopped, `operations` entries come, it starts again under full load. True: it converged. */
async function away(c: Cluster, follower: Member, operations: number, what: string): Promise<boolean> {
  await follower.stop();
  await fill(c.leader, `${what}-`, operations, 500);
  const load = fullRate(c.leader, `${what}-load-`), from = performance.now();
  await follower.start();
  await eventually(`${follower.name} streams again (${what})`, async () => {
    const { follower: { state, lagSeq } } = await status(follower);
    return state === "streaming" && lagSeq !== null && lagSeq < 5_000 ? true : null;
  }, 180_000);
  const seconds = (performance.now() - from) / 1000;
  await converge(c, load);
  const { follower: { snapshotsInstalled, gapsDetected } } = await status(follower);
  console.log(
    `away for ${operations} operations (${what}), ${follower.runtime}: streaming after ${
      seconds.toFixed(1)
    } s under load, ` +
      `snapshots ${snapshotsInstalled}, gaps ${gapsDetected}`,
  );
  // Since its start: one that is past the window needs a snapshot, the others must not.
  return snapshotsInstalled === (what === "past" ? 1 : 0) && gapsDetected === 0;
}

/** Equal counts and checksums at one position, as `dfdb verify` finds them. */
async function equal(c: Cluster): Promise<boolean> {
  const run = startNodeProcess({ runtime: "node", args: ["verify", ...c.members.map(({ url }) => url)] });
  const code = await run.exited;
  console.log(run.output().trim());
  return code === 0;
}

/** A new follower beside a leader that holds `gigabytes`; the leader's answers before and during its snapshot. */
async function brandNew(c: Cluster, follower: Member, gigabytes: number): Promise<boolean> {
  const bytes = 8_192, count = Math.ceil(gigabytes * 1024 * MiB / bytes);
  await fill(c.leader, "large-", count, bytes);
  const load = fullRate(c.leader, "new-load-");
  const answered = (count: number) =>
    eventually(
      `${count} answers`,
      () => Promise.resolve(load.answers.length >= count ? performance.now() : null),
    );
  const a = await answered(warmAnswers), b = await answered(warmAnswers + timedAnswers);
  await follower.start();
  const streaming = await eventually(`${follower.name} streams`, async () => {
    const { follower: { state } } = await status(follower);
    return state === "streaming" || state === "catching_up" ? performance.now() : null;
  }, 300_000);
  await eventually("caught up", async () => {
    const { follower: { lagSeq, state } } = await status(follower);
    return state === "streaming" && lagSeq !== null && lagSeq < 5_000 ? true : null;
  }, 300_000);
  const end = performance.now(), before = rate(load.answers, a, b), during = rate(load.answers, b, streaming);
  await converge(c, load);
  const { follower: { snapshotsInstalled } } = await status(follower);
  const share = during.perSecond / before.perSecond;
  console.log(
    `new follower on ${follower.runtime} beside ${gigabytes} GB on ${c.leader.runtime}: snapshot installed after ${
      ((streaming - b) / 1000).toFixed(1)
    } s, caught up after ${
      ((end - b) / 1000).toFixed(1)
    } s, snapshots ${snapshotsInstalled}; leader's answers/s ${before.perSecond.toFixed(0)} before, ${
      during.perSecond.toFixed(0)
    } during (${(share * 100).toFixed(0)} %), p99 ${before.p99Ms.toFixed(1)} → ${
      during.p99Ms.toFixed(1)
    } ms (ratio ${(during.p99Ms / before.p99Ms).toFixed(1)}), longest gap ${before.gapMs.toFixed(0)} → ${
      during.gapMs.toFixed(0)
    } ms`,
  );
  return during.gapMs <= 500 && share >= 0.4 && snapshotsInstalled === 1;
}

/** All of it with the leader on `leader`. True when each follower converged and the leader's bounds held. */
export async function awayFollowers(leader: RuntimeName, gigabytes: number): Promise<boolean> {
  const others = runtimeNames.filter((name) => name !== leader), fresh = others[1] as RuntimeName;
  const c = await cluster({
    leader,
    followers: [others[0] as RuntimeName, fresh],
    later: [1],
    flags: ["--replication-secret", "cluster-secret", "--log-bytes-max", String(64 * MiB)],
  });
  const [first, second] = c.followers as [Member, Member];
  let good = true;
  try {
    const solo = { ...c, followers: [first], members: [c.leader, first] };
    for (
      const [operations, what] of [[5, "few"], [9_999, "below"], [10_001, "above"], [
        300_000,
        "past",
      ]] as const
    ) {
      good = await away(solo, first, operations, what) && good;
    }
    good = await brandNew(c, second, gigabytes) && good;
    good = await equal(c) && good;
  } finally {
    const codes = await c.stop();
    good = codes.every((code) => code === 0) && good;
    console.log(`exit codes at the end: ${codes.join(" ")}`);
  }
  return good;
}
