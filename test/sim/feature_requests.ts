/** Draws the requests that come with a feature of the world. */
import { atomicBulk } from "./atomic_requests.ts";
import { kinds, sizeMax } from "./bodies.ts";
import type { Element } from "./bulk_requests.ts";
import type { Chance } from "./chance.ts";
import type { ClientMemory } from "./client_memory.ts";
import { anyConditions, anyEdit, conditional, patch } from "./edit_requests.ts";
import type { FeatureKind } from "./features.ts";
import type { Place } from "./field_requests.ts";
import { getBy, patchBy, putBy, removeBy } from "./field_requests.ts";
import { createIndex, dropIndex } from "./index_requests.ts";
import type { Content, Demand, Request, Target } from "./requests.ts";
import type { DeleteByField } from "./searching_requests.ts";
import { searching } from "./searching_requests.ts";
import { anySchema, putSchema, putTtl, removeSetting, sweep } from "./setting_requests.ts";
import { anyWhere, outputs, sqlDelete, sqlInsert, sqlSelect, sqlUpdate } from "./sql_requests.ts";
import type { Operation } from "./transaction_requests.ts";
import type { WorkloadOptions } from "./workload.ts";
import { shared } from "./written_tags.ts";

export interface FeatureRequestsParts {
  /** Of the client: `c1`. */
  readonly name: string;
  readonly options: WorkloadOptions;
  readonly draw: Chance;
  readonly memory: ClientMemory;
  /** A document that may be there. */
  readonly target: () => Target;
  readonly content: (tag: string, id: string | null) => Content;
  readonly demand: (target: Target) => Extract<Demand, { readonly etag: string }> | null;
  readonly elements: (tag: string) => readonly Element[];
  readonly operations: (tag: string) => readonly Operation[];
}

export class FeatureRequests {
  readonly #parts: FeatureRequestsParts;
  /** Indexes that this client made, or tried to. */
  readonly #indexes: { readonly collection: string; readonly name: string }[] = [];
  #number = 0;
  /** Once a unique index was asked for. */
  #unique = false;

  constructor(parts: FeatureRequestsParts) {
    this.#parts = parts;
  }

  /** How often a document has what another one may have, in a field that a unique index may be on: without one nothing is in the way of making it. */
  get clashes(): number {
    return this.#unique ? 0.4 : 0.05;
  }

  make(kind: Exclude<FeatureKind, "repeat">, tag: string, collection: string): Request {
    const { draw, options: { features }, elements, target, demand } = this.#parts;
    switch (kind) {
      case "patch": {
        const of = target(), etag = draw.flip(0.3) ? demand(of) : draw.flip(0.1) ? "present" : null;
        return patch(of, tag, anyEdit(tag, features, draw), etag);
      }
      case "conditional": {
        const edit = anyEdit(tag, features, draw);
        const operations = "operations" in edit
          ? edit.operations
          : [{ field: "tag", op: "set", value: tag } as const];
        return conditional(target(), tag, {
          conditions: anyConditions(draw),
          operations: "operations" in edit ? operations : [...operations, unsummed],
        });
      }
      case "atomic":
        return atomicBulk(collection, elements(tag));
      case "byField":
        return this.#byField(tag, this.#place(collection));
      case "searching":
        return this.#searching(tag, collection);
      case "sql":
        return this.#sql(tag, collection);
      case "select":
        return sqlSelect(collection, draw.flip(0.3) ? [] : anyWhere(target().id, draw), draw.pick(outputs));
      case "index":
        return this.#index(tag, collection);
      case "ttl":
        if (draw.flip(0.2)) return sweep();
        return draw.flip(0.2) ? removeSetting("ttl", collection) : putTtl(collection, this.#interval());
      case "schema":
        return draw.flip(0.4)
          ? removeSetting("schema", collection)
          : putSchema(collection, tag, anySchema(tag, draw));
    }
  }

  #place(collection: string): Place {
    const { draw } = this.#parts;
    return draw.flip(0.8)
      ? { collection, field: "kind", value: draw.pick(kinds) }
      : { collection, field: "size", value: `${draw.below(sizeMax)}` };
  }

  #byField(tag: string, place: Place): Request {
    const { draw, content, options } = this.#parts, kind = draw.float();
    if (kind < 0.4) return getBy(place);
    if (kind < 0.7) return putBy(place, content(tag, null));
    if (kind < 0.85) return patchBy(place, tag, anyEdit(tag, options.features, draw));
    return removeBy(place);
  }

  /** A few deletes among other operations, and an insert at the end. */
  #searching(tag: string, collection: string): Request {
    const { draw, operations, content, target } = this.#parts, all: (Operation | DeleteByField)[] = [];
    for (const operation of operations(tag)) {
      if (draw.flip(0.3)) all.push(this.#deleteByField(operation.collection));
      all.push(operation);
    }
    all.push(this.#deleteByField(target().collection));
    return searching([...all, { op: "insert", collection, id: null, content: content(`${tag}.last`, null) }]);
  }

  #deleteByField(collection: string): DeleteByField {
    const { field, value } = this.#place(collection);
    return { op: "deleteByField", collection, field, value: field === "size" ? Number(value) : value };
  }

  #sql(tag: string, collection: string): Request {
    const { draw, content, target } = this.#parts, kind = draw.float();
    if (kind < 0.3) return sqlDelete(collection, anyWhere(target().id, draw));
    if (kind < 0.65) {
      return sqlUpdate(collection, anyWhere(target().id, draw), tag + shared, draw.below(20));
    }
    const first = draw.flip(0.5) ? target().id : null, ids = [first, null, null].slice(0, 1 + draw.below(3));
    return sqlInsert(collection, ids.map((id, i) => ({ id, ...content(`${tag}.${i}`, id) })));
  }

  #index(tag: string, collection: string): Request {
    const { draw } = this.#parts, way = draw.flip(0.5) ? "route" : "sql";
    if (this.#indexes.length > 0 && draw.flip(0.4)) {
      const { collection: of, name } = draw.pick(this.#indexes);
      return dropIndex(of, name, way);
    }
    const name = `i_${tag.replaceAll(/[^a-z0-9]/g, "_")}`;
    const { unique, fields } = draw.pick([
      { unique: true, fields: ["serial"] },
      { unique: true, fields: ["serial"] },
      { unique: true, fields: ["serial", "kind"] },
      { unique: false, fields: ["kind"] },
      { unique: false, fields: ["size", "kind"] },
    ]);
    this.#unique ||= unique;
    this.#indexes.push({ collection, name });
    if (this.#indexes.length > 6) this.#indexes.shift();
    return createIndex({ collection, name, unique, fields }, way);
  }

  /** Seconds that nobody else in the world sets. */
  #interval(): number {
    const client = /\d+/.exec(this.#parts.name)?.[0] ?? "0";
    return Number(`1.${client}${String(++this.#number).padStart(6, "0")}`);
  }
}

/** The checksum does not hold any more. */
const unsummed = { field: "sum", op: "set", value: "edited" } as const;
