/** `POST …/bulk?atomic=true`: all documents in one entry of the log, or none of them. */
import { DfdbError } from "../base/errors.ts";
import type { NewDocument } from "../engine/commands.ts";
import type { TransactionOperation } from "../engine/transaction.ts";
import { transaction } from "../engine/transaction.ts";
import { json } from "./answers.ts";
import type { ElementError } from "./bulk_load.ts";
import { bulkResult } from "./bulk_load.ts";
import type { DescribeFailure } from "./failures.ts";
import { wasRolledBack } from "./failures.ts";
import { writeOnce } from "./idempotency.ts";
import type { Turns } from "./turns.ts";
import type { HttpDependencies } from "./types.ts";

/** Throws for an element that is no document. */
export type ReadElement = (bytes: Uint8Array) => NewDocument;

/** What an atomic bulk needs beside its elements. */
export interface AtomicBulk {
  readonly dependencies: HttpDependencies;
  readonly request: Request;
  /** Its body. */
  readonly bytes: Uint8Array;
  readonly collection: string;
  readonly read: ReadElement;
  readonly turns: Turns;
  readonly describe: DescribeFailure;
  readonly startedMs: number;
}

export async function insertAtomically(bulk: AtomicBulk, elements: readonly Uint8Array[]): Promise<Response> {
  const { dependencies, request, bytes } = bulk, { clock } = dependencies;
  const tookMs = (): number => clock.monotonic() - bulk.startedMs;
  let errors: readonly ElementError[] = [];
  try {
    const { operations, errors: bad, first } = await readAll(bulk, elements);
    errors = bad;
    if (first !== null) throw first;
    const ids = operations.map(({ id }) => id);
    return await writeOnce(dependencies, request, bytes, transaction(operations), () => ({
      status: 200,
      headers: {},
      body: JSON.stringify(bulkResult({ ids, errors, atomic: true }, tookMs())),
    }));
  } catch (error) {
    if (errors.length === 0) errors = blamed(error, elements.length);
    const { status, body: { failedOpIndex: _, ...body }, headers } = bulk.describe(error);
    const end = { ids: [], errors, atomic: true, failed: true, rolledBack: wasRolledBack(error) };
    return json({ ...body, ...bulkResult(end, tookMs()) }, status, headers);
  }
}

interface AllRead {
  readonly operations: readonly TransactionOperation[];
  readonly errors: readonly ElementError[];
  /** The first of them. */
  readonly first: DfdbError | null;
}

/** Reads all elements, also when one is bad: a client that mends a bulk wants to know all that is wrong with it. */
async function readAll(
  { collection, read, turns }: AtomicBulk,
  elements: readonly Uint8Array[],
): Promise<AllRead> {
  const operations: TransactionOperation[] = [], errors: ElementError[] = [];
  let first: DfdbError | null = null;
  for (const [index, element] of elements.entries()) {
    try {
      const document = read(element);
      if (first === null) operations.push({ op: "insert", collection, ...document });
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      first ??= new DfdbError(error.code, `[${index}]: ${error.message}`, { details: error.details });
      errors.push({ index, error: error.message, code: error.code });
    }
    if (index % 16 === 15 && turns.due()) await turns.next();
  }
  return { operations, errors, first };
}

/** The element that the database refused; none when all of them together are to blame, or no one. */
function blamed(error: unknown, count: number): readonly ElementError[] {
  if (!(error instanceof DfdbError)) return [];
  const index = error.details["failedOpIndex"];
  return typeof index === "number" && index < count
    ? [{ index, error: error.message, code: error.code }]
    : [];
}
