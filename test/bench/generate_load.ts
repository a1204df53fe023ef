/** Runs the load generator (load.ts) as a process on a core of its own. */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runtimeBinary } from "../tool/node_process.ts";
import { clientCore, pinTo } from "./cores.ts";
import type { LoadResult, LoadSpec } from "./load_types.ts";

/** A generator that has hardly any of the machine takes long to begin. */
const spareSeconds = 180;

/** Rejects when the generator fails or does not end. */
export function generateLoad(spec: LoadSpec): Promise<LoadResult> {
  const load = fileURLToPath(new URL("load.ts", import.meta.url));
  const [program, ...args] = [...pinTo(clientCore), runtimeBinary("node"), load, JSON.stringify(spec)];
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => void (output += text));
    const late = setTimeout(
      () => child.kill("SIGKILL"),
      (spec.warmSeconds + spec.seconds + spareSeconds) * 1000,
    );
    const kill = (): void => void child.kill("SIGKILL");
    process.on("exit", kill);
    child.once("error", reject);
    child.once("close", (code) => {
      process.off("exit", kill);
      clearTimeout(late);
      if (code === 0) resolve(JSON.parse(output) as LoadResult);
      else reject(new Error(`the load generator ended with ${code ?? "a signal"}`));
    });
  });
}
