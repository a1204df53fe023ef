/** Statements that write: each is one entry of the log, all or nothing, or an index that comes or goes. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { DocumentLimits } from "../document/json_text.ts";
import type { Operation } from "../document/operation.ts";
import type { Condition, CreateIndex, DropIndex, PathExpression } from "../query/ast.ts";
import { knownCollection } from "../query/catalog.ts";
import { compileMatches } from "../query/compile.ts";
import { planName } from "../query/plan_name.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import { createIndex, dropIndex } from "./build_index.ts";
import type { Engine } from "./engine.ts";
import type { QueryAnswer, WriteContext, WriteStatement } from "./query_types.ts";
import type { Changed } from "./query_write_documents.ts";
import { changeDocuments } from "./query_write_documents.ts";
import { duplicateMessage, insertRows } from "./query_write_insert.ts";
import { checkSet } from "./query_write_values.ts";

export interface WriteStatementParts {
  readonly engine: Pick<Engine, "submit">;
  readonly storage: Storage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly newId: () => DocumentId;
  readonly documentLimits: DocumentLimits;
}

export function writeStatements(parts: WriteStatementParts): WriteStatement {
  return async (statement, context) => {
    if (context.readOnly) {
      throw new DfdbError("forbidden", "This statement writes, and only reading is allowed here");
    }
    try {
      switch (statement.kind) {
        case "insert": {
          const submitting = under(parts, context, (_, operations) => inserted(idsOf(operations), null));
          const { value, position } = await insertRows(submitting, statement, context.inputs, context.signal);
          return inserted(value, position);
        }
        case "update":
          checkSet(statement.set, context.inputs);
          return await changed(parts, context, {
            collection: statement.collection.name,
            where: statement.where,
            set: statement.set,
          });
        case "delete":
          return await changed(parts, context, {
            collection: statement.from.name,
            where: statement.where,
            set: null,
          });
        case "createIndex":
          return await indexCreated(parts, context, statement);
        case "dropIndex":
          return await indexDropped(parts, context, statement);
      }
    } catch (error) {
      throw error instanceof DfdbError && error.code === "duplicate_key"
        ? new DfdbError(error.code, duplicateMessage(error), { details: error.details, cause: error })
        : error;
    }
  };
}

/** The same, for an answer that is remembered. */
function under<Value>(
  parts: WriteStatementParts,
  { once }: WriteContext,
  finish: (value: Value, operations: readonly Operation[]) => QueryAnswer,
): WriteStatementParts {
  if (once === null) return parts;
  return { ...parts, engine: { submit: (plan) => once(plan, finish as Parameters<typeof once>[1]) } };
}

function inserted(ids: readonly DocumentId[], position: Position | null): QueryAnswer {
  const message = ids.length === 1 ? `Inserted document ${ids[0]}` : `Inserted ${ids.length} document(s)`;
  return written({ affected: ids.length, message, position });
}

function idsOf(operations: readonly Operation[]): readonly DocumentId[] {
  return operations.flatMap((operation) => operation.kind === "put" ? [operation.id] : []);
}

async function changed(
  parts: WriteStatementParts,
  context: WriteContext,
  change: Parameters<typeof changeDocuments>[1],
): Promise<QueryAnswer> {
  const word = change.set === null ? "Deleted" : "Updated";
  const answer = ({ affected, plan }: Changed, position: Position | null): QueryAnswer =>
    written({
      plan: plan ?? planOf(parts.storage, context, change.where, change.collection),
      affected,
      message: `${word} ${affected} document(s)`,
      position,
    });
  const submitting = under(parts, context, (done: Changed) => answer(done, null));
  const { value, position } = await changeDocuments(submitting, change, context);
  return answer(value, value.affected === 0 ? null : position);
}

/** What the search for the documents is called. */
function planOf(
  storage: Storage,
  context: WriteContext,
  where: Condition | null,
  collection: string,
): string {
  const catalog = context.catalog();
  if (catalog.collection(collection) === null) return "COLLECTION_SCAN";
  const { plan, sql, values } = compileMatches(where, collection, catalog, context.inputs.parameters);
  return planName(plan, storage.read((view) => view.explain(sql, values(context.inputs))));
}

async function indexCreated(
  parts: WriteStatementParts,
  context: WriteContext,
  { unique, name, on, paths }: CreateIndex,
): Promise<QueryAnswer> {
  knownCollection(context.catalog(), on);
  if (context.once !== null) {
    throw new DfdbError(
      "bad_request",
      "The making of an index is not remembered; send it without Idempotency-Key",
    );
  }
  const definition = { name, unique, time: false, paths: paths.map(({ steps }) => steps) };
  const made = await createIndex(parts, on.name, definition);
  const at = `${made.collection}(${paths.map(({ text }: PathExpression) => text).join(", ")})`;
  const message = `Created index '${made.name}' on ${at} with ${made.entries} entries`;
  return written({ message, position: made.position });
}

async function indexDropped(
  parts: WriteStatementParts,
  context: WriteContext,
  { name, on }: DropIndex,
): Promise<QueryAnswer> {
  knownCollection(context.catalog(), on);
  const answer = (dropped: string, position: Position | null): QueryAnswer =>
    written({ message: `Dropped index '${dropped}'`, position });
  const submitting = under(parts, context, (dropped: string) => answer(dropped, null));
  const dropped = await dropIndex(submitting, on.name, name);
  return answer(dropped.name, dropped.position);
}

interface Outcome {
  readonly plan?: string;
  readonly affected?: number;
  readonly message: string;
  readonly position: Position | null;
}

function written({ plan = "", affected = 0, message, position }: Outcome): QueryAnswer {
  return { plan, affected, message, position, whole: [], values: null, rows: noRows };
}

const noRows: QueryAnswer["rows"] = {
  async *[Symbol.asyncIterator]() {},
};
