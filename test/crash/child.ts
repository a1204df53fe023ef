import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { RuntimeName } from "../tool/runtime_binary.ts";
import { runtimeBinary } from "../tool/runtime_binary.ts";

/** The writer as a process of the same runtime. */
export interface Child {
  readonly pid: number | undefined;
  /** Resolves when the child printed this line; rejects when it ended without. */
  line(text: string): Promise<void>;
  /** All of its standard output, and how it ended. */
  readonly output: Promise<{ text: string; signal: string | null; code: number | null; errors: string }>;
  kill(): void;
}

/** Runs `writer.ts` with these arguments; see there. */
export function startWriter(...args: readonly string[]): Child {
  return startScript("writer.ts", process.execPath, "Deno" in globalThis, args);
}

/** Runs `snapshot_writer.ts` on a runtime, this one's own by default. */
export function startSnapshotWriter(args: readonly string[], runtime?: RuntimeName): Child {
  const binary = runtime === undefined ? process.execPath : runtimeBinary(runtime);
  const deno = runtime === undefined ? "Deno" in globalThis : runtime === "deno";
  return startScript("snapshot_writer.ts", binary, deno, args);
}

function startScript(name: string, binary: string, deno: boolean, args: readonly string[]): Child {
  const script = fileURLToPath(new URL(`./${name}`, import.meta.url));
  const run = deno ? ["run", "-A", "--no-check"] : [];
  const child = spawn(binary, [...run, script, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let text = "", errors = "", ended = false;
  const waiting = new Set<() => void>();
  const changed = () => waiting.forEach((check) => check());
  child.stdout.on("data", (chunk: unknown) => {
    text += String(chunk);
    changed();
  });
  child.stderr.on("data", (chunk: unknown) => (errors += String(chunk)));
  const output = new Promise<{ text: string; signal: string | null; code: number | null; errors: string }>(
    (resolve) => {
      child.on("close", (code, signal) => {
        ended = true;
        resolve({ text, signal, code, errors });
        changed();
      });
    },
  );
  const line = (wanted: string) =>
    new Promise<void>((resolve, reject) => {
      const check = () => {
        if (text.split("\n").includes(wanted)) waiting.delete(check), resolve();
        else if (ended) waiting.delete(check), reject(new Error(`the writer ended: ${text}\n${errors}`));
      };
      waiting.add(check);
      check();
    });
  return { pid: child.pid, line, output, kill: () => void child.kill("SIGKILL") };
}
