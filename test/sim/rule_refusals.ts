/** What the rules of a collection, unique indexes and schemas, refuse: any write of documents, where a world has them. */
import { brief, check, type Told } from "./answers.ts";
import type { Features } from "./features.ts";
import type { IndexChange } from "./types.ts";
import type { Claim, Intent, Judged, Request } from "./requests.ts";
import { all } from "./requests.ts";
import type { State } from "./state.ts";

/** Codes that an element of a bulk may meet besides its own. */
export function ruleCodes({ index, schema }: Features): readonly string[] {
  return [...(index ? ["duplicate_key"] : []), ...(schema ? ["schema_violation"] : [])];
}

/** The same request, which a rule may refuse, and nothing of it is kept then. */
export function underRules(request: Request, features: Features): Request {
  // What has no documents of its own says itself why.
  if ((!features.index && !features.schema) || request.kind === "index") return request;
  const judge = (answer: Told): Judged => {
    const claim = claimOf(answer, features, request.intents);
    return claim === null
      ? request.judge(answer)
      : { writes: all(request.intents, "refused"), reads: [], claims: [claim] };
  };
  return { ...request, judge };
}

/** Which rule there must have been; null: it was none that refused. */
function claimOf(answer: Told, { index, schema }: Features, intents: readonly Intent[]): Claim | null {
  const { code, body } = answer;
  const collections = intents.flatMap(({ documents }) => documents.map(({ collection }) => collection));
  const isOpen = intents.length === 0 || intents.some(({ deletesIn }) => deletesIn === "");
  const some = (what: string, holds: (state: State, collection: string) => boolean): Claim => ({
    what: `${what} in ${collections.join()}`,
    // Some name but a part of what they write.
    holds: (state) => isOpen || collections.some((collection) => holds(state, collection)),
  });
  if (index && code === "duplicate_key" && indexOf(body) !== null) {
    const name = indexOf(body);
    // It refuses already and is in no state; it may yet turn out that it cannot be.
    if (String(body["error"]).includes(`"${name}", which is being made`)) {
      const names = collections.map((collection) => collection.toLowerCase());
      return {
        what: `the unique index ${name} is being made in ${collections.join()}`,
        holds: () => false,
        making: (index: IndexChange) =>
          index.name === name && (isOpen || names.includes(index.collection.toLowerCase())),
      };
    }
    return some(
      `there is a unique index ${name}`,
      (state, collection) => state.indexes(collection).some((one) => one.unique && one.name === name),
    );
  }
  if (!schema || code !== "schema_violation") return null;
  const errors = body["errors"], { rule } = body;
  check(
    typeof rule === "string" || Array.isArray(errors),
    () => `a schema is violated without a rule: ${brief(answer)}`,
  );
  return some("there is a schema", (state, collection) => state.setting(collection, "schema") !== null);
}

/** Name of the unique index that refused; null: it was something else. */
function indexOf(body: Readonly<Record<string, unknown>>): string | null {
  return typeof body["index"] === "string" ? body["index"] : null;
}
