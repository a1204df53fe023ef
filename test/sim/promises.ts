/** Holds what clients were told of their writes against the history, word for word as GUARANTEES.md has it. */
import { utf8Text } from "../../src/base/bytes.ts";
import type { Delete, Operation, Put } from "../../src/document/operation.ts";
import type { DeletionsCheck } from "./deletions_check.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { ancestorAt, contains, parentOf, tokenOf } from "./history_tree.ts";
import { compared } from "./models.ts";
import type { Replay } from "./replay.ts";
import type { RescuedTail } from "./rescued_check.ts";
import { type Json, rememberedName, sameJson, settingsName, State } from "./state.ts";
import type { AnsweredEntry } from "./sync_candidates.ts";
import { type Observed, Violation, type Write, type WrittenDocument } from "./types.ts";
import { shared, tagOf, type WrittenTags } from "./written_tags.ts";

export interface PromisesOptions {
  readonly history: History;
  readonly replay: Replay;
  readonly tags: WrittenTags;
  /** Machines that may take over and had to be among those that held the entry that `machine` answered. */
  readonly candidatesOf?: (machine: string, entry: AnsweredEntry) => readonly string[];
  /** Is told what clients asked to be deleted. */
  readonly deletions?: DeletionsCheck;
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
  /** Names of indexes that were refused to be made. */
  readonly #refusedIndexes: Write[] = [];

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
        if (write.index !== undefined && write.index.made !== null) this.#refusedIndexes.push(write);
        for (const { tag } of write.documents) {
          if (tag !== null) {
            this.#options.tags.refuse(tag, `by ${write.machine} at ${write.knownAt.toFixed(2)}`);
          }
        }
        return;
      case "unknown":
        this.#unknown.push(write);
        this.#options.deletions?.asked(write);
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
    for (const write of this.#refusedIndexes) {
      const entry = this.#options.replay.madeBy(write.index?.name ?? "");
      if (entry !== null) {
        throw broken(write, `index ${write.index?.name} was refused, and ${tokenOf(entry)} makes it`);
      }
    }
  }

  #keep(write: Write, answeredAt: number): void {
    const entry = this.#entryOf(write);
    if (entry === null) return this.#options.deletions?.asked(write); // nothing tells deletions apart
    this.#options.deletions?.made(entry);
    const writer = write.forwarded === true
      ? this.#options.history.writerOf(entry.run) ?? write.machine
      : write.machine;
    if (!entry.heldAt.has(writer)) throw broken(write, `${tokenOf(entry)} was never on ${writer}`);
    if (write.applied === true && !entry.heldAt.has(write.machine)) {
      throw broken(write, `${tokenOf(entry)} was never on ${write.machine}, which said that it is`);
    }
    if (write.drops !== undefined) this.#checkDrop(write, entry, write.drops);
    else if (write.index !== undefined) this.#checkIndex(write, entry, write.index);
    else this.#compare(write, entry);
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
    // One that was repeated is in the history of who answered it last.
    const entry = tags.entries(tag).findLast(({ heldAt }) => heldAt.has(write.machine)) ?? tags.entry(tag);
    // A statement that changed no document wrote nothing that has it; what is remembered of it has no tag.
    if (entry === null && tag.endsWith(shared)) return null;
    if (entry === null) throw broken(write, `no entry has ${tag}`);
    return entry;
  }

  /** The entry consists of exactly these changes. */
  #compare(write: Write, entry: Entry): void {
    const { replay } = this.#options, own = this.#ownOf(write, entry);
    const changes = new Map<string, Change>();
    for (const operation of own) {
      const name = replay.everNameAt(entry, operation.collection) ?? "";
      changes.set(keyOf(name, operation.id), operation);
    }
    const unmatched = new Set(changes.values());
    for (const document of write.documents) {
      const change = this.#changeOf(write, entry, { document, changes });
      if (change !== null) unmatched.delete(change);
    }
    if (write.model !== undefined) return this.#checkModel(write, entry, own);
    for (const { id } of unmatched) throw broken(write, `${tokenOf(entry)} changes ${id}, too`);
  }

  /** The changes of documents; what is remembered of the request is looked at and left out. */
  #ownOf(write: Write, entry: Entry): readonly Change[] {
    const { replay } = this.#options,
      own: Change[] = [],
      setsTtl = write.documents[0]?.id?.endsWith("/ttl") === true;
    let note: Change | null = null;
    for (const operation of entry.operations) {
      if (operation.kind === "createCollection" || (setsTtl && isTtlIndex(operation))) continue;
      if (operation.kind !== "put" && operation.kind !== "delete") {
        throw broken(write, `${tokenOf(entry)} holds an operation of kind ${operation.kind}`);
      }
      if (replay.everNameAt(entry, operation.collection) === rememberedName) note = operation;
      else own.push(operation);
    }
    this.#checkNote(write, entry, note);
    return own;
  }

  /** With a key the answer is part of the entry, to the letter; without one there is none. */
  #checkNote({ once, ...write }: Write, entry: Entry, note: Change | null): void {
    if (once === undefined) {
      if (note !== null) throw broken(write, `${tokenOf(entry)} remembers ${note.id}`);
      return;
    }
    if (note?.kind !== "put" || note.id !== once.key) {
      throw broken(write, `${tokenOf(entry)} does not remember ${once.key}`);
    }
    const { status, body } = JSON.parse(utf8Text(note.body)) as Json, { answer } = once;
    if (answer === null || (answer.status === status && answer.text === body)) return;
    throw broken(
      write,
      `${tokenOf(entry)} remembers ${String(body).slice(0, 300)}, the answer was ${
        answer.text.slice(0, 300)
      }`,
    );
  }

  #checkModel(write: Write, entry: Entry, own: readonly Change[]): void {
    const { replay } = this.#options, before = new State(replay, parentOf(entry) as Entry);
    const expected = write.model?.(before) ?? [];
    const found = own.map((change) => ({
      collection: replay.everNameAt(entry, change.collection) ?? "",
      id: change.id,
      json: change.kind === "put" ? JSON.parse(utf8Text(change.body)) as Json : null,
    }));
    const wrong = typeof expected === "string" ? expected : compared(found, expected);
    if (wrong !== null) throw broken(write, `${tokenOf(entry)}: ${wrong}`);
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

  /** The collection, and what was set for it. */
  #checkDrop(write: Write, entry: Entry, collection: string): void {
    const { replay } = this.#options,
      before = parentOf(entry) as Entry,
      [operation, ...settings] = entry.operations;
    const name = operation?.kind === "dropCollection" ? replay.nameAt(before, operation.collection) : null;
    if (name?.toLowerCase() !== collection.toLowerCase()) {
      throw broken(write, `${tokenOf(entry)} does not drop ${collection}`);
    }
    const expected = (["schema", "ttl"] as const).map((kind) => `${collection.toLowerCase()}/${kind}`)
      .filter((id) => replay.valueAt(before, settingsName, id) !== null);
    const found = settings.map((one) =>
      one.kind === "delete" && replay.everNameAt(entry, one.collection) === settingsName ? one.id : one.kind
    );
    if (!sameJson(found, expected)) {
      throw broken(write, `${tokenOf(entry)} drops the settings ${found.join()}, not ${expected.join()}`);
    }
  }

  #checkIndex(write: Write, entry: Entry, { collection, name, made }: NonNullable<Write["index"]>): void {
    const [operation, more] = entry.operations, expected = made === null ? "dropIndex" : "createIndex";
    const own = operation?.kind === expected && more === undefined ? operation : null;
    const of = own === null ? null : this.#options.replay.nameAt(entry, own.collection);
    const same = own !== null && of?.toLowerCase() === collection.toLowerCase() && own.name === name &&
      (own.kind === "dropIndex" || sameJson(made, { unique: own.unique, paths: own.paths }));
    if (!same) throw broken(write, `${tokenOf(entry)} is no ${expected} of ${name}`);
  }

  /** All of it or nothing; that nothing is there twice was seen with each entry. */
  #checkUnknown(write: Write): void {
    const { tags } = this.#options;
    const all = write.documents.flatMap(({ tag }) => tag === null ? [] : [tags.entries(tag)]);
    const [first = []] = all;
    if (
      all.some((entries) => entries.length !== first.length || entries.some((entry, i) => entry !== first[i]))
    ) {
      const found = all.map((entries) => entries.length === 0 ? "nowhere" : entries.map(tokenOf).join("+"));
      throw broken(write, `it was carried out in part: ${found.join(", ")}`);
    }
    for (const entry of first) this.#compare(write, entry);
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

/** The index of another field goes with the setting that names it. */
function isTtlIndex(operation: Operation): boolean {
  return operation.kind === "dropIndex" && operation.name === "_ttl";
}

function keyOf(collection: string, id: string): string {
  return `${collection.toLowerCase()}/${id}`;
}

function broken(
  { machine, outcome, position, sentAt, knownAt, documents, drops, index }: Write,
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
        drops !== undefined
          ? `drops ${drops}`
          : index !== undefined
          ? `index ${index.name}`
          : names.join(", ") + more
      }`,
  );
}
