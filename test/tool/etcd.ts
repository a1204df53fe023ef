/**
 * A real etcd for tests: found on this machine, or unpacked from the system's package beside the project's own tools. It listens on
 * loopback only, and its data are gone with it.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { someThreadRuns } from "./node_process.ts";
import { freePorts } from "./ports.ts";
import { projectFolder } from "./runtime_binary.ts";

const run = promisify(execFile);
const packageName = "etcd-server";
/** Where the package was unpacked by an earlier run. */
const cacheFolder = path.join(projectFolder, "node_modules/.cache", packageName);
const unpackMs = 120_000, startMs = 60_000;

let found: Promise<string | null> | null = null;

/**
 * The path of an etcd that runs; null: there is none and none could be had. The package is unpacked, not installed: that needs no
 * rights and starts no service.
 */
export function ensureEtcd(): Promise<string | null> {
  found ??= find();
  return found;
}

async function find(): Promise<string | null> {
  for (const file of candidates()) if (await works(file)) return file;
  await unpack().catch(() => {}); // another run may have done it meanwhile
  const unpacked = path.join(cacheFolder, "usr/bin/etcd");
  return await works(unpacked) ? unpacked : null;
}

function candidates(): string[] {
  const folders = [...(process.env["PATH"] ?? "").split(path.delimiter), "/usr/bin", "/usr/local/bin"];
  const named = process.env["DFDB_TEST_ETCD"];
  return [
    ...(named === undefined ? [] : [named]),
    ...folders.filter((folder) => folder !== "").map((folder) => path.join(folder, "etcd")),
    path.join(cacheFolder, "usr/bin/etcd"),
  ].filter((file) => fs.existsSync(file));
}

async function works(file: string): Promise<boolean> {
  try {
    return /etcd Version: 3\./.test((await run(file, ["--version"], { timeout: startMs })).stdout);
  } catch {
    return false;
  }
}

/** Two that do this at once do not meet: each has a folder of its own until it is whole. */
async function unpack(): Promise<void> {
  fs.mkdirSync(path.dirname(cacheFolder), { recursive: true });
  const folder = fs.mkdtempSync(`${cacheFolder}-`);
  try {
    const options = { cwd: folder, timeout: unpackMs };
    const download = () => run("apt-get", ["download", packageName], options);
    // Where the lists of packages were never fetched.
    await download().catch(() => run("apt-get", ["update"], options).then(download));
    const file = fs.readdirSync(folder).find((name) => name.endsWith(".deb"));
    if (file === undefined) return;
    await run("dpkg-deb", ["-x", file, path.join(folder, "whole")], options);
    if (!fs.existsSync(cacheFolder)) fs.renameSync(path.join(folder, "whole"), cacheFolder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Says why a test cannot run; where tests must be complete (the variable CI is set) it throws. */
export function withoutEtcd(say: (text: string) => void): void {
  const text = `no etcd here: install ${packageName}, or name one in DFDB_TEST_ETCD; nothing was tested`;
  if ((process.env["CI"] ?? "") !== "") throw new Error(text);
  say(text);
}

export interface EtcdProcess {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** SIGSTOP; resolves when none of its threads runs any more. */
  pause(): Promise<void>;
  /** SIGCONT. */
  goOn(): void;
  /** Ends the process at once; what it holds stays. */
  kill(): Promise<void>;
  /** After `kill`: the same etcd again, on the same port. Resolves when it answers. */
  start(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** Starts an etcd with nothing in it; null: there is none. Resolves when it answers. */
export async function startEtcd(): Promise<EtcdProcess | null> {
  const program = await ensureEtcd();
  if (program === null) return null;
  const [client, peer] = await freePorts(2), folder = fs.mkdtempSync(path.join(os.tmpdir(), "dfdb-etcd-"));
  const url = `http://127.0.0.1:${client}`, peerUrl = `http://127.0.0.1:${peer}`;
  const args = [
    ["--name", "test"],
    ["--data-dir", folder],
    ["--listen-client-urls", url],
    ["--advertise-client-urls", url],
    ["--listen-peer-urls", peerUrl],
    ["--initial-advertise-peer-urls", peerUrl],
    ["--initial-cluster", `test=${peerUrl}`],
    ["--logger", "zap"],
    ["--log-level", "error"],
  ].flat();
  let child: ChildProcess | null = null;
  const runs = (): boolean => child !== null && child.exitCode === null && child.signalCode === null;
  // Not by the child itself: under Deno it takes no second signal.
  const signal = (name: NodeJS.Signals): void => {
    if (runs()) process.kill(child?.pid as number, name);
  };
  const kill = async (): Promise<void> => {
    if (!runs()) return;
    const gone = new Promise((resolve) => child?.once("exit", resolve));
    signal("SIGKILL");
    await gone;
  };
  const pause = async (): Promise<void> => {
    signal("SIGSTOP");
    while (runs() && someThreadRuns(child?.pid as number)) await sleep(1);
  };
  const atExit = (): void => signal("SIGKILL");
  const start = async (): Promise<void> => {
    child = spawn(program, args, { stdio: "ignore" });
    await answers(url, child);
  };
  const stop = async (): Promise<void> => {
    await kill();
    process.off("exit", atExit);
    fs.rmSync(folder, { recursive: true, force: true });
  };
  process.on("exit", atExit);
  try {
    await start();
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return { url, pause, goOn: () => signal("SIGCONT"), kill, start, stop };
}

/** Resolves when the etcd serves reads that need its whole cluster. */
async function answers(url: string, child: ChildProcess): Promise<void> {
  const end = performance.now() + startMs;
  for (;;) {
    try {
      const signal = AbortSignal.timeout(1_000), body = JSON.stringify({ key: btoa("x") });
      const response = await fetch(`${url}/v3/kv/range`, { method: "POST", body, signal });
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Not yet.
    }
    if (child.exitCode !== null) throw new Error(`etcd ended with ${child.exitCode}`);
    if (performance.now() > end) throw new Error(`etcd did not answer within ${startMs} ms`);
    await sleep(50);
  }
}
