/** Collections: their names, their documents, dropping them. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { collectionName, isReservedName } from "../document/names.ts";
import { dropCollection } from "../engine/commands.ts";
import { json, positionHeader } from "./answers.ts";
import { insert } from "./documents.ts";
import { documentList } from "./document_list.ts";
import { databaseAsked, defaultDatabase } from "./needed_scope.ts";
import { databaseQuery, listQuery, readQuery } from "./query.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

export function collectionRoutes(
  dependencies: HttpDependencies,
  { onRead, onWrite }: Gates,
  newId: () => DocumentId,
): readonly Route[] {
  return [
    { path: "/collections", get: onRead(names(dependencies)) },
    {
      path: "/collections/:collection",
      get: onRead(list(dependencies)),
      post: onWrite(insert(dependencies, newId)),
      delete: onWrite(drop(dependencies)),
    },
  ];
}

function names({ storage, place }: HttpDependencies): Handler {
  const own = { name: place?.name ?? defaultDatabase, storage };
  return (c) => {
    const request = c.req.raw;
    readQuery(request, databaseQuery);
    const asked = databaseAsked(request, own.name);
    if (asked !== own.name && place === undefined) {
      throw new DfdbError("not_found", "There is no such database");
    }
    const { name: database, storage } = asked === own.name ? own : place?.other(asked) ?? own;
    const collections = storage.read((view) => view.collections().map(({ name }) => name))
      .filter((name) => !isReservedName(name));
    return json({ database, collections });
  };
}

function list({ storage }: HttpDependencies): Handler {
  return (c) => {
    const collection = collectionName(parameter(c, "collection"));
    const { limit, after } = readQuery(c.req.raw, listQuery);
    return documentList(storage, { collection, limit, after });
  };
}

function drop({ engine }: HttpDependencies): Handler {
  return async (c) => {
    const collection = collectionName(parameter(c, "collection"));
    if (c.req.raw.headers.get("x-confirm") !== "true") {
      throw new DfdbError("bad_request", "Dropping a collection wants the header X-Confirm: true");
    }
    const { value, position } = await engine.submit(dropCollection(collection));
    return json({ success: true, dropped: value.name }, 200, positionHeader(position));
  };
}
