import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { WallMs } from "../../base/ids.ts";
import type { LogEntry, Position, Term } from "../log.ts";
import type { Draft } from "./draft.ts";

const columns = 6;
/** Rows of one INSERT while many are written: a call costs about as much as the row (DESIGN.md). */
const rowsAtOnce = 8;

/** Appends rows to the log inside the running write transaction, which never reads them. */
export class LogWriter {
  readonly #one: StatementSync;
  readonly #many: StatementSync;
  #waiting: SQLInputValue[] = [];
  #added: LogEntry[] = [];
  #collect = false;
  /** That of the last entry: entries of one term share it. */
  #term: Term | null = null;

  constructor(db: DatabaseSync) {
    this.#one = db.prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)");
    this.#many = db.prepare(
      `INSERT INTO log VALUES ${Array(rowsAtOnce).fill("(?, ?, ?, ?, ?, ?)").join(", ")}`,
    );
  }

  /** At the begin of each transaction: forgets what one that failed left behind. `collect`: for {@linkcode takeAdded}. */
  begin(collect: boolean): void {
    this.#waiting = [];
    this.#added = [];
    this.#collect = collect;
  }

  /** What was added since {@linkcode begin}, if it is collected; after COMMIT. */
  takeAdded(): readonly LogEntry[] {
    const added = this.#added;
    this.#added = [];
    return added;
  }

  /** Adds the entry at `position`, which is of the draft's last term, and moves the draft there. */
  add(draft: Draft, position: Position, wallMs: WallMs, payload: Uint8Array): void {
    const endBytes = draft.endBytes + payload.length, waiting = this.#waiting;
    waiting.push(position.seq, draft.terms.length, position.chain, wallMs, endBytes, payload);
    if (waiting.length === rowsAtOnce * columns) {
      this.#many.run(...waiting);
      waiting.length = 0;
    }
    this.moveTo(draft, position, wallMs, payload);
  }

  /** Writes the row of an entry whose operations are still to be applied; {@linkcode moveTo} follows. */
  write(draft: Draft, position: Position, wallMs: WallMs, payload: Uint8Array): void {
    this.flush();
    const endBytes = draft.endBytes + payload.length;
    this.#one.run(position.seq, draft.terms.length, position.chain, wallMs, endBytes, payload);
  }

  /** Before COMMIT: writes what waits. */
  flush(): void {
    for (let at = 0; at < this.#waiting.length; at += columns) {
      this.#one.run(...this.#waiting.slice(at, at + columns));
    }
    this.#waiting = [];
  }

  /** Moves the draft to an entry whose row is written, or waits. */
  moveTo(draft: Draft, position: Position, wallMs: WallMs, payload: Uint8Array): void {
    draft.endBytes += payload.length;
    draft.position = position;
    if (!this.#collect) return;
    const { epoch, run, seq, chain } = position;
    if (this.#term?.run !== run || this.#term.epoch !== epoch) this.#term = { epoch, run };
    this.#added.push({ seq, term: this.#term, chain, wallMs, payload });
  }
}
