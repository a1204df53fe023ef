/** `/admin/keys`: scoped API keys. They are written like documents, so a follower sends who asks to its leader. */
import * as v from "valibot";
import { assert } from "../base/assert.ts";
import type { DocumentId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { ApiKey } from "../engine/api_keys.ts";
import { addKey, keysOf, newSecret, removeKey, secretHash } from "../engine/api_keys.ts";
import { json, positionHeader } from "./answers.ts";
import { bodyOf } from "./control_body.ts";
import { refuseIdempotencyKey } from "./idempotency.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const keyBody = v.strictObject({
  scopes: v.pipe(
    v.array(v.string()),
    v.minLength(1, "names no scope"),
    v.maxLength(limits.apiKeyScopesMax, "names too many scopes"),
  ),
  description: v.nullish(v.pipe(v.string(), v.maxLength(limits.apiKeyDescriptionCharsMax, "is too long"))),
});

export function keyRoutes(
  dependencies: HttpDependencies,
  { onRead, onWrite }: Gates,
  newId: () => DocumentId,
): readonly Route[] {
  return [
    { path: "/admin/keys", get: onRead(list(dependencies)), post: onWrite(mint(dependencies, newId)) },
    { path: "/admin/keys/:id", delete: onWrite(revoke(dependencies)) },
  ];
}

function list({ storage }: HttpDependencies): Handler {
  return () => {
    const keys = storage.read(keysOf).map(shown);
    return json({ count: keys.length, keys });
  };
}

function mint(dependencies: HttpDependencies, newId: () => DocumentId): Handler {
  const { engine, random, crypto, security } = dependencies;
  return async (c) => {
    const request = c.req.raw;
    refuseIdempotencyKey(request, "The answer has a secret in it, so it is not remembered");
    const { scopes, description = null } = await bodyOf(request, keyBody);
    const secret = newSecret(random), hash = secretHash(crypto, secret);
    assert(hash !== null, "a new secret has the form of one");
    const asked = { id: newId(), hash, scopes: [...new Set(scopes)], description };
    const { value, position } = await engine.submit(addKey(asked, security.apiKey !== null));
    const { id, ...rest } = shown(value);
    const warning = "The secret is shown this once and kept nowhere; store it now";
    return json({ id, secret, ...rest, warning }, 201, {
      ...positionHeader(position),
      location: `/admin/keys/${id}`,
      "cache-control": "no-store",
    });
  };
}

function revoke({ engine, security }: HttpDependencies): Handler {
  return async (c) => {
    const id = parameter(c, "id");
    const { position } = await engine.submit(removeKey(id, security.apiKey !== null));
    return json({ id, revoked: true }, 200, positionHeader(position));
  };
}

function shown({ id, scopes, description, createdAt }: ApiKey): Record<keyof ApiKey, unknown> {
  return { id, scopes, description, createdAt };
}
