/** Nodes of which each may lead, on a port of its own: for handovers and failovers. Heartbeats are short, all is on loopback. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeProcess, RuntimeName } from "../tool/node_process.ts";
import { processMs, startNodeProcess } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import type { Member, Status } from "./cluster.ts";
import type { SplitNet } from "./split_net.ts";
import { checksum, eventually, followerRole, leaderRole, member, status } from "./cluster.ts";

export interface Peer extends Member {
  readonly wirePort: number;
  /** Flags of its command line behind those that every node has. */
  readonly role: readonly string[];
}

export interface Group {
  /** The first one is configured as the leader of the others. */
  readonly peers: readonly Peer[];
  /** Ends all processes and removes the data; the exit codes of those that were running. */
  stop(): Promise<readonly (number | null)[]>;
}

export interface GroupPlan {
  readonly runtimes: readonly RuntimeName[];
  /** Extra flags of node `index`. */
  readonly flags?: (index: number) => readonly string[];
  /** Lines between the nodes that can be cut: made once the ports are known. */
  readonly lines?: (wirePorts: readonly number[]) => Promise<SplitNet>;
  /** The port where node `index` first looks for the leader, instead of the leader's own. */
  readonly through?: (wirePort: number, index: number) => Promise<number>;
}

export const heartbeatSeconds = 0.1;
export const secret: readonly string[] = ["--replication-secret", "group-secret"];

/** Starts all, and waits until the followers stream. */
export async function group(plan: GroupPlan): Promise<Group> {
  const { runtimes } = plan, root = mkdtempSync(join(tmpdir(), "dfdb-group-"));
  const ports = await freePorts(2 * runtimes.length), wirePorts = ports.slice(runtimes.length);
  const peers: Peer[] = [], lines = await plan.lines?.(wirePorts) ?? null;
  for (const [i, runtime] of runtimes.entries()) {
    const wirePort = wirePorts[i] as number;
    const first = lines?.ports[0] ?? wirePorts[0] as number;
    const at = i === 0 ? 0 : await plan.through?.(first, i) ?? first;
    const shown = lines === null ? [] : ["--public-replication-address", `127.0.0.1:${lines.ports[i]}`];
    const role = [
      ...["--heartbeat-seconds", String(heartbeatSeconds), "--replication-bind", "127.0.0.1"],
      ...leaderRole(wirePort),
      ...(i === 0 ? [] : followerRole(at)),
      ...shown,
      ...(plan.flags?.(i) ?? []),
    ];
    const made = member(root, nameOf(i, runtime), { flags: secret }, runtime, ports[i] as number, role);
    peers.push(Object.defineProperties(made, {
      wirePort: { value: wirePort },
      role: { value: role },
    }) as Peer);
  }
  const stop = async (): Promise<readonly (number | null)[]> => {
    lines?.close();
    for (const { process } of peers) process.signal("SIGCONT");
    const codes = await Promise.all(peers.map((each) => each.stop()));
    rmSync(root, { recursive: true, force: true });
    return codes;
  };
  try {
    await Promise.all(peers.map((each) => each.start()));
    for (const follower of peers.slice(1)) await follows(follower, peers[0] as Peer);
  } catch (error) {
    // Processes that are left keep the test's own from its end.
    await stop();
    throw error;
  }
  return { peers, stop };
}

/** A name that no other text holds. */
export function nameOf(index: number, runtime: RuntimeName): string {
  return `peer-${index + 1}-${runtime}`;
}

/** Waits until `follower` streams from `leader`; how long that took, ms. */
export async function follows(follower: Member, leader: Member, msMax = processMs): Promise<number> {
  const startedAt = performance.now();
  await eventually(`${follower.name} follows ${leader.name}`, async () => {
    const { role, follower: { state, leader: at } } = await status(follower);
    return role === "follower" && state === "streaming" && at?.httpEndpoint?.endsWith(`:${leader.httpPort}`)
      ? true
      : null;
  }, msMax).catch(async (error: unknown) => {
    throw new Error(
      `${String(error)}\n${JSON.stringify(await status(follower).catch(String))}\n${tail(follower)}`,
    );
  });
  return performance.now() - startedAt;
}

/** Waits until it takes writes. */
export function writable(leader: Member, msMax = processMs): Promise<Status> {
  return eventually(`${leader.name} takes writes`, async () => {
    const now = await status(leader);
    return now.role === "leader" && !now.readOnly ? now : null;
  }, msMax).catch(async (error: unknown) => {
    throw new Error(
      `${String(error)}\n${JSON.stringify(await status(leader).catch(String))}\n${tail(leader)}`,
    );
  });
}

/** Waits until its leader accepted it as the candidate, and its own start is no excuse for the leader any more. */
export async function watching(candidate: Member): Promise<void> {
  await eventually(`${candidate.name} watches its leader`, async () => {
    return (await status(candidate)).autoFailover?.state === "watching" ? true : null;
  }).catch(async (error: unknown) => {
    throw new Error(`${String(error)}\n${JSON.stringify(await status(candidate).catch(String))}`);
  });
}

/** Waits until all stand where `leader` stands, and hold the same. */
export async function sameContents(leader: Member, peers: readonly Member[]): Promise<void> {
  for (const peer of peers) {
    if (peer === leader) continue;
    await follows(peer, leader);
    await eventually(`${peer.name} has all of ${leader.name}`, async () => {
      const [there, here] = [await status(leader), await status(peer)];
      return there.position === here.position ? true : null;
    });
  }
  const sums = await Promise.all(peers.map(checksum));
  assert.equal(new Set(sums).size, 1, `contents differ: ${sums.join(" ")}`);
}

/** Nodes that take writes now. Nobody answers for those that do not run. */
export async function writableNow(peers: readonly Member[]): Promise<readonly string[]> {
  const all = await Promise.all(
    peers.map(async (peer) => {
      const now = await status(peer).catch(() => null);
      return now !== null && now.role !== "follower" && !now.readOnly ? [peer.name] : [];
    }),
  );
  return all.flat();
}

/** `leader` takes writes, and no other one. A leader that stood still takes none for a moment, while it asks its candidate. */
export async function onlyOneWritable(peers: readonly Member[], leader: Member): Promise<void> {
  const names = await eventually("somebody takes writes", async () => {
    const now = await writableNow(peers);
    return now.length === 0 ? null : now;
  });
  assert.deepEqual(names, [leader.name]);
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export async function post(
  { url }: Member,
  path: string,
  body: unknown = {},
  timeoutMs = processMs,
): Promise<Answer> {
  const init = { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(timeoutMs) };
  const answer = await fetch(`${url}${path}`, { ...init, headers: { "content-type": "application/json" } });
  return { status: answer.status, body: await answer.json() as Readonly<Record<string, unknown>> };
}

/** `POST /replication/handover`. */
export function handOver(from: Member, to: Member, timeoutSeconds = 20): Promise<Answer> {
  return post(from, "/replication/handover", { to: to.name, timeoutSeconds });
}

/** Runs `dfdb` to its end. */
export async function dfdb(
  runtime: RuntimeName,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly output: string }> {
  const run: NodeProcess = startNodeProcess({ runtime, args });
  const code = await run.exited;
  return { code, output: run.output() };
}

export function tail({ process }: Member): string {
  return process.output().split("\n").slice(-25).join("\n");
}
