import type { Cursor, Place } from "../../src/multimaster/outgoing_events.ts";
import { placeOf } from "./outgoing_rig.ts";

/** Who wrote it: the entry that made it. */
export interface Dot {
  readonly digit: string;
  readonly epoch: number;
  readonly seq: number;
}

/** The larger one wins, everywhere. */
export interface Version extends Dot {
  readonly key: string;
  readonly n: number;
}

interface Entry {
  readonly versions: readonly Version[];
  readonly cursor: { readonly from: string; readonly cursor: Cursor } | null;
}

interface Run {
  readonly epoch: number;
  readonly firstSeq: number;
  readonly parent: Run | null;
}

/** One database: a log that failovers shorten, and what follows from it. */
export class MasterStore {
  readonly digit: string;
  #run: Run = { epoch: 1, firstSeq: 1, parent: null };
  #log: Entry[] = [];
  #versions = new Map<string, { readonly version: Version; readonly seq: number }>();
  #cursors = new Map<string, Cursor>();

  constructor(digit: string) {
    this.digit = digit;
  }

  get last(): number {
    return this.#log.length;
  }

  get epoch(): number {
    return this.#run.epoch;
  }

  get senders(): readonly string[] {
    return [...this.#cursors.keys()];
  }

  /** By key. */
  get content(): readonly Version[] {
    return [...this.#versions.values()].map(({ version }) => version).sort((a, b) => a.key < b.key ? -1 : 1);
  }

  cursorOf(from: string): Cursor | null {
    return this.#cursors.get(from) ?? null;
  }

  write(key: string): void {
    const n = (this.#versions.get(key)?.version.n ?? 0) + 1;
    const version = { key, n, digit: this.digit, epoch: this.epoch, seq: this.last + 1 };
    this.#append({ versions: [version], cursor: null });
  }

  /** False: nothing of it is new, and there is no entry. */
  receive(from: string, versions: readonly Version[], cursor: Cursor): boolean {
    const news = versions.filter((version) => isNewer(version, this.#versions.get(version.key)?.version));
    if (news.length === 0) return false;
    this.#append({ versions: news, cursor: { from, cursor } });
    return true;
  }

  putCursor(from: string, cursor: Cursor): boolean {
    const held = this.cursorOf(from);
    if (held?.seq === cursor.seq && held.epoch === cursor.epoch) return false;
    this.#append({ versions: [], cursor: { from, cursor } });
    return true;
  }

  failOver(seq: number): void {
    const kept = this.#log.slice(0, seq);
    let parent: Run | null = this.#run;
    while (parent !== null && parent.firstSeq > seq) parent = parent.parent;
    this.#run = { epoch: this.epoch + 1, firstSeq: seq + 1, parent };
    this.#log = [];
    this.#versions = new Map();
    this.#cursors = new Map();
    for (const entry of kept) this.#append(entry);
    this.#append({ versions: [], cursor: null });
  }

  /** True when entry `seq` of run `epoch` is in the present history. */
  has(epoch: number, seq: number): boolean {
    if (seq === 0) return true;
    return seq <= this.last && this.#runAt(seq)?.epoch === epoch;
  }

  /** As `findCommon` asks for it. */
  common(cursor: Cursor | null, theirs: MasterStore): Cursor {
    let seq: number = cursor !== null && this.#isSafe(cursor) ? cursor.seq : 0;
    for (const { version, seq: here } of this.#versions.values()) {
      if (version.digit === theirs.digit && !theirs.has(version.epoch, version.seq)) {
        seq = Math.min(seq, here - 1);
      }
    }
    return this.#cursorAt(seq);
  }

  /** A piece of what is after `after`: at most `items` to send, and at most 20 looked at. */
  read(after: Cursor, items: number, theirs: MasterStore, transitive: boolean) {
    const rest = [...this.#versions.values()].filter(({ seq }) => seq > after.seq).sort((a, b) =>
      a.seq - b.seq
    );
    const versions: Version[] = [];
    let looked = 0, upTo: number = after.seq;
    for (const { version, seq } of rest) {
      if (looked >= 20 || versions.length === items) {
        // Versions of one entry travel together or in order; a cursor inside an entry would lose the rest.
        if (seq > upTo) {
          return { versions, skipped: looked - versions.length, upTo: this.#cursorAt(upTo), more: true };
        }
      }
      looked++;
      upTo = seq;
      if (this.#isFor(version, theirs, transitive)) versions.push(version);
    }
    return { versions, skipped: looked - versions.length, upTo: this.#cursorAt(this.last), more: false };
  }

  /** What `to` should have by its cursor, and has not. What it wrote itself and lost is not a matter of cursors. */
  missingAt(to: MasterStore, transitive: boolean): string[] {
    const cursor = to.cursorOf(this.digit);
    if (cursor === null || !this.#isSafe(cursor)) return [];
    return [...this.#versions.values()].filter(({ version, seq }) =>
      seq <= cursor.seq && version.digit !== to.digit && this.#isFor(version, to, transitive) &&
      isNewer(version, to.#versions.get(version.key)?.version)
    ).map(({ version, seq }) => `${version.key} of ${version.digit} at ${seq}`);
  }

  /** Else what was superseded when it was read, and not sent, may be current again. */
  #isSafe({ asOf }: Cursor): boolean {
    return this.has(asOf.epoch, asOf.seq);
  }

  #isFor(version: Version, to: MasterStore, transitive: boolean): boolean {
    if (version.digit === to.digit) return !to.has(version.epoch, version.seq);
    return transitive || version.digit === this.digit;
  }

  #runAt(seq: number): Run | null {
    let run: Run | null = this.#run;
    while (run !== null && run.firstSeq > seq) run = run.parent;
    return run;
  }

  #cursorAt(seq: number): Cursor {
    return { ...this.#placeAt(seq), asOf: this.#placeAt(this.last) };
  }

  #placeAt(seq: number): Place {
    return placeOf(this.digit, seq, this.#runAt(seq)?.epoch ?? 1);
  }

  #append(entry: Entry): void {
    this.#log.push(entry);
    for (const version of entry.versions) this.#versions.set(version.key, { version, seq: this.last });
    if (entry.cursor !== null) this.#cursors.set(entry.cursor.from, entry.cursor.cursor);
  }
}

function isNewer(a: Version, b: Version | undefined): boolean {
  if (b === undefined) return true;
  if (a.n !== b.n) return a.n > b.n;
  if (a.digit !== b.digit) return a.digit > b.digit;
  return a.epoch !== b.epoch ? a.epoch > b.epoch : a.seq > b.seq;
}
