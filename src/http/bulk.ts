/**
 * `POST /collections/{c}/bulk`: each element is inserted on its own, or with `atomic=true` all or none. The whole array is
 * looked over first, so that a broken one changes nothing; then it is parsed and committed in slices, a few of them in
 * flight at a time, and the event loop gets its turn in between.
 */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { arrayElements } from "../document/json_array.ts";
import { documentBody } from "../document/json_text.ts";
import { collectionName } from "../document/names.ts";
import { json, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import type { ReadElement } from "./bulk_atomic.ts";
import { insertAtomically } from "./bulk_atomic.ts";
import { BulkLoad } from "./bulk_load.ts";
import type { DescribeFailure } from "./failures.ts";
import { idempotencyKey } from "./idempotency.ts";
import { bulkQuery, readQuery } from "./query.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import { Turns } from "./turns.ts";
import type { HttpDependencies } from "./types.ts";

export function bulkRoute(
  dependencies: HttpDependencies,
  { onWrite }: Gates,
  newId: () => DocumentId,
  describe: DescribeFailure,
): Route {
  const { clock, engine } = dependencies;
  const { bodyBytesMax } = dependencies.limits;
  const post: Handler = async (c) => {
    const request = c.req.raw;
    const name = collectionName(parameter(c, "collection"));
    // One entry has the answer in it, so there is one entry.
    const atomic = readQuery(request, bulkQuery).atomic || idempotencyKey(request) !== null;
    const startedMs = clock.monotonic();
    const turns = new Turns(clock), read = elementReader(dependencies, newId);
    const bytes = await readBody(request, bodyBytesMax);
    const elements = await separate(bytes, dependencies, turns);
    if (atomic) {
      const bulk = { dependencies, request, bytes, collection: name, read, turns, describe, startedMs };
      return insertAtomically(bulk, elements);
    }
    const load = new BulkLoad(engine, name);
    await insertAll(load, elements, read, turns);
    const result = load.result(clock.monotonic() - startedMs);
    const headers = positionHeader(load.position ?? engine.committed.value);
    if (load.failure === null) return json(result, 200, headers);
    const failure = describe(load.failure.error);
    return json({ ...failure.body, ...result }, failure.status, { ...headers, ...failure.headers });
  };
  return { path: "/collections/:collection/bulk", post: onWrite(post) };
}

/** Finds where each element is. Throws for what is no array, or too large a one, before anything is written. */
export async function separate(
  bytes: Uint8Array,
  dependencies: HttpDependencies,
  turns: Turns,
): Promise<readonly Uint8Array[]> {
  const elements: Uint8Array[] = [];
  for (const element of arrayElements(bytes, dependencies.limits)) {
    elements.push(element);
    if (elements.length % 128 === 0 && turns.due()) await turns.next();
  }
  return elements;
}

function elementReader(dependencies: HttpDependencies, newId: () => DocumentId): ReadElement {
  const { documentBytesMax, nestingMax } = dependencies.limits;
  const bodyLimits = { bytesMax: documentBytesMax, nestingMax };
  return (bytes) => {
    const { id, body } = documentBody(bytes, bodyLimits);
    return { id: id ?? newId(), body };
  };
}

async function insertAll(
  load: BulkLoad,
  elements: readonly Uint8Array[],
  read: ReadElement,
  turns: Turns,
): Promise<void> {
  let at = 0;
  while (at < elements.length && load.failure === null) {
    at = fillSlice(load, elements, at, read);
    await load.send();
    if (turns.due()) await turns.next();
  }
  await load.settle();
}

/** Reads elements from `at` on until the slice is full; returns where the next one begins. */
function fillSlice(load: BulkLoad, elements: readonly Uint8Array[], at: number, read: ReadElement): number {
  let bytes = 0;
  const end = Math.min(elements.length, at + limits.bulkSliceDocuments);
  let index = at;
  for (; index < end && bytes < limits.bulkSliceBytes; index++) {
    const element = elements[index] as Uint8Array;
    bytes += element.length;
    try {
      load.add(index, read(element));
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      load.reject(index, error);
    }
  }
  return index;
}
