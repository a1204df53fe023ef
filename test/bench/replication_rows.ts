/** P6, P7, P8, P12, P13: snapshots, lag, semi-synchronous writes, many followers, memory. */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Status } from "../cluster/cluster.ts";
import { eventually, json } from "../cluster/cluster.ts";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeBinary } from "../tool/node_process.ts";
import { clientCore, pinTo } from "./cores.ts";
import type { LagResult, LagSpec } from "./lag.ts";
import type { Row, RunFigures } from "./measure.ts";
import { quiet, timedRun } from "./measure.ts";
import type { BenchOptions, RowName } from "./options.ts";
import type { DfdbServer } from "./servers.ts";
import { dfdbServer } from "./servers.ts";
import { emptyRow } from "./request_rows.ts";

type Report = (row: Row) => void;

const joinMs = 20_000;
/** Followers of P12 beside two real nodes. */
const wireFollowersCount = 62;
const putsOfP12 = 40_000;

const subject = (runtime: RuntimeName) => ({ name: "dfdb", runtime }) as const;

/** P7. Leader and follower share a core, the probe has the other. */
export async function lagRow(runtime: RuntimeName, options: BenchOptions, report: Report): Promise<void> {
  const row = emptyRow("P7", subject(runtime), "lag of a follower at 1,000 writes/s", "op/s");
  const leader = await dfdbServer({ runtime });
  try {
    const follower = await dfdbServer({ runtime, follow: leader.wirePort });
    try {
      await joined(leader, 1);
      for (let run = 0; run <= options.runs; run++) {
        await quiet(options.patience);
        const figures = await probe({
          leaderPort: leader.port,
          followerPort: follower.port,
          perSecond: 1_000,
          seconds: run === 0 ? 2 : options.seconds,
          keyPrefix: `lag${run}-`,
        });
        if (run > 0) row.runs.push(figures); // the first one warms up
      }
    } finally {
      await follower.stop();
    }
  } finally {
    await leader.stop();
  }
  report(row);
}

/** P8: as P1, with one follower that must hold each write; it shares its core with the load. */
export async function semiSyncRow(
  runtime: RuntimeName,
  options: BenchOptions,
  report: Report,
): Promise<void> {
  const row = emptyRow("P8", subject(runtime), "semi-sync put, one follower, 64 connections", "op/s");
  const asynchronous = emptyRow("P8", { name: "async", runtime }, "the same without waiting for it", "op/s");
  const servers = await Promise.all([["--min-sync-replicas", "1"], []].map(async (flags) => {
    const leader = await dfdbServer({ runtime, flags });
    const follower = await dfdbServer({ runtime, follow: leader.wirePort, core: clientCore });
    await joined(leader, 1);
    return { leader, follower };
  }));
  const [semi, async] = servers as [typeof servers[0], typeof servers[0]];
  try {
    const limit = { seconds: options.seconds, warmSeconds: 1, patience: options.patience };
    for (let run = 0; run < options.runs; run++) {
      for (const [into, { leader }] of [[row, semi], [asynchronous, async]] as const) {
        const target = { server: leader, driver: "http" } as const;
        into.runs.push(
          (await timedRun(target, { operation: "put", connections: 64 }, `P8-${run}-`, limit)).figures,
        );
      }
    }
  } finally {
    for (const { leader, follower } of servers) {
      await follower.stop();
      await leader.stop();
    }
  }
  report(row);
  report(asynchronous);
}

/** P12: leader CPU per operation and follower, and memory per follower: 64 followers against none. */
export async function manyFollowersRow(
  runtime: RuntimeName,
  options: BenchOptions,
  report: Report,
): Promise<void> {
  const row = emptyRow("P12", subject(runtime), "put, 64 connections, with 64 followers", "op/s");
  for (let run = 0; run < options.runs; run++) {
    const alone = await putsBeside(runtime, 0, options), many = await putsBeside(runtime, 64, options);
    const spent = (many.figures.serverMicros ?? NaN) - (alone.figures.serverMicros ?? NaN);
    row.runs.push({
      ...many.figures,
      more: {
        "ns of leader CPU an operation and follower": spent * 1000 / 64,
        "op/s without followers": alone.figures.perSecond,
        "KiB a connected follower": many.joinedMiB * 1024 / 64,
        "KiB a follower after the load":
          ((many.figures.serverMiB ?? NaN) - (alone.figures.serverMiB ?? NaN)) *
          1024 / 64,
      },
    });
  }
  report(row);
}

/** A leader of its own with 0 or 64 followers, two of them real nodes, connected before the first write. */
async function putsBeside(
  runtime: RuntimeName,
  followers: 0 | 64,
  options: BenchOptions,
): Promise<{ readonly figures: RunFigures; readonly joinedMiB: number }> {
  const leader = await dfdbServer({ runtime }), undo: (() => Promise<unknown>)[] = [() => leader.stop()];
  try {
    const before = leader.memoryMiB();
    if (followers > 0) {
      const wire = await wireFollowers(leader);
      undo.push(() => wire.stop());
      for (let i = 0; i < followers - wireFollowersCount; i++) {
        const real = await dfdbServer({ runtime, follow: leader.wirePort, core: clientCore });
        undo.push(() => real.stop());
      }
      await joined(leader, followers);
    }
    const joinedMiB = leader.memoryMiB() - before;
    const target = { server: leader, driver: "http" } as const;
    const kind = { operation: "put", connections: 64 } as const;
    const limit = { seconds: 60, warmSeconds: 0, count: putsOfP12, patience: options.patience };
    await timedRun(target, kind, "warm-", { ...limit, count: putsOfP12 / 2 });
    return { figures: (await timedRun(target, kind, "timed-", limit)).figures, joinedMiB };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/** P13: memory when idle, and after P1, P3 and P4 on one server. */
export async function memoryRow(runtime: RuntimeName, options: BenchOptions, report: Report): Promise<void> {
  const row = emptyRow("P13", subject(runtime), "memory after puts, gets and a bulk load", "op/s");
  for (let run = 0; run < options.runs; run++) {
    const server = await dfdbServer({ runtime });
    try {
      await quiet(options.patience);
      const idle = server.memoryMiB(), target = { server, driver: "http" } as const;
      const timed = { seconds: options.seconds, warmSeconds: 0 };
      await timedRun(target, { operation: "bulk", connections: 4 }, "m-", {
        ...timed,
        seconds: 120,
        count: options.documents,
      });
      const puts = await timedRun(target, { operation: "put", connections: 64 }, "p-", timed);
      await timedRun(target, { operation: "get", connections: 64 }, "m-", {
        ...timed,
        keys: options.documents,
      });
      row.runs.push({
        ...puts.figures,
        serverMiB: server.memoryMiB(),
        more: { "MiB idle": idle, "MiB after the load": server.memoryMiB() },
      });
    } finally {
      await server.stop();
    }
  }
  report(row);
}

/** Until the leader lists so many followers that stream. */
async function joined(leader: DfdbServer, count: number): Promise<void> {
  await eventually(`${count} followers`, async () => {
    const { leader: { followers } } = await json<Status>(`${leader.url}/replication/status`);
    return followers.filter(({ state }) => state === "streaming").length >= count ? true : null;
  }, joinMs);
}

/** Runs lag.ts on the client's core. */
async function probe(spec: LagSpec): Promise<RunFigures> {
  const file = fileURLToPath(new URL("lag.ts", import.meta.url));
  const [program, ...args] = [...pinTo(clientCore), runtimeBinary("node"), file, JSON.stringify(spec)];
  const child = spawn(program!, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => void (output += text));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`the lag probe ended with ${String(code)}`);
  const lag = JSON.parse(output) as LagResult;
  return {
    perSecond: lag.perSecond,
    p50Ms: lag.p50Ms,
    p99Ms: lag.p99Ms,
    errors: lag.errors,
    firstError: lag.firstError,
    serverMicros: null,
    serverMiB: null,
    clientCores: null,
    otherCores: null,
    more: { "us a read on the follower": lag.readMs * 1000, "us lag, largest": lag.maxMs * 1000 },
  };
}

/** Runs wire_followers.ts on the client's core until stopped; answers the last seq of each. */
async function wireFollowers(leader: DfdbServer): Promise<{ stop(): Promise<readonly number[]> }> {
  const file = fileURLToPath(new URL("wire_followers.ts", import.meta.url));
  const numbers = [String(leader.wirePort), String(wireFollowersCount)];
  const [program, ...args] = [...pinTo(clientCore), runtimeBinary("node"), file, ...numbers];
  const child = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] });
  let output = "", stopped: Promise<readonly number[]> | null = null;
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const closed = new Promise<unknown>((resolve) => child.once("close", resolve));
  await new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.startsWith("ready\n")) resolve();
    });
    void closed.then((code) => reject(new Error(`the followers ended with ${String(code)}`)));
  });
  const stop = async (): Promise<readonly number[]> => {
    child.stdin.end();
    await closed;
    process.off("exit", kill);
    return JSON.parse(output.trim().split("\n").at(-1) ?? "[]") as number[];
  };
  return { stop: () => (stopped ??= stop()) };
}

/** Rows of this file by name. */
export const replicationRows: Partial<
  Record<RowName, (runtime: RuntimeName, options: BenchOptions, report: Report) => Promise<void>>
> = { P7: lagRow, P8: semiSyncRow, P12: manyFollowersRow, P13: memoryRow };
