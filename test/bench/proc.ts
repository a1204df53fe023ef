/** CPU time and memory of processes, from /proc; zero where there is none. */
import fs from "node:fs";

/** /proc counts in this unit on every Linux that matters (USER_HZ). */
const ticksPerSecond = 100;

/** User and system time of a process and its present children, seconds. */
export function cpuSeconds(pid: number): number {
  return family(pid).reduce((sum, member) => sum + (statOf(member)?.cpuSeconds ?? 0), 0);
}

/** Memory of a process and its present children, MiB; what they share counts once. */
export function memoryMiB(pid: number): number {
  return family(pid).reduce((sum, member) => sum + memoryKiB(member), 0) / 1024;
}

/** Time that all cores of the machine were busy, or taken away by the machine below it, seconds. */
export function machineBusySeconds(): number {
  const [user, nice, system, _idle, _wait, irq, softIrq, steal] = read("/proc/stat").split("\n", 1)[0]!
    .split(/\s+/).slice(1).map(Number);
  const ticks = [user, nice, system, irq, softIrq, steal].reduce<number>((sum, part) => sum + (part ?? 0), 0);
  return ticks / ticksPerSecond;
}

function memoryKiB(pid: number): number {
  const proportional = /^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1];
  return Number(proportional ?? /^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
}

function family(pid: number): number[] {
  const pids = list("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
  return [pid, ...pids.filter((other) => statOf(other)?.parent === pid)];
}

function statOf(pid: number): { readonly parent: number; readonly cpuSeconds: number } | null {
  // The second field is the program's name in parentheses and may hold anything.
  const text = read(`/proc/${pid}/stat`);
  if (text === "") return null;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ").map(Number);
  return { parent: fields[1]!, cpuSeconds: (fields[11]! + fields[12]!) / ticksPerSecond };
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}
