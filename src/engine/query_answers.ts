/** The answers of statements that read. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentValue } from "../document/document_value.ts";
import type { QueryAnswer } from "./query_types.ts";

type Rows = readonly string[];

/** All rows are here already. */
export function wholeAnswer(plan: string, rows: Rows, rowsMax: number): QueryAnswer {
  const whole = rows.length > rowsMax ? null : rows;
  return {
    plan,
    affected: 0,
    message: null,
    position: null,
    whole,
    values: null,
    rows: new GivenRows(rows, null, rowsMax),
  };
}

/** All rows are here already, as values. */
export function valuesAnswer(plan: string, values: readonly DocumentValue[]): QueryAnswer {
  return { ...wholeAnswer(plan, [], 0), whole: null, values };
}

/** The rest comes from `rest`, whose `return` leaves it. */
export function streamedAnswer(
  plan: string,
  first: Rows,
  rest: AsyncIterator<Rows>,
  rowsMax: number,
): QueryAnswer {
  const rows = new GivenRows(first, rest, rowsMax);
  return { plan, affected: 0, message: null, position: null, whole: null, values: null, rows };
}

/** Gives `rowsMax` rows at most, then rejects with `payload_too_large` if there are more. */
class GivenRows implements AsyncIterableIterator<Rows, undefined> {
  #first: Rows | null;
  #rest: AsyncIterator<Rows> | null;
  #left: number;
  readonly #rowsMax: number;

  constructor(first: Rows, rest: AsyncIterator<Rows> | null, rowsMax: number) {
    this.#first = first.length === 0 ? null : first;
    this.#rest = rest;
    this.#left = this.#rowsMax = rowsMax;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Rows, undefined>> {
    const rows = await this.#take();
    if (rows === null) return { done: true, value: undefined };
    const most = this.#left;
    if (rows.length <= most) {
      this.#left -= rows.length;
      return { done: false, value: rows };
    }
    this.#left = 0;
    if (most === 0) {
      await this.return();
      throw tooMany(this.#rowsMax);
    }
    this.#first = rows.slice(most);
    return { done: false, value: rows.slice(0, most) };
  }

  async return(): Promise<IteratorResult<Rows, undefined>> {
    const rest = this.#rest;
    this.#first = this.#rest = null;
    await rest?.return?.();
    return { done: true, value: undefined };
  }

  async #take(): Promise<Rows | null> {
    const first = this.#first;
    if (first !== null) {
      this.#first = null;
      return first;
    }
    while (this.#rest !== null) {
      const step = await this.#rest.next();
      if (step.done === true) this.#rest = null;
      else if (step.value.length > 0) return step.value;
    }
    return null;
  }
}

function tooMany(rowsMax: number): DfdbError {
  const message = `The result has more than ${rowsMax} rows: ask for less, with WHERE or LIMIT`;
  return new DfdbError("payload_too_large", message, { details: { rowsMax } });
}
