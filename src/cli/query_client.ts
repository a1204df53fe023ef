/** Statements of the query language sent to a node or a file: rows as they come, and what is told around them. */
import { DfdbError } from "../base/errors.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf, numberIn, textIn } from "./fields.ts";
import { errorOfBody } from "./http_client.ts";
import type { Target } from "./target.ts";

export interface QueryFacts {
  readonly plan: string | null;
  /** Rows; documents written or deleted; null: not told. */
  readonly count: number | null;
  readonly affected: number | null;
  readonly message: string | null;
  readonly executionMs: number | null;
}

/** Parameters as they go into the request: JSON text of an array or an object; null: none. */
export type ParameterText = string | null;

/**
 * Calls `onRow` with the JSON text of each row, and reads on when its promise resolved. Rejects with what the node refused or broke
 * off with, the reason of `signal`, and what `onRow` rejects with.
 */
export async function runStatement(
  { name, client }: Target,
  { sql, parameters, onRow, signal }: {
    readonly sql: string;
    readonly parameters?: ParameterText;
    readonly onRow: (text: string) => void | Promise<void>;
    readonly signal?: AbortSignal;
  },
): Promise<QueryFacts> {
  const params = parameters == null ? "" : `,"params":${parameters}`;
  const lines = client.textLines("/query", `{"sql":${JSON.stringify(sql)}${params}}`, signal);
  let first: Fields | null = null, held: string | null = null;
  // A row may look like the last line, so each waits for the one after it.
  for await (const line of lines) {
    if (first === null) first = fieldsOf(read(name, line));
    else {
      if (held !== null) await onRow(held);
      held = line;
    }
  }
  if (first === null) throw brokenOff(name);
  if (first["kind"] !== "meta") return await wholeAnswer(name, first, onRow);
  const last = fieldsOf(held === null ? null : read(name, held));
  if (last["kind"] === "end") return factsOf({ ...first, ...last });
  throw (last["kind"] === "error" ? errorOfBody(name, last) : null) ?? brokenOff(name);
}

/** An answer that is not streamed. */
async function wholeAnswer(
  name: string,
  answer: Fields,
  onRow: (text: string) => void | Promise<void>,
): Promise<QueryFacts> {
  const { documents } = answer;
  if (!Array.isArray(documents)) {
    throw errorOfBody(name, answer) ??
      new DfdbError("bad_frame", `${name} does not answer as a dfdb node does`);
  }
  for (const document of documents) await onRow(JSON.stringify(document));
  return factsOf(answer);
}

function factsOf(fields: Fields): QueryFacts {
  return {
    plan: textIn(fields, "plan"),
    count: numberIn(fields, "count"),
    affected: numberIn(fields, "affected"),
    message: textIn(fields, "message"),
    executionMs: numberIn(fields, "executionTimeMs"),
  };
}

function read(name: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new DfdbError("bad_frame", `${name} does not answer as a dfdb node does`, { cause });
  }
}

const brokenOff = (name: string): DfdbError =>
  new DfdbError("unreachable", `the answer of ${name} broke off`);
