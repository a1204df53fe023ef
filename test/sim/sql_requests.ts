/** Statements of the query language, as `POST /query` takes them. */
import type { Told } from "./answers.ts";
import { brief, check, isObject, isServerId, positionOf, refusedWrite } from "./answers.ts";
import { editedSum, kinds, sizeMax } from "./bodies.ts";
import type { Chance } from "./chance.ts";
import { counted } from "./field_requests.ts";
import { tokenOf } from "./history_tree.ts";
import type { Condition } from "./models.ts";
import { meets, stored } from "./models.ts";
import type { Claim, Content, Intent, Judged, Request } from "./requests.ts";
import { all, reading } from "./requests.ts";
import type { State, StoredJson } from "./state.ts";
import { sameJson } from "./state.ts";
import type { Ask, WrittenDocument } from "./types.ts";

/** All of them must hold; on `_id` it is the id that counts. */
export type Where =
  readonly (Condition & { readonly op: "=" | "<" | ">="; readonly value: string | number })[];

/** A condition or two, or one document. */
export function anyWhere(id: string, draw: Chance): Where {
  if (draw.flip(0.2)) return [{ field: "_id", op: "=", value: id }];
  const where: Where[number][] = [];
  if (draw.flip(0.8)) where.push({ field: "kind", op: "=", value: draw.pick(kinds) });
  if (where.length === 0 || draw.flip(0.5)) {
    where.push({ field: "size", op: draw.flip(0.5) ? "<" : ">=", value: draw.below(sizeMax) });
  }
  return where;
}

export function selected(state: State, collection: string, where: Where): readonly StoredJson[] {
  return state.documents(collection).filter(({ id, json }) =>
    where.every((one) => one.field === "_id" ? one.value === id : meets(json, one))
  );
}

function textOf(where: Where): string {
  const parts = where.map(({ field, op }) => `"${field}" ${op} ?`);
  return parts.length === 0 ? "" : ` WHERE ${parts.join(" AND ")}`;
}

export function statement(sql: string, params: readonly unknown[] = []): Ask {
  return { method: "POST", path: "/query", body: JSON.stringify({ sql, params }) };
}

/** The answer of a statement that writes: `message`, and how many documents. */
export function writtenBy(answer: Told): { readonly affected: number; readonly message: string } {
  const { success, count, affected, plan, executionTimeMs, message, documents, ...more } = answer.body;
  check(
    answer.status === 200 && success === true && count === 0 && Number.isSafeInteger(affected) &&
      typeof plan === "string" && typeof executionTimeMs === "number" && typeof message === "string" &&
      sameJson(documents, []) && Object.keys(more).length === 0,
    () => `not the answer of a statement that writes: ${brief(answer)}`,
  );
  return { affected: affected as number, message: message as string };
}

/** Of a statement: larger documents than fit in go another way. */
const textCharsMax = 1024 * 1024;

/** `INSERT` of whole documents; an id null: the server makes it. */
export function sqlInsert(
  collection: string,
  rows: readonly (Content & { readonly id: string | null })[],
): Request {
  const named = (made: string | null): readonly WrittenDocument[] =>
    rows.map(({ id, tag }) => ({ collection, id: id ?? made, tag }));
  const model: Intent["model"] = (before) => {
    const there = rows.find(({ id }) => id !== null && before.document(collection, id) !== null);
    if (there !== undefined) return `${there.id} was there before`;
    return rows.map(({ id, text }) => ({ collection, id, json: stored(text) }));
  };
  const intent: Intent = { documents: named(null), model };
  const sql = `INSERT INTO "${collection}" VALUES ${rows.map(({ text }) => text).join(", ")}`;
  const expected = sql.length > textCharsMax ? ["bad_request"] : ["duplicate_key"];
  return statementThatWrites(statement(sql), intent, expected, (answer) => {
    check(sql.length <= textCharsMax, () => `a statement of ${sql.length} characters is too long`);
    const { affected, message } = writtenBy(answer), position = positionOf(answer);
    const [, made = null] = /^Inserted document (.+)$/s.exec(message) ?? [];
    const one = rows.length === 1 ? rows[0] : undefined;
    const told = one === undefined
      ? message === `Inserted ${rows.length} document(s)`
      : one.id === null
      ? isServerId(made)
      : one.id === made;
    check(affected === rows.length && told, () => `not what was inserted: ${brief(answer)}`);
    return {
      writes: [{
        ...intent,
        documents: named(one === undefined ? null : made),
        outcome: "promised",
        position,
      }],
      reads: [],
      end: { position, own: true },
    };
  });
}

/** `UPDATE`: the tag of all that match, and by how much they grow. */
export function sqlUpdate(collection: string, where: Where, tag: string, more: number): Request {
  const sql = `UPDATE "${collection}" SET "tag" = ?, "sum" = '${editedSum}', "size" = "size" + ?${
    textOf(where)
  }`;
  const intent: Intent = {
    documents: [{ collection, id: null, tag }],
    model: (before) =>
      selected(before, collection, where).map(({ id, json }) => ({
        collection,
        id,
        json: { ...json, tag, sum: editedSum, size: Number(json["size"]) + more },
      })),
  };
  return sqlChange(
    statement(sql, [tag, more, ...where.map(({ value }) => value)]),
    collection,
    where,
    intent,
  );
}

/** `DELETE` of all that match. */
export function sqlDelete(collection: string, where: Where): Request {
  const sql = `DELETE FROM "${collection}"${textOf(where)}`;
  const intent: Intent = {
    documents: [],
    deletesIn: collection,
    model: (before) => selected(before, collection, where).map(({ id }) => ({ collection, id, json: null })),
  };
  return sqlChange(statement(sql, where.map(({ value }) => value)), collection, where, intent);
}

function sqlChange(ask: Ask, collection: string, where: Where, intent: Intent): Request {
  const none = sees(collection, where, "nothing", (found) => found.length === 0);
  return statementThatWrites(ask, intent, ["conflict"], (answer) => {
    const { affected, message } = writtenBy(answer),
      word = intent.deletesIn === undefined ? "Updated" : "Deleted";
    check(message === `${word} ${affected} document(s)`, () => `another message: ${brief(answer)}`);
    return counted(answer, intent, affected, none);
  });
}

function statementThatWrites(
  ask: Ask,
  intent: Intent,
  expected: readonly string[],
  done: (answer: Told) => Judged,
): Request {
  return {
    kind: "sql",
    ask,
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code === null) return done(answer);
      const outcome = refusedWrite(answer, [...expected, "query_timeout"]);
      return { writes: all([intent], outcome), reads: [] };
    },
  };
}

/** What a statement that reads asks for. */
export type Output = "documents" | "tags" | "count" | "groups" | "smallest";
export const outputs: readonly Output[] = ["documents", "tags", "count", "groups", "smallest"];

const most = 3;

/** `SELECT`: all of its rows are of one state that the node had. */
export function sqlSelect(collection: string, where: Where, output: Output): Request {
  const from = ` FROM "${collection}"${textOf(where)}`,
    sql = {
      documents: `SELECT *${from}`,
      tags: `SELECT _id, _etag, tag${from}`,
      count: `SELECT COUNT(*) AS n${from}`,
      groups: `SELECT kind, COUNT(*) AS n${from} GROUP BY kind ORDER BY kind`,
      smallest: `SELECT size${from} ORDER BY size LIMIT ${most}`,
    }[output];
  const ask = statement(sql, where.map(({ value }) => value));
  const expected = ["collection_not_found", "query_timeout", "busy"];
  return reading("select", "", expected, (answer) => {
    if (answer.code !== null) {
      const claim = { what: `there is no ${collection}`, holds: (state: State) => !state.has(collection) };
      return { reads: [], claims: answer.code === "collection_not_found" ? [claim] : [] };
    }
    const { success, count, affected, documents: rows, executionTimeMs, message } = answer.body;
    const wrong = (): string => `not the answer of a SELECT: ${brief(answer)}`;
    check(
      success === true && affected === 0 && message === null && typeof executionTimeMs === "number",
      wrong,
    );
    check(Array.isArray(rows) && rows.every(isObject) && count === rows.length, wrong);
    const same = (found: readonly StoredJson[]): boolean => isResult(output, found, rows);
    return { reads: [], claims: [sees(collection, where, JSON.stringify(rows).slice(0, 300), same)] };
  }, ask);
}

function isResult(
  output: Output,
  found: readonly StoredJson[],
  rows: readonly Readonly<Record<string, unknown>>[],
) {
  switch (output) {
    case "documents":
    case "tags": {
      const expected = new Map(found.map((one) => [one.id, one]));
      return rows.length === found.length && rows.every(({ _id, _etag, ...json }) => {
        const one = expected.get(String(_id));
        expected.delete(String(_id));
        if (one === undefined || tokenOf(one.entry) !== _etag) return false;
        return sameJson(json, output === "tags" ? { tag: one.json["tag"] } : one.json);
      });
    }
    case "count":
      return sameJson(rows, [{ n: found.length }]);
    case "groups": {
      const sums = new Map<unknown, number>();
      for (const { json: { kind } } of found) sums.set(kind, (sums.get(kind) ?? 0) + 1);
      return sameJson(
        rows,
        [...sums].sort(([a], [b]) => String(a) < String(b) ? -1 : 1).map(([kind, n]) => ({ kind, n })),
      );
    }
    case "smallest": {
      const sizes = found.map(({ json }) => Number(json["size"])).sort((a, b) => a - b);
      return sameJson(rows.map(({ size }) => size), sizes.slice(0, most)) &&
        rows.every(({ _id, size }) => found.some(({ id, json }) => id === _id && json["size"] === size));
    }
  }
}

function sees(
  collection: string,
  where: Where,
  rows: string,
  holds: (found: readonly StoredJson[]) => boolean,
): Claim {
  const conditions = where.map(({ field, op, value }) => `${field} ${op} ${value}`).join(" AND ");
  return {
    what: `${rows} is what ${collection} has where ${conditions === "" ? "all" : conditions}`,
    holds: (state) => holds(selected(state, collection, where)),
  };
}
