import type { DatabaseSync, StatementSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { Seq, WallMs } from "../../base/ids.ts";
import { seqOf, wallMsOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { LogEntry, LogReadLimits, Position, Term, TermRecord, TimedLogReader } from "../log.ts";
import { origin } from "../log.ts";
import { RecentEntries } from "./recent_entries.ts";
import { mapped } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { firstSeq, termOf } from "./state.ts";

interface LogRow {
  readonly seq: number;
  readonly term: number;
  readonly chain: number;
  readonly wall_ms: number;
  readonly payload: Uint8Array;
}

export interface LogReaderOptions {
  readonly db: DatabaseSync;
  readonly state: State;
  readonly path: string;
  /** Called before statements that belong together. */
  readonly hold: () => void;
}

/**
 * Reads committed entries: up to the committed position, also while a transaction is open, which only adds rows behind
 * it. The newest come from memory.
 */
export class SqliteLogReader implements TimedLogReader {
  readonly #state: State;
  readonly #path: string;
  readonly #hold: () => void;
  readonly #at: StatementSync;
  readonly #fit: StatementSync;
  readonly #entries: StatementSync;
  /** By number; a term never changes once it is committed. */
  readonly #terms: Term[] = [];
  readonly #recent = new RecentEntries();
  /** The end of the log when it was read last. */
  #readAt = -Infinity;
  readonly #endBytes: StatementSync;
  readonly #wall: StatementSync;

  constructor({ db, state, path, hold }: LogReaderOptions) {
    this.#state = state;
    this.#path = path;
    this.#hold = hold;
    this.#recent.clear(seqOf(state.position.seq + 1));
    this.#at = db.prepare("SELECT term, chain FROM log WHERE seq = ?");
    this.#endBytes = db.prepare("SELECT end_bytes FROM log WHERE seq = ?");
    this.#wall = db.prepare("SELECT wall_ms FROM log WHERE seq = ?");
    // The entry with which the sum reaches bytesMax: end_bytes rises with seq, so the scan stops there.
    this.#fit = db.prepare(
      "SELECT seq FROM log WHERE seq > ?1 AND seq < ?2 AND end_bytes >= ?3 + " +
        "ifnull((SELECT end_bytes FROM log WHERE seq = ?1), ?4) ORDER BY seq LIMIT 1",
    );
    this.#entries = db.prepare(
      "SELECT seq, term, chain, wall_ms, payload FROM log WHERE seq > ? ORDER BY seq LIMIT ?",
    );
  }

  get first(): Seq {
    return firstSeq(this.#state);
  }

  get last(): Position {
    return this.#state.position;
  }

  get terms(): readonly TermRecord[] {
    return this.#state.terms;
  }

  at(seq: Seq): Position | "compacted" | "ahead" {
    const { position, trimmed } = this.#state;
    if (seq === 0) return origin;
    if (seq > position.seq) return "ahead";
    if (seq === position.seq) return position;
    if (seq === trimmed.position.seq) return trimmed.position;
    if (seq < trimmed.position.seq) return "compacted";
    const recent = this.#recent.get(seq);
    if (recent !== undefined) return { ...recent.term, seq, chain: recent.chain };
    const row = mapped(`reading the log of ${this.#path}`, () => this.#at.get(seq)) as LogRow | undefined;
    if (row === undefined) throw this.#corrupt(seq);
    const { epoch, run } = this.#term(row.term, seq);
    return { epoch, run, seq, chain: row.chain };
  }

  entries(after: Seq, bounds: LogReadLimits): readonly LogEntry[] | "compacted" {
    const { position, trimmed } = this.#state;
    this.#readAt = position.seq;
    if (after < trimmed.position.seq) return "compacted";
    if (after >= position.seq) return [];
    if (this.#recent.holdsAfter(after)) return this.#recent.read(after, bounds);
    const rows = mapped(`reading the log of ${this.#path}`, () => {
      this.#hold();
      const most = Math.max(1, Math.min(bounds.entriesMax, position.seq - after));
      return this.#entries.all(after, this.#fitting(after, most, bounds.bytesMax)) as unknown as LogRow[];
    });
    let expected = after as number;
    return rows.map((row) => {
      if (row.seq !== ++expected) throw this.#corrupt(expected);
      return {
        seq: seqOf(row.seq),
        term: this.#term(row.term, row.seq),
        chain: row.chain,
        wallMs: wallMsOf(row.wall_ms),
        payload: row.payload,
      };
    });
  }

  bytesAfter(seq: Seq): number {
    const { position, trimmed, endBytes } = this.#state;
    if (seq >= position.seq) return 0;
    if (seq <= trimmed.position.seq) return endBytes - trimmed.endBytes;
    const recent = this.#recent.endBytes(seq);
    if (recent !== undefined) return endBytes - recent;
    const row = mapped(`reading the log of ${this.#path}`, () => this.#endBytes.get(seq));
    if (row === undefined) throw this.#corrupt(seq);
    return endBytes - Number(row["end_bytes"]);
  }

  wallMsAt(seq: Seq): WallMs | null {
    const { position, trimmed } = this.#state;
    if (seq <= trimmed.position.seq || seq > position.seq) return null;
    const recent = this.#recent.get(seq);
    if (recent !== undefined) return recent.wallMs;
    const row = mapped(`reading the log of ${this.#path}`, () => this.#wall.get(seq));
    if (row === undefined) throw this.#corrupt(seq);
    return wallMsOf(Number(row["wall_ms"]));
  }

  /** Somebody reads the log, and so recently that what is kept in memory may serve them. */
  get isRead(): boolean {
    return this.#state.position.seq - this.#readAt < limits.recentEntries;
  }

  /** After COMMIT and after the state has changed: the entries that it brought; none when they were not collected. */
  committed(entries: readonly LogEntry[]): void {
    if (entries.length > 0) this.#recent.add(entries, this.#state.endBytes);
    else this.#recent.clear(seqOf(this.#state.position.seq + 1));
  }

  /** After the state was read anew: what was known of the old one is forgotten. */
  reset(): void {
    this.#terms.length = 0;
    this.#recent.clear(seqOf(this.#state.position.seq + 1));
    this.#readAt = -Infinity;
  }

  /** Number of entries after `after` to read, at least one. */
  #fitting(after: number, most: number, bytesMax: number): number {
    if (most === 1) return 1;
    const row = this.#fit.get(after, after + most, bytesMax, this.#state.trimmed.endBytes);
    return row === undefined ? most : Number(row["seq"]) - after;
  }

  #term(number: number, seq: number): Term {
    const known = this.#terms[number];
    if (known !== undefined) return known;
    const record = termOf(this.#state, number);
    if (record === undefined) throw this.#corrupt(seq);
    return this.#terms[number] = { epoch: record.epoch, run: record.run };
  }

  #corrupt(seq: number): DfdbError {
    return new DfdbError("data_corrupt", `${this.#path}: entry ${seq} of the log is missing or damaged`);
  }
}
