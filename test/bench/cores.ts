/** Which cores the server and the load get: the first two that this process may use. */
import fs from "node:fs";
import { tasksetInstalled } from "../tool/node_process.ts";

/** For example "0-1" or "2,4-7". */
function allowedCores(): string[] {
  if (!tasksetInstalled()) return [];
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(fs.readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  return list.split(",").flatMap((part) => {
    const [first, last] = part.split("-").map(Number);
    return Array.from({ length: (last ?? first!) - first! + 1 }, (_, i) => String(first! + i));
  });
}

const [first, second] = allowedCores();

/** True when server and load each have a core of their own. */
export const pinned: boolean = second !== undefined;

/** Undefined: not pinned. */
export const serverCore: string | undefined = pinned ? first : undefined;
export const clientCore: string | undefined = second;

/** What to put before a command to pin it. */
export function pinTo(core: string | undefined): string[] {
  return core === undefined ? [] : ["taskset", "-c", core];
}
