/** Keys in conflict: the list of them, and single versions of a document. */
import { hex, unhex, utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { keyText } from "../document/document_key.ts";
import { collectionName, documentId } from "../document/names.ts";
import { versionIds } from "../engine/conflicts.ts";
import { etagText } from "../storage/position_text.ts";
import type { KeyPlace } from "../storage/versions.ts";
import { json } from "./answers.ts";
import { conflictsQuery, readQuery } from "./query.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import { versionAnswer } from "./shown_document.ts";
import type { HttpDependencies } from "./types.ts";

/** Sum of bodies that are read for one page of ids. */
const pageBytes = 8 * 1024 * 1024;

export function conflictRoutes(dependencies: HttpDependencies, { onRead }: Gates): readonly Route[] {
  return [
    { path: "/conflicts", get: onRead(list(dependencies)) },
    { path: "/collections/:collection/:id/conflicts/:version", get: onRead(version(dependencies)) },
  ];
}

/** One consistent state; what is settled or begins between two pages may be missing or be there. */
function list({ storage }: HttpDependencies): Handler {
  return (c) => {
    const { limit, after, collection } = readQuery(c.req.raw, conflictsQuery), { terms } = storage.log;
    const only = collection === undefined ? undefined : collectionName(collection);
    const from = after === undefined ? null : placeOf(after);
    const found = storage.read((view) => {
      const { versions } = view;
      if (versions === null) {
        throw new DfdbError("bundle_not_active", "This database was made without the replication bundle");
      }
      const names = only === undefined ? view.collections().map(({ name }) => name) : [only];
      const total = names.reduce((sum, name) => sum + versions.counts(name).conflicts, 0);
      return { ...versions.conflicts(from, { keysMax: limit, bytesMax: pageBytes }, only), total };
    });
    const conflicts = found.keys.map(({ name: collection, id, change, versions }) => ({
      key: keyText({ collection, id }),
      collection,
      id,
      etag: etagText(terms, change),
      Conflicts: versionIds(versions),
    }));
    const next = found.next === null ? {} : { next: placeText(found.next) };
    return json({ conflicts, count: conflicts.length, total: found.total, ...next });
  };
}

function version({ storage }: HttpDependencies): Handler {
  return (c) => {
    const collection = collectionName(parameter(c, "collection")), id = documentId(parameter(c, "id"));
    return versionAnswer(storage, { collection, id }, parameter(c, "version"));
  };
}

function placeText({ space, id }: KeyPlace): string {
  return `${space}-${hex(utf8(id))}`;
}

function placeOf(text: string): KeyPlace {
  const match = /^([0-9]{1,9})-((?:[0-9a-f]{2})+)$/.exec(text);
  if (match === null || text.length > 16 + 2 * limits.documentIdBytesMax) throw noPlace();
  try {
    return { space: Number(match[1]), id: utf8Text(unhex(match[2] as string)) };
  } catch (cause) {
    throw noPlace(cause);
  }
}

function noPlace(cause?: unknown): DfdbError {
  return new DfdbError("bad_request", "The parameter after: is not the next of an answer", {
    details: { parameter: "after" },
    cause,
  });
}
