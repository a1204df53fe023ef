/** `POST …/bulk?atomic=true`: all documents in one entry, or none. With an Idempotency-Key every bulk is so. */
import { brief, check, isObject, isServerId, positionOf, refusedWrite, type Told } from "./answers.ts";
import type { Element } from "./bulk_requests.ts";
import { stored } from "./models.ts";
import type { Content, Intent, Judged, Request } from "./requests.ts";
import { all } from "./requests.ts";

type Good = Content & { readonly id: string | null };

/** `query`: "" where a key makes it atomic. */
export function atomicBulk(
  collection: string,
  elements: readonly Element[],
  query = "?atomic=true",
): Request {
  const good = elements.filter((element): element is Good => !("bad" in element));
  const intentOf = (ids: readonly (string | null)[]): Intent => ({
    documents: good.map(({ tag }, i) => ({ collection, id: ids[i] ?? null, tag })),
    model: (before) => {
      const there = ids.find((id) => id !== null && before.document(collection, id) !== null);
      if (there !== undefined) return `${there} was there before`;
      return good.map(({ text }, i) => ({ collection, id: ids[i] ?? null, json: stored(text) }));
    },
  });
  const tried = intentOf(good.map(({ id }) => id)), whole = good.length === elements.length;
  return {
    kind: "atomic",
    ask: {
      method: "POST",
      path: `/collections/${collection}/bulk${query}`,
      body: `[${elements.map(({ text }) => text).join(",")}]`,
    },
    intents: [tried],
    whenLost: whole ? "unknown" : "refused",
    judge(answer) {
      if (answer.code !== null) return judgeFailure(answer, elements, tried);
      const { success, count, ids, errors, rolledBack, atomic } = answer.body;
      const wrong = (): string => `not the answer of an atomic bulk: ${brief(answer)}`;
      check(
        whole && success === true && atomic === true && rolledBack === false && Array.isArray(ids) &&
          Array.isArray(errors) && errors.length === 0 && count === ids.length && ids.length === good.length,
        wrong,
      );
      const fits = good.every(({ id }, i) => id === null ? isServerId(ids[i]) : id === ids[i]);
      check(fits, wrong);
      const position = positionOf(answer);
      return {
        writes: [{ ...intentOf(ids as string[]), outcome: "promised", position }],
        reads: [],
        end: { position, own: true },
      };
    },
  };
}

function judgeFailure(answer: Told, elements: readonly Element[], tried: Intent): Judged {
  const bad = elements.flatMap((element) => "bad" in element ? [element.bad] : []);
  const outcome = refusedWrite(answer, ["duplicate_key", ...bad]);
  // Refused before it was looked at, or lost by who passed it on.
  const { ids, errors, rolledBack } = answer.body;
  if (ids !== undefined) {
    const known = Array.isArray(errors) &&
      errors.every((error) => isObject(error) && isAtFault(error, elements));
    check(
      Array.isArray(ids) && ids.length === 0 && known && rolledBack === (outcome === "refused"),
      () => `an atomic bulk cannot fail like this: ${brief(answer)}`,
    );
  }
  return { writes: all([tried], outcome), reads: [] };
}

function isAtFault(
  { index, code }: Readonly<Record<string, unknown>>,
  elements: readonly Element[],
): boolean {
  const element = elements[index as number];
  if (element === undefined) return false;
  return "bad" in element ? code === element.bad : code === "duplicate_key" || code === "schema_violation";
}
