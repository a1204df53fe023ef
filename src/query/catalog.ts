/** What a query has to know of the database: facts, given by whoever asks. */
import { DfdbError } from "../base/errors.ts";
import type { CollectionName, Step } from "./ast.ts";
import { placeOf } from "./syntax_error.ts";

export interface QueryCatalog {
  /** Without regard to case. */
  collection(name: string): QueryCollection | null;
  names(): readonly string[];
}

export interface QueryCollection {
  readonly name: string;
  /** Table of the documents: `docs_3`. */
  readonly table: string;
  readonly documents: number;
  readonly indexes: readonly QueryIndex[];
}

export interface QueryIndex {
  readonly name: string;
  /** Table of the keys: `index_7`, columns k1, k2, ... and row. */
  readonly table: string;
  readonly paths: readonly (readonly Step[])[];
  readonly unique: boolean;
}

const namesShown = 20;

/** Throws `collection_not_found`, which names those that there are. */
export function knownCollection(catalog: QueryCatalog, name: CollectionName): QueryCollection {
  const found = catalog.collection(name.name);
  if (found !== null) return found;
  const names = catalog.names();
  const shown = names.slice(0, namesShown).join(", ") + (names.length > namesShown ? ", ..." : "");
  throw new DfdbError(
    "collection_not_found",
    `there is no collection ${JSON.stringify(name.name)}; ` +
      (names.length === 0 ? "there are none yet" : `there are: ${shown}`),
    { details: { at: name.at } },
  );
}

/** A statement that cannot be carried out as it stands; `at` is the place in its text, from 0. */
export function refusal(message: string, at: number): DfdbError {
  return new DfdbError("bad_request", message, { details: { at } });
}

/** The same error with line and column in place of `at`: for whoever knows the text. */
export function placedIn(text: string, thrown: unknown): unknown {
  if (!(thrown instanceof DfdbError) || typeof thrown.details["at"] !== "number") return thrown;
  const { at, ...others } = thrown.details;
  const { line, column } = placeOf(text, at as number);
  return new DfdbError(thrown.code, `${thrown.message} (line ${line}, column ${column})`, {
    details: { ...others, line, column },
    cause: thrown,
  });
}
