/**
 * Runs real dfdb nodes as processes of a chosen runtime, for the demo, the bench and the cluster and crash tests.
 * Every process is remembered and killed by its pid when this one ends, however it ends (kill -9 apart).
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { RuntimeName } from "./runtime_binary.ts";
import { projectFolder, runtimeBinary } from "./runtime_binary.ts";

export type { RuntimeName } from "./runtime_binary.ts";
export { projectFolder, runtimeBinary, runtimeNames } from "./runtime_binary.ts";

export interface NodeProcessOptions {
  readonly runtime: RuntimeName;
  /** Arguments of the program: `["serve", "--port", "5000"]`. */
  readonly args: readonly string[];
  /** Absolute path of the module to run instead of `adapters/<runtime>/main.ts`. */
  readonly entry?: string | undefined;
  /** Added to this process's environment, from which `DFDB_*` was taken; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Cores to pin the process to, as taskset's list ("0", "0,2-3"); ignored on systems without taskset. */
  readonly cpu?: string | undefined;
  readonly cwd?: string | undefined;
  /** Called with every piece of output, as it comes. */
  readonly onOutput?: ((text: string) => void) | undefined;
}

export interface NodeProcess {
  readonly pid: number;
  readonly runtime: RuntimeName;
  /** What it wrote to stdout and stderr so far; the last million characters. */
  output(): string;
  /** Resolves with the exit code when it ended and its output is complete; null: ended by a signal. */
  readonly exited: Promise<number | null>;
  readonly running: boolean;
  signal(name: NodeJS.Signals): void;
  /** SIGSTOP; resolves when none of its threads runs any more: on a busy machine some go on for a while. "SIGCONT" ends it. */
  pause(): Promise<void>;
  /** SIGTERM, then waits; SIGKILL when it is not gone after `graceMs`. Resolves as `exited`. */
  stop(graceMs?: number): Promise<number | null>;
  /** SIGKILL, then waits. */
  kill9(): Promise<void>;
}

/** How long a process may take to start, and to end, ms: machines of tests are busy, and what hangs is found all the same. */
export const processMs = 60_000;

const outputCharsMax = 1_000_000;

/** Starts a node; returns at once (see `waitForHealth`). */
export function startNodeProcess(options: NodeProcessOptions): NodeProcess {
  const entry = options.entry ?? path.join(projectFolder, "adapters", options.runtime, "main.ts");
  const command = [
    runtimeBinary(options.runtime),
    ...(options.runtime === "deno" ? ["run", "-A"] : []),
    entry,
  ];
  // taskset replaces itself by the program: the pid stays the program's own.
  const pin = options.cpu !== undefined && tasksetInstalled() ? ["taskset", "-c", options.cpu] : [];
  const [program, ...args] = [...pin, ...command, ...options.args];
  const child = spawn(program!, args, {
    cwd: options.cwd,
    env: environment(options.env ?? {}),
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
  });
  return watch(child, options);
}

function watch(child: ChildProcess, options: NodeProcessOptions): NodeProcess {
  let output = "";
  const add = (text: string): void => {
    output = (output + text).slice(-outputCharsMax);
    options.onOutput?.(text);
  };
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", add);
  child.once("error", (error) => add(`${error.message}\n`));
  const { pid } = child;
  if (pid === undefined) throw new Error(`Could not start ${options.runtime}`);
  remember(child);
  let running = true;
  child.once("exit", () => {
    running = false;
    forget(child);
  });
  const exited = end(child);
  const signal = (name: NodeJS.Signals): void => {
    if (running) send(pid, name);
  };
  const kill9 = async (): Promise<void> => {
    signal("SIGKILL");
    await exited;
  };
  return {
    pid,
    runtime: options.runtime,
    output: () => output,
    exited,
    get running() {
      return running;
    },
    signal,
    async pause() {
      signal("SIGSTOP");
      while (running && someThreadRuns(pid)) await sleep(1);
    },
    async stop(graceMs = processMs) {
      signal("SIGTERM");
      const timer = setTimeout(() => void kill9(), graceMs);
      const code = await exited;
      clearTimeout(timer);
      return code;
    },
    kill9,
  };
}

/** Of a process that was sent SIGSTOP. False where the system does not say. */
export function someThreadRuns(pid: number): boolean {
  const folder = `/proc/${pid}/task`;
  if (!fs.existsSync(folder)) return false;
  try {
    // The state is the first field after the name, which is in brackets.
    return fs.readdirSync(folder).some((thread) =>
      !/\) [TtXZ] [^)]*$/.test(fs.readFileSync(`${folder}/${thread}/stat`, "utf8"))
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true; // a thread that has just ended
    throw error;
  }
}

/** The exit code, once the process ended and its pipes are read to their end. */
function end(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once("exit", (code) => {
      // The pipes close with the process, unless a child of its own holds them: then do not wait for ever.
      const late = setTimeout(() => resolve(code), processMs);
      child.once("close", () => {
        clearTimeout(late);
        resolve(code);
      });
    });
  });
}

/** Resolves when the node answers `GET /health` with 200; throws when it ends before, or after `timeoutMs`. */
export async function waitForHealth(
  node: NodeProcess,
  baseUrl: string,
  timeoutMs = processMs,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (!node.running) {
      const code = await node.exited;
      throw new Error(
        `The ${node.runtime} node ended with ${code ?? "a signal"} at its start:\n${node.output()}`,
      );
    }
    try {
      const response = await fetch(`${baseUrl}/health`, { signal: AbortSignal.timeout(2_000) });
      await response.arrayBuffer();
      if (response.status === 200) return;
    } catch {
      // Not listening yet.
    }
    await sleep(15);
  }
  throw new Error(
    `The ${node.runtime} node gave no answer at ${baseUrl}/health in ${timeoutMs} ms:\n${node.output()}`,
  );
}

/**
 * By pid: after `child.kill(name)` Deno reports the end of the child as if the signal had ended it, whatever its exit
 * code.
 */
function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

/** The outside must not configure the node under test; nor may a surrounding `node --test` claim it. */
function environment(own: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) =>
    !name.startsWith("DFDB_") && name !== "NODE_TEST_CONTEXT" && name !== "NODE_OPTIONS"
  );
  const all = { ...Object.fromEntries(inherited), DENO_NO_UPDATE_CHECK: "1", ...own };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

let taskset: boolean | undefined;

/** True when processes can be pinned to cores here. */
export function tasksetInstalled(): boolean {
  const folders = (process.env["PATH"] ?? "").split(path.delimiter);
  taskset ??= process.platform === "linux" &&
    folders.some((folder) => fs.existsSync(path.join(folder, "taskset")));
  return taskset;
}

const live = new Set<ChildProcess>();
const endSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

function remember(child: ChildProcess): void {
  if (live.size === 0) {
    process.on("exit", killAll);
    for (const name of signalNames) process.on(name, endBySignal);
  }
  live.add(child);
}

function forget(child: ChildProcess): void {
  live.delete(child);
  if (live.size > 0) return;
  process.off("exit", killAll);
  for (const name of signalNames) process.off(name, endBySignal);
}

const signalNames = Object.keys(endSignals) as (keyof typeof endSignals)[];

function killAll(): void {
  for (const child of live) child.kill("SIGKILL");
}

/** A process that does not listen for the signal itself would have died of it; ours dies after its children. */
function endBySignal(name: NodeJS.Signals): void {
  if (process.listenerCount(name) > 1) return;
  process.exit(128 + endSignals[name as keyof typeof endSignals]);
}
