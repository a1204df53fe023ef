/** What the demo prints: headings, facts, and progress as a bar on a terminal, as plain lines elsewhere. */
import process from "node:process";

const terminal = process.stdout.isTTY === true;
const colours = terminal && process.env["NO_COLOR"] === undefined;
const barWidth = 14, redrawMs = 80;

export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

export function heading(text: string): void {
  say(`\n${colours ? `\x1b[1m${text}\x1b[0m` : text}`);
}

/** 12345 as "12,345". */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

export interface Progress {
  update(done: number, note: string): void;
  /** The last state stays on the screen. */
  end(note: string): void;
}

/** Progress of `total` things. Without a terminal: one line per quarter. */
export function progress(label: string, total: number): Progress {
  const started = performance.now();
  let done = 0, drawn = -Infinity, quarters = 0;
  const line = (note: string): string => {
    const rate = done / Math.max(0.001, (performance.now() - started) / 1000);
    return `${label.padEnd(9)} ${grouped(done).padStart(7)} of ${grouped(total)}  ${
      grouped(rate)
    } docs/s  ${note}`;
  };
  const draw = (note: string): void => {
    const full = Math.round((done / total) * barWidth);
    const text = `  [${"#".repeat(full)}${".".repeat(barWidth - full)}] ${line(note)}`;
    process.stdout.write(`\r\x1b[2K${text.slice(0, (process.stdout.columns ?? 80) - 1)}`);
  };
  return {
    update(next, note) {
      done = next;
      const quarter = Math.floor((done / total) * 4);
      if (terminal) {
        if (performance.now() - drawn < redrawMs) return;
        drawn = performance.now();
        draw(note);
      } else if (quarter > quarters && quarter < 4) {
        quarters = quarter;
        say(`  ${line(note)}`);
      }
    },
    end(note) {
      done = total;
      if (terminal) draw(note);
      else process.stdout.write(`  ${line(note)}`);
      say();
    },
  };
}
