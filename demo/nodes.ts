/** The two processes: leader and follower. */
import path from "node:path";
import type { NodeProcess, RuntimeName } from "../test/tool/node_process.ts";
import { startNodeProcess } from "../test/tool/node_process.ts";
import { portTaken } from "../test/tool/ports.ts";
import { NotSeen } from "./client.ts";
import type { DemoOptions } from "./options.ts";

export interface DemoNode {
  readonly name: "leader" | "follower";
  /** Base URL of its HTTP API. */
  readonly url: string;
  readonly process: NodeProcess;
}

/** Throws NotSeen with the first port that cannot be used; nothing was started then. */
export async function checkPorts(options: DemoOptions): Promise<void> {
  const wanted = [
    { port: options.port, flag: "--port", what: "the leader's HTTP API" },
    { port: options.replicationPort, flag: "--replication-port", what: "the leader's replication wire" },
    { port: options.followerPort, flag: "--follower-port", what: "the follower's HTTP API" },
  ];
  for (const [i, { port, flag, what }] of wanted.entries()) {
    const same = wanted.slice(0, i).find((other) => other.port === port);
    if (same !== undefined) throw new NotSeen(`${same.flag} and ${flag} are both ${port}; they must differ`);
    if (await portTaken(port)) {
      throw new NotSeen(
        `Port ${port}, meant for ${what}, is taken by another program; choose one with ${flag} <number>`,
      );
    }
  }
}

export function startLeader(options: DemoOptions, folder: string): DemoNode {
  return start("leader", options.leaderRuntime, options.port, folder, [
    "--replication-role",
    "leader",
    "--replication-port",
    `${options.replicationPort}`,
  ]);
}

export function startFollower(options: DemoOptions, folder: string): DemoNode {
  return start("follower", options.followerRuntime, options.followerPort, folder, [
    "--replication-role",
    "follower",
    "--leader-host",
    "localhost",
    "--leader-port",
    `${options.replicationPort}`,
  ]);
}

function start(
  name: DemoNode["name"],
  runtime: RuntimeName,
  port: number,
  folder: string,
  role: readonly string[],
): DemoNode {
  const dataDir = path.join(folder, name);
  const args = ["serve", "--node-name", name, "--port", `${port}`, "--data-dir", dataDir, ...role];
  return { name, url: `http://127.0.0.1:${port}`, process: startNodeProcess({ runtime, args }) };
}
