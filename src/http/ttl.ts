/** Expiry: the setting of a collection, the list of all, and a sweep at once. */
import * as v from "valibot";
import { collectionName } from "../document/names.ts";
import { json, positionHeader } from "./answers.ts";
import { bodyOf } from "./control_body.ts";
import type { Gates, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const ttlBody = v.strictObject({
  field: v.pipe(v.string(), v.minLength(1), v.maxLength(500)),
  intervalSeconds: v.nullish(v.pipe(v.number(), v.finite()), 60),
});

export function ttlRoutes({ ttl }: HttpDependencies, { onRead, onWrite }: Gates): readonly Route[] {
  return [
    {
      path: "/collections/:collection/ttl",
      put: onWrite(async (c) => {
        const name = collectionName(parameter(c, "collection"));
        const set = await ttl.set(name, await bodyOf(c.req.raw, ttlBody));
        const { collection, field, intervalSeconds, position } = set;
        return json({ success: true, collection, field, intervalSeconds }, 200, positionHeader(position));
      }),
      delete: onWrite(async (c) => {
        const { collection, position } = await ttl.remove(collectionName(parameter(c, "collection")));
        return json({ success: true, collection, removed: true }, 200, positionHeader(position));
      }),
    },
    { path: "/ttl", get: onRead(() => json({ ttls: ttl.list() })) },
    {
      path: "/admin/ttl/sweep",
      post: onWrite(async () => {
        const { deleted, more, position } = await ttl.sweep();
        return json({ success: true, deleted, ...(more ? { more } : {}) }, 200, positionHeader(position));
      }),
    },
  ];
}
