/** One line on the terminal that is written over: how far, how much, how fast. */
import type { Runtime } from "../runtime/runtime.ts";
import { cut, duration, number } from "./table.ts";

export interface Progress {
  /** `part`: 0 to 1; null: nobody knows how much is left. */
  at(documents: number, part: number | null): void;
  /** Takes the line away. */
  end(): void;
}

const everyMs = 200, barWidth = 24;

/** Draws only where standard error is a terminal. */
export function progress({ process, clock }: Runtime): Progress {
  if (!process.terminal.stderrIsTerminal) return { at: () => {}, end: () => {} };
  const begun = clock.monotonic();
  let drawn = -Infinity;
  return {
    at(documents, part) {
      const now = clock.monotonic();
      if (now - drawn < everyMs) return;
      drawn = now;
      process.stderr(`\r${cut(line(documents, part, now - begun), (process.columns ?? 80) - 1)}\u001b[K`);
    },
    end() {
      if (drawn > -Infinity) process.stderr("\r\u001b[K");
    },
  };
}

function line(documents: number, part: number | null, ms: number): string {
  const counted = `${number(documents)} documents, ${rate(documents, ms)}`;
  if (part === null) return counted;
  const full = Math.floor(Math.min(1, part) * barWidth);
  const bar = `[${"#".repeat(full)}${"-".repeat(barWidth - full)}]`;
  const left = part > 0.02 && part < 1 ? `, ${duration((ms / part) * (1 - part))} left` : "";
  return `${bar} ${String(Math.floor(part * 100)).padStart(3)} %  ${counted}${left}`;
}

/** Documents a second. */
export function rate(documents: number, ms: number): string {
  return `${number(ms <= 0 ? documents : Math.round((documents / ms) * 1_000))}/s`;
}
