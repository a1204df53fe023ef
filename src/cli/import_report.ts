/** What came of an import: counts, the documents that were refused, and where to go on. */
import type { DfdbError } from "../base/errors.ts";
import type { ImportDocument, RefusedRecord } from "./import_document.ts";
import type { BatchResult } from "./import_send.ts";
import type { Range } from "./places.ts";
import { rangesText } from "./places.ts";
import { rate } from "./progress.ts";
import { cut, duration, number, plain } from "./table.ts";

/** Refused documents that are named. */
const namedMax = 20;
const sentenceChars = 200;

export class ImportReport {
  written = 0;
  /** Why it ended early; null: it did not. */
  failure: DfdbError | null = null;
  readonly #placeWord: string;
  #skipped = 0;
  #refused = 0;
  /** The first ones by their place. */
  #named: RefusedRecord[] = [];
  readonly #left: number[] = [];
  readonly #inDoubt: number[] = [];
  #from: number | null = null;

  constructor(placeWord: string) {
    this.#placeWord = placeWord;
  }

  batch({ written, skipped, refused, failure, left, inDoubt }: BatchResult): void {
    this.written += written;
    this.#skipped += skipped;
    for (const record of refused) this.refuse(record);
    this.notSent(left);
    for (const { place } of inDoubt) this.#inDoubt.push(place);
    this.failure ??= failure;
  }

  refuse(record: RefusedRecord): void {
    this.#refused++;
    this.#named.push(record);
    if (this.#named.length < 2 * namedMax) return;
    this.#named = this.#named.sort((a, b) => a.place - b.place).slice(0, namedMax);
  }

  notSent(documents: readonly ImportDocument[]): void {
    for (const { place } of documents) this.#left.push(place);
  }

  /** Nothing from `place` on was looked at. */
  notReached(place: number): void {
    this.#from = place;
  }

  /** The input itself ended the import: going on would end there again. */
  broken(error: DfdbError): void {
    this.failure ??= error;
  }

  stopped(reason: DfdbError): void {
    this.failure ??= reason;
  }

  get exitCode(): number {
    if (this.failure !== null) return 1;
    return this.#refused === 0 ? 0 : 2;
  }

  text({ collection, only, tookMs }: {
    readonly collection: string;
    readonly only: readonly Range[] | null;
    readonly tookMs: number;
  }): string {
    const counts = [
      `${number(this.written)} written to ${plain(collection)}`,
      ...(this.#skipped === 0 ? [] : [`${number(this.#skipped)} there already`]),
      ...(this.#refused === 0 ? [] : [`${number(this.#refused)} refused`]),
    ];
    const named = this.#named.sort((a, b) => a.place - b.place).slice(0, namedMax);
    const more = this.#refused - named.length;
    let text = named.map(({ place, error, code }) =>
      `${this.#placeWord} ${place}: ${cut(plain(error), sentenceChars)} (${code})\n`
    ).join("");
    if (more > 0) text += `and ${number(more)} more\n`;
    text += `${counts.join(", ")} in ${duration(tookMs)} (${rate(this.written, tookMs)})\n`;
    if (this.failure === null) return text;
    return text + `ERROR: ${plain(this.failure.message)} (${this.failure.code})\n` + this.#goingOn(only);
  }

  /** Nothing where all that was read is settled. */
  #goingOn(only: readonly Range[] | null): string {
    const open = joined([...this.#left, ...this.#inDoubt]);
    if (this.#from !== null) open.push(...after(this.#from, only));
    if (open.length === 0) return "";
    const doubt = this.#inDoubt.length === 0
      ? ""
      : `${this.#placeWord}s ${
        rangesText(joined(this.#inDoubt))
      } may have been written: with ids of their own go on with ` +
        `--on-conflict skip\n`;
    return `${doubt}the rest was not written; to go on, add --only ${rangesText(merged(open))}\n`;
  }
}

/** Ranges of what is side by side. */
function joined(places: readonly number[]): Range[] {
  return merged([...places].sort((a, b) => a - b).map((place): Range => [place, place]));
}

function merged(ranges: readonly Range[]): Range[] {
  const result: [number, number][] = [];
  for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
    const last = result.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else result.push([from, to]);
  }
  return result;
}

/** What of `only` is at `place` and later. */
function after(place: number, only: readonly Range[] | null): Range[] {
  return (only ?? [[1, Infinity] as Range]).flatMap(([from, to]): Range[] =>
    to < place ? [] : [[Math.max(from, place), to]]
  );
}
