/** What requests of the table have in common. */
import { count, is, position } from "./http_contract_shapes.ts";

/** A document `1` with n 1 in a collection. */
export const one = (collection: string) => [["PUT", `/collections/${collection}/1`, { n: 1 }]] as const;
/** And an index on n. */
export const index = (collection: string) =>
  [...one(collection), ["POST", "/index", { collection, path: "n", name: "by_n" }]] as const;
/** What has no parameter and no body is asked wrongly by another method. */
export const otherMethod = (method: string, allow: string) =>
  [{ method, status: 405, code: "method_not_allowed", more: { allow: is(allow) } }] as const;
/** Of what is no JSON. */
export const offset = { offset: count };
/** Of an etag that nothing has. */
export const stale = { expected: is("0.00000000-1"), actual: position };
