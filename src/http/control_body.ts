/** Bodies of requests that change the role of a node. */
import * as v from "valibot";
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { readBody, readOptionalBody } from "./body.ts";

const bodyBytesMax = 64 * 1024;

const force = v.optional(v.boolean());
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
/** Null: not given, as clients write it whose language has no absent member. */
const secret = v.nullish(v.pipe(v.string(), v.minLength(1), v.maxLength(1_024)));
const name = (charsMax: number) => v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(charsMax));
const seconds = (least: number, most: number) => v.pipe(v.number(), v.minValue(least), v.maxValue(most));

export const leaderBody = v.strictObject({ port, sharedSecret: secret, force });
export const followerBody = v.strictObject({ host: name(253), port, sharedSecret: secret });
export const readWriteBody = v.strictObject({ force });
export const promoteBody = v.strictObject({ port: v.optional(port), force });
export const handoverBody = v.strictObject({
  to: name(512),
  timeoutSeconds: v.optional(seconds(0.1, 3_600), 30),
});
export const autoFailoverBody = v.strictObject({
  silenceSeconds: seconds(0.1, 86_400),
  newLeaderPort: v.optional(port),
});

/** The body as `schema` wants it; throws `bad_request` naming what is wrong. */
export async function bodyOf<Schema extends v.GenericSchema>(
  request: Request,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  return checked(await readBody(request, bodyBytesMax), schema);
}

/** As {@linkcode bodyOf}; no body at all is an empty object. */
export async function optionalBodyOf<Schema extends v.GenericSchema>(
  request: Request,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  return checked(await readOptionalBody(request, bodyBytesMax), schema);
}

function checked<Schema extends v.GenericSchema>(bytes: Uint8Array, schema: Schema): v.InferOutput<Schema> {
  let given: unknown = {};
  try {
    if (bytes.length > 0) given = JSON.parse(utf8Text(bytes));
  } catch (cause) {
    if (cause instanceof DfdbError) throw cause;
    throw new DfdbError("bad_request", "The body is not JSON", { cause });
  }
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new DfdbError("bad_request", "The body must be a JSON object");
  }
  const result = v.safeParse(schema, given);
  if (result.success) return result.output;
  const issue = result.issues[0], field = v.getDotPath(issue) ?? "";
  throw new DfdbError("bad_request", `${field}: ${issue.message}`, { details: { field } });
}
