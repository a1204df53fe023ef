/** PostgreSQL as a neighbour in the same run, when the machine has it. Durable: fsync and synchronous_commit are on. */
import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../tool/ports.ts";
import { pinTo, serverCore } from "./cores.ts";
import { collection } from "./load_types.ts";
import { postgresQuery } from "./postgres_connection.ts";
import { memoryMiB } from "./proc.ts";
import type { BenchServer } from "./servers.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const startMs = 30_000;
const settings = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "shared_buffers=256MB",
  "max_wal_size=4GB",
];

/** Folder of `postgres` and `initdb`, or why there is none. */
export function postgresFolder(): { readonly folder: string } | { readonly missing: string } {
  const versions = "/usr/lib/postgresql";
  const debian = fs.existsSync(versions)
    ? fs.readdirSync(versions).map((v) => path.join(versions, v, "bin"))
    : [];
  const searched = [...debian.reverse(), ...(process.env["PATH"] ?? "").split(path.delimiter)];
  const folder = searched.find((f) =>
    ["postgres", "initdb"].every((name) => fs.existsSync(path.join(f, name)))
  );
  if (folder === undefined) return { missing: "PostgreSQL is not installed" };
  // It refuses to run as root.
  if (process.getuid?.() === 0 && account() === null) {
    return { missing: "PostgreSQL needs a user named postgres" };
  }
  return { folder };
}

/** Starts a new, empty PostgreSQL with the table of the bench. */
export async function postgresServer(
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<BenchServer> {
  const [port] = await freePorts(1) as [number];
  const { path: data, remove } = temporaryFolder();
  const user = process.getuid?.() === 0 ? account() : null;
  if (user !== null) fs.chownSync(data, user.uid, user.gid);
  const as = { cwd: data, ...user, env: { ...process.env, ...env } };
  const program = path.join(folder, "postgres");
  execFileSync(path.join(folder, "initdb"), [
    "-D",
    data,
    "-U",
    "postgres",
    "-A",
    "trust",
    "-E",
    "UTF8",
    "--locale=C",
  ], {
    ...as,
    stdio: "ignore",
  });
  const flags = [`port=${port}`, ...settings].flatMap((setting) => ["-c", setting]);
  const [first, ...rest] = [...pinTo(serverCore), program, "-D", data, ...flags];
  const child = spawn(first!, rest, { ...as, stdio: "ignore" });
  const kill = (): void => void child.kill("SIGQUIT"); // "immediate shutdown": its children end too
  process.on("exit", kill);
  const stop = async (): Promise<void> => {
    await ended(child);
    process.off("exit", kill);
    remove();
  };
  await waitReady(port, child);
  return { port, pid: child.pid!, memoryMiB: () => memoryMiB(child.pid!), stop };
}

async function waitReady(port: number, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + startMs;
  while (true) {
    try {
      return await postgresQuery(port, [`create table ${collection}(id text primary key, body jsonb)`]);
    } catch (error) {
      if (child.exitCode !== null || performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

/** Asks for a fast shutdown and waits. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  const late = setTimeout(() => child.kill("SIGQUIT"), 20_000);
  await exit;
  clearTimeout(late);
}

function account(): { readonly uid: number; readonly gid: number } | null {
  const fields = /^postgres:[^:]*:(\d+):(\d+):/m.exec(fs.readFileSync("/etc/passwd", "utf8"));
  return fields === null ? null : { uid: Number(fields[1]), gid: Number(fields[2]) };
}
