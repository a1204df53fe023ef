/** What a client remembers, and what its answers can never be because of it. */
import { check, placeOf } from "./answers.ts";
import type { Chance } from "./chance.ts";
import type { Judged, JudgedWrite, Seen, Target } from "./requests.ts";

const etagsMax = 5, madeMax = 20;

interface Known {
  /** Etags in the order in which they were learned, the newest last; bounded. */
  readonly etags: string[];
  /** Position of the last change of the document that was promised here; null: none. */
  promised: string | null;
}

export class ClientMemory {
  readonly #documents = new Map<string, Known>();
  /** Ids that servers made, by collection. */
  readonly #made = new Map<string, string[]>();
  /** Last position of a change of this client, by run. */
  readonly #ends = new Map<string, number>();

  /** Learns from an answer; throws Violation where it contradicts an earlier one. */
  learn({ writes, reads, end }: Judged): void {
    if (end?.own === true) this.#goOn(end.position);
    for (const write of writes) if (write.outcome === "promised") this.#promised(write);
    for (const read of reads) this.#saw(read);
  }

  /** An etag that the document has or had; null: none is known. */
  etag(target: Target, draw: Chance): string | null {
    const etags = this.#documents.get(keyOf(target))?.etags ?? [];
    return etags.length === 0 ? null : draw.flip(0.7) ? etags.at(-1) as string : draw.pick(etags);
  }

  /** An id that a server made; null: none is known. */
  made(collection: string, draw: Chance): string | null {
    const ids = this.#made.get(collection) ?? [];
    return ids.length === 0 ? null : draw.pick(ids);
  }

  /** A run has one log, and answers come one after the other. */
  #goOn(position: string): void {
    const { run, seq } = placeOf(position), before = this.#ends.get(run) ?? 0;
    check(seq > before, () => `a write is at ${position}, an earlier one was at ${run}-${before}`);
    this.#ends.set(run, seq);
  }

  #promised({ documents, position, ifMatch }: JudgedWrite): void {
    for (const { collection, id, tag } of documents) {
      if (id === null) continue;
      const key = keyOf({ collection, id }), known = this.#known(key);
      if (position !== null) {
        if (ifMatch !== undefined) this.#checkMatch(key, ifMatch, position, known.promised);
        known.promised = position;
        if (tag !== null) add(known.etags, position, etagsMax);
      }
      if (tag !== null && /^[0-9a-f]{32}$/.test(id)) add(listOf(this.#made, collection), id, madeMax);
    }
  }

  /** Within one run's log an etag that was replaced never comes back. */
  #checkMatch(key: string, etag: string, position: string, promised: string | null): void {
    const old = placeOf(etag), now = placeOf(position);
    check(old.seq < now.seq, () => `${key}: ${position} replaced ${etag}, which comes after it`);
    if (promised === null) return;
    const last = placeOf(promised);
    check(
      last.run !== now.run || last.seq <= old.seq,
      () => `${key}: ${position} replaced ${etag}, which ${promised} had replaced before`,
    );
  }

  #saw({ collection, id, seen }: Seen): void {
    if (seen === null) return;
    const { etags } = this.#known(keyOf({ collection, id }));
    if (!etags.includes(seen.etag)) add(etags, seen.etag, etagsMax);
  }

  #known(key: string): Known {
    let known = this.#documents.get(key);
    if (known === undefined) this.#documents.set(key, known = { etags: [], promised: null });
    return known;
  }
}

/**
 * A document that one client alone writes, under an id that nobody used before and in a collection that nobody drops: the
 * client knows what its state must be, as long as every write of it was answered.
 */
export class OwnDocument {
  readonly #client: string;
  #number = 0;
  /** Null: nothing was written yet. */
  #etag: string | null = null;

  constructor(client: string) {
    this.#client = client;
  }

  get target(): Target {
    return { collection: "own", id: `${this.#client}.${this.#number}` };
  }

  /** What the next write is to demand. */
  get demand(): { readonly etag: string } | "absent" {
    return this.#etag === null ? "absent" : { etag: this.#etag };
  }

  /** Learns what became of a write of it; throws Violation when somebody else must have written. */
  learn({ writes, actual }: Pick<Judged, "writes" | "actual">): void {
    const [write] = writes, { id } = this.target, etag = this.#etag;
    if (write?.outcome === "promised") {
      this.#etag = write.position;
      return;
    }
    if (actual === undefined && write?.outcome === "refused") return;
    this.#number++;
    this.#etag = null;
    if (actual === undefined) return;
    check(etag !== null, () => `${id} was there before it was written: ${actual}`);
    if (actual === null) return; // lost with its leader: others judge that, and an older etag
    const old = placeOf(etag), now = placeOf(actual);
    check(
      old.run !== now.run || now.seq < old.seq,
      () => `${id} had ${etag}, nobody else writes it, and it is ${actual}`,
    );
  }
}

function add(list: string[], item: string, max: number): void {
  list.push(item);
  if (list.length > max) list.shift();
}

function listOf(lists: Map<string, string[]>, key: string): string[] {
  let list = lists.get(key);
  if (list === undefined) lists.set(key, list = []);
  return list;
}

const keyOf = ({ collection, id }: Target): string => `${collection}/${id}`;
