/** Random statements of the query language, as the parser would give them, but for positions. */
import type { Prng } from "../../src/base/prng.ts";
import type {
  CollectionName,
  Comparison,
  Condition,
  Expression,
  Literal,
  PathExpression,
  Select,
  Statement,
  Step,
} from "../../src/query/ast.ts";
import { pathTokens, writtenName } from "./query_text.ts";

const at = 0;
const names = [
  "a",
  "pnr",
  "_x",
  "order",
  "Select",
  "null",
  "count",
  "if",
  "über",
  "a b",
  'say "hi"',
  "",
  "0",
  "x-y",
  "--",
  "/*",
];
const strings = [
  "",
  "'",
  "''",
  "ABC123",
  "it's",
  "--",
  "/* */",
  '"',
  "é😀",
  "line\nend",
  "%_\\",
  ";",
  "?",
  "\u0000",
];
const numbers = ["0", "1", "42", "1.50", "1e400", "9007199254740993", "0.1E-7", "-5", "-0", "2E+3"];
const texts = ["{}", '{"a":1}', '{ "a" : "}{\\"" , "b":[{},{"c":null}] }', '{"é":"😀\\\\"}', "{broken}"];

/** Makes one statement after the other from `random`. */
export class RandomQueries {
  readonly #random: Prng;
  /** `?` counts; null: this statement has named ones. */
  #positional: number | null = null;
  #aggregates = false;

  constructor(random: Prng) {
    this.#random = random;
  }

  statement(): Statement {
    this.#positional = this.#chance(2) ? 0 : null;
    switch (this.#random.below(8)) {
      case 0:
        return {
          kind: "insert",
          into: this.#collection(),
          rows: { documents: this.#some(1, 3, () => ({ at, text: this.#pick(texts) })) },
        };
      case 1: {
        const into = this.#collection(), paths = this.#some(1, 3, () => this.#path());
        const values = (): Expression[] => paths.map(() => this.#expression(2));
        return {
          kind: "insert",
          into,
          rows: { paths, tuples: this.#some(1, 3, () => ({ at, values: values() })) },
        };
      }
      case 2: {
        const collection = this.#collection();
        const set = this.#some(1, 3, () => ({ path: this.#path(), value: this.#expression(3) }));
        return { kind: "update", collection, set, where: this.#maybe(() => this.#condition(3)) };
      }
      case 3:
        return { kind: "delete", from: this.#collection(), where: this.#maybe(() => this.#condition(3)) };
      case 4:
        return this.#index();
    }
    return this.#select();
  }

  #index(): Statement {
    const name = this.#pick(names.filter((one) => one !== "")), on = this.#collection();
    if (this.#chance(3)) return { kind: "dropIndex", name, on };
    return {
      kind: "createIndex",
      unique: this.#chance(2),
      name,
      on,
      paths: this.#some(1, 2, () => this.#path()),
    };
  }

  #select(): Select {
    const withAggregates = <T>(make: () => T): T => {
      this.#aggregates = true;
      const made = make();
      this.#aggregates = false;
      return made;
    };
    const item = (): NonNullable<Select["items"]>[number] => {
      const value = this.#expression(3);
      return { at, value, name: this.#chance(2) ? writtenName(value) : this.#pick(names) };
    };
    const key = (): Select["orderBy"][number] => {
      const by = this.#expression(2), constant = by.kind === "literal" || by.kind === "parameter";
      const of = by.kind === "parameter" ? by : this.#path();
      return { by: constant ? { kind: "minus", at, of } : by, descending: this.#chance(2) };
    };
    // Members in the order of the text: `?` counts by place.
    return {
      kind: "select",
      distinct: this.#chance(4),
      items: this.#maybe(() => withAggregates(() => this.#some(1, 3, item))),
      from: this.#collection(),
      joins: this.#some(0, 2, () => this.#join()),
      where: this.#maybe(() => this.#condition(4)),
      groupBy: this.#some(0, 2, () => this.#path()),
      having: this.#maybe(() => withAggregates(() => this.#condition(2))),
      orderBy: this.#chance(2) ? [] : withAggregates(() => this.#some(1, 3, key)),
      limit: this.#maybe(() => this.#count()),
      offset: this.#maybe(() => this.#count()),
    };
  }

  #join(): Select["joins"][number] {
    const type = this.#pick(["inner", "left", "right", "cross"] as const), other = this.#collection();
    const pair = (): { left: PathExpression; right: PathExpression } => ({
      left: this.#path(),
      right: this.#path(),
    });
    return { type, with: other, on: type === "cross" ? [] : this.#some(1, 2, pair) };
  }

  #count(): Expression {
    if (this.#chance(3)) return this.#parameter();
    return { kind: "literal", at, value: { number: String(this.#random.below(1_000)) } };
  }

  #collection(): CollectionName {
    return { at, name: this.#pick(["orders", "a.b.c", "Order", "my-coll", "x.select", "x.9", "left"]) };
  }

  #path(): PathExpression {
    const steps: Step[] = [this.#pick(names)];
    while (this.#chance(2)) {
      const choice = this.#random.below(4);
      steps.push(choice === 0 ? this.#random.below(1_000) : choice === 1 ? "*each" : this.#pick(names));
    }
    return { kind: "path", at, steps, text: pathTokens(steps).join("") };
  }

  #parameter(): Expression {
    const name = this.#positional === null ? this.#pick(["a", "B_2", "select"]) : this.#positional++;
    return { kind: "parameter", at, name };
  }

  #expression(depth: number): Expression {
    const choice = this.#random.below(depth > 0 ? 9 : 5);
    if (choice < 2) return this.#path();
    if (choice < 4) return { kind: "literal", at, value: this.#literal() };
    if (choice === 4) return this.#parameter();
    if (choice === 5 && this.#aggregates) return this.#aggregate(depth);
    if (choice === 6) return this.#call(depth);
    if (choice === 7) return { kind: "minus", at, of: this.#expression(depth - 1) };
    const operator = this.#pick(["+", "-", "*", "/", "%"] as const);
    const left = this.#expression(depth - 1);
    return { kind: "arithmetic", at, operator, left, right: this.#expression(depth - 1) };
  }

  #aggregate(depth: number): Expression {
    if (this.#chance(3)) return { kind: "aggregate", at, name: "COUNT", of: null };
    this.#aggregates = false;
    const of = this.#expression(depth - 1);
    this.#aggregates = true;
    return { kind: "aggregate", at, name: this.#pick(["COUNT", "SUM", "AVG", "MIN", "MAX"] as const), of };
  }

  #call(depth: number): Expression {
    const name = this.#pick(["NEWID", "NOW", "LOWER", "UPPER", "LENGTH", "TRIM", "COALESCE"] as const);
    const many = name === "COALESCE" ? this.#random.below(3) + 2 : name === "NEWID" || name === "NOW" ? 0 : 1;
    return { kind: "call", at, name, args: this.#some(many, many, () => this.#expression(depth - 1)) };
  }

  #literal(): Literal {
    switch (this.#random.below(5)) {
      case 0:
        return null;
      case 1:
        return this.#chance(2);
      case 2:
        return { number: this.#pick(numbers) };
    }
    return this.#pick(strings);
  }

  #condition(depth: number): Condition {
    const choice = this.#random.below(depth > 0 ? 9 : 6);
    if (choice === 6) return { kind: "not", at, of: this.#condition(depth - 1) };
    if (choice > 6) {
      return {
        kind: choice === 7 ? "and" : "or",
        at,
        all: this.#some(2, 4, () => this.#condition(depth - 1)),
      };
    }
    const left = this.#expression(2);
    switch (choice) {
      case 0:
        return { kind: "like", at, left, pattern: this.#expression(1) };
      case 1:
        return { kind: "in", at, left, list: this.#some(1, 4, () => this.#expression(1)) };
      case 2: {
        const low = this.#expression(1);
        return { kind: "between", at, left, low, high: this.#expression(1) };
      }
      case 3:
        return { kind: "isNull", at, left, not: this.#chance(2) };
    }
    const operator = this.#pick<Comparison>(["=", "!=", "<", "<=", ">", ">="]);
    return { kind: "compare", at, operator, left, right: this.#expression(2) };
  }

  #chance(of: number): boolean {
    return this.#random.below(of) === 0;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)] as T;
  }

  #some<T>(min: number, max: number, make: () => T): T[] {
    return Array.from({ length: min + this.#random.below(max - min + 1) }, make);
  }

  #maybe<T>(make: () => T): T | null {
    return this.#chance(2) ? make() : null;
  }
}
