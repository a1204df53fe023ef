/** Draws what a client asks next. */
import { atomicBulk } from "./atomic_requests.ts";
import { bad } from "./bad_requests.ts";
import { fields, members, sent } from "./bodies.ts";
import type { Element } from "./bulk_requests.ts";
import { bulk } from "./bulk_requests.ts";
import type { Chance } from "./chance.ts";
import type { ClientMemory, OwnDocument } from "./client_memory.ts";
import { FeatureRequests } from "./feature_requests.ts";
import { Repeats, underKey } from "./repeats.ts";
import type { Content, Demand, Request, Target } from "./requests.ts";
import { count, drop, get, insert, list, put, remove } from "./requests.ts";
import { ruleCodes, underRules } from "./rule_refusals.ts";
import type { Operation } from "./transaction_requests.ts";
import { transaction } from "./transaction_requests.ts";
import type { RequestKind, WorkloadOptions } from "./workload.ts";
import { bodyBytes, collectionNames, sharedIds, weighted } from "./workload.ts";
import { repeatable } from "./written_tags.ts";

export interface MakerParts {
  /** Its tags begin with it. */
  readonly name: string;
  readonly options: WorkloadOptions;
  readonly draw: Chance;
  readonly memory: ClientMemory;
  readonly own: OwnDocument;
  /** About what the clock of a node says. */
  readonly wallMs: () => number;
}

/** Kinds that may have an Idempotency-Key; as the others are not sent by POST, or not remembered. */
const once: ReadonlySet<RequestKind> = new Set([
  "insert",
  "bulk",
  "atomic",
  "transaction",
  "searching",
  "conditional",
  "sql",
]);

/** Elements of a bulk that fail alone, without `_id` or tag. */
const badElements: readonly Exclude<Element, { readonly tag: string }>[] = [
  { bad: "bad_request", text: "7" },
  { bad: "bad_request", text: '{"a":1,"a":2}' },
  { bad: "bad_request", text: '{"n":9007199254740993}' },
  { bad: "bad_request", text: '{"_id":""}' },
  { bad: "bad_request", text: '{"x":}' },
  { bad: "reserved_id", text: '{"_id":"bulk"}' },
];

/** How often an element of a bulk fails, in one or another, and has an id that may be there: where one spoils all, seldom. */
const each = { failing: [0, 0, 0.2], named: 0.4 }, whole = { failing: [0, 0, 0, 0.1], named: 0.04 };

export class RequestMaker {
  readonly #parts: MakerParts;
  readonly #collections: readonly string[];
  readonly #ids: readonly string[];
  /** Those that have a key. */
  readonly repeats: Repeats;
  readonly #features: FeatureRequests;
  #number = 0;

  constructor(parts: MakerParts) {
    this.#parts = parts;
    this.repeats = new Repeats(parts.draw);
    this.#features = new FeatureRequests({
      ...parts,
      target: () => this.#known(this.#target()),
      content: (tag, id) => this.#content(tag, id),
      demand: (target) => this.#demand(target),
      elements: (tag) => this.#elements(tag, whole),
      operations: (tag) => this.#operations(tag),
    });
    this.#collections = collectionNames(parts.options);
    this.#ids = sharedIds(parts.options);
  }

  /** A kind by the weights. */
  kind(): RequestKind {
    return weighted(this.#parts.options.weights, this.#parts.draw);
  }

  make(kind: RequestKind): Request {
    const { draw, options: { features } } = this.#parts;
    const again = kind === "repeat" ? this.repeats.next() : null;
    if (again !== null) return again;
    const wanted = kind === "repeat" ? "insert" : kind;
    const keyed = features.once && once.has(wanted) && (kind === "repeat" || draw.flip(0.6));
    const tag = `${this.#parts.name}-${++this.#number}`;
    const request = this.#make(wanted, keyed ? tag + repeatable : tag, keyed);
    const ruled = underRules(request, features);
    return keyed && ruled.ask.method === "POST" ? underKey(ruled, `key-${tag}`) : ruled;
  }

  #make(kind: Exclude<RequestKind, "repeat">, tag: string, keyed: boolean): Request {
    const { draw, own, options: { features } } = this.#parts;
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
        return keyed
          ? atomicBulk(collection, this.#elements(tag, whole), "")
          : bulk(collection, this.#elements(tag), ruleCodes(features));
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
      default:
        return this.#features.make(kind, tag, collection);
    }
  }

  #target(): Target {
    const { draw } = this.#parts;
    return { collection: draw.pick(this.#collections), id: draw.pick(this.#ids) };
  }

  /** Now and then a document of which few others know. */
  #readable(target: Target): Target {
    const { draw, own } = this.#parts;
    return draw.flip(0.1) ? own.target : this.#known(target);
  }

  /** Now and then one whose id a server made. */
  #known(target: Target): Target {
    const { draw, memory } = this.#parts;
    const made = draw.flip(0.2) ? memory.made(target.collection, draw) : null;
    return made === null ? target : { ...target, id: made };
  }

  /** An etag that is, was, or never can be the document's. */
  #demand(target: Target): Extract<Demand, { readonly etag: string }> | null {
    const { draw, memory } = this.#parts, etag = memory.etag(target, draw);
    return etag === null || draw.flip(0.1) ? null : { etag };
  }

  #content(tag: string, id: string | null): Content {
    const { draw, options, wallMs } = this.#parts;
    const own = fields(options.features, tag, wallMs(), draw, this.#features.clashes);
    return { tag, text: sent(members(tag, bodyBytes(options, draw), draw, own), id, draw) };
  }

  #elements(tag: string, rates = each): readonly Element[] {
    const { draw, options } = this.#parts, elements: Element[] = [];
    const length = 2 + draw.below(options.bulkMax - 1), failing = draw.pick(rates.failing);
    while (elements.length < length) {
      const id = draw.flip(rates.named) ? draw.pick(this.#ids) : null;
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
