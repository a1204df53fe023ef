/** `npm start`: a leader and a follower with real data. See `npm start -- --help`. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { waitForHealth } from "../test/tool/node_process.ts";
import { client } from "./client.ts";
import { airports, cities } from "./datasets.ts";
import type { DemoNode } from "./nodes.ts";
import { checkPorts, startFollower, startLeader } from "./nodes.ts";
import type { DemoOptions } from "./options.ts";
import { readOptions } from "./options.ts";
import { tell } from "./story.ts";
import { heading, say } from "./terminal.ts";

/** The user pressed Ctrl-C, or the demo was sent SIGTERM. */
class Interrupted extends Error {}

/** The demo stops its nodes itself. */
class Finished extends Error {}

process.exit(await main(readOptions(process.argv)));

async function main(options: DemoOptions): Promise<number> {
  const stop = new AbortController();
  listenForStop(stop);
  const nodes: DemoNode[] = [];
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dfdb-demo-"));
  const code = await perform(options, folder, nodes, stop);
  stop.abort(new Finished());
  const graceful = await stopAll(nodes);
  if (options.keep && nodes.length > 0) say(`The data is kept in ${folder}`);
  else fs.rmSync(folder, { recursive: true, force: true });
  return code === 0 && !graceful ? 1 : code;
}

/** The whole demo but for cleaning up; gives the exit code. */
async function perform(
  options: DemoOptions,
  folder: string,
  nodes: DemoNode[],
  stop: AbortController,
): Promise<number> {
  let told = false;
  try {
    await checkPorts(options);
    await play(options, folder, nodes, stop);
    told = true;
    if (options.once) {
      heading("All of it was seen.");
      return 0;
    }
    invite(options);
    await aborted(stop.signal);
    return 0;
  } catch (error) {
    const reason: unknown = stop.signal.aborted ? stop.signal.reason : error;
    if (reason instanceof Interrupted) return told ? 0 : 130;
    process.stderr.write(`\n${reason instanceof Error ? reason.message : String(reason)}\n`);
    return 1;
  }
}

async function play(
  options: DemoOptions,
  folder: string,
  nodes: DemoNode[],
  stop: AbortController,
): Promise<void> {
  heading(`A leader on ${options.leaderRuntime} and a follower on ${options.followerRuntime}, two processes`);
  for (const start of [startLeader, startFollower]) {
    const node = start(options, folder);
    nodes.push(node);
    watch(node, stop);
    await Promise.race([waitForHealth(node.process, node.url), aborted(stop.signal)]);
    say(`  ${node.name.padEnd(8)}  pid ${String(node.process.pid).padEnd(7)}  ${node.url}`);
  }
  say(`  replication wire on port ${options.replicationPort}, data in ${folder}`);
  const [leader, follower] = nodes.map((node) => client(node.url, stop.signal));
  const datasets = [airports(), cities()];
  await tell({ leader: leader!, follower: follower!, datasets, stop: stop.signal });
}

/** A node that ends although nobody asked it to ends the demo. */
function watch(node: DemoNode, stop: AbortController): void {
  void node.process.exited.then(async (code) => {
    // Ctrl-C on a terminal goes to all processes at once: the node may be faster than our own handler.
    await sleep(250);
    const how = code === null ? "by a signal" : `with exit code ${code}`;
    const output = node.process.output().trimEnd();
    stop.abort(new Error(`The ${node.name} (pid ${node.process.pid}) ended ${how}. Its output:\n${output}`));
  });
}

function listenForStop(stop: AbortController): void {
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      // The second time there is no patience left; the nodes are killed as this process ends.
      if (stop.signal.aborted) process.exit(130);
      stop.abort(new Interrupted());
    });
  }
}

/** Never resolves; rejects with the signal's reason. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Asks all nodes to stop, the follower first; true when each ended with exit code 0 (or had ended before). */
async function stopAll(nodes: readonly DemoNode[]): Promise<boolean> {
  let graceful = true;
  for (const node of nodes.toReversed()) {
    if (!node.process.running) continue;
    const code = await node.process.stop();
    if (code === 0) continue;
    graceful = false;
    process.stderr.write(
      `The ${node.name} did not stop cleanly (${code ?? "killed"}):\n${node.process.output()}\n`,
    );
  }
  if (nodes.length > 0 && graceful) say("\nBoth nodes are stopped.");
  return graceful;
}

function invite(options: DemoOptions): void {
  const leader = `http://localhost:${options.port}`, follower = `http://localhost:${options.followerPort}`;
  heading("Both nodes stay up until Ctrl-C. Try:");
  const document = `'{"name":"Mars Spaceport","country":"Mars"}'`;
  say(`  curl ${follower}/collections/airports/openflights-340`);
  say(`  curl -X PUT ${leader}/collections/airports/mars -H 'content-type: application/json' -d ${document}`);
  say(`  curl ${follower}/collections/airports/mars`);
  say(`  curl -i -X DELETE ${follower}/collections/airports/mars        # 421: writes go to the leader`);
  say(`  curl '${follower}/collections/cities?limit=2'`);
  say(`  curl ${leader}/replication/status`);
  say(`  curl ${follower}/replication/status`);
  say(`  curl ${leader}/stats; curl ${follower}/stats`);
}
