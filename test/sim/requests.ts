/** What clients ask about single documents and whole collections, and what the answers mean. */
import { damage, isEdited } from "./bodies.ts";
import type { Json, Outcome, Told } from "./answers.ts";
import {
  brief,
  check,
  exactly,
  isObject,
  placeOf,
  positionOf,
  refusedRead,
  refusedWrite,
} from "./answers.ts";
import type { Ask, ReadSeen, RefusedRead, StateSeen, Write, WrittenDocument } from "./types.ts";
import { sameJson } from "./state.ts";
import type { RequestKind } from "./workload.ts";

/** A change that a request asks for: one entry of the log. */
export interface Intent
  extends Pick<Write, "ifMatch" | "drops" | "model" | "once" | "repeated" | "index" | "deletesIn"> {
  readonly documents: readonly WrittenDocument[];
}

/** What became of it. */
export interface JudgedWrite extends Intent {
  readonly outcome: Outcome;
  readonly position: string | null;
}

export type Seen = Pick<ReadSeen, "collection" | "id" | "seen" | "notBefore">;

/** What must have been so at some time. */
export type Claim = Pick<StateSeen, "what" | "holds" | "making">;

/** What an answer says. */
export interface Judged {
  readonly writes: readonly JudgedWrite[];
  readonly reads: readonly Seen[];
  readonly claims?: readonly Claim[];
  /** The log's end that the answer told; `own`: the request wrote something, so it is new. */
  readonly end?: { readonly position: string; readonly own: boolean };
  /** The position that was asked for is not there. */
  readonly behind?: Pick<RefusedRead, "position" | "code">;
  /** The document's etag as a 412 told it. */
  readonly actual?: string | null;
}

export interface Request {
  readonly kind: RequestKind;
  readonly ask: Ask;
  /** Empty for a read. */
  readonly intents: readonly Intent[];
  /** What became of the intents when no answer came. */
  readonly whenLost: "unknown" | "refused";
  /** It is for the leader although it names nothing that it writes. */
  readonly writes?: true;
  /** Throws Violation for an answer that can never be. */
  judge(answer: Told): Judged;
}

export interface Target {
  readonly collection: string;
  readonly id: string;
}

/** A document to send: its tag, and the body's text. */
export interface Content {
  readonly tag: string;
  readonly text: string;
}

/** What must hold for the write: this etag, no document, any document; null: nothing. */
export type Demand = { readonly etag: string } | "absent" | "present" | null;

export function pathOf({ collection, id }: Target): string {
  return `/collections/${collection}/${encodeURIComponent(id)}`;
}

/** The same outcome for all intents. */
export function all(intents: readonly Intent[], outcome: Outcome): readonly JudgedWrite[] {
  return intents.map((intent) => ({ ...intent, outcome, position: null }));
}

export function demandHeaders(demand: Demand): Readonly<Record<string, string>> {
  if (demand === null) return {};
  if (demand === "absent") return { "if-none-match": "*" };
  return { "if-match": demand === "present" ? "*" : `"${demand.etag}"` };
}

export function isEtag(demand: Demand): demand is { readonly etag: string } {
  return typeof demand === "object" && demand !== null;
}

/** An error that answers a write of one document; `expected`: codes that it may meet besides those of its precondition. */
export function judgeRefusal(
  answer: Told,
  target: Target,
  intent: Intent,
  demand: Demand,
  expected: readonly string[],
): Judged {
  const own = isEtag(demand) || demand === "absent" ? ["precondition_failed"] : [];
  const missing = demand === "present" ? ["not_found"] : [];
  const outcome = refusedWrite(answer, [...own, ...missing, ...expected]);
  const reads = answer.code === "not_found" ? [{ ...target, seen: null }] : [];
  const judged = { writes: all([intent], outcome), reads };
  if (answer.code !== "precondition_failed") return judged;
  const { expected: demanded, actual } = answer.body;
  if (actual !== null) placeOf(actual);
  check(
    isEtag(demand)
      ? demanded === demand.etag && actual !== demand.etag
      : demanded === null && actual !== null && actual !== undefined,
    () => `a precondition failed that was ${JSON.stringify(demand)}: ${brief(answer)}`,
  );
  return { ...judged, actual: actual as string | null };
}

/** `PUT`: creates or replaces, as `demand` allows. */
export function put(kind: RequestKind, target: Target, { tag, text }: Content, demand: Demand): Request {
  const intent: Intent = {
    documents: [{ ...target, tag }],
    ...(isEtag(demand) ? { ifMatch: demand.etag } : {}),
  };
  return {
    kind,
    ask: { method: "PUT", path: pathOf(target), body: text, headers: demandHeaders(demand) },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) return judgeRefusal(answer, target, intent, demand, []);
      const status = demand === null ? answer.status : demand === "absent" ? 201 : 200;
      check(
        answer.status === status,
        () => `created or replaced, against ${JSON.stringify(demand)}: ${brief(answer)}`,
      );
      return written(answer, target, intent);
    },
  };
}

/** `POST /collections/{c}`; `id` null: the server makes one. */
export function insert(collection: string, id: string | null, { tag, text }: Content): Request {
  const intent: Intent = { documents: [{ collection, id, tag }] };
  return {
    kind: "insert",
    ask: { method: "POST", path: `/collections/${collection}`, body: text },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) {
        const outcome = refusedWrite(answer, id === null ? [] : ["duplicate_key"]);
        return { writes: all([intent], outcome), reads: [] };
      }
      const made = answer.body["id"];
      check(answer.status === 201, () => `an insert created nothing: ${brief(answer)}`);
      check(
        id !== null || (typeof made === "string" && /^[0-9a-f]{32}$/.test(made)),
        () => `not an id of a server: ${brief(answer)}`,
      );
      const target = { collection, id: id ?? made as string };
      return written(answer, target, { documents: [{ ...target, tag }] });
    },
  };
}

/** The answer of a PUT or POST that wrote. */
export function written(answer: Told, target: Target, intent: Intent): Judged {
  const position = positionOf(answer), { collection, id } = target;
  exactly(answer, { success: true, id, collection, etag: position });
  const location = answer.headers.get("location");
  check(
    location === (answer.status === 201 ? pathOf(target) : null),
    () => `Location is ${location}: ${brief(answer)}`,
  );
  return {
    writes: [{ ...intent, outcome: "promised", position }],
    reads: [],
    end: { position, own: true },
  };
}

/** `DELETE` of a document. */
export function remove(target: Target, demand: Exclude<Demand, "absent">): Request {
  const intent: Intent = {
    documents: [{ ...target, tag: null }],
    ...(isEtag(demand) ? { ifMatch: demand.etag } : {}),
  };
  return {
    kind: "remove",
    ask: { method: "DELETE", path: pathOf(target), headers: demandHeaders(demand) },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) {
        return judgeRefusal(answer, target, intent, demand, isEtag(demand) ? [] : ["not_found"]);
      }
      return wrote(answer, { success: true }, intent);
    },
  };
}

/** `DELETE` of a collection. */
export function drop(collection: string): Request {
  const intent: Intent = { documents: [], drops: collection };
  return {
    kind: "drop",
    ask: { method: "DELETE", path: `/collections/${collection}`, headers: { "x-confirm": "true" } },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code === null) return wrote(answer, { success: true, dropped: collection }, intent);
      return { writes: all([intent], refusedWrite(answer, ["not_found"])), reads: [] };
    },
  };
}

export function wrote(answer: Told, body: Json, intent: Intent): Judged {
  check(answer.status === 200, () => `200 was expected: ${brief(answer)}`);
  exactly(answer, body);
  const position = positionOf(answer);
  return {
    writes: [{ ...intent, outcome: "promised", position }],
    reads: [],
    end: { position, own: true },
  };
}

/** `GET` of a document: its text must be whole. */
export function get(target: Target): Request {
  return reading("get", pathOf(target), ["not_found"], (answer) => {
    if (answer.code !== null) return [{ ...target, seen: null }];
    const etag = answer.headers.get("etag")?.slice(1, -1), { tag } = answer.body;
    placeOf(etag);
    const head = `{"_id":${JSON.stringify(target.id)},"_etag":"${etag}",`;
    check(
      answer.text.startsWith(head) && answer.headers.get("etag") === `"${etag}"`,
      () => `a document does not begin with ${head}: ${brief(answer)}`,
    );
    const stored = `{${answer.text.slice(head.length)}`,
      wrong = isEdited(answer.body) ? null : damage(stored);
    check(wrong === null, () => `${pathOf(target)} is damaged: ${wrong}`);
    const reads = [{ ...target, seen: { tag: tag as string, etag: etag as string } }];
    return isEdited(answer.body) ? { reads, claims: [isThere(target, JSON.parse(stored) as Json)] } : reads;
  });
}

/** The document is this one. */
function isThere({ collection, id }: Target, json: Json): Claim {
  return {
    what: `${collection}/${id} is ${JSON.stringify(json).slice(0, 300)}`,
    holds: (state) => sameJson(state.document(collection, id)?.json, json),
  };
}

/** `GET` of a document on a machine that said that it holds `position`. */
export function getAfter(target: Target, position: string): Request {
  const { ask, judge, ...rest } = get(target);
  return {
    ...rest,
    ask: { ...ask, headers: { "x-dfdb-min-position": position } },
    judge(answer) {
      const { code } = answer;
      if (code === "position_lost" || code === "not_caught_up") {
        return { writes: [], reads: [], behind: { position, code } };
      }
      const { reads, ...judged } = judge(answer);
      return { ...judged, reads: reads.map((read) => ({ ...read, notBefore: position })) };
    },
  };
}

/** A page of a collection's documents; `ids`: those that are missed where the page is the whole list. */
export function list(collection: string, limit: number, ids: readonly string[]): Request {
  const path = `/collections/${collection}?limit=${limit}`;
  return reading("list", path, [], ({ body, text, status }) => {
    const { documents, count, next } = body;
    const is = (holds: boolean): void => check(holds, () => `not a list: ${brief({ status, text })}`);
    is(body["collection"] === collection && Array.isArray(documents) && count === documents.length);
    const found = documents as readonly unknown[], seen = found.map((one) => listed(collection, one));
    is(found.length <= limit && (next === undefined || (typeof next === "string" && /^\d+$/.test(next))));
    const there = new Set(seen.map(({ id }) => id));
    // One slice is one state; over several a document may go and come again at the end.
    is(there.size === found.length || found.length > 500 || text.length > 1_000_000);
    if (next !== undefined) return seen;
    return [...seen, ...ids.filter((id) => !there.has(id)).map((id) => ({ collection, id, seen: null }))];
  });
}

function listed(collection: string, one: unknown): Seen {
  check(isObject(one), () => `a list holds what is no document: ${JSON.stringify(one)}`);
  const { _id: id, _etag: etag, tag } = one;
  placeOf(etag);
  check(
    typeof id === "string" && typeof tag === "string",
    () => `a listed document has no id or tag: ${JSON.stringify(one).slice(0, 200)}`,
  );
  return { collection, id, seen: { tag, etag: etag as string } };
}

/** Kept counts of all collections. */
export function count(): Request {
  return reading("count", "/stats", [], ({ body, text, status }) => {
    const { collections, position } = body;
    const is = (holds: boolean): void => check(holds, () => `no figures: ${brief({ status, text })}`);
    placeOf(position);
    is(Array.isArray(collections));
    for (const one of collections as readonly unknown[]) {
      is(isObject(one) && typeof one["name"] === "string");
      const documents = (one as Json)["documentCount"];
      is(Number.isSafeInteger(documents) && Number(documents) >= 0);
    }
    return [];
  });
}

/** A request that changes nothing; `expected`: codes that it may meet. */
export function reading(
  kind: RequestKind,
  path: string,
  expected: readonly string[],
  see: (answer: Told) => readonly Seen[] | Pick<Judged, "reads" | "claims">,
  ask: Ask = { method: "GET", path },
): Request {
  return {
    kind,
    ask,
    intents: [],
    whenLost: "refused",
    judge(answer) {
      if (answer.code !== null) refusedRead(answer, expected);
      else check(answer.status === 200, () => `200 was expected: ${brief(answer)}`);
      const seen = answer.code === null || expected.includes(answer.code) ? see(answer) : [];
      return { writes: [], ...("reads" in seen ? seen : { reads: seen }) };
    },
  };
}
