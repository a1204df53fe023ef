import { writeSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { utf8 } from "../../src/base/bytes.ts";
import type { ProcessHost } from "../../src/runtime/runtime.ts";
import { terminalOf } from "./terminal.ts";

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes all of `text` before it returns: nothing is left in a queue that `exit` would drop. A reader that is gone
 * is not our failure; a full non-blocking pipe (EAGAIN) is waited for. False: not all of it was taken.
 */
function writeFully(descriptor: number, text: string): boolean {
  const bytes = utf8(text);
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === "EINTR") continue;
      if (code !== "EAGAIN") return false;
      Atomics.wait(sleepCell, 0, 0, 1);
    }
  }
  return true;
}

function onStopSignal(run: (signal: "SIGINT" | "SIGTERM") => void): () => void {
  const interrupt = (): void => run("SIGINT");
  const terminate = (): void => run("SIGTERM");
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", terminate);
  return () => {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", terminate);
  };
}

let stdoutIsOpen = true;

/** Facts and levers of the process, from node:process, the same on all three runtimes. */
export const processHost: ProcessHost = {
  pid: process.pid,
  get hostname() {
    return os.hostname();
  },
  args: process.argv.slice(2),
  env: process.env,
  cwd: () => process.cwd(),
  stdout: (text) => void (stdoutIsOpen = writeFully(1, text) && stdoutIsOpen),
  stderr: (text) => void writeFully(2, text),
  get stdoutIsTerminal() {
    return process.stdout.isTTY === true;
  },
  get columns() {
    return process.stdout.columns > 0 ? process.stdout.columns : null;
  },
  terminal: terminalOf(() => stdoutIsOpen),
  onStopSignal,
  memoryBytes: () => process.memoryUsage().rss,
  exit: (code) => process.exit(code),
};
