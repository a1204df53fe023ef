/** What the figures were measured on. */
import { execFileSync } from "node:child_process";
import os from "node:os";
import { projectFolder, runtimeBinary, runtimeNames } from "../tool/node_process.ts";
import { pinned } from "./cores.ts";

export interface MachineFacts {
  readonly date: string;
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  /** Without it server and load may share a core: then the figures say little. */
  readonly pinned: boolean;
  readonly runtimes: Readonly<Record<string, string>>;
}

export function machineFacts(): MachineFacts {
  const versions = runtimeNames.map((name) =>
    [name, versionOf(output(runtimeBinary(name), ["--version"]))] as const
  );
  const changed = output("git", ["status", "--porcelain"]) === "" ? "" : " with changes";
  return {
    date: new Date().toISOString(),
    commit: `${output("git", ["rev-parse", "--short", "HEAD"]) || "unknown"}${changed}`,
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()}`,
    pinned,
    runtimes: Object.fromEntries(versions),
  };
}

function versionOf(text: string): string {
  return /\d+\.\d+\.\d+/.exec(text)?.[0] ?? "unknown";
}

/** Standard output of a program, empty when it fails. */
function output(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, {
      cwd: projectFolder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    })
      .trim();
  } catch {
    return "";
  }
}
