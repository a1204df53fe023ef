/** `POST /query`: one statement of the query language, with parameters. Which gate it goes through is what the statement says. */
import { assert } from "../base/assert.ts";
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { objectMembers } from "../document/json_members.ts";
import { checkNesting } from "../document/json_scan.ts";
import { compactValue } from "../document/json_value.ts";
import type { SubmitOnce } from "../engine/query_types.ts";
import type { QueryParameters } from "../query/compile_slots.ts";
import { isSelect, parse } from "../query/parse.ts";
import { requireScope } from "./access.ts";
import { readBody } from "./body.ts";
import type { DescribeFailure } from "./failures.ts";
import { failureAnswer } from "./failures.ts";
import { idempotencyKey, writeUnder } from "./idempotency.ts";
import { readQuery, streamQuery } from "./query.ts";
import { queryAnswer, wholeText } from "./query_answer.ts";
import { QueryConflicts } from "./query_conflicts.ts";
import type { Gates, Handler, Route } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

/** What a statement may take beside a document among its parameters. */
const statementBytes = 4 * 1024 * 1024;

interface Asked {
  readonly sql: string;
  readonly parameters: QueryParameters;
  readonly ndjson: boolean;
}

export function queryRoute(
  dependencies: HttpDependencies,
  { onRead, onWrite }: Gates,
  describe: DescribeFailure,
): Route {
  const { limits } = dependencies, inConflict = new QueryConflicts(dependencies.storage);
  const bodyBytesMax = Math.min(limits.bodyBytesMax, limits.documentBytesMax + statementBytes);
  const post: Handler = async (c) => {
    const request = c.req.raw;
    try {
      const sent = await readBody(request, bodyBytesMax);
      const asked = readAsked(request, sent, limits.nestingMax);
      const run: Handler = (context) =>
        carryOut(dependencies, describe, asked, sent, inConflict, context.req.raw);
      if (isSelect(asked.sql)) return await onRead(run)(c);
      requireScope(c, "write");
      parse(asked.sql); // what is wrong with it is said here, not by the leader
      // The body was read to know what it is: to be passed on it must be there again.
      const { url, method, headers } = request;
      c.req.raw = new Request(url, { method, headers, body: sent as Uint8Array<ArrayBuffer> });
      return await onWrite(run)(c);
    } catch (error) {
      return refusal(describe, error);
    }
  };
  return { path: "/query", post };
}

async function carryOut(
  dependencies: HttpDependencies,
  describe: DescribeFailure,
  { sql, parameters, ndjson }: Asked,
  sent: Uint8Array,
  inConflict: QueryConflicts,
  request: Request,
): Promise<Response> {
  const conflicts = (): number => inConflict.of(sql);
  const { queries, clock } = dependencies, startedMs = clock.monotonic();
  let gone: AbortController | null = null;
  const leave = (): void => gone?.abort(new DfdbError("closing", "The client has gone"));
  const signal = (): AbortSignal => {
    if (gone !== null) return gone.signal;
    gone = new AbortController();
    request.signal.addEventListener("abort", leave, { once: true });
    if (request.signal.aborted) leave();
    return gone.signal;
  };
  const tookMs = (): number => Math.round((clock.monotonic() - startedMs) * 100) / 100;
  const key = idempotencyKey(request);
  const once: SubmitOnce = async (plan, finish) => {
    assert(key !== null, "only who has a key asks for it");
    throw new AnsweredOnce(
      await writeUnder(
        dependencies,
        request,
        key,
        sent,
        plan,
        (value, _, operations) => wholeText(finish(value, operations), [], { ndjson, tookMs, conflicts }),
      ),
    );
  };
  try {
    const options = { parameters, signal, ...(key === null ? {} : { once }) };
    const answer = await queries.run(sql, options);
    return await queryAnswer(answer, { ndjson, describe, leave, tookMs, conflicts });
  } catch (thrown) {
    if (thrown instanceof AnsweredOnce) return thrown.answer;
    throw thrown;
  }
}

/** Brings the answer of a statement that writes, as it is remembered, past all who would make another one. */
class AnsweredOnce extends Error {
  readonly answer: Response;

  constructor(answer: Response) {
    super("the statement is answered");
    this.answer = answer;
  }
}

/** That a collection is not there is here what is wrong with the statement. */
function refusal(describe: DescribeFailure, error: unknown): Response {
  const failure = describe(error);
  const unknown = error instanceof DfdbError && error.code === "collection_not_found";
  return failureAnswer(unknown ? { ...failure, status: 400 } : failure);
}

function readAsked(request: Request, sent: Uint8Array, nestingMax: number): Asked {
  const stream = request.url.includes("?") && readQuery(request, streamQuery).stream;
  const ndjson = stream || (request.headers.get("accept") ?? "").includes("application/x-ndjson");
  const { sql, params = null } = compactMembers(sent, nestingMax) ?? checkedMembers(sent, nestingMax);
  if (typeof sql !== "string" || sql.trim() === "") {
    throw new DfdbError("bad_request", '"sql" must be a string with one statement');
  }
  if (typeof params !== "object") {
    throw new DfdbError("bad_request", '"params" must be an array, for ?, or an object, for :name');
  }
  return { sql, parameters: params as QueryParameters | null ?? [], ndjson };
}

interface Members {
  readonly sql?: unknown;
  readonly params?: unknown;
}

/** Of a body which a writer of JSON would write as it is, so that the parser lost nothing; null: it has to be looked at. */
function compactMembers(sent: Uint8Array, nestingMax: number): Members | null {
  try {
    const text = utf8Text(sent);
    checkNesting(text, nestingMax + 2);
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject && JSON.stringify(value) === text ? value : null;
  } catch {
    return null; // what is wrong with it, or whether anything is, is for who looks at each member
  }
}

function checkedMembers(sent: Uint8Array, nestingMax: number): Members {
  const members = objectMembers(sent), sql = members.get("sql"), params = members.get("params");
  return {
    sql: sql === undefined ? undefined : parsed(sql, "sql", 1),
    params: params === undefined ? undefined : parsed(params, "params", nestingMax + 1),
  };
}

/** As documents are read: a key that is given twice, or a number that would not be kept, is refused. */
function parsed(bytes: Uint8Array, name: string, nestingMax: number): unknown {
  let text: string;
  try {
    text = utf8Text(bytes);
  } catch (cause) {
    throw new DfdbError("bad_request", `"${name}" is not valid UTF-8`, { cause });
  }
  try {
    return JSON.parse(compactValue(text, nestingMax));
  } catch (error) {
    if (!(error instanceof DfdbError)) throw error;
    throw new DfdbError(error.code, `"${name}": ${error.message}`, { details: error.details, cause: error });
  }
}
