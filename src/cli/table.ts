/** Text for people: tables that fit the terminal, and colours only where they are shown. */
import measured from "fast-string-truncated-width";
import type { ProcessHost } from "../runtime/runtime.ts";

/** What a terminal can show. */
export interface Screen {
  /** Characters in a line; null: nothing to fit in (a file, a pipe). */
  readonly columns: number | null;
  readonly colours: boolean;
}

export function screenOf({ stdoutIsTerminal, columns, env }: ProcessHost): Screen {
  return {
    columns: stdoutIsTerminal ? columns ?? 80 : null,
    colours: stdoutIsTerminal && env["NO_COLOR"] === undefined,
  };
}

export const colour = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

/** `text` in a colour, where colours are shown. */
export function painted(screen: Screen, code: number | null, text: string): string {
  return screen.colours && code !== null && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text;
}

/** A column; `flexible` ones are made narrower first when the line is too long. */
export interface Column {
  readonly title: string;
  readonly right?: boolean;
  readonly flexible?: boolean;
}

export interface Cell {
  readonly text: string;
  readonly colour?: number | null;
}

/** One or more cells, or text across the whole width. */
export type TableRow = readonly (string | Cell)[] | { readonly note: string; readonly colour?: number };

const gap = 2, narrowest = 4;

/** Lines of a table, each ended by a newline, none longer than the screen is wide. */
export function table(columns: readonly Column[], rows: readonly TableRow[], screen: Screen): string {
  const cells = rows.map((row) =>
    "note" in row ? row : row.map((cell) => typeof cell === "string" ? { text: cell } : cell)
  );
  const widths = columns.map((column, i) =>
    cells.reduce(
      (most, row) => "note" in row ? most : Math.max(most, widthOf(row[i]?.text ?? "")),
      widthOf(column.title),
    )
  );
  if (screen.columns !== null) fit(columns, widths, screen.columns);
  const head = columns.map(({ title }): Cell => ({ text: title, colour: colour.dim }));
  return [head, ...cells].map((row) =>
    "note" in row
      ? `${painted(screen, row.colour ?? null, cut(row.note, screen.columns ?? Infinity))}\n`
      : `${lineOf(columns, widths, row, screen)}\n`
  ).join("");
}

/** Takes from the widest flexible column until the line fits, then from the widest of all. */
function fit(columns: readonly Column[], widths: number[], width: number): void {
  const excess = (): number => widths.reduce((sum, each) => sum + each + gap, -gap) - width;
  for (const flexible of [true, false]) {
    while (excess() > 0) {
      let widest = -1;
      columns.forEach((column, i) => {
        if (flexible && column.flexible !== true) return;
        if ((widths[i] as number) > Math.max(narrowest, widths[widest] ?? 0)) widest = i;
      });
      if (widest < 0) break;
      widths[widest] = (widths[widest] as number) - 1;
    }
  }
}

function lineOf(
  columns: readonly Column[],
  widths: readonly number[],
  row: readonly Cell[],
  screen: Screen,
): string {
  let text = "", length = 0, end = 0;
  columns.forEach(({ right }, i) => {
    const cell = row[i] ?? { text: "" }, width = widths[i] as number, short = cut(cell.text, width);
    if (short !== "") {
      const at = end + (right === true ? width - widthOf(short) : 0);
      const room = (screen.columns ?? Infinity) - at;
      const shown = room <= 0 ? "" : cut(short, room);
      if (shown !== "") {
        text += " ".repeat(at - length) + painted(screen, cell.colour ?? null, shown);
        length = at + widthOf(shown);
      }
    }
    end += width + gap;
  });
  return text;
}

/** Places that `text` takes on a terminal: wide characters take two, combining ones none. */
export function widthOf(text: string): number {
  return plainAscii.test(text) ? text.length : measured(text).width;
}

const plainAscii = /^[\u0020-\u007e]*$/;

/** At most `width` places, the last one "…" when something was cut off. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width <= 1) return "…".slice(0, Math.max(0, width));
  let end = 0, room = width - 1;
  for (const { segment } of characters.segment(text)) {
    room -= widthOf(segment);
    if (room < 0) break;
    end += segment.length;
  }
  return `${text.slice(0, end)}…`;
}

/** What people take for one character is not cut apart. */
const characters = new Intl.Segmenter("en", { granularity: "grapheme" });

/** A whole number with commas; "-" for what is not known. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return "-";
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Milliseconds for people: `42 ms`, `1.2 s`, `2 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Text of others, safe to show: no control characters. */
export function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- control characters of a terminal are what is taken out
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}
