/** Changes of a part of a document: `PATCH`, as a merge patch or as operations, and `POST …/conditional`. */
import { brief, check, placeOf, positionOf, refusedWrite, type Told } from "./answers.ts";
import { editedSum, kinds, serial } from "./bodies.ts";
import type { Chance } from "./chance.ts";
import type { Features } from "./features.ts";
import type { Condition, Edit, EditOperation, Model } from "./models.ts";
import { edited, meets } from "./models.ts";
import type { Claim, Demand, Intent, Judged, Request, Target } from "./requests.ts";
import { all, demandHeaders, isEtag, judgeRefusal, pathOf } from "./requests.ts";
import type { Json } from "./state.ts";
import { sameJson } from "./state.ts";

/** An edit of which the tag is part: by it everybody knows the change again. */
export function anyEdit(tag: string, features: Features, draw: Chance): Edit {
  const size = draw.below(20), note = { by: tag, n: size };
  if (draw.flip(0.5)) {
    return {
      merge: {
        tag,
        ...(draw.flip(0.5) ? { kind: draw.pick(kinds) } : {}),
        ...(draw.flip(0.3) ? { pad: null } : {}),
        ...(draw.flip(0.3) ? { note: draw.flip(0.5) ? note : null } : {}),
        ...(features.index && draw.flip(0.3) ? { serial: serial(tag, draw) } : {}),
        sum: editedSum,
      },
    };
  }
  const operations: EditOperation[] = [
    { field: "tag", op: "set", value: tag },
    { field: "sum", op: "set", value: editedSum },
  ];
  if (draw.flip(0.6)) operations.push({ field: "size", op: draw.flip(0.7) ? "inc" : "dec", value: size });
  if (draw.flip(0.3)) operations.push({ field: "kind", op: "set", value: draw.pick(kinds) });
  if (draw.flip(0.3)) operations.push({ field: "note.by", op: "set", value: tag });
  if (draw.flip(0.2)) operations.push({ field: draw.pick(["note.by", "pad", "ends"]), op: "unset" });
  return { operations };
}

function bodyOf(edit: Edit): string {
  return JSON.stringify("merge" in edit ? edit.merge : { $ops: edit.operations });
}

/** `PATCH` of a document. */
export function patch(target: Target, tag: string, edit: Edit, demand: Exclude<Demand, "absent">): Request {
  const model = editModel(target.collection, edit);
  const intent: Intent = {
    documents: [{ ...target, tag }],
    model: model(target.id),
    ...(isEtag(demand) ? { ifMatch: demand.etag } : {}),
  };
  return {
    kind: "patch",
    ask: { method: "PATCH", path: pathOf(target), body: bodyOf(edit), headers: demandHeaders(demand) },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) {
        return judgeRefusal(answer, target, intent, demand, isEtag(demand) ? [] : ["not_found"]);
      }
      return editDone(answer, target, intent, model);
    },
  };
}

/** By the id of the document. */
export function editModel(
  collection: string,
  edit: Edit,
  conditions: readonly Condition[] = [],
): (id: string) => Model {
  return (id) => (before) => {
    const json = before.document(collection, id)?.json;
    if (json === undefined) return `there was no ${id} to change`;
    const failed = conditions.find((condition) => !meets(json, condition));
    if (failed !== undefined) return `${id} did not meet ${JSON.stringify(failed)}`;
    return [{ collection, id, json: edited(json, edit) }];
  };
}

/** `POST …/{id}/conditional`: the change only where all conditions hold. */
export function conditional(
  target: Target,
  tag: string,
  { conditions, operations }: {
    readonly conditions: readonly Condition[];
    readonly operations: readonly EditOperation[];
  },
): Request {
  const { collection, id } = target, model = editModel(collection, { operations }, conditions);
  const intent: Intent = { documents: [{ ...target, tag }], model: model(id) };
  return {
    kind: "conditional",
    ask: {
      method: "POST",
      path: `${pathOf(target)}/conditional`,
      body: JSON.stringify({ conditions, operations }),
    },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code === null) return editDone(answer, target, intent, model);
      if (answer.code !== "condition_failed") {
        return judgeRefusal(answer, target, intent, null, ["not_found"]);
      }
      const index = answer.body["failedConditionIndex"] as number, condition = conditions[index];
      check(condition !== undefined, () => `no condition has failed: ${brief(answer)}`);
      const claim: Claim = {
        what: `${collection}/${id} does not meet ${JSON.stringify(condition)}, the first of its conditions`,
        holds(state) {
          const json = state.document(collection, id)?.json;
          return json !== undefined && conditions.findIndex((one) => !meets(json, one)) === index;
        },
      };
      return {
        writes: all([intent], refusedWrite(answer, ["condition_failed"])),
        reads: [],
        claims: [claim],
      };
    },
  };
}

/** Conditions of which about every second set holds. */
export function anyConditions(draw: Chance): readonly Condition[] {
  const candidates: readonly Condition[] = [
    { field: "size", op: draw.flip(0.5) ? "<" : ">=", value: draw.below(1_000) },
    { field: "kind", op: draw.flip(0.5) ? "=" : "!=", value: draw.pick(kinds) },
    { field: draw.pick(["note", "pad"]), op: draw.flip(0.5) ? "exists" : "!exists" },
  ];
  return candidates.filter(() => draw.flip(0.4));
}

/** An edited document as it is told: with what the server puts before it. `target` id null: whichever was found. */
export function editDone(
  answer: Told,
  target: { readonly collection: string; readonly id: string | null },
  intent: Intent,
  modelOf: (id: string) => Model,
): Judged {
  const position = positionOf(answer), { success, id, collection, etag, document } = answer.body;
  const wrong = (): string =>
    `not the answer of an edit of ${target.collection}/${target.id}: ${brief(answer)}`;
  check(answer.status === 200 && success === true && collection === target.collection, wrong);
  check(typeof id === "string" && (target.id === null || id === target.id) && etag === position, wrong);
  check(answer.headers.get("etag") === `"${position}"` && Object.keys(answer.body).length === 5, wrong);
  placeOf(etag);
  const { _id, _etag, ...json } = document as Json;
  check(_id === id && _etag === etag && json["tag"] === intent.documents[0]?.tag, wrong);
  const model: Model = (before) => {
    const changes = modelOf(id as string)(before);
    if (typeof changes === "string") return changes;
    return changes.length === 1 && changes[0]?.id === id && sameJson(changes[0].json, json)
      ? changes
      : `it was told to be ${JSON.stringify(json).slice(0, 300)}`;
  };
  const documents = intent.documents.map((one) => ({ ...one, id: id as string }));
  return {
    writes: [{ ...intent, documents, model, outcome: "promised", position }],
    reads: [],
    end: { position, own: true },
  };
}
