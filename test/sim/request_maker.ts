/** Draws what a client asks next. */
import { bad } from "./bad_requests.ts";
import { members, sent } from "./bodies.ts";
import type { Element } from "./bulk_requests.ts";
import { bulk } from "./bulk_requests.ts";
import type { Chance } from "./chance.ts";
import type { ClientMemory, OwnDocument } from "./client_memory.ts";
import type { Content, Demand, Request, Target } from "./requests.ts";
import { count, drop, get, insert, list, put, remove } from "./requests.ts";
import type { Operation } from "./transaction_requests.ts";
import { transaction } from "./transaction_requests.ts";
import type { RequestKind, WorkloadOptions } from "./workload.ts";
import { bodyBytes, collectionNames, sharedIds, weighted } from "./workload.ts";

export interface MakerParts {
  /** Its tags begin with it. */
  readonly name: string;
  readonly options: WorkloadOptions;
  readonly draw: Chance;
  readonly memory: ClientMemory;
  readonly own: OwnDocument;
}

/** Elements of a bulk that fail alone, without `_id` or tag. */
const badElements: readonly Exclude<Element, { readonly tag: string }>[] = [
  { bad: "bad_request", text: "7" },
  { bad: "bad_request", text: '{"a":1,"a":2}' },
  { bad: "bad_request", text: '{"n":9007199254740993}' },
  { bad: "bad_request", text: '{"_id":""}' },
  { bad: "bad_request", text: '{"x":}' },
  { bad: "reserved_id", text: '{"_id":"bulk"}' },
];

export class RequestMaker {
  readonly #parts: MakerParts;
  readonly #collections: readonly string[];
  readonly #ids: readonly string[];
  #number = 0;

  constructor(parts: MakerParts) {
    this.#parts = parts;
    this.#collections = collectionNames(parts.options);
    this.#ids = sharedIds(parts.options);
  }

  /** A kind by the weights. */
  kind(): RequestKind {
    return weighted(this.#parts.options.weights, this.#parts.draw);
  }

  make(kind: RequestKind): Request {
    const { draw, own } = this.#parts, tag = `${this.#parts.name}-${++this.#number}`;
    const target = this.#target(), { collection } = target;
    switch (kind) {
      case "put":
      case "misdirected":
        return put(kind, target, this.#content(tag, draw.flip(0.2) ? target.id : null), null);
      case "create":
        return put(kind, target, this.#content(tag, null), "absent");
      case "replace":
        return put(kind, target, this.#content(tag, null), this.#demand(target) ?? "present");
      case "own":
        return put(kind, own.target, this.#content(tag, null), own.demand);
      case "insert": {
        const id = draw.flip(0.5) ? null : target.id;
        return insert(collection, id, this.#content(tag, id));
      }
      case "remove":
        return remove(target, draw.flip(0.3) ? this.#demand(target) : draw.flip(0.1) ? "present" : null);
      case "bulk":
        return bulk(collection, this.#elements(tag));
      case "transaction":
        return transaction(this.#operations(tag));
      case "get":
        return get(this.#readable(target));
      case "list":
        return list(collection, draw.pick([1, 10, 100, 1_000]), this.#ids);
      case "count":
        return count();
      case "drop":
        return drop(collection);
      case "bad":
        return bad(target, this.#content(tag, null), draw);
    }
  }

  #target(): Target {
    const { draw } = this.#parts;
    return { collection: draw.pick(this.#collections), id: draw.pick(this.#ids) };
  }

  /** Now and then a document of which few others know. */
  #readable(target: Target): Target {
    const { draw, memory, own } = this.#parts;
    if (draw.flip(0.1)) return own.target;
    const made = draw.flip(0.2) ? memory.made(target.collection, draw) : null;
    return made === null ? target : { ...target, id: made };
  }

  /** An etag that is, was, or never can be the document's. */
  #demand(target: Target): Extract<Demand, { readonly etag: string }> | null {
    const { draw, memory } = this.#parts, etag = memory.etag(target, draw);
    return etag === null || draw.flip(0.1) ? null : { etag };
  }

  #content(tag: string, id: string | null): Content {
    const { draw, options } = this.#parts;
    return { tag, text: sent(members(tag, bodyBytes(options, draw), draw), id, draw) };
  }

  #elements(tag: string): readonly Element[] {
    const { draw, options } = this.#parts, elements: Element[] = [];
    const length = 2 + draw.below(options.bulkMax - 1), failing = draw.pick([0, 0, 0.2]);
    while (elements.length < length) {
      const id = draw.flip(0.4) ? draw.pick(this.#ids) : null;
      if (draw.flip(failing)) elements.push(draw.pick(badElements));
      else elements.push({ id, ...this.#content(`${tag}.${elements.length}`, id) });
    }
    return elements;
  }

  #operations(tag: string): readonly Operation[] {
    const { draw, options } = this.#parts, operations: Operation[] = [];
    const length = 2 + draw.below(options.operationsMax - 1);
    while (operations.length < length) {
      const target = draw.flip(0.3) ? operations.at(-1) ?? this.#target() : this.#target();
      operations.push(this.#operation(`${tag}.${operations.length}`, target));
    }
    return operations;
  }

  /** Most of them can be carried out, so that not every transaction fails. */
  #operation(
    tag: string,
    { collection, id }: { readonly collection: string; readonly id: string | null },
  ): Operation {
    const { draw, memory } = this.#parts;
    const shared = id ?? draw.pick(this.#ids), kind = draw.float();
    if (kind < 0.35) return { op: "delete", collection, id: shared };
    if (kind < 0.65 && memory.etag({ collection, id: shared }, draw) !== null) {
      return { op: "replace", collection, id: shared, content: this.#content(tag, null) };
    }
    const own = draw.flip(0.3) ? shared : null;
    return { op: "insert", collection, id: own, content: this.#content(tag, own) };
  }
}
