/** What the collections of a database are called, also those that were dropped since somebody looked. */
import type { CollectionNumber, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import type { LogReader, Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import { standing } from "./reached.ts";

/**
 * Name of each collection by its number. A number has one name for ever, and the catalog forgets it when the collection is
 * dropped; the log names it only where the collection begins. So what was seen once is kept here, as long as the history is the same.
 */
export class CollectionNames {
  readonly #read: Storage["read"];
  readonly #log: Pick<LogReader, "at" | "last" | "terms">;
  readonly #names = new Map<CollectionNumber, string>();
  /** The newest entry of which a name is known: of one that is not in the history any more, they may be others'. */
  #of: Position;
  /** When the catalog was looked at last. */
  #looked: Position;

  constructor(storage: Pick<Storage, "read" | "log">) {
    this.#read = (run) => storage.read(run);
    this.#log = storage.log;
    this.#of = this.#looked = this.#log.last;
    this.#look();
  }

  /** Name of a collection that an entry of this history speaks of; null: it was dropped before it was seen here. */
  of(number: CollectionNumber): string | null {
    const known = this.#names.get(number);
    if (known !== undefined) return known;
    if (samePosition(this.#looked, this.#log.last)) return null;
    this.#look();
    return this.#names.get(number) ?? null;
  }

  /** The log says at `position` that a collection begins. */
  begins(number: CollectionNumber, name: string, position: Position): void {
    this.#names.set(number, name);
    if (position.seq > this.#of.seq) this.#of = position;
  }

  /** The log from its first entry up to here was looked through for names. */
  searchedTo: Seq = seqOf(0);

  /** To be called before entries are read that may belong to another history than those before. */
  check(): void {
    const { epoch, run, seq } = this.#of, here = this.#log.at(seq);
    if (here === "compacted" && standing(this.#log, { epoch, run, seq }).kind === "here") return;
    if (typeof here === "object" && samePosition(here, this.#of)) return;
    this.#names.clear();
    this.searchedTo = seqOf(0);
    this.#look();
  }

  #look(): void {
    this.#of = this.#looked = this.#log.last;
    for (const { number, name } of this.#read((view) => view.collections())) this.#names.set(number, name);
  }
}
