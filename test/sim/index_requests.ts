/** Indexes that come and go, by their routes and by the query language. */
import { brief, check, exactly, positionOf, refusedWrite, type Told } from "./answers.ts";
import type { Claim, Intent, Judged, Request } from "./requests.ts";
import { all } from "./requests.ts";
import { statement, writtenBy } from "./sql_requests.ts";
import type { State } from "./state.ts";
import { sameJson, valueAt } from "./state.ts";

export interface IndexMade {
  readonly collection: string;
  /** Nobody else's in the world. */
  readonly name: string;
  readonly unique: boolean;
  /** Members of the document. */
  readonly fields: readonly string[];
}

/** `way`: `POST /index`, which makes the collection, too, or a statement. */
export function createIndex(made: IndexMade, way: "route" | "sql"): Request {
  const { collection, name, unique, fields } = made;
  const intent: Intent = {
    documents: [],
    index: { collection, name, made: { unique, paths: fields.map((field) => [field]) } },
  };
  const sql = `CREATE ${unique ? "UNIQUE " : ""}INDEX ${name} ON "${collection}" (${
    fields.map((field) => `"${field}"`).join(", ")
  })`;
  const body = JSON.stringify({ collection, name, unique, path: fields.length === 1 ? fields[0] : fields });
  return {
    kind: "index",
    ask: way === "sql" ? statement(sql) : { method: "POST", path: "/index", body },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) {
        const expected = ["conflict", "collection_not_found", ...(unique ? ["duplicate_key"] : [])];
        const claims = answer.code === "duplicate_key" ? [duplicateOf(answer, made)] : [];
        return { writes: all([intent], refusedWrite(answer, expected)), reads: [], claims };
      }
      const message = way === "sql" ? writtenBy(answer).message : routeMessage(answer, name);
      check(message.startsWith(`Created index '${name}' on `), () => `another index: ${brief(answer)}`);
      return done(answer, intent);
    },
  };
}

function routeMessage(answer: Told, name: string): string {
  const { message, totalIndexes } = answer.body;
  check(
    typeof message === "string" && Number.isSafeInteger(totalIndexes) && Number(totalIndexes) > 0,
    () => `not the answer of an index: ${brief(answer)}`,
  );
  exactly(answer, { success: true, message, name, totalIndexes });
  return message as string;
}

/** Two documents that the index cannot have both. */
function duplicateOf(answer: Told, { collection, fields }: IndexMade): Claim {
  const { id, otherId } = answer.body;
  check(
    typeof id === "string" && typeof otherId === "string" && id !== otherId,
    () => `names no two documents: ${brief(answer)}`,
  );
  const keyOf = (state: State, of: string): unknown => {
    const json = state.document(collection, of)?.json;
    return json === undefined ? null : fields.map((field) => valueAt(json, [field]));
  };
  return {
    what: `${id} and ${otherId} of ${collection} have the same ${fields.join()}`,
    holds: (state) => keyOf(state, id) !== null && sameJson(keyOf(state, id), keyOf(state, otherId)),
  };
}

export function dropIndex(collection: string, name: string, way: "route" | "sql"): Request {
  const intent: Intent = { documents: [], index: { collection, name, made: null } };
  return {
    kind: "index",
    ask: way === "sql"
      ? statement(`DROP INDEX ${name} ON "${collection}"`)
      : { method: "DELETE", path: `/index/${collection}/${name}` },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) {
        const outcome = refusedWrite(answer, ["not_found", "collection_not_found"]);
        const gone = answer.code === "not_found" || answer.code === "collection_not_found";
        const claim: Claim = {
          what: `${collection} has no index ${name}`,
          holds: (state) => state.indexes(collection).every((index) => index.name !== name),
        };
        return { writes: all([intent], outcome), reads: [], claims: gone ? [claim] : [] };
      }
      const message = `Dropped index '${name}'`;
      if (way === "route") exactly(answer, { success: true, message, dropped: name });
      else check(writtenBy(answer).message === message, () => `another index: ${brief(answer)}`);
      return done(answer, intent);
    },
  };
}

function done(answer: Told, intent: Intent): Judged {
  check(answer.status === 200, () => `200 was expected: ${brief(answer)}`);
  const position = positionOf(answer);
  return {
    writes: [{ ...intent, outcome: "promised", position }],
    reads: [],
    end: { position, own: true },
  };
}
