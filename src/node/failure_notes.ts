/**
 * Failures of the destinations of one database, in memory and, at most one write a minute for each of them, in `node.dfdb`: so a node that starts
 * anew does not begin with everybody who has been away for days.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, MonotonicMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { NodeStore, NotedFailure } from "../storage/storage.ts";

export interface FailureNotesOptions {
  readonly databaseId: () => DatabaseId;
  readonly store: Pick<NodeStore, "failures" | "keepFailure" | "clearFailure">;
  readonly clock: Pick<Clock, "monotonic" | "wall" | "timer">;
  readonly logger: Logger;
}

export interface FailureNotes {
  /** Those that fail now. */
  all(): readonly NotedFailure[];
  note(url: string, count: number, error: DfdbError): void;
  clear(url: string): void;
  /** Writes what is not written yet. */
  close(): void;
}

interface Note {
  /** Null: it does not fail any more. */
  failure: NotedFailure | null;
  written: boolean;
  /** Null: not in this run. */
  writtenMs: MonotonicMs | null;
}

export function failureNotes(options: FailureNotesOptions): FailureNotes {
  return new Notes(options);
}

class Notes implements FailureNotes {
  readonly #options: FailureNotesOptions;
  readonly #notes: Map<string, Note>;
  #timer: Timer | null = null;
  #closed = false;

  constructor(options: FailureNotesOptions) {
    this.#options = options;
    const kept = options.store.failures(options.databaseId());
    this.#notes = new Map(
      kept.map((failure) => [failure.url, { failure, written: true, writtenMs: null }]),
    );
  }

  all(): readonly NotedFailure[] {
    return [...this.#notes.values()].flatMap(({ failure }) => failure === null ? [] : [failure]);
  }

  note(url: string, count: number, { code, message }: DfdbError): void {
    this.#set(url, { url, count, error: { code, message }, atMs: this.#options.clock.wall() });
  }

  clear(url: string): void {
    if (this.#notes.has(url)) this.#set(url, null);
  }

  close(): void {
    this.#timer?.cancel();
    for (const [url, note] of this.#notes) if (!note.written) this.#write(url, note);
    this.#closed = true;
  }

  #set(url: string, failure: NotedFailure | null): void {
    if (this.#closed) return;
    this.#notes.set(url, { failure, written: false, writtenMs: this.#notes.get(url)?.writtenMs ?? null });
    this.#look();
  }

  /** Writes what is due, and waits for what is not. */
  #look(): void {
    const now = this.#options.clock.monotonic();
    this.#timer?.cancel();
    this.#timer = null;
    let waitMs = Infinity;
    for (const [url, note] of this.#notes) {
      if (note.written) continue;
      const dueMs = note.writtenMs === null ? 0 : note.writtenMs + limits.failureNoteEveryMs - now;
      if (dueMs <= 0) this.#write(url, note);
      if (!note.written) waitMs = Math.min(waitMs, dueMs <= 0 ? limits.failureNoteEveryMs : dueMs);
    }
    if (waitMs < Infinity) this.#timer = this.#options.clock.timer(waitMs, () => this.#look());
  }

  #write(url: string, note: Note): void {
    const { store, databaseId, clock, logger } = this.#options;
    note.writtenMs = clock.monotonic();
    try {
      if (note.failure === null) store.clearFailure(databaseId(), url);
      else store.keepFailure(databaseId(), note.failure);
      note.written = true;
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      logger.debug("the failures of a destination could not be kept", { url, reason: error.message });
    }
  }
}
