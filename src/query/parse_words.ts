import type { AggregateName, FunctionName } from "./ast.ts";
import { queryLimits } from "./syntax_error.ts";

/** A function: its name in the AST and how many arguments it takes. */
export interface FunctionFacts {
  readonly name: FunctionName;
  readonly min: number;
  readonly max: number;
}

/** Words with a meaning that may still be names where a name stands. */
const freeWords = ["INSERT", "INTO", "UPDATE", "DELETE", "CREATE", "UNIQUE", "INDEX", "DROP", "OUTER"];

const reservedWords = [
  ...["SELECT", "DISTINCT", "FROM", "WHERE", "GROUP", "BY", "HAVING", "ORDER", "ASC", "DESC", "LIMIT"],
  ...[
    "OFFSET",
    "AS",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "CROSS",
    "ON",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS",
    "LIKE",
  ],
  ...["BETWEEN", "NULL", "TRUE", "FALSE", "VALUES", "SET", "CASE", "CURRENT_TIMESTAMP"],
];

/** Upper-case words that are names only in double quotes, or after a dot or AS. */
export const reserved: ReadonlySet<string> = new Set(reservedWords);

const keywords: ReadonlyMap<string, string> = new Map(
  [...freeWords, ...reservedWords].flatMap((word) => [[word, word], [word.toLowerCase(), word]]),
);
const keywordCharsMax = Math.max(...[...keywords.keys()].map((word) => word.length));

/** The keyword that an ASCII word is, in upper case; "" when it is none. */
export function keywordOf(word: string): string {
  const exact = keywords.get(word);
  if (exact !== undefined) return exact;
  return word.length <= keywordCharsMax ? keywords.get(word.toUpperCase()) ?? "" : "";
}

/** Upper case of A to Z alone: no other letter becomes one of a keyword. */
export function upperAscii(word: string): string {
  return word.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

const one = { min: 1, max: 1 }, none = { min: 0, max: 0 };
const several = { min: 2, max: queryLimits.functionArgumentsMax };

export const functions: ReadonlyMap<string, FunctionFacts> = new Map<string, FunctionFacts>([
  ["NEWID", { name: "NEWID", ...none }],
  ["NOW", { name: "NOW", ...none }],
  ["GETDATE", { name: "NOW", ...none }],
  ["CURRENT_TIMESTAMP", { name: "NOW", ...none }],
  ["LOWER", { name: "LOWER", ...one }],
  ["UPPER", { name: "UPPER", ...one }],
  ["LENGTH", { name: "LENGTH", ...one }],
  ["TRIM", { name: "TRIM", ...one }],
  ["COALESCE", { name: "COALESCE", ...several }],
  ["IFNULL", { name: "COALESCE", ...several }],
]);

export const aggregates: ReadonlyMap<string, AggregateName> = new Map(
  (["COUNT", "SUM", "AVG", "MIN", "MAX"] as const).map((name) => [name, name]),
);

/** All functions, for a message. */
export const functionNames = [...aggregates.keys(), ...functions.keys()].join(", ");

/** Functions of other databases: they are known, and there is no such thing here. */
export const foreignFunctions: ReadonlySet<string> = new Set([
  ...["GROUP_CONCAT", "STRING_AGG", "ARRAY_AGG", "JSON_AGG", "TOTAL", "MEDIAN", "STDDEV", "VARIANCE"],
  ...["ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"],
  ...[
    "CAST",
    "CONVERT",
    "EXISTS",
    "ANY",
    "ALL",
    "IF",
    "IIF",
    "NULLIF",
    "TYPEOF",
    "SUBSTR",
    "SUBSTRING",
    "REPLACE",
  ],
  ...[
    "CONCAT",
    "INSTR",
    "ROUND",
    "ABS",
    "FLOOR",
    "CEIL",
    "POWER",
    "RANDOM",
    "GREATEST",
    "LEAST",
    "ISNULL",
    "LEN",
  ],
  ...[
    "DATE",
    "TIME",
    "DATETIME",
    "STRFTIME",
    "JULIANDAY",
    "DATEADD",
    "DATEDIFF",
    "EXTRACT",
    "JSON",
    "JSON_EXTRACT",
  ],
]);

/** Words of SQL that mean something this language has not, with what a message calls it. */
export const unsupported: ReadonlyMap<string, string> = new Map([
  ...words("UNION INTERSECT EXCEPT CASE EXISTS CAST ILIKE REGEXP GLOB ESCAPE COLLATE RETURNING FETCH WITH"),
  ...words(
    "LATERAL USING EXPLAIN PRAGMA ATTACH DETACH VACUUM ANALYZE ALTER TRUNCATE MERGE REPLACE GRANT REVOKE",
  ),
  ...words("BEGIN COMMIT ROLLBACK SAVEPOINT TABLE VIEW TRIGGER SCHEMA DATABASE COLLECTION"),
  ["FULL", "FULL JOIN"],
  ["NATURAL", "NATURAL JOIN"],
  ["WHEN", "CASE"],
  ["OVER", "OVER (a window function)"],
  ["FILTER", "FILTER after an aggregate"],
  ["WINDOW", "WINDOW"],
  ["NULLS", "NULLS FIRST or LAST"],
  ["CONFLICT", "ON CONFLICT"],
  ["IF", "IF EXISTS or IF NOT EXISTS"],
  ["DEFAULT", "DEFAULT VALUES"],
]);

function words(text: string): [string, string][] {
  return text.split(" ").map((word) => [word, word]);
}
