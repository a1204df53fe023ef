/**
 * References between documents. Of one entry what counts is what is there after it: a document may be written together with the one
 * that it refers to, and two that refer to each other may go together.
 */
import { utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { CollectionNumber, DocumentId, Seq } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { setAt } from "../document/json_edit.ts";
import { pathKey } from "../document/json_path.ts";
import type { Delete, Operation, Put } from "../document/operation.ts";
import type { Members, Violation } from "../document/schema_check.ts";
import { membersOf, shown, valuesIn } from "../document/schema_check.ts";
import type { Field, ReferenceDefinition } from "../document/schema_definition.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { IndexInfo, ReadView } from "../storage/storage.ts";
import type { CollectionSchema, Where } from "./rules_schema.ts";
import { checkedMembers, violates } from "./rules_schema.ts";

export type Reference = Field & ReferenceDefinition;

/** A collection that has a schema. */
export interface Ruled {
  readonly number: CollectionNumber;
  /** As it was first written. */
  readonly name: string;
  readonly schema: CollectionSchema;
}

/** A reference and the collection whose documents hold it. */
export interface Incoming {
  readonly from: Ruled;
  readonly ref: Reference;
}

/** What the schemas of a database ask of the collections that there are. */
export interface RuleSet {
  readonly ruled: ReadonlyMap<CollectionNumber, Ruled>;
  /** By the collection that is referred to. */
  readonly incoming: ReadonlyMap<CollectionNumber, readonly Incoming[]>;
  /** Without regard to case. */
  numberOf(collection: string): CollectionNumber | null;
}

/** A document of a collection with references that somebody writes. */
export interface Referring {
  readonly ruled: Ruled;
  readonly members: Members;
  readonly where: Where;
}

type Operations = readonly Operation[];

/** What becomes of one document in the entry; `ours`: because of a reference. */
interface Change {
  readonly operation: Put | Delete;
  readonly ours: boolean;
}

interface Referrer {
  readonly id: DocumentId;
  readonly seq: Seq;
  /** Null where nobody needs it. */
  readonly body: string | null;
}

/** The changes of one entry, and what references make of them. */
export class EntryReferences {
  readonly #view: ReadView;
  readonly #rules: RuleSet;
  readonly #changes = new Map<CollectionNumber, Map<DocumentId, Change>>();
  /** Documents that are deleted, in the order in which that was found out. */
  readonly #gone: (Delete & { readonly place: number })[] = [];
  #documents = 0;
  #bytes = 0;

  constructor(view: ReadView, rules: RuleSet, operations: Operations) {
    this.#view = view;
    this.#rules = rules;
    for (const [place, operation] of operations.entries()) {
      if (operation.kind !== "put" && operation.kind !== "delete") continue;
      this.#note(operation, false);
      if (operation.kind === "delete") this.#gone.push({ ...operation, place });
    }
  }

  /**
   * What goes with the deletes of the entry: more deletes, and documents whose reference becomes null; each document once. Yields after each
   * slice. Throws `conflict` where a reference forbids a delete, `payload_too_large` where too much hangs on it, `schema_violation`
   * where a document may not be without its reference.
   */
  *followed(): Generator<void, readonly Operation[], void> {
    const slice = new Slice();
    for (const gone of this.#gone) { // grows
      for (const incoming of this.#rules.incoming.get(gone.collection) ?? []) {
        // In one go: a SELECT does not stay open over slices. What it may find is bounded.
        for (const referrer of referrers(this.#view, incoming, gone.id)) {
          this.#follow(incoming, referrer, gone);
        }
        if (slice.full(0)) yield;
      }
    }
    const made: Operation[] = [];
    for (const documents of this.#changes.values()) {
      for (const { operation, ours } of documents.values()) if (ours) made.push(operation);
    }
    return made;
  }

  /** Throws `schema_violation` where a document refers to what is not there after the entry. */
  check({ ruled, members, where }: Referring): void {
    const found = brokenReference(ruled.schema, members, (ref, id) => this.#isThere(ref, id));
    if (found !== null) throw violates(found, ruled.name, where);
  }

  #isThere({ collection }: Reference, id: DocumentId): boolean {
    const number = this.#rules.numberOf(collection);
    if (number === null) return false;
    const change = this.#changes.get(number)?.get(id);
    return change === undefined ? this.#view.documentSeq(number, id) !== 0 : change.operation.kind === "put";
  }

  /** `referrer` refers to `gone`, as it was before the entry. */
  #follow({ from, ref }: Incoming, referrer: Referrer, gone: Delete & { readonly place: number }): void {
    const { id, seq } = referrer, change = this.#changes.get(from.number)?.get(id);
    // What the client makes of it counts, and is checked on its own; what is deleted refers to nothing.
    if (change !== undefined && (!change.ours || change.operation.kind === "delete")) return;
    if (ref.onDelete === "restrict") {
      const to = this.#rules.ruled.get(gone.collection)?.name ?? ref.collection;
      throw new DfdbError(
        "conflict",
        `The document "${gone.id}" of "${to}" cannot be deleted: "${id}" of "${from.name}" refers to it with ${ref.field}`,
        {
          details: {
            id: gone.id,
            operation: gone.place,
            collection: from.name,
            referrer: id,
            field: ref.field,
          },
        },
      );
    }
    if (change === undefined) this.#count();
    if (ref.onDelete === "cascade") {
      const operation = { kind: "delete", collection: from.number, id, previous: seq } as const;
      this.#note(operation, true);
      this.#gone.push({ ...operation, place: gone.place });
      return;
    }
    const before = change?.operation.kind === "put" ? utf8Text(change.operation.body) : referrer.body ?? "{}";
    const body = utf8(setAt(before, [ref.member, ...ref.rest], "null"));
    this.#count(body.length);
    this.#note({ kind: "put", collection: from.number, id, previous: seq, body }, true);
    checkedMembers(from.schema, from.name, body, { id, operation: gone.place });
  }

  #note(operation: Put | Delete, ours: boolean): void {
    let documents = this.#changes.get(operation.collection);
    if (documents === undefined) this.#changes.set(operation.collection, documents = new Map());
    documents.set(operation.id, { operation, ours });
  }

  /** One more document that the client did not name, or so many more bytes of one. */
  #count(bytes?: number): void {
    if (bytes === undefined) this.#documents++;
    else this.#bytes += bytes;
    const { cascadeDocumentsMax, cascadeBytesMax } = limits;
    if (this.#documents <= cascadeDocumentsMax && this.#bytes <= cascadeBytesMax) return;
    throw new DfdbError(
      "payload_too_large",
      `More than ${cascadeDocumentsMax} documents, or ${cascadeBytesMax} bytes of them, would change with this delete; delete or change them first`,
      { details: { documentsMax: cascadeDocumentsMax, bytesMax: cascadeBytesMax } },
    );
  }
}

/** The first reference of a document with these members that leads to nothing; null: there is none. */
export function brokenReference(
  { refs }: CollectionSchema,
  members: Members,
  isThere: (ref: Reference, id: DocumentId) => boolean,
): Violation | null {
  for (const ref of refs) {
    for (const text of valuesIn(members, ref)) {
      if (text === null || text === "null") continue;
      if (text.startsWith('"') && isThere(ref, documentIdOf(JSON.parse(text) as string))) continue;
      const message =
        `${ref.field} must be the _id of a document in "${ref.collection}"; there is none with ${
          shown(text)
        }`;
      return { field: ref.field, rule: "reference", message };
    }
  }
  return null;
}

/** The documents that refer to `id` as the view has them. Throws as {@linkcode indexOf}. */
function* referrers(view: ReadView, { from, ref }: Incoming, id: DocumentId): Generator<Referrer> {
  const index = referenceIndex(view, from, ref);
  // The key of an array or object is its text, which may look like an id.
  const doubtful = id.startsWith("{") || id.startsWith("[");
  const body = doubtful || ref.onDelete === "setNull" ? "d.body" : "NULL";
  // `+?`: with a bare `?` SQLite from 3.54 on compiles a join anew for each value.
  const found = view.select(
    `SELECT d.id, d.seq, ${body} FROM index_${index.number} AS i CROSS JOIN docs_${from.number} AS d ON d.row = i.row WHERE i.k1 = +?`,
    [id],
  );
  const names = new Set([ref.member]), seen = new Set<unknown>();
  for (const [of, seq, body] of found) {
    if (seen.has(of)) continue; // an index of several paths may have it in several rows
    seen.add(of);
    const referrer = {
      id: documentIdOf(String(of)),
      seq: seqOf(Number(seq)),
      body: body === null ? null : String(body),
    };
    if (doubtful && !valuesIn(membersOf(referrer.body ?? "{}", names), ref).includes(JSON.stringify(id))) {
      continue;
    }
    yield referrer;
  }
}

/** The index by which referrers are found. Throws `conflict` where there is none, `busy` where it is being filled. */
function referenceIndex(view: ReadView, from: Ruled, ref: Reference): IndexInfo {
  const found = indexesFor(view, from.number, ref);
  const index = found.find(({ ready }) => ready) ?? found[0];
  if (index === undefined) throw noIndex(from.name, ref);
  if (index.ready) return index;
  throw new DfdbError(
    "busy",
    `The index "${index.name}" of "${from.name}", by which references are found, is being filled; try again in a moment`,
  );
}

/** Those that begin with the field of the reference. */
export function indexesFor(view: ReadView, collection: CollectionNumber, ref: Field): readonly IndexInfo[] {
  const wanted = pathKey([ref.member, ...ref.rest]);
  return view.indexes(collection).filter(({ time, paths }) => !time && pathKey(paths[0] ?? []) === wanted);
}

export function noIndex(collection: string, { field, collection: target }: Reference): DfdbError {
  return new DfdbError(
    "conflict",
    `A reference needs an index: create one on "${collection}" (${field}) first, or nobody could find what refers to a document of "${target}"`,
    { details: { collection, field } },
  );
}
