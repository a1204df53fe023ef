import { utf8Text } from "../base/bytes.ts";
import type { CollectionNumber, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { collectionKey } from "../document/names.ts";
import type { Operation } from "../document/operation.ts";
import type { LogEntry, TermRecord } from "../storage/log.ts";
import type { VersionOperation } from "../storage/version_codec.ts";
import { etagText, positionText } from "../storage/position_text.ts";

const documentsMax = 1_000_000;

/**
 * The lines of a rescue file, one for each operation: `doc` last and to the letter as it was stored. Operations of one entry
 * belonged together: they have its seq, and `group` when there are several.
 */
export class RescueText {
  readonly #terms: readonly TermRecord[];
  readonly #names: Map<CollectionNumber, string>;
  #entries = 0;
  #operations = 0;
  /** Ids, to be counted; null once they are too many to remember. */
  #documents: Set<string> | null = new Set();

  /** `names` of the collections that there are; those that the entries create are added. */
  constructor(
    terms: readonly TermRecord[],
    names: ReadonlyMap<CollectionNumber, string>,
  ) {
    this.#terms = terms;
    this.#names = new Map(names);
  }

  /** True when one of the operations is on a collection whose name is not known: it is dropped further on in the tail. */
  misses(operations: readonly Operation[]): boolean {
    return operations.some((operation) =>
      "collection" in operation && operation.kind !== "createCollection" &&
      !this.#names.has(operation.collection)
    );
  }

  /** Names of collections that older entries created. */
  know(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === "createCollection") this.#names.set(operation.collection, operation.name);
    }
  }

  /** `operations` are what the entry's payload holds. */
  lines(entry: LogEntry, operations: readonly Operation[]): string {
    let text = "";
    for (const operation of operations) text += this.#line(entry, operation, operations.length > 1);
    this.#entries++;
    this.#operations += operations.length;
    return text;
  }

  /** The last line: a file without it was cut. */
  end(): string {
    const documents = this.#documents?.size ?? null;
    return `${
      JSON.stringify({ op: "end", entries: this.#entries, operations: this.#operations, documents })
    }\n`;
  }

  #line({ seq, term, wallMs }: LogEntry, operation: Operation, grouped: boolean): string {
    const { kind } = operation;
    const place = { seq, term: { epoch: term.epoch, run: term.run }, op: kind };
    const rest = { etag: positionText(term, seq), wallMs, ...(grouped ? { group: seq } : {}) };
    if (kind === "term") return `${JSON.stringify({ ...place, nodeId: operation.nodeId, ...rest })}\n`;
    if (!("collection" in operation)) {
      if (operation.kind !== "setVersions") return `${jsonLine(operation, place, rest)}\n`;
      this.#count(this.#numberOf(operation.name), operation.id);
      return `${versionsLine(operation, this.#etag(operation.previous), place, rest)}\n`;
    }
    const number = operation.collection;
    if (kind === "createCollection") this.#names.set(number, operation.name);
    // Unknown: dropped by one of these entries, and the log does not reach back to where it was created.
    const where = { ...place, collection: this.#names.get(number) ?? null, number };
    if (kind === "createCollection" || kind === "dropCollection") {
      return `${JSON.stringify({ ...where, ...rest })}\n`;
    }
    if (kind === "createIndex" || kind === "dropIndex") {
      const { kind: _, collection: __, ...index } = operation;
      return `${JSON.stringify({ ...where, ...rest, index })}\n`;
    }
    const { id, previous } = operation;
    this.#count(number, id);
    const head = JSON.stringify({ ...where, id, previous: this.#etag(previous), ...rest });
    return kind === "delete" ? `${head}\n` : `${head.slice(0, -1)},"doc":${utf8Text(operation.body)}}\n`;
  }

  #etag(seq: Seq): string | null {
    return seq === 0 ? null : etagText(this.#terms, seqOf(seq));
  }

  /** Of the newest collection of that name; where there is none, the name. */
  #numberOf(name: string): CollectionNumber | string {
    const key = collectionKey(name);
    let found: CollectionNumber | null = null;
    for (const [number, other] of this.#names) {
      if (collectionKey(other) === key && (found === null || number > found)) found = number;
    }
    return found ?? key;
  }

  #count(collection: CollectionNumber | string, id: string): void {
    if (this.#documents?.add(`${collection}/${id}`).size === documentsMax) this.#documents = null;
  }
}

type VersionsMade = Extract<VersionOperation, { readonly kind: "setVersions" }>;

/** Of an operation that names no key. */
function jsonLine(
  { kind: _, ...members }: Exclude<VersionOperation, VersionsMade>,
  place: object,
  rest: object,
): string {
  return JSON.stringify({ ...place, ...members, ...rest });
}

/** What a key holds from here on; bodies to the letter as they were stored. */
function versionsLine(
  { name, id, kept, added, shown }: VersionsMade,
  previous: string | null,
  place: object,
  rest: object,
): string {
  const versions = added.map(({ dot, vector, modifiedMs, body }) =>
    withDoc(JSON.stringify({ ...dot, vector, modifiedMs }), body)
  );
  const body = shown.kind === "made" || shown.kind === "version" ? shown.body : null;
  const what = shown.kind === "version" ? shown.dot : shown.kind;
  const head = JSON.stringify({ ...place, collection: name, id, previous, ...rest, kept, shown: what });
  return withDoc(`${head.slice(0, -1)},"added":[${versions.join(",")}]}`, body);
}

function withDoc(head: string, body: Uint8Array | null): string {
  return `${head.slice(0, -1)},"doc":${body === null ? "null" : utf8Text(body)}}`;
}
