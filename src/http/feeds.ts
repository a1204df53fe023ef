/**
 * Feeds of changes that clients follow. How one works: its client's reading pulls the next text; what is asked for is read from the log
 * in pieces, so that one piece is all that a slow client costs. At the end of the log a feed waits for the commit signal, and says a
 * word now and then, which names the position when it has moved without a change to tell.
 */
import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Signal } from "../base/signal.ts";
import type { Change, ChangeSource } from "../engine/changes.ts";
import { ChangeReader } from "../engine/changes.ts";
import { CollectionNames } from "../engine/collection_names.ts";
import { LogPieces } from "../engine/log_pieces.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { LogReader, Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import { positionText } from "../storage/position_text.ts";
import type { Storage } from "../storage/storage.ts";
import { Turns } from "./turns.ts";

/** A text goes on its way when it is so long, or nothing more is there. */
const textCharsMin = 64 * 1024;

export interface FeedRequest {
  /** A position that is held here. */
  readonly from: Position;
  /** Null: of all. */
  readonly collection: string | null;
  /** Ends where the log ends now. */
  readonly once: boolean;
  /** Ends after so many changes, and the rest of the last one's entry. */
  readonly limit: number;
  /** Asked before anything is told; throws when its client may not see it any more. */
  readonly check?: () => void;
}

/** How what is told is written. */
export interface FeedForm {
  position(text: string): string;
  change(change: Change): string;
  /** Something, so that the connection is seen to live. */
  readonly word: string;
  end(position: string): string;
}

export interface FeedsOptions {
  readonly storage: Pick<Storage, "read" | "log">;
  readonly committed: Signal<Position>;
  readonly clock: Clock;
}

/** All feeds of a database. To be closed before the storage is. */
export class Feeds {
  readonly #options: FeedsOptions;
  readonly #source: ChangeSource;
  readonly #open = new Set<Feed>();
  #closed = false;

  constructor(options: FeedsOptions) {
    const { storage } = options;
    this.#options = options;
    this.#source = { storage, names: new CollectionNames(storage), pieces: new LogPieces(storage.log) };
  }

  get count(): number {
    return this.#open.size;
  }

  /** Throws `busy` when there are too many, `closing`. */
  open(request: FeedRequest, form: FeedForm): Feed {
    if (this.#closed) throw closing();
    if (this.#open.size >= limits.feedsMax) {
      throw new DfdbError("busy", `${limits.feedsMax} feeds are open here already; try again later`);
    }
    const { from, collection, check = () => {} } = request, { storage, committed, clock } = this.#options;
    const end = request.once ? storage.log.last.seq : seqOf(Number.MAX_SAFE_INTEGER);
    const reader = new ChangeReader(this.#source, from, collection);
    const feed: Feed = new Feed({
      reader,
      log: storage.log,
      form,
      committed,
      clock,
      end,
      limit: request.limit,
      check,
      onEnd: () => void this.#open.delete(feed),
    });
    this.#open.add(feed);
    return feed;
  }

  /** Ends all; their clients are told `closing`. */
  close(): void {
    this.#closed = true;
    for (const feed of this.#open) feed.fail(closing());
  }
}

interface FeedParts {
  readonly reader: ChangeReader;
  readonly log: Pick<LogReader, "last">;
  readonly form: FeedForm;
  /** Tells that there may be more; what there is the log knows: it may have entries of which nothing is told (`LostRight.quiet`). */
  readonly committed: Signal<Position>;
  readonly clock: Clock;
  /** Nothing beyond this entry is told. */
  readonly end: Seq;
  readonly limit: number;
  readonly check: () => void;
  readonly onEnd: () => void;
}

/** One of them. */
export class Feed {
  readonly #parts: FeedParts;
  readonly #turns: Turns;
  #piece: Generator<Change | null, void, void> | null = null;
  #left: number;
  /** The position that its client was told last. */
  #told: Position;
  #wordMs: number;
  #begun = false;
  #over = false;
  #failure: unknown = null;
  #wake: () => void = () => {};
  #stalled: Timer | null = null;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#turns = new Turns(parts.clock);
    this.#left = parts.limit;
    this.#told = parts.reader.position;
    this.#wordMs = parts.clock.monotonic();
  }

  /** Called when the client has taken nothing for too long; the feed is over then. */
  onStalled: () => void = () => {};

  /** There is nothing more after what `next` gave. */
  get over(): boolean {
    return this.#over;
  }

  /** What the client is sent next; null: that was all. One call at a time. Rejects with why the feed cannot go on; it is over then. */
  async next(): Promise<string | null> {
    this.#stalled?.cancel();
    const text = this.#over ? null : await this.#next();
    if (text !== null && !this.#over) this.#gave();
    else this.end();
    if (text === null && this.#failure !== null) throw this.#failure;
    return text;
  }

  /** Nobody wants the rest. */
  end(): void {
    this.#over = true;
    this.#piece = null;
    this.#stalled?.cancel();
    this.#parts.onEnd();
    this.#wake();
  }

  /** Ends it; the client is told why. */
  fail(error: DfdbError): void {
    this.#failure ??= error;
    this.#stalled?.cancel();
    this.#wake();
  }

  async #next(): Promise<string | null> {
    const { reader, form } = this.#parts;
    while (this.#failure === null) {
      if (!this.#begun) {
        this.#begun = true;
        return form.position(textOf(reader.position));
      }
      if (this.#turns.due()) await this.#turns.next();
      const text = this.#read();
      if (text !== "") return text;
      if (this.#over) return null;
      if (this.#wordDue() <= 0) return this.#word();
      if (this.#failure === null && this.#piece === null && !this.#behind()) await this.#more();
    }
    return null;
  }

  /** Up to one text, or one turn, of what is there. */
  #read(): string {
    let text = "";
    try {
      this.#parts.check();
      while (text.length < textCharsMin && !this.#over && this.#failure === null) {
        const step = this.#step();
        if (step === null) break;
        text += step;
        if (this.#turns.due()) break;
      }
    } catch (error) {
      this.#failure = error; // after what was told before it
    }
    return text;
  }

  /** One step of what is there; null: nothing is. */
  #step(): string | null {
    const { reader, form, end } = this.#parts;
    if (this.#piece === null && this.#isDone()) {
      this.#over = true;
      return form.end(textOf(reader.position));
    }
    if (this.#piece === null && !this.#behind()) return null;
    this.#piece ??= reader.read(end);
    const { done, value } = this.#piece.next();
    if (done) this.#piece = null;
    return value ? this.#tell(value) : "";
  }

  #tell(change: Change): string {
    const { reader, form } = this.#parts;
    if (this.#left > 0) this.#left--;
    if (change.last) {
      this.#told = reader.position;
      if (this.#left === 0) this.#piece = null;
    }
    return form.change(change);
  }

  /** Between two entries: everything that was asked for was told. */
  #isDone(): boolean {
    const { reader, end } = this.#parts;
    return reader.position.seq >= end || (this.#left === 0 && this.#told === reader.position);
  }

  #behind(): boolean {
    const { reader, log } = this.#parts;
    return !samePosition(reader.position, log.last);
  }

  #word(): string {
    const { reader, form } = this.#parts, moved = !samePosition(this.#told, reader.position);
    this.#told = reader.position;
    return moved ? form.position(textOf(reader.position)) : form.word;
  }

  /** Milliseconds until something has to be said. */
  #wordDue(): number {
    return this.#wordMs + limits.feedWordMs - this.#parts.clock.monotonic();
  }

  /** Resolves when something was committed, a word is due, or the feed is over. */
  async #more(): Promise<void> {
    const { committed, clock } = this.#parts, { promise, resolve } = Promise.withResolvers<void>();
    const timer = clock.timer(Math.max(0, this.#wordDue()), resolve);
    const unsubscribe = committed.subscribe(() => resolve());
    this.#wake = resolve;
    await promise;
    timer.cancel();
    unsubscribe();
  }

  #gave(): void {
    const { clock } = this.#parts;
    this.#wordMs = clock.monotonic();
    if (this.#failure !== null) return;
    this.#stalled = clock.timer(limits.feedStalledMs, () => {
      this.end();
      this.onStalled();
    });
  }
}

const textOf = (position: Position): string => positionText(position, position.seq);
const closing = (): DfdbError => new DfdbError("closing", "This node is stopping");
