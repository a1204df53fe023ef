/** What a statement of the query language says, as its author wrote it: names and types are not checked yet. */
import type { Comparison } from "../document/json_compare.ts";
import type { Step } from "../document/json_find.ts";

export type { Comparison, Step };

export type Statement = Select | Insert | Update | Delete | CreateIndex | DropIndex;

export interface Select {
  readonly kind: "select";
  readonly distinct: boolean;
  /** Null: `*`. */
  readonly items: readonly Item[] | null;
  readonly from: CollectionName;
  readonly joins: readonly Join[];
  readonly where: Condition | null;
  readonly groupBy: readonly PathExpression[];
  readonly having: Condition | null;
  readonly orderBy: readonly SortKey[];
  /** A literal or a parameter. */
  readonly limit: Expression | null;
  readonly offset: Expression | null;
}

/** `INSERT INTO c VALUES {json}, ...` or `INSERT INTO c (p, ...) VALUES (v, ...), ...`. */
export interface Insert {
  readonly kind: "insert";
  readonly into: CollectionName;
  readonly rows: { readonly documents: readonly JsonText[] } | {
    readonly paths: readonly PathExpression[];
    readonly tuples: readonly Tuple[];
  };
}

export interface Tuple extends At {
  readonly values: readonly Expression[];
}

/** The text of one JSON object, to the letter; that its braces and quotes match is all that was checked. */
export interface JsonText extends At {
  readonly text: string;
}

export interface Update {
  readonly kind: "update";
  readonly collection: CollectionName;
  readonly set: readonly { readonly path: PathExpression; readonly value: Expression }[];
  readonly where: Condition | null;
}

export interface Delete {
  readonly kind: "delete";
  readonly from: CollectionName;
  readonly where: Condition | null;
}

export interface CreateIndex {
  readonly kind: "createIndex";
  readonly unique: boolean;
  readonly name: string;
  readonly on: CollectionName;
  readonly paths: readonly PathExpression[];
}

export interface DropIndex {
  readonly kind: "dropIndex";
  readonly name: string;
  readonly on: CollectionName;
}

/** Where it begins in the text, UTF-16 units from 0: for messages. */
export interface At {
  readonly at: number;
}

export interface CollectionName extends At {
  /** As written; compared without regard to case. */
  readonly name: string;
}

export interface Item extends At {
  readonly value: Expression;
  /** The key in the result: the name after AS, else the text as written, without spaces in it beyond those in strings. */
  readonly name: string;
}

export interface Join {
  readonly type: "inner" | "left" | "right" | "cross";
  readonly with: CollectionName;
  /** Pairs that must be equal; none for a cross join. */
  readonly on: readonly { readonly left: PathExpression; readonly right: PathExpression }[];
}

export interface SortKey {
  readonly by: Expression;
  readonly descending: boolean;
}

export interface PathExpression extends At {
  readonly kind: "path";
  /** At least one, the first is a name. In a join the first may be that of a collection. */
  readonly steps: readonly Step[];
  /** As written. */
  readonly text: string;
}

export type Expression =
  | PathExpression
  | (At & { readonly kind: "literal"; readonly value: Literal })
  /** `?` counts from 0 by place in the text, `:name` by name. */
  | (At & { readonly kind: "parameter"; readonly name: number | string })
  | (At & { readonly kind: "call"; readonly name: FunctionName; readonly args: readonly Expression[] })
  | (At & { readonly kind: "aggregate"; readonly name: AggregateName; readonly of: Expression | null })
  | (At & {
    readonly kind: "arithmetic";
    readonly operator: "+" | "-" | "*" | "/" | "%";
    readonly left: Expression;
    readonly right: Expression;
  })
  | (At & { readonly kind: "minus"; readonly of: Expression });

/** A number keeps its text: `1e400` and `9007199254740993` are told apart from what a double makes of them. */
export type Literal = string | boolean | null | { readonly number: string };

/** In upper case, synonyms resolved: GETDATE and CURRENT_TIMESTAMP are NOW, IFNULL is COALESCE. */
export type FunctionName = "NEWID" | "NOW" | "LOWER" | "UPPER" | "LENGTH" | "TRIM" | "COALESCE";

/** `COUNT` of null is `COUNT(*)`. */
export type AggregateName = "COUNT" | "SUM" | "AVG" | "MIN" | "MAX";

export type Condition =
  | (At & {
    readonly kind: "compare";
    readonly operator: Comparison;
    readonly left: Expression;
    readonly right: Expression;
  })
  | (At & { readonly kind: "like"; readonly left: Expression; readonly pattern: Expression })
  | (At & { readonly kind: "in"; readonly left: Expression; readonly list: readonly Expression[] })
  | (At & {
    readonly kind: "between";
    readonly left: Expression;
    readonly low: Expression;
    readonly high: Expression;
  })
  | (At & { readonly kind: "isNull"; readonly left: Expression; readonly not: boolean })
  | (At & { readonly kind: "and" | "or"; readonly all: readonly Condition[] })
  | (At & { readonly kind: "not"; readonly of: Condition });
