/**
 * P5 and P6: a follower starts when its leader already holds all documents, each an operation of its own. It copies the log
 * (P5), or gets a snapshot (P6; a snapshot that was made for the run before is not used again: the leader starts anew). The leader is
 * on one core, the follower on the other; it does nothing but this.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { RuntimeName } from "../tool/node_process.ts";
import { clientCore, serverCore } from "./cores.ts";
import type { Row } from "./measure.ts";
import { quiet, timedRun } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { cpuSeconds, machineBusySeconds } from "./proc.ts";
import type { DfdbServer } from "./servers.ts";
import { dfdbServer, launchDfdb } from "./servers.ts";

const pollMs = 20, catchUpMs = 120_000;

interface Status {
  readonly leader: {
    readonly currentSeq: number;
    readonly followers: readonly { readonly connectedAt: string }[];
  };
  readonly follower: { readonly lastAppliedSeq: number };
}

export async function catchUpRow(
  name: "P5" | "P6",
  runtime: RuntimeName,
  options: BenchOptions,
  report: (row: Row) => void,
): Promise<void> {
  const row: Row = {
    row: name,
    subject: "dfdb",
    runtime,
    what: name === "P5" ? "catch-up of a new follower by the log" : "new follower by snapshot",
    unit: "docs/s",
    runs: [],
  };
  // A snapshot of 200,000 documents is over before its fixed costs are paid.
  const documents = name === "P5" ? options.documents : options.documents * 5 / 2;
  const above = name === "P5" ? "1000000000" : "1000";
  const env = { DFDB_SNAPSHOT_ABOVE_ENTRIES: above };
  // A snapshot is shared: each run of P6 has a leader of its own that makes one.
  for (let leaders = name === "P5" ? 1 : options.runs, made = 0; made < leaders; made++) {
    const leader = await dfdbServer({ runtime, core: clientCore, env });
    try {
      const limit = { seconds: 120, warmSeconds: 0, count: documents };
      const target = { server: leader, driver: "http" } as const;
      const { load } = await timedRun(target, { operation: "bulk", connections: 1 }, "catch-", limit);
      if (load.documents !== documents) {
        throw new Error(`Could not load the leader: ${load.firstError}`);
      }
      for (let run = 0; run < (leaders === 1 && name === "P5" ? options.runs : 1); run++) {
        await quiet(options.patience);
        row.runs.push(await catchUp(runtime, leader, documents));
      }
    } finally {
      await leader.stop();
    }
  }
  report(row);
}

async function catchUp(
  runtime: RuntimeName,
  leader: DfdbServer,
  documents: number,
): Promise<Row["runs"][number]> {
  const goal = (await statusOf(leader.url))!.leader.currentSeq;
  const startedAt = Date.now(), leaderCpu = cpuSeconds(leader.pid), ownCpu = process.cpuUsage();
  const machineBusy = machineBusySeconds();
  const follower = await launchDfdb({ runtime, core: serverCore, follow: leader.wirePort });
  try {
    let connectedAt: number | null = null;
    while (true) {
      await sleep(pollMs);
      // The leader notes when the follower said hello, on the clock of this same machine.
      connectedAt ??= await connectionTime(leader.url);
      const status = await statusOf(follower.url);
      if (status?.follower.lastAppliedSeq === goal) break;
      const seen = status === null ? "nothing" : `seq ${status.follower.lastAppliedSeq} of ${goal}`;
      if (Date.now() - startedAt > catchUpMs) {
        throw new Error(`Not caught up in ${catchUpMs / 1000} s: ${seen}\n${follower.process.output()}`);
      }
    }
    const endedAt = Date.now();
    connectedAt ??= await connectionTime(leader.url);
    const { user, system } = process.cpuUsage(ownCpu), followerCpu = cpuSeconds(follower.pid);
    const ours = followerCpu + cpuSeconds(leader.pid) - leaderCpu + (user + system) / 1e6;
    if (connectedAt === null) throw new Error("The leader does not list the follower");
    return {
      perSecond: documents * 1000 / (endedAt - connectedAt),
      p50Ms: null,
      p99Ms: null,
      errors: 0,
      firstError: null,
      serverMicros: followerCpu * 1e6 / documents,
      serverMiB: follower.memoryMiB(),
      clientCores: null,
      otherCores: Math.max(0, machineBusySeconds() - machineBusy - ours) * 1000 / (endedAt - startedAt),
      more: {
        "docs/s with the start of the process": documents * 1000 / (endedAt - startedAt),
        "ms from hello to caught up": endedAt - connectedAt,
        "ms from the start of the process to hello": connectedAt - startedAt,
        "us of the leader's CPU a document": (cpuSeconds(leader.pid) - leaderCpu) * 1e6 / documents,
      },
    };
  } finally {
    await follower.stop();
  }
}

async function connectionTime(leaderUrl: string): Promise<number | null> {
  const at = (await statusOf(leaderUrl))?.leader.followers[0]?.connectedAt;
  return at === undefined ? null : Date.parse(at);
}

/** Null while the node does not answer. */
async function statusOf(url: string): Promise<Status | null> {
  try {
    const response = await fetch(`${url}/replication/status`, { signal: AbortSignal.timeout(5_000) });
    return response.ok ? await response.json() as Status : null;
  } catch {
    return null;
  }
}
