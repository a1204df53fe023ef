/** Clusters of real processes on loopback: a leader and followers, each on a runtime of its choice. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { NodeProcess, NodeProcessOptions, RuntimeName } from "../tool/node_process.ts";
import { processMs, runtimeNames, startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";

export interface Member {
  readonly name: string;
  readonly runtime: RuntimeName;
  readonly url: string;
  readonly httpPort: number;
  readonly dataDir: string;
  /** The present process; a new one after every `start`. */
  readonly process: NodeProcess;
  /** Starts (again) and waits until it answers; `role`: these flags instead of those of its role. */
  start(role?: readonly string[]): Promise<void>;
  /** SIGTERM; the exit code, or that of its last end. */
  stop(): Promise<number | null>;
  kill9(): Promise<void>;
}

export interface Cluster {
  readonly leader: Member;
  readonly followers: readonly Member[];
  readonly members: readonly Member[];
  readonly wirePort: number;
  /** Ends all processes and removes the data; the exit codes of those that were running. */
  stop(): Promise<readonly (number | null)[]>;
}

export interface ClusterPlan {
  readonly leader: RuntimeName;
  readonly followers: readonly RuntimeName[];
  /** Extra flags for every node. */
  readonly flags?: readonly string[];
  /** Extra flags for the leader alone. */
  readonly leaderFlags?: readonly string[];
  /** The port that follower `index` connects to instead of the leader's wire: a proxy in between. */
  readonly through?: (wirePort: number, index: number) => Promise<number>;
  /** Followers that are not started together with the others. */
  readonly later?: readonly number[];
  /** Core per role, where the system can pin. */
  readonly cpu?: string;
  /** What is run instead of dfdb itself; asked at each start. */
  readonly instead?: () => Pick<NodeProcessOptions, "entry" | "env">;
}

/** Starts the leader, then the followers. */
export async function cluster(plan: ClusterPlan): Promise<Cluster> {
  const root = mkdtempSync(join(tmpdir(), "dfdb-cluster-"));
  const [wirePort, ...httpPorts] = await freePorts(2 + plan.followers.length);
  const leading = [...leaderRole(wirePort as number), ...(plan.leaderFlags ?? [])];
  const leader = member(root, "leader", plan, plan.leader, httpPorts[0] as number, leading);
  const followers: Member[] = [];
  for (const [i, runtime] of plan.followers.entries()) {
    const port = await plan.through?.(wirePort as number, i) ?? wirePort as number;
    const name = `follower-${i + 1}`;
    followers.push(member(root, name, plan, runtime, httpPorts[i + 1] as number, followerRole(port)));
  }
  const members = [leader, ...followers];
  const now = members.filter((_, i) => !(plan.later ?? []).includes(i - 1));
  const stop = async (): Promise<readonly (number | null)[]> => {
    const codes = await Promise.all(members.map((each) => each.stop()));
    rmSync(root, { recursive: true, force: true });
    return codes;
  };
  try {
    await Promise.all(now.map((each) => each.start()));
  } catch (error) {
    // Processes that are left keep the test's own from its end.
    await stop();
    throw error;
  }
  return { leader, followers, members, wirePort: wirePort as number, stop };
}

/** Flags of a node that leads on `wirePort`, and of one that follows the leader there. */
export function leaderRole(wirePort: number): readonly string[] {
  return ["--replication-role", "leader", "--replication-port", String(wirePort)];
}

export function followerRole(wirePort: number): readonly string[] {
  return ["--replication-role", "follower", "--leader-host", "127.0.0.1", "--leader-port", String(wirePort)];
}

/** A node that is not started yet. */
export function member(
  root: string,
  name: string,
  plan: Pick<ClusterPlan, "flags" | "cpu" | "instead">,
  runtime: RuntimeName,
  httpPort: number,
  role: readonly string[],
): Member {
  const url = `http://127.0.0.1:${httpPort}`, dataDir = join(root, name);
  let running: NodeProcess | null = null;
  return {
    name,
    runtime,
    url,
    httpPort,
    dataDir,
    get process() {
      if (running === null) throw new Error(`${name} was never started`);
      return running;
    },
    async start(as = role) {
      const own = ["--port", String(httpPort), "--data-dir", dataDir, "--node-name", name];
      const common = plan.flags ?? ["--replication-secret", "cluster-secret"];
      const args = ["serve", ...own, ...common, "--heartbeat-seconds", "0.5", ...as];
      running = startNodeProcess({ runtime, args, cpu: plan.cpu, ...plan.instead?.() });
      await waitForHealth(running, url);
    },
    stop: () => running?.stop() ?? Promise.resolve(0),
    async kill9() {
      await running?.kill9();
    },
  };
}

/** Polls until `probe` gives something other than null; throws with `what` after `msMax`. Connection errors count as null. */
export async function eventually<Value>(
  what: string,
  probe: () => Promise<Value | null>,
  msMax = processMs,
): Promise<Value> {
  const end = performance.now() + msMax;
  for (let last = "nothing";; await pause(25)) {
    try {
      const value = await probe();
      if (value !== null) return value;
      last = "not yet";
    } catch (error) {
      last = String(error);
    }
    if (performance.now() > end) throw new Error(`${what} did not happen within ${msMax} ms (${last})`);
  }
}

/** Another runtime than `name`, each in its turn. */
export function runtimeAfter(name: RuntimeName): RuntimeName {
  return runtimeNames[(runtimeNames.indexOf(name) + 1) % runtimeNames.length] as RuntimeName;
}

/** Asserts that all members hold the same. */
export async function equalContents({ members }: Cluster, when = "at the end"): Promise<void> {
  const sums = await Promise.all(members.map(checksum));
  assert.equal(new Set(sums).size, 1, `${when}: contents differ: ${sums.join(" ")}`);
}

export interface Status {
  readonly nodeId: string;
  readonly role: string;
  readonly roleOrigin: string;
  readonly readOnly: boolean;
  readonly readOnlyReason: string | null;
  readonly position: string;
  readonly term: { readonly epoch: number; readonly run: string };
  readonly databaseId: string;
  readonly log: { readonly firstSeq: number; readonly lastSeq: number };
  readonly leader: {
    readonly currentSeq: number;
    readonly port: number | null;
    readonly minSyncReplicas: number;
    readonly followers: readonly {
      readonly ackedSeq: number;
      readonly lagMs: number;
      readonly state: string;
    }[];
    readonly refused?: readonly {
      readonly nodeId: string;
      readonly nodeName: string;
      readonly code: string;
      readonly position: string;
      readonly leaderPosition?: string;
      readonly advice?: string;
    }[];
  };
  readonly follower: {
    readonly state: string;
    readonly leader: { readonly endpoint: string; readonly httpEndpoint: string | null } | null;
    readonly gapsDetected: number;
    readonly lagSeq: number | null;
    readonly connects: number;
    readonly snapshotsInstalled?: number;
    readonly rescues?: number;
    readonly ahead?: {
      readonly position: string;
      readonly leader: {
        readonly nodeId: string;
        readonly nodeName: string | null;
        readonly position: string;
      };
    } | null;
    readonly lastError: { readonly code: string; readonly message: string } | null;
  };
  readonly handover: { readonly step: string } | null;
  readonly autoFailover: { readonly state: string; readonly reason: string | null } | null;
}

export async function json<Body>(url: string, init: RequestInit = {}): Promise<Body> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(processMs) });
  return await response.json() as Body;
}

export function status(member: Member): Promise<Status> {
  return json<Status>(`${member.url}/replication/status`);
}

/** Waits until every follower stands where the leader stands. */
export async function converged({ leader, followers }: Cluster, msMax = processMs): Promise<void> {
  for (const follower of followers) {
    await eventually(`${follower.name} on ${follower.runtime} catching up`, async () => {
      const [there, here] = [await status(leader), await status(follower)];
      return there.position === here.position && here.follower.state === "streaming" ? here : null;
    }, msMax);
  }
}

/** SHA-256 over all documents of all collections, in the order of their creation, etags included. */
export async function checksum(member: Member): Promise<string> {
  const hash = createHash("sha256");
  const { collections } = await json<{ collections: string[] }>(`${member.url}/collections`);
  for (const collection of [...collections].sort()) {
    hash.update(`\n${collection}\n`);
    let count = 0;
    for (let after: string | null = null, more = true; more;) {
      const cursor: string = after === null ? "" : `&after=${encodeURIComponent(after)}`;
      const page: { documents: unknown[]; next?: string | null } = await json(
        `${member.url}/collections/${collection}?limit=5000${cursor}`,
      );
      for (const document of page.documents) hash.update(`${JSON.stringify(document)}\n`);
      count += page.documents.length;
      after = page.next ?? null;
      more = after !== null;
    }
    const stats = await json<{ collections: { name: string; documentCount: number }[] }>(
      `${member.url}/stats`,
    );
    const kept = stats.collections.find(({ name }) => name === collection)?.documentCount;
    if (kept !== count) {
      throw new Error(`${member.name}: ${collection} has ${count} documents, its count says ${kept}`);
    }
  }
  return hash.digest("hex");
}
