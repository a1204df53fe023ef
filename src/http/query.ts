/** Query parameters, checked by a schema. Parameters that a route does not know are left alone, as the reference does. */
import * as v from "valibot";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { queryOf } from "./path.ts";

const trueOrFalse = v.pipe(v.picklist(["true", "false"]), v.transform((text) => text === "true"));
const flag = v.optional(trueOrFalse, "false");
const flagOn = v.optional(trueOrFalse, "true");
const natural = v.pipe(v.string(), v.regex(/^\d{1,15}$/, "must be a whole number"), v.transform(Number));

export const listQuery = v.object({
  limit: v.optional(
    v.pipe(natural, v.minValue(1, "must be at least 1"), v.maxValue(limits.listDocumentsMax, "is too large")),
    String(limits.listDocumentsDefault),
  ),
  after: v.optional(natural, "0"),
});

export const documentQuery = v.object({ metadata: flag });

export const conflictsQuery = v.object({
  limit: listQuery.entries.limit,
  after: v.optional(v.string()),
  collection: v.optional(v.string()),
});

export const violationsQuery = v.object({ violations: flag });

export const bulkQuery = v.object({ atomic: flag, skipIndexes: flag });

export const verifyQuery = v.object({
  at: v.optional(v.string()),
  collection: v.optional(v.string()),
  documents: flag,
  indexes: flagOn,
  masters: flag,
});

export const readyQuery = v.object({ maxLagSeq: v.optional(natural), maxLagMs: v.optional(natural) });

export const changesQuery = v.object({
  since: v.optional(v.string()),
  collection: v.optional(v.string()),
  once: flag,
  limit: v.optional(v.pipe(natural, v.minValue(1, "must be at least 1"))),
});

export const streamQuery = v.object({ stream: flag });

export const dropQuery = v.object({ deleteFiles: flag });

export const databaseQuery = v.object({ database: v.optional(v.string()) });

/** Reads the parameters of `request` by `schema`; throws `bad_request`, also for one that is given twice. */
export function readQuery<Schema extends v.ObjectSchema<v.ObjectEntries, undefined>>(
  request: Request,
  schema: Schema,
): v.InferOutput<Schema> {
  const query = queryOf(request.url);
  const given: Record<string, string> = {};
  if (query !== "") {
    checkEncoding(query);
    for (const [name, value] of new URLSearchParams(query)) {
      if (!Object.hasOwn(schema.entries, name)) continue;
      if (Object.hasOwn(given, name)) {
        throw new DfdbError("bad_request", `The parameter ${name} is given twice`);
      }
      given[name] = value;
    }
  }
  const result = v.safeParse(schema, given);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const parameter = v.getDotPath(issue) ?? "";
  throw new DfdbError("bad_request", `The parameter ${parameter}: ${issue.message}`, {
    details: { parameter },
  });
}

function checkEncoding(query: string): void {
  try {
    decodeURIComponent(query);
  } catch (cause) {
    throw new DfdbError("bad_request", "The query is not valid percent-encoded UTF-8", { cause });
  }
}
