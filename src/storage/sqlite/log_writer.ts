import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { WallMs } from "../../base/ids.ts";
import type { Position } from "../log.ts";
import type { Draft } from "./draft.ts";

const columns = 6;
/** Rows of one INSERT while many are written: a call costs about as much as the row (DESIGN.md). */
const rowsAtOnce = 8;

/** Appends rows to the log inside the running write transaction, which never reads them. */
export class LogWriter {
  readonly #one: StatementSync;
  readonly #many: StatementSync;
  #waiting: SQLInputValue[] = [];

  constructor(db: DatabaseSync) {
    this.#one = db.prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)");
    this.#many = db.prepare(
      `INSERT INTO log VALUES ${Array(rowsAtOnce).fill("(?, ?, ?, ?, ?, ?)").join(", ")}`,
    );
  }

  /** At the begin of each transaction: forgets what one that failed left behind. */
  begin(): void {
    this.#waiting = [];
  }

  /** Adds the entry at `position`, which is of the draft's last term, and moves the draft there. */
  add(draft: Draft, position: Position, wallMs: WallMs, payload: Uint8Array): void {
    const endBytes = draft.endBytes + payload.length, waiting = this.#waiting;
    waiting.push(position.seq, draft.terms.length, position.chain, wallMs, endBytes, payload);
    if (waiting.length === rowsAtOnce * columns) {
      this.#many.run(...waiting);
      waiting.length = 0;
    }
    draft.endBytes = endBytes;
    draft.position = position;
  }

  /** Before COMMIT: writes what waits. */
  flush(): void {
    for (let at = 0; at < this.#waiting.length; at += columns) {
      this.#one.run(...this.#waiting.slice(at, at + columns));
    }
    this.#waiting = [];
  }
}
