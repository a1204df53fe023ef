/** The servers that the bench measures, each pinned to one core, with its data in a folder of its own. */
import path from "node:path";
import type { NodeProcess, RuntimeName } from "../tool/node_process.ts";
import { projectFolder, startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import { serverCore } from "./cores.ts";
import { memoryMiB } from "./proc.ts";
import { temporaryFolder } from "./temporary_folder.ts";

/** Also where something else has the machine. */
const startMs = 90_000;

export interface BenchServer {
  readonly port: number;
  readonly pid: number;
  memoryMiB(): number;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

export interface DfdbServer extends BenchServer {
  readonly url: string;
  readonly wirePort: number;
  readonly process: NodeProcess;
}

export interface DfdbOptions {
  readonly runtime: RuntimeName;
  readonly env?: Readonly<Record<string, string>>;
  readonly core?: string | undefined;
  /** Wire port of the leader to follow; without it the node leads. */
  readonly follow?: number;
  /** Further flags of `serve`. */
  readonly flags?: readonly string[];
}

/** Starts a node; it may not answer yet (see `dfdbServer`). */
export async function launchDfdb(options: DfdbOptions): Promise<DfdbServer> {
  const [port, wirePort] = await freePorts(2) as [number, number];
  const folder = temporaryFolder();
  const role = options.follow === undefined
    ? ["--replication-role", "leader", "--replication-port", `${wirePort}`]
    : ["--replication-role", "follower", "--leader-host", "127.0.0.1", "--leader-port", `${options.follow}`];
  const process = startNodeProcess({
    runtime: options.runtime,
    args: ["serve", "--port", `${port}`, "--data-dir", folder.path, ...role, ...(options.flags ?? [])],
    env: options.env,
    cpu: options.core ?? serverCore,
  });
  return {
    port,
    wirePort,
    url: `http://127.0.0.1:${port}`,
    pid: process.pid,
    process,
    memoryMiB: () => memoryMiB(process.pid),
    async stop() {
      await process.stop();
      folder.remove();
    },
  };
}

/** A node that answers. */
export async function dfdbServer(options: DfdbOptions): Promise<DfdbServer> {
  const server = await launchDfdb(options);
  await waitForHealth(server.process, server.url, startMs);
  return server;
}

/** The bare hono application on the same adapter. */
export async function limitServer(runtime: RuntimeName): Promise<BenchServer> {
  const [port] = await freePorts(1) as [number];
  const entry = path.join(projectFolder, "test", "bench", "limit_server.ts");
  const process = startNodeProcess({ runtime, entry, args: [`${port}`], cpu: serverCore });
  await waitForHealth(process, `http://127.0.0.1:${port}`, startMs);
  return {
    port,
    pid: process.pid,
    memoryMiB: () => memoryMiB(process.pid),
    stop: async () => void await process.stop(),
  };
}
