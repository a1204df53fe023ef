/** Statements of the query language back to text: for tests that parse what was printed. */
import type {
  CollectionName,
  Condition,
  Expression,
  PathExpression,
  Select,
  Statement,
} from "../../src/query/ast.ts";
import { reserved } from "../../src/query/parse_words.ts";

/** How a keyword is written; the default is upper case. */
type Keywords = (word: string) => string;

const precedence = { "+": 1, "-": 1, "*": 2, "/": 2, "%": 2 } as const;

/** The text of a statement, its tokens with `space` between them. */
export function queryText(
  statement: Statement,
  space: () => string = () => " ",
  keywords?: Keywords,
): string {
  const tokens = new QueryTokens(keywords).statement(statement);
  return tokens.reduce((text, token, i) => i === 0 ? token : text + space() + token, "");
}

/** The tokens of an expression without anything between them: the name of an item that has no other. */
export function writtenName(expression: Expression): string {
  return new QueryTokens().expression(expression).join("");
}

/** A copy without what depends on the text around: positions. */
export function withoutPositions(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutPositions);
  if (typeof node !== "object" || node === null) return node;
  const kept = Object.entries(node).filter(([key]) => key !== "at");
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutPositions(value)]));
}

class QueryTokens {
  readonly #keywords: Keywords;

  constructor(keywords: Keywords = (word) => word) {
    this.#keywords = keywords;
  }

  statement(made: Statement): string[] {
    switch (made.kind) {
      case "select":
        return this.#select(made);
      case "insert": {
        const start = [...this.#words("INSERT INTO"), ...this.#collection(made.into)];
        const { rows } = made;
        if ("documents" in rows) {
          return [...start, ...this.#words("VALUES"), ...list(rows.documents.map(({ text }) => [text]))];
        }
        const tuples = rows.tuples.map(({ values }) => inParentheses(values.map((v) => this.expression(v))));
        return [...start, ...this.#paths(rows.paths), ...this.#words("VALUES"), ...list(tuples)];
      }
      case "update": {
        const set = made.set.map(({ path, value }) => [...this.path(path), "=", ...this.expression(value)]);
        const start = [...this.#words("UPDATE"), ...this.#collection(made.collection), ...this.#words("SET")];
        return [...start, ...list(set), ...this.#clause("WHERE", made.where)];
      }
      case "delete":
        return [
          ...this.#words("DELETE FROM"),
          ...this.#collection(made.from),
          ...this.#clause("WHERE", made.where),
        ];
      case "createIndex": {
        const start = this.#words(made.unique ? "CREATE UNIQUE INDEX" : "CREATE INDEX");
        return [
          ...start,
          name(made.name),
          ...this.#words("ON"),
          ...this.#collection(made.on),
          ...this.#paths(made.paths),
        ];
      }
      case "dropIndex":
        return [
          ...this.#words("DROP INDEX"),
          name(made.name),
          ...this.#words("ON"),
          ...this.#collection(made.on),
        ];
    }
  }

  #select(made: Select): string[] {
    const items = made.items?.map((item) => {
      const tokens = this.expression(item.value);
      return item.name === tokens.join("") ? tokens : [...tokens, ...this.#words("AS"), quoted(item.name)];
    });
    const joins = made.joins.flatMap(({ type, with: other, on }) => {
      const pairs = on.map(({ left, right }) => [...this.path(left), "=", ...this.path(right)]);
      const condition = type === "cross" ? [] : [...this.#words("ON"), ...list(pairs, ...this.#words("AND"))];
      const words = type === "inner"
        ? "JOIN"
        : type === "cross"
        ? "CROSS JOIN"
        : `${type.toUpperCase()} OUTER JOIN`;
      return [...this.#words(words), ...this.#collection(other), ...condition];
    });
    const sort = made.orderBy.map(({ by, descending }) => [
      ...this.expression(by),
      ...(descending ? this.#words("DESC") : []),
    ]);
    const clause = (words: string, parts: string[][]): string[] =>
      parts.length === 0 ? [] : [...this.#words(words), ...list(parts)];
    const count = (word: string, value: Expression | null): string[] =>
      value === null ? [] : [...this.#words(word), ...this.expression(value)];
    return [
      ...this.#words(made.distinct ? "SELECT DISTINCT" : "SELECT"),
      ...(items === undefined ? ["*"] : list(items)),
      ...this.#words("FROM"),
      ...this.#collection(made.from),
      ...joins,
      ...this.#clause("WHERE", made.where),
      ...clause("GROUP BY", made.groupBy.map((path) => this.path(path))),
      ...this.#clause("HAVING", made.having),
      ...clause("ORDER BY", sort),
      ...count("LIMIT", made.limit),
      ...count("OFFSET", made.offset),
    ];
  }

  expression(made: Expression): string[] {
    switch (made.kind) {
      case "path":
        return this.path(made);
      case "literal":
        return this.#literal(made.value);
      case "parameter":
        return [typeof made.name === "number" ? "?" : `:${made.name}`];
      case "call":
        return [made.name, ...inParentheses(made.args.map((argument) => this.expression(argument)))];
      case "aggregate":
        return [made.name, "(", ...(made.of === null ? ["*"] : this.expression(made.of)), ")"];
      case "minus": {
        const inner = this.expression(made.of);
        const digits = made.of.kind === "literal" && /^[0-9]/.test(inner[0] ?? "");
        return digits || made.of.kind === "arithmetic" ? ["-", "(", ...inner, ")"] : ["-", ...inner];
      }
      case "arithmetic": {
        const own = precedence[made.operator];
        const side = (of: Expression, least: number): string[] =>
          of.kind === "arithmetic" && precedence[of.operator] < least
            ? ["(", ...this.expression(of), ")"]
            : this.expression(of);
        return [...side(made.left, own), made.operator, ...side(made.right, own + 1)];
      }
    }
  }

  #literal(value: string | boolean | null | { readonly number: string }): string[] {
    if (value === null) return ["NULL"];
    if (typeof value === "boolean") return [value ? "TRUE" : "FALSE"];
    if (typeof value === "string") return [`'${value.replaceAll("'", "''")}'`];
    return value.number.startsWith("-") ? ["-", value.number.slice(1)] : [value.number];
  }

  path(made: PathExpression): string[] {
    return pathTokens(made.steps);
  }

  condition(made: Condition): string[] {
    const word = (keyword: string): string[] => this.#words(keyword);
    switch (made.kind) {
      case "compare":
        return [...this.expression(made.left), made.operator, ...this.expression(made.right)];
      case "like":
        return [...this.expression(made.left), ...word("LIKE"), ...this.expression(made.pattern)];
      case "in":
        return [
          ...this.expression(made.left),
          ...word("IN"),
          ...inParentheses(made.list.map((e) => this.expression(e))),
        ];
      case "between": {
        const range = [...this.expression(made.low), ...word("AND"), ...this.expression(made.high)];
        return [...this.expression(made.left), ...word("BETWEEN"), ...range];
      }
      case "isNull":
        return [...this.expression(made.left), ...word(made.not ? "IS NOT NULL" : "IS NULL")];
      case "not":
        return this.#not(made.of);
      case "and":
      case "or": {
        const inner = made.all.map((one) => {
          const tokens = this.condition(one);
          return one.kind === "or" || one.kind === made.kind ? ["(", ...tokens, ")"] : tokens;
        });
        return list(inner, ...word(made.kind.toUpperCase()));
      }
    }
  }

  /** LIKE, IN and BETWEEN have their NOT inside; all others in front. */
  #not(of: Condition): string[] {
    const tokens = this.condition(of);
    if (of.kind === "and" || of.kind === "or") return [...this.#words("NOT"), "(", ...tokens, ")"];
    if (of.kind !== "like" && of.kind !== "in" && of.kind !== "between") {
      return [...this.#words("NOT"), ...tokens];
    }
    const left = this.expression(of.left);
    return [...left, ...this.#words("NOT"), ...tokens.slice(left.length)];
  }

  #clause(keyword: string, condition: Condition | null): string[] {
    return condition === null ? [] : [...this.#words(keyword), ...this.condition(condition)];
  }

  #paths(paths: readonly PathExpression[]): string[] {
    return inParentheses(paths.map((path) => this.path(path)));
  }

  #collection({ name: written }: CollectionName): string[] {
    const parts = written.split(".");
    const plain = parts.every((part) => isWord(part)) && !reserved.has((parts[0] ?? "").toUpperCase());
    return plain ? list(parts.map((part) => [part]), ".") : [quoted(written)];
  }

  #words(text: string): string[] {
    return text.split(" ").map((word) => this.#keywords(word));
  }
}

/** The tokens of a path with these steps. */
export function pathTokens(steps: PathExpression["steps"]): string[] {
  return steps.flatMap((step, i) => {
    if (step === "*each") return ["[", "*", "]"];
    if (typeof step === "number") return ["[", String(step), "]"];
    return i === 0 ? [name(step)] : [".", isWord(step) ? step : quoted(step)];
  });
}

function isWord(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(text);
}

function name(text: string): string {
  return isWord(text) && !reserved.has(text.toUpperCase()) ? text : quoted(text);
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

function list(parts: readonly string[][], separator = ","): string[] {
  return parts.flatMap((part, i) => i === 0 ? part : [separator, ...part]);
}

function inParentheses(parts: readonly string[][]): string[] {
  return ["(", ...list(parts), ")"];
}
