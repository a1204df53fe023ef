import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

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
  const script = fileURLToPath(new URL("./writer.ts", import.meta.url));
  const deno = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...deno, script, ...args], { stdio: ["pipe", "pipe", "pipe"] });
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
