/** Holds what clients were told of their writes against the history, word for word as GUARANTEES.md has it. */
import type { Delete, Put } from "../../src/document/operation.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { ancestorAt, contains, parentOf, tokenOf } from "./history_tree.ts";
import type { Replay } from "./replay.ts";
import type { RescuedTail } from "./rescued_check.ts";
import type { AnsweredEntry } from "./sync_candidates.ts";
import { type Observed, Violation, type Write, type WrittenDocument } from "./types.ts";
import { tagOf, type WrittenTags } from "./written_tags.ts";

export interface PromisesOptions {
  readonly history: History;
  readonly replay: Replay;
  readonly tags: WrittenTags;
  /** Machines that may take over and had to be among those that held the entry that `machine` answered. */
  readonly candidatesOf?: (machine: string, entry: AnsweredEntry) => readonly string[];
}

/** How the world ended. */
export interface Outcome {
  /** The node that leads. */
  readonly leader: Observed;
  /** What lies in the rescue files of all machines. */
  readonly rescued: readonly RescuedTail[];
  /**
   * Whether `tip` may lack `entry`: it was left behind by something that is allowed to. It must be rescued then. `confirmed`: it was
   * answered as held by followers.
   */
  readonly mayLack: (tip: Entry, entry: Entry, confirmed: boolean) => boolean;
}

/** A write that was kept, and its entry. */
interface Kept {
  readonly write: Write;
  readonly entry: Entry;
}

type Change = Put | Delete;

export class Promises {
  readonly #options: PromisesOptions;
  readonly #kept: Kept[] = [];
  readonly #unknown: Write[] = [];

  constructor(options: PromisesOptions) {
    this.#options = options;
  }

  /** Number of writes that were promised, or kept, so far. */
  get count(): number {
    return this.#kept.length;
  }

  /** To be called when the fate of a write is known. `answeredAt`: virtual ms when the server sent its answer, if that is known. */
  record(write: Write, answeredAt: number = write.knownAt): void {
    switch (write.outcome) {
      case "promised":
      case "kept":
        return this.#keep(write, answeredAt);
      case "refused":
        for (const { tag } of write.documents) {
          if (tag !== null) {
            this.#options.tags.refuse(tag, `by ${write.machine} at ${write.knownAt.toFixed(2)}`);
          }
        }
        return;
      case "unknown":
        this.#unknown.push(write);
    }
  }

  /** At the end, when every node has come to rest: nothing that was promised may have vanished. */
  final({ leader, rescued, mayLack }: Outcome): void {
    const { history } = this.#options;
    history.observe(leader);
    const tip = history.tip(leader.machine);
    for (const { write, entry } of this.#kept) {
      if (contains(tip, entry)) continue;
      const where = `${tokenOf(entry)} is not in the history of ${leader.process} (${tokenOf(tip)})`;
      const confirmed = write.outcome === "promised" && write.required > 0;
      if (!mayLack(tip, entry, confirmed)) throw broken(write, where);
      if (!this.#isAccountedFor(entry, rescued)) throw broken(write, `${where}, nor is it in a rescue file`);
    }
    for (const write of this.#unknown) this.#checkUnknown(write);
  }

  #keep(write: Write, answeredAt: number): void {
    const entry = this.#entryOf(write);
    if (entry === null) return; // nothing tells deletions apart
    const writer = write.forwarded === true
      ? this.#options.history.writerOf(entry.run) ?? write.machine
      : write.machine;
    if (!entry.heldAt.has(writer)) throw broken(write, `${tokenOf(entry)} was never on ${writer}`);
    if (write.applied === true && !entry.heldAt.has(write.machine)) {
      throw broken(write, `${tokenOf(entry)} was never on ${write.machine}, which said that it is`);
    }
    if (write.drops === undefined) this.#compare(write, entry);
    else this.#checkDrop(write, entry, write.drops);
    if (write.outcome === "promised" && write.required > 0) {
      this.#checkReplicas(write, entry, { writer, answeredAt });
    }
    this.#kept.push({ write, entry });
  }

  /** The entry of a write that was kept. */
  #entryOf(write: Write): Entry | null {
    const { history, tags } = this.#options, { position, documents } = write;
    if (position !== null) {
      const entry = history.byToken(position);
      if (entry === null) throw broken(write, "no node ever had an entry of this position");
      return entry;
    }
    const tag = documents.find((document) => document.tag !== null)?.tag ?? null;
    if (tag === null) return null;
    const entry = tags.entry(tag);
    if (entry === null) throw broken(write, `no entry has ${tag}`);
    return entry;
  }

  /** The entry consists of exactly these changes. */
  #compare(write: Write, entry: Entry): void {
    const { replay } = this.#options;
    const changes = new Map<string, Change>();
    for (const operation of entry.operations) {
      if (operation.kind === "createCollection") continue;
      if (operation.kind !== "put" && operation.kind !== "delete") {
        throw broken(write, `${tokenOf(entry)} holds an operation of kind ${operation.kind}`);
      }
      const name = replay.everNameAt(entry, operation.collection) ?? "";
      changes.set(keyOf(name, operation.id), operation);
    }
    const unmatched = new Set(changes.values());
    for (const document of write.documents) {
      const change = this.#changeOf(write, entry, { document, changes });
      if (change !== null) unmatched.delete(change);
    }
    for (const { id } of unmatched) throw broken(write, `${tokenOf(entry)} changes ${id}, too`);
  }

  /** The change of one document; null: it was to be deleted and there was none. */
  #changeOf(
    write: Write,
    entry: Entry,
    { document, changes }: { document: WrittenDocument; changes: ReadonlyMap<string, Change> },
  ): Change | null {
    const { collection, id, tag } = document;
    const change = id === null
      ? [...changes.values()].find((other) => other.kind === "put" && tagOf(other) === tag)
      : changes.get(keyOf(collection, id));
    const found = change === undefined ? undefined : change.kind === "delete" ? null : tagOf(change);
    if (change === undefined && id !== null && tag === null && write.outcome !== "promised") {
      // Without its results nobody knows whether a transaction found the document.
      if (this.#options.replay.valueAt(parentOf(entry) as Entry, collection, id) === null) return null;
    }
    if (change === undefined || found !== tag) {
      const has = found === undefined ? "nothing" : found ?? "its deletion";
      throw broken(
        write,
        `${tokenOf(entry)} has ${has} for ${collection}/${id}, not ${tag ?? "its deletion"}`,
      );
    }
    if (write.ifMatch === undefined) return change;
    const before = ancestorAt(entry, change.previous), etag = before === null ? "" : tokenOf(before);
    if (etag === write.ifMatch) return change;
    throw broken(write, `${tokenOf(entry)} replaced ${etag} of ${collection}/${id}, not ${write.ifMatch}`);
  }

  #checkDrop(write: Write, entry: Entry, collection: string): void {
    const [operation, more] = entry.operations;
    const name = operation?.kind === "dropCollection" && more === undefined
      ? this.#options.replay.nameAt(parentOf(entry) as Entry, operation.collection)
      : null;
    if (name?.toLowerCase() !== collection.toLowerCase()) {
      throw broken(write, `${tokenOf(entry)} does not drop ${collection}`);
    }
  }

  /** All of it or nothing; that nothing is there twice was seen with each entry. */
  #checkUnknown(write: Write): void {
    const { tags } = this.#options;
    const entries = write.documents.flatMap(({ tag }) => tag === null ? [] : [tags.entry(tag)]);
    const [first = null] = entries;
    if (entries.some((entry) => entry !== first)) {
      const found = entries.map((entry) => entry === null ? "nowhere" : tokenOf(entry));
      throw broken(write, `it was carried out in part: ${found.join(", ")}`);
    }
    if (first !== null) this.#compare(write, first);
  }

  /** It is rescued, or a machine still has it, or the disk of one that had it was made older from outside. */
  #isAccountedFor(entry: Entry, rescued: readonly RescuedTail[]): boolean {
    const { history } = this.#options;
    return rescued.some(({ last, from }) => entry.seq >= from && contains(last, entry)) ||
      history.machines.some((machine) => contains(history.tip(machine), entry)) || this.#wasRestored(entry);
  }

  /** The disk of a machine that had it was made older from outside. */
  #wasRestored(entry: Entry): boolean {
    return this.#options.history.rollbacks.some(({ why, from, to }) =>
      why === "restored" && contains(from, entry) && !contains(to, entry)
    );
  }

  /** As many other machines as the answer promised had the entry on their disks when it was given, and all that may take over. */
  #checkReplicas(
    write: Write,
    entry: Entry,
    { writer, answeredAt }: { readonly writer: string; readonly answeredAt: number },
  ): void {
    const { required, sentAt } = write;
    const held = [...entry.heldAt].filter(([other, at]) => other !== writer && at <= answeredAt);
    const names = held.map(([other]) => other);
    const on = `${tokenOf(entry)} was on ${held.length} other machines (${
      names.join(", ")
    }) when it was answered at ${answeredAt.toFixed(2)}`;
    if (held.length < required) throw broken(write, `${on}, ${required} had to hold it`);
    // Between the last confirmation and the answer others have their turn, and who passed it on may wait: a candidate may come.
    const answered = { seq: entry.seq, from: sentAt, to: answeredAt };
    const candidates = this.#options.candidatesOf?.(writer, answered) ?? [];
    const missing = candidates.find((name) => !names.includes(name));
    if (missing !== undefined) throw broken(write, `${on}, and not on ${missing}, which may take over`);
  }
}

function keyOf(collection: string, id: string): string {
  return `${collection.toLowerCase()}/${id}`;
}

function broken(
  { machine, outcome, position, sentAt, knownAt, documents, drops }: Write,
  what: string,
): Violation {
  const names = documents.slice(0, 5).map(({ collection, id, tag }) =>
    `${collection}/${id} ${tag ?? "deleted"}`
  );
  const more = documents.length > 5 ? `, and ${documents.length - 5} more` : "";
  return new Violation(
    "promises",
    `${what}. The write: ${outcome} by ${machine}, sent at ${sentAt.toFixed(2)}, known at ${
      knownAt.toFixed(2)
    }, ` +
      `position ${position ?? "not told"}: ${
        drops === undefined ? names.join(", ") + more : `drops ${drops}`
      }`,
  );
}
