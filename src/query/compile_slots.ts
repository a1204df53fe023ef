/** The values of a statement and the places in its text where they are bound. */
import { refusal } from "./catalog.ts";

export type SqlValue = string | number | bigint | null;

/** A value, or how it comes from what is given when the statement runs. */
export type Slot = SqlValue | ((inputs: Inputs) => SqlValue);

/** What is given when a statement runs. */
export interface Inputs {
  readonly parameters: QueryParameters;
  /** What `NOW()` says, for the whole statement. */
  readonly now: string;
  readonly newId: () => string;
}

/** By place for `?`, by name for `:name`; each a JSON value. Only own members count. */
export type QueryParameters = readonly unknown[] | Readonly<Record<string, unknown>>;

/** The SQL function without arguments that is to be there where a statement compiled with looks runs; gives 1 or throws. */
export const lookFunction = "dfdb_look";

/** Rows between two calls; of two to the power of n, less one. A row costs some microseconds, one of 16 MiB some ten milliseconds. */
const looksApart = 31;

/** SQLite takes 32,766. */
const slotsMax = 32_000;

/** Gives out `?1`, `?2`, ... and keeps what belongs to them. Nothing else may bring an author's text near a statement. */
export class Slots {
  readonly #slots: Slot[] = [];
  readonly #paths = new Map<string, string>();
  readonly #looks: boolean;
  #aliases = 0;

  /** `looks`: {@linkcode Slots.look} gives conditions. */
  constructor(looks = false) {
    this.#looks = looks;
  }

  bind(slot: Slot): string {
    if (this.#slots.length >= slotsMax) {
      throw refusal(`a statement may have ${slotsMax} values and paths at most`, 0);
    }
    this.#slots.push(slot);
    return `?${this.#slots.length}`;
  }

  /** A path is bound once, so that the same path is the same expression for SQLite. */
  path(text: string): string {
    const known = this.#paths.get(text);
    if (known !== undefined) return known;
    const made = this.bind(text);
    this.#paths.set(text, made);
    return made;
  }

  alias(prefix: string): string {
    return `${prefix}${++this.#aliases}`;
  }

  /**
   * A condition that is always true, for a loop over the rows of `aliases`: {@linkcode lookFunction} is called for some of them, so that it can throw
   * where SQLite would go on for long. Nothing when it is not asked for.
   */
  look(...aliases: readonly string[]): readonly string[] {
    if (!this.#looks) return [];
    return [`((${aliases.map((alias) => `${alias}.row`).join(" + ")}) & ${looksApart} OR ${lookFunction}())`];
  }

  /** How the values of one run of `sql` are made. What was bound last may not have been put to use. */
  valuesOf(sql: string): (inputs: Inputs) => SqlValue[] {
    let last = 0;
    for (const [, number] of sql.matchAll(/\?([0-9]+)/g)) last = Math.max(last, Number(number));
    const slots = this.#slots.slice(0, last);
    return (inputs) => slots.map((slot) => typeof slot === "function" ? slot(inputs) : slot);
  }
}

/** `a AND b AND c ...` as a tree that is not deep: SQLite allows a depth of 1,000. */
export function joined(parts: readonly string[], word: "AND" | "OR"): string {
  if (parts.length <= 8) return parts.join(` ${word} `);
  const middle = parts.length >> 1;
  return `(${joined(parts.slice(0, middle), word)}) ${word} (${joined(parts.slice(middle), word)})`;
}
