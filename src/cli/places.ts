/** Places in an input (lines, elements) as ranges: `3-7,9,12-`. */
import { DfdbError } from "../base/errors.ts";

/** Both ends belong to it; the last may be Infinity. */
export type Range = readonly [from: number, to: number];

/** In order. Throws `bad_request`. */
export function parseRanges(text: string): readonly Range[] {
  const ranges = text.split(",").map((part): Range => {
    const [, from, dash, to] = /^\s*([1-9]\d{0,14})(-)?([1-9]\d{0,14})?\s*$/.exec(part) ?? [];
    const first = Number(from),
      last = to === undefined ? (dash === undefined ? first : Infinity) : Number(to);
    if (!(first <= last) || (dash === undefined && to !== undefined)) {
      throw new DfdbError("bad_request", `--only: expected places like 3-7,9,12-, not ${text}`);
    }
    return [first, last];
  });
  return ranges.sort(([a], [b]) => a - b);
}

export function isIn(ranges: readonly Range[], place: number): boolean {
  return ranges.some(([from, to]) => place >= from && place <= to);
}

export function rangesText(ranges: readonly Range[]): string {
  return ranges.map(([from, to]) => from === to ? String(from) : `${from}-${to === Infinity ? "" : to}`).join(
    ",",
  );
}
