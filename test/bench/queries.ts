/** The queries of the bench, in the languages of dfdb, of PostgreSQL and of SQLite alone. */
import { locatorOf, states } from "./documents.ts";
import { collection } from "./load_types.ts";

export const queryNames = ["P11", "equality", "range", "group"] as const;
export type QueryName = typeof queryNames[number];

export interface BenchQuery {
  readonly what: string;
  readonly sql: string;
  readonly postgres: string;
  /** Over `docs(body)`. */
  readonly sqlite: string;
  /** Rows that it comes to, always. */
  readonly rows: number;
}

const rowsMax = 100, fareCentsMax = 200_000, rangeCents = 20_000;

export const benchQueries: Readonly<Record<QueryName, BenchQuery>> = {
  P11: {
    what: "look-up by a unique index",
    sql: `SELECT * FROM ${collection} WHERE pnr = ?`,
    postgres: `select body::text from ${collection} where body->>'pnr' = $1`,
    sqlite: "select body from docs where body ->> '$.pnr' = ?",
    rows: 1,
  },
  equality: {
    what: `equality through an index, LIMIT ${rowsMax}`,
    sql: `SELECT * FROM ${collection} WHERE status = ? LIMIT ${rowsMax}`,
    postgres: `select body::text from ${collection} where body->>'status' = $1 limit ${rowsMax}`,
    sqlite: `select body from docs where body ->> '$.status' = ? limit ${rowsMax}`,
    rows: rowsMax,
  },
  range: {
    what: `range through an index, LIMIT ${rowsMax}`,
    sql: `SELECT * FROM ${collection} WHERE fareCents >= ? AND fareCents < ? LIMIT ${rowsMax}`,
    postgres: `select body::text from ${collection} ` +
      `where (body->>'fareCents')::int >= $1 and (body->>'fareCents')::int < $2 limit ${rowsMax}`,
    sqlite:
      `select body from docs where body ->> '$.fareCents' >= ? and body ->> '$.fareCents' < ? limit ${rowsMax}`,
    rows: rowsMax,
  },
  group: {
    what: "GROUP BY over all orders",
    sql: `SELECT status, COUNT(*) AS orders, SUM(fareCents) AS fares FROM ${collection} GROUP BY status`,
    postgres:
      "select body->>'status' as status, count(*) as orders, sum((body->>'fareCents')::int) as fares " +
      `from ${collection} group by 1`,
    sqlite:
      "select body ->> '$.status' as status, count(*) as orders, sum(body ->> '$.fareCents') as fares " +
      "from docs group by 1",
    rows: states.length,
  },
};

/** What the queries but `group` go through. */
export const benchIndexes = [
  { path: "pnr", unique: true, postgres: "(body->>'pnr')", sqlite: "body ->> '$.pnr'" },
  { path: "status", unique: false, postgres: "(body->>'status')", sqlite: "body ->> '$.status'" },
  {
    path: "fareCents",
    unique: false,
    postgres: "((body->>'fareCents')::int)",
    sqlite: "body ->> '$.fareCents'",
  },
] as const;

/** By chance; each finds enough rows among `orders` numbered ones, of which there are 2,000 at least. */
export function parametersOf(name: QueryName, orders: number): readonly (string | number)[] {
  switch (name) {
    case "P11":
      return [locatorOf(below(orders))];
    case "equality":
      return [states[below(states.length)]!];
    case "range": {
      const from = below(fareCentsMax - rangeCents);
      return [from, from + rangeCents];
    }
    case "group":
      return [];
  }
}

function below(limit: number): number {
  return Math.floor(Math.random() * limit);
}
