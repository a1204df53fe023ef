import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { DocumentLimits } from "../document/json_text.ts";
import { documentBody } from "../document/json_text.ts";
import type { At, Insert } from "../query/ast.ts";
import type { Inputs } from "../query/compile_slots.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Engine } from "./engine.ts";
import type { Committed } from "./plan.ts";
import { placed, tupleBody } from "./query_write_values.ts";
import type { TransactionOperation } from "./transaction.ts";
import { transaction } from "./transaction.ts";

export interface InsertParts {
  readonly engine: Pick<Engine, "submit">;
  readonly clock: Clock;
  readonly newId: () => DocumentId;
  readonly documentLimits: DocumentLimits;
}

/** Longest work on the rows before others get their turn. */
const turnMs = 10;

/** Inserts all rows in one entry, or none; answers their ids. */
export async function insertRows(
  parts: InsertParts,
  { into, rows }: Insert,
  inputs: Inputs,
  signal: AbortSignal,
): Promise<Committed<readonly DocumentId[]>> {
  const { engine, clock, newId, documentLimits } = parts;
  const places: readonly At[] = "documents" in rows ? rows.documents : rows.tuples;
  const operations: TransactionOperation[] = [];
  let begunMs = clock.monotonic(), bytes = 0;
  for (const [i, place] of places.entries()) {
    const made = "documents" in rows
      ? fromJson(rows.documents[i]!.text, place.at, documentLimits)
      : tupleBody(rows.paths, rows.tuples[i]!, inputs, documentLimits);
    operations.push({ op: "insert", collection: into.name, id: made.id ?? newId(), body: made.body });
    bytes += made.body.length;
    if (bytes > limits.entryBytesMax) throw tooMuch();
    if (i % 16 !== 15 || clock.monotonic() - begunMs < turnMs) continue;
    await new Promise<void>((resolve) => clock.macrotask(resolve));
    signal.throwIfAborted();
    begunMs = clock.monotonic();
  }
  try {
    const { position } = await engine.submit(transaction(operations));
    return { value: operations.map(({ id }) => id), position };
  } catch (error) {
    throw blamed(error, operations, places);
  }
}

function fromJson(text: string, at: number, documentLimits: DocumentLimits) {
  try {
    return documentBody(utf8(text), documentLimits);
  } catch (error) {
    throw placed(error, at);
  }
}

/** The error of the transaction as one of the statement: with the place of the row. */
function blamed(error: unknown, operations: readonly TransactionOperation[], places: readonly At[]): unknown {
  if (!(error instanceof DfdbError)) return error;
  const { failedOpIndex, operation = failedOpIndex, ...others } = error.details;
  const row = typeof operation === "number" ? operation : operations.length;
  const at = places[row]?.at, id = operations[row]?.id;
  const details = at === undefined ? others : { ...others, at, ...(id === undefined ? {} : { id }) };
  if (error.code === "payload_too_large" && at === undefined) return tooMuch();
  return new DfdbError(error.code, duplicateMessage(error), { details, cause: error });
}

/** Clients look for the words. */
export function duplicateMessage({ code, message }: DfdbError): string {
  return code === "duplicate_key" && !message.includes("Duplicate key")
    ? `Duplicate key: ${message}`
    : message;
}

/** What a statement is told that would write more than one entry of the log holds. */
export function tooMuch(): DfdbError {
  return new DfdbError(
    "payload_too_large",
    `The statement writes more than the ${limits.entryBytesMax} bytes that one entry of the log may have, so it cannot be all or ` +
      "nothing; nothing was written. Write less at a time: fewer rows, or a narrower WHERE",
    { details: { bytesMax: limits.entryBytesMax } },
  );
}
