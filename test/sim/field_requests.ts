/** Documents by the value of a field: `…/by/{field}/{value}`. */
import type { Told } from "./answers.ts";
import { brief, check, exactly, isObject, placeOf, positionOf, refusedWrite } from "./answers.ts";
import { editDone, editModel } from "./edit_requests.ts";
import type { Edit } from "./models.ts";
import type { Claim, Content, Intent, Judged, Request } from "./requests.ts";
import { all, reading } from "./requests.ts";
import { type Json, sameJson, type State, type StoredJson, valueAt } from "./state.ts";
import { stored } from "./models.ts";
import { tokenOf } from "./history_tree.ts";

/** Where a request looks, and what for. */
export interface Place {
  readonly collection: string;
  readonly field: string;
  /** As it is in the path: a number as its text. */
  readonly value: string;
}

function pathOf({ collection, field, value }: Place): string {
  return `/collections/${collection}/by/${field}/${encodeURIComponent(value)}`;
}

/** A text equals the number that is written so. */
export function isAt(json: Json, { field, value }: Pick<Place, "field" | "value">): boolean {
  const found = valueAt(json, [field]);
  return typeof found === "number" ? String(found) === value : found === value;
}

export function matching(state: State, place: Place): readonly StoredJson[] {
  return state.documents(place.collection, (json) => isAt(json, place));
}

/** What an answer says that found nothing; none where it found something. */
function nothing(answer: Told, place: Place): readonly Claim[] {
  const { collection } = place;
  if (answer.code === "collection_not_found") {
    return [{ what: `there is no ${collection}`, holds: (state) => !state.has(collection) }];
  }
  return answer.code === "not_found" ? [noneAt(place)] : [];
}

export function noneAt(place: Place): Claim {
  const { collection, field, value } = place;
  return {
    what: `nothing in ${collection} has ${value} in ${field}`,
    holds: (state) => matching(state, place).length === 0,
  };
}

const missing = ["not_found", "collection_not_found"], slow = ["query_timeout", "busy"];

/** `GET`: the first match. */
export function getBy(place: Place): Request {
  const { collection } = place;
  return reading("byField", pathOf(place), [...missing, ...slow], (answer) => {
    if (answer.code !== null) return { reads: [], claims: nothing(answer, place) };
    const { document, plan, executionTimeMs } = answer.body;
    const wrong = (): string => `not a document by its field: ${brief(answer)}`;
    check(isObject(document) && typeof plan === "string" && typeof executionTimeMs === "number", wrong);
    const { _id: id, _etag: etag, ...json } = document;
    placeOf(etag);
    check(typeof id === "string" && answer.body["collection"] === collection && isAt(json, place), wrong);
    const claim: Claim = {
      what: `${collection}/${id} (${etag}) has ${place.value} in ${place.field}`,
      holds(state) {
        const there = state.document(collection, id);
        return there !== null && tokenOf(there.entry) === etag && sameJson(there.json, json);
      },
    };
    return { reads: [], claims: [claim] };
  });
}

/** `PUT`: the first match is replaced. */
export function putBy(place: Place, { tag, text }: Content): Request {
  const { collection, field, value } = place;
  const documents = (id: string | null) => [{ collection, id, tag }];
  const intent: Intent = {
    documents: documents(null),
    model: (before) =>
      matching(before, place).length === 0
        ? noneAt(place).what
        : [{ collection, id: null, json: stored(text) }],
  };
  return changing(place, { method: "PUT", path: pathOf(place), body: text }, intent, (answer) => {
    const { id, plan } = answer.body, position = positionOf(answer);
    check(typeof id === "string" && typeof plan === "string", () => `nothing was replaced: ${brief(answer)}`);
    const matchedBy = answer.body["matchedBy"];
    check(sameJson(matchedBy, { field, value }), () => `matched by something else: ${brief(answer)}`);
    exactly(answer, { success: true, id, collection, matchedBy, plan });
    const model: Intent["model"] = (before) => {
      const there = before.document(collection, id);
      return there === null || !isAt(there.json, place)
        ? `${id} did not have ${value} in ${field}`
        : [{ collection, id, json: stored(text) }];
    };
    return {
      writes: [{ documents: documents(id), model, outcome: "promised", position }],
      reads: [],
      end: { position, own: true },
    };
  });
}

/** `PATCH`: the first match is changed. */
export function patchBy(place: Place, tag: string, edit: Edit): Request {
  const { collection } = place, intent: Intent = { documents: [{ collection, id: null, tag }] };
  const body = JSON.stringify("merge" in edit ? edit.merge : { $ops: edit.operations });
  return changing(
    place,
    { method: "PATCH", path: pathOf(place), body },
    intent,
    (answer) =>
      editDone(answer, { collection, id: null }, intent, (id) => (before) => {
        const there = before.document(collection, id);
        if (
          there !== null && !isAt(there.json, place)
        ) return `${id} did not have ${place.value} in ${place.field}`;
        return editModel(collection, edit)(id)(before);
      }),
  );
}

/** `DELETE`: all matches go. */
export function removeBy(place: Place): Request {
  const { collection } = place;
  const model: Intent["model"] = (before) =>
    matching(before, place).map(({ id }) => ({ collection, id, json: null }));
  const intent: Intent = { documents: [], model, deletesIn: collection };
  return changing(place, { method: "DELETE", path: pathOf(place) }, intent, (answer) => {
    const { deletedCount, plan, executionTimeMs } = answer.body;
    check(
      Number.isSafeInteger(deletedCount) && typeof plan === "string" && typeof executionTimeMs === "number",
      () => `does not tell what it deleted: ${brief(answer)}`,
    );
    exactly(answer, { success: true, collection, deletedCount, plan, executionTimeMs });
    return counted(answer, intent, deletedCount as number, noneAt(place));
  });
}

/** A change of a number of documents: `affected`, which nothing but a state tells to be right. */
export function counted(answer: Told, intent: Intent, affected: number, none: Claim): Judged {
  if (answer.headers.get("x-dfdb-position") === null) {
    check(affected === 0, () => `a change is at no position: ${brief(answer)}`);
    return { writes: [], reads: [], claims: [none] };
  }
  const position = positionOf(answer), documents = affected === 0 ? [] : intent.documents;
  const model: Intent["model"] = (before) => {
    const changes = intent.model?.(before) ?? [];
    return typeof changes === "string" || changes.length === affected
      ? changes
      : `${affected} were told to be changed, and there were ${changes.length}`;
  };
  return {
    writes: [{ ...intent, documents, model, outcome: "promised", position }],
    reads: [],
    end: { position, own: true },
  };
}

function changing(
  place: Place,
  ask: Request["ask"],
  intent: Intent,
  done: (answer: Told) => Judged,
): Request {
  return {
    kind: "byField",
    ask,
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code === null) {
        check(answer.status === 200, () => `200 was expected: ${brief(answer)}`);
        return done(answer);
      }
      const outcome = refusedWrite(answer, [...missing, "query_timeout"]);
      return { writes: all([intent], outcome), reads: [], claims: nothing(answer, place) };
    },
  };
}
