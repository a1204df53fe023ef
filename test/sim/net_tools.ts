/** Processes on a simulated network, for tests of the network and of what stands on it. */
import assert from "node:assert/strict";
import type { Connection, Listener } from "../../src/runtime/net.ts";
import { plainFiles } from "../tool/plain_files.ts";
import type { SimNetwork } from "./sim_net.ts";
import { SimProcess } from "./sim_process.ts";
import type { World } from "./world.ts";

/** A process with the real disk, at the world's time. */
export function netProcess(world: World, network: SimNetwork, machine: string, number = 0): SimProcess {
  return new SimProcess({
    world,
    machine,
    number,
    clock: { rate: 1, wallOffsetMs: 0 },
    net: (process) => network.net(process),
    http: (process) => network.http(process),
    fetch: (process) => network.fetch(process),
    files: () => plainFiles,
    crashPoint: () => {},
  });
}

/** The outcome of `promise`, while virtual time passes; at most `msMax` of it. */
export async function settled<Value>(world: World, promise: Promise<Value>, msMax = 60_000): Promise<Value> {
  let over = false;
  promise.then(() => over = true, () => over = true);
  assert.ok(await world.until(() => over, msMax), `nothing came within ${msMax} virtual ms`);
  return await promise;
}

/** A promise that tells what became of it so far: "waits", its value, or the message of its error. */
export function watched<Value>(promise: Promise<Value>): { now: Value | string } {
  const state: { now: Value | string } = { now: "waits" };
  promise.then((value) => state.now = value, (thrown: Error) => state.now = thrown.message);
  return state;
}

const never = new AbortController().signal;

export function listen(process: SimProcess, port: number, hostname = "0.0.0.0"): Promise<Listener> {
  return process.runtime.net.listen({ hostname, port, tls: null });
}

export function connect(
  process: SimProcess,
  hostname: string,
  port: number,
  signal: AbortSignal = never,
): Promise<Connection> {
  return process.runtime.net.connect({ hostname, port, tls: null, signal });
}

/** The connection that `listener` accepts next. */
export async function accept(listener: Listener): Promise<Connection> {
  const { value } = await listener[Symbol.asyncIterator]().next();
  return value as Connection;
}

/** A connection between two processes, both ends; nothing listens any more. */
export async function pair(
  world: World,
  from: SimProcess,
  to: SimProcess,
): Promise<{ readonly client: Connection; readonly server: Connection }> {
  const listener = await listen(to, 0);
  const both = Promise.all([connect(from, to.machine, listener.port), accept(listener)]);
  const [client, server] = await settled(world, both);
  await listener.close();
  return { client, server };
}
