/** What the world itself knows of its troubles: who was down, busy or cut off when. */

interface Trouble {
  readonly what: string;
  /** One machine, or the two of a line. */
  readonly where: readonly string[];
  readonly from: number;
  until: number;
}

export class Troubles {
  readonly #now: () => number;
  readonly #all: Trouble[] = [];

  /** `now`: virtual ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Begins now; ends in `ms`, or when what is returned is called. */
  at(where: string | readonly [string, string], what: string, ms = Infinity): () => void {
    const from = this.#now();
    const trouble = { what, where: typeof where === "string" ? [where] : where, from, until: from + ms };
    this.#all.push(trouble);
    return () => void (trouble.until = Math.min(trouble.until, this.#now()));
  }

  /** One that `machine`, or the line between it and `other`, had at any time from `from` on; null: there was none. */
  since(from: number, machine: string, other: string): string | null {
    const found = this.#all.find(({ where, until }) => {
      const [first, second] = where;
      const hit = second === undefined ? first === machine : where.includes(machine) && where.includes(other);
      return hit && until >= from;
    });
    return found === undefined ? null : `${found.what} ${found.where.join("-")}`;
  }
}
