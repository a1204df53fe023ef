/** `POST /collections/{c}/bulk`: each element is a write of its own. */
import type { Outcome, Told } from "./answers.ts";
import { brief, check, isObject, isServerId, positionOf, refusedWrite } from "./answers.ts";
import type { Content, Intent, Judged, JudgedWrite, Request } from "./requests.ts";

/** An element: a document, with its id or null for one that the server makes; or one that must fail alone. */
export type Element = (Content & { readonly id: string | null }) | {
  readonly bad: "bad_request" | "reserved_id";
  readonly text: string;
};

interface Good {
  readonly index: number;
  readonly id: string | null;
  readonly tag: string;
}

/** `rules`: what the rules of the collection may refuse an element with. */
export function bulk(
  collection: string,
  elements: readonly Element[],
  rules: readonly string[] = [],
): Request {
  const intentOf = ({ id, tag }: Pick<Good, "id" | "tag">): Intent => ({
    documents: [{ collection, id, tag }],
  });
  const good = elements.flatMap((element, index): readonly Good[] =>
    "bad" in element ? [] : [{ index, id: element.id, tag: element.tag }]
  );
  return {
    kind: "bulk",
    ask: {
      method: "POST",
      path: `/collections/${collection}/bulk`,
      body: `[${elements.map(({ text }) => text).join(",")}]`,
    },
    intents: good.map(intentOf),
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null && answer.body["ids"] === undefined) {
        const outcome = refusedWrite(answer, []);
        // Passed on by a follower, and the answer was lost.
        const lost = answer.code === "outcome_unknown";
        check(outcome === "refused" || lost, () => `a bulk does not tell what it wrote: ${brief(answer)}`);
        return { writes: good.map((one) => ({ ...intentOf(one), outcome, position: null })), reads: [] };
      }
      const rest = answer.code === null ? "promised" : restOf(refusedWrite(answer, []));
      const { ids, errors } = shapeOf(answer), failed = failures(answer, elements, { errors, rules });
      const fates = fatesOf(good.filter(({ index }) => !failed.has(index)), ids, rest);
      check(
        fates !== null && (answer.code !== null || fates.every(({ outcome }) => outcome === "promised")),
        () => `a bulk's ids do not fit what was sent: ${brief(answer)}`,
      );
      const position = answer.code === null ? positionOf(answer) : null;
      const writes = fates.map((fate): JudgedWrite => ({
        ...intentOf(fate),
        outcome: fate.outcome,
        // Only the last element's own entry is known to be at the position that was told.
        position: fate.outcome === "promised" && fate.index === elements.length - 1 ? position : null,
      }));
      const refused = good.filter(({ index }) => failed.has(index)).map((one): JudgedWrite => ({
        ...intentOf(one),
        outcome: "refused",
        position: null,
      }));
      const judged: Judged = { writes: [...writes, ...refused], reads: [] };
      return position === null ? judged : { ...judged, end: { position, own: ids.length > 0 } };
    },
  };
}

/** Elements that an answer with an error does not name: after a timeout those of slices in flight are there, others not. */
function restOf(outcome: Outcome): Outcome {
  return outcome === "refused" ? "refused" : "unknown";
}

interface Shape {
  readonly ids: readonly string[];
  readonly errors: readonly unknown[];
}

function shapeOf(answer: Told): Shape {
  const { success, count, ids, errors, rolledBack, atomic } = answer.body;
  check(
    Array.isArray(ids) && Array.isArray(errors) && count === ids.length && rolledBack === false &&
      atomic === false && success === (answer.code === null && errors.length === 0) &&
      ids.every((id) => typeof id === "string"),
    () => `not the answer of a bulk: ${brief(answer)}`,
  );
  return { ids, errors };
}

/** Indexes of the elements that failed alone. */
function failures(
  answer: Told,
  elements: readonly Element[],
  { errors, rules }: { readonly errors: readonly unknown[]; readonly rules: readonly string[] },
): ReadonlySet<number> {
  const failed = new Set<number>();
  for (const error of errors) {
    const wrong = (): string =>
      `an element cannot fail like this: ${JSON.stringify(error)} of ${brief(answer)}`;
    check(isObject(error) && typeof error["error"] === "string", wrong);
    const index = error["index"] as number, element = elements[index];
    check(Number.isSafeInteger(index) && element !== undefined && !failed.has(index), wrong);
    const expected = "bad" in element ? element.bad : element.id === null ? null : "duplicate_key";
    check(
      error["code"] === expected || (!("bad" in element) && rules.includes(String(error["code"]))),
      wrong,
    );
    failed.add(index);
  }
  if (answer.code === null) {
    const passed = elements.findIndex((element, index) => "bad" in element && !failed.has(index));
    check(passed < 0, () => `element ${passed} is bad and was taken: ${brief(answer)}`);
  }
  return failed;
}

/**
 * Which of the elements the `ids` name, in order; null: they cannot. Ids that the server made do not tell their element:
 * one that may or may not be named is unknown. `rest`: what became of those that are not named for sure.
 */
function fatesOf(
  good: readonly Good[],
  ids: readonly string[],
  rest: Outcome,
): readonly (Good & { readonly outcome: Outcome })[] | null {
  const fits = (one: Good | undefined, id: string | undefined): boolean =>
    one !== undefined && (one.id === null ? isServerId(id) : one.id === id);
  const earliest: number[] = [], latest: number[] = [];
  for (let at = 0; at < good.length && earliest.length < ids.length; at++) {
    if (fits(good[at], ids[earliest.length])) earliest.push(at);
  }
  for (let at = good.length - 1; at >= 0 && latest.length < ids.length; at--) {
    if (fits(good[at], ids[ids.length - 1 - latest.length])) latest.push(at);
  }
  if (earliest.length < ids.length) return null;
  latest.reverse();
  return good.map((one, at) => {
    const named = ids.findIndex((id, k) =>
      at >= place(earliest, k) && at <= place(latest, k) && fits(one, id)
    );
    if (named < 0) return { ...one, outcome: rest === "promised" ? "unknown" : rest };
    if (earliest[named] !== latest[named]) return { ...one, outcome: "unknown" };
    return { ...one, id: ids[named] as string, outcome: "promised" };
  });
}

const place = (places: readonly number[], k: number): number => places[k] as number;
