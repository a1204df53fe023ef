import type { DatabaseSync, StatementSync } from "node:sqlite";
import { assert } from "../../base/assert.ts";
import { DfdbError } from "../../base/errors.ts";
import type { DatabaseId } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { ReadView, Storage, StorageStats, TrimPolicy, WriteTransaction } from "../storage.ts";
import { Apply } from "./apply.ts";
import { configure, connect, pragma, transaction } from "./connection.ts";
import { Draft } from "./draft.ts";
import type { Lock } from "./lock.ts";
import { SqliteLogReader } from "./log_reader.ts";
import { LogWriter } from "./log_writer.ts";
import { checkpointIfDue, closeCleanly, reclaimSlice } from "./maintenance.ts";
import { MetaWriter } from "./meta_writer.ts";
import { mapped, sqliteError } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { committedCatalog, firstSeq } from "./state.ts";
import { TableStatements } from "./statements.ts";
import { LogTrimmer } from "./trim_log.ts";
import { View } from "./view.ts";
import type { Writers } from "./write_transaction.ts";
import { Transaction } from "./write_transaction.ts";

/** Pages that a small entry adds to the WAL, about: of the log, the documents, their ids, the catalog. */
const pagesPerEntry = 4;

/** Pages that a slice of trimming adds to the WAL, about. */
const pagesPerTrim = 48;

/** Page cache of the connection for reads inside a write. */
const besidesCacheKiB = 2_048;

/** After these the outcome of a write is unknown. */
const fatal: ReadonlySet<string> = new Set(["io_error", "data_corrupt"]);

/** What `openStorage` prepared. */
export interface Parts {
  readonly path: string;
  readonly databaseId: DatabaseId;
  readonly state: State;
  readonly writer: DatabaseSync;
  readonly lock: Lock;
  readonly crashPoint: CrashPoint;
}

type Statement = "begin" | "commit" | "rollback" | "beginRead" | "endRead";

/**
 * {@linkcode Storage} over the connection that writes: it keeps its page cache over commits, where any other would lose
 * it, and every call is synchronous, so that between two calls nothing uncommitted is on it. A read inside a write
 * goes to a connection of its own.
 *
 * Reads leave a read transaction open until the next write: taking SQLite's read lock costs as much as a lookup. It
 * always shows the newest state, because everything that writes ends it first.
 */
export class SqliteStorage implements Storage {
  readonly log: SqliteLogReader;
  readonly #parts: Parts;
  readonly #meta: MetaWriter;
  readonly #writers: Writers;
  readonly #view: View;
  readonly #trimmer: LogTrimmer;
  readonly #statement: Readonly<Record<Statement, StatementSync>>;
  #databaseId: DatabaseId;
  /** For reads inside a write; opened when first needed. */
  #reader: DatabaseSync | null = null;
  #reading = 0;
  #writing = false;
  /** A read transaction is open. */
  #held = false;
  /** The end of the log when the length of the WAL was asked for last. */
  #looked = { seq: 0, bytes: 0 };
  #closed = false;
  /** Why nothing may be written any more: a commit had an unknown outcome. */
  #failed: DfdbError | null = null;

  constructor(parts: Parts) {
    const { writer, state, crashPoint } = parts, tables = new TableStatements(writer);
    this.#parts = parts;
    this.#databaseId = parts.databaseId;
    this.#meta = new MetaWriter(writer);
    this.#writers = {
      tables,
      apply: new Apply(writer, tables, crashPoint),
      log: new LogWriter(writer),
      crashPoint,
    };
    this.#view = new View(committedCatalog(state), tables);
    this.#trimmer = new LogTrimmer({ db: writer, state, meta: this.#meta, crashPoint });
    this.log = new SqliteLogReader({ db: writer, state, path: parts.path, hold: () => this.#hold() });
    this.#statement = {
      begin: writer.prepare("BEGIN IMMEDIATE"),
      commit: writer.prepare("COMMIT"),
      rollback: writer.prepare("ROLLBACK"),
      beginRead: writer.prepare("BEGIN"),
      endRead: writer.prepare("COMMIT"),
    };
  }

  get databaseId(): DatabaseId {
    return this.#databaseId;
  }

  read<Result>(run: (view: ReadView) => Result): Result {
    this.#usable();
    if (this.#writing) return run(this.#besides());
    this.#reading++;
    try {
      this.#hold();
      return run(this.#view);
    } catch (thrown) {
      throw sqliteError(thrown, `reading ${this.#parts.path}`);
    } finally {
      this.#reading--;
    }
  }

  write<Result>(run: (tx: WriteTransaction) => Result): Result {
    return this.#transaction((draft) => {
      const tx = new Transaction(draft, this.#writers), result = run(tx);
      assert(!(result instanceof Promise), "a write transaction is synchronous");
      return { result, dirty: tx.finish() };
    });
  }

  adoptDatabaseId(id: DatabaseId): void {
    if (id === this.#databaseId) return;
    this.#usable();
    const { state, writer, path } = this.#parts;
    if (state.position.seq !== 0) {
      const message = `${path} belongs to database ${this.#databaseId} and is not empty`;
      throw new DfdbError("wrong_database", message, { details: { own: this.#databaseId, other: id } });
    }
    // An empty database stays marked as cleanly closed: no copy of it can be torn.
    this.#guarded(() => transaction(writer, () => this.#meta.databaseId(id)));
    this.#databaseId = id;
  }

  reclaim(): boolean {
    const { state, writer, crashPoint } = this.#parts;
    this.#usable();
    if (state.dropped.size === 0) return false;
    return this.#guarded(() =>
      reclaimSlice({ writer, state, tables: this.#writers.tables, meta: this.#meta, crashPoint })
    );
  }

  trimLog(policy: TrimPolicy): boolean {
    this.#usable();
    assert(this.#reading === 0 && !this.#writing, "the log is trimmed between reads and writes");
    const plan = mapped(this.#parts.path, () => this.#trimmer.plan(policy));
    if (plan === null) return false;
    this.#guarded(() => this.#trimmer.carryOut(plan));
    this.#looked.bytes -= pagesPerTrim * limits.pageBytes;
    return plan.more;
  }

  checkpointIfDue(): void {
    this.#usable();
    // Asking SQLite how long the WAL is costs as much as a small commit: only when it may have grown enough.
    const { position, endBytes } = this.#parts.state;
    const grown = (position.seq - this.#looked.seq) * pagesPerEntry +
      (endBytes - this.#looked.bytes) / limits.pageBytes;
    if (grown < limits.checkpointPages / 8) return;
    this.#looked = { seq: position.seq, bytes: endBytes };
    this.#guarded(() => checkpointIfDue(this.#parts.writer, this.#parts.crashPoint));
  }

  stats(): StorageStats {
    this.#usable();
    const { path, state, writer } = this.#parts;
    const pageCount = Number(mapped(path, () => pragma(writer, "page_count")));
    const fileBytes = pageCount * limits.pageBytes;
    const logEntries = state.position.seq - state.trimmed.position.seq;
    const logBytes = state.endBytes - state.trimmed.endBytes;
    const logFirstMs = mapped(path, () => this.#trimmer.wallMsOf(firstSeq(state)));
    return { path, fileBytes, pageCount, logEntries, logBytes, logFirstMs };
  }

  close(): void {
    if (this.#closed) return;
    assert(this.#reading === 0 && !this.#writing, "closed by a function that uses it");
    this.#closed = true;
    const { writer, lock, state, path, crashPoint } = this.#parts;
    try {
      mapped(`closing ${path}`, () => {
        this.#release();
        this.#reader?.close();
        if (this.#failed === null) closeCleanly(writer, state, this.#meta, crashPoint);
      });
    } finally {
      if (writer.isOpen) writer.close();
      lock.release();
    }
    crashPoint("close:after");
  }

  #transaction<Result>(run: (draft: Draft) => { result: Result; dirty: boolean }): Result {
    this.#usable();
    assert(!this.#writing, "one write transaction at a time");
    assert(this.#reading === 0, "no write inside a read");
    const { state, crashPoint } = this.#parts,
      draft = new Draft(state),
      { begin, commit, rollback } = this.#statement;
    this.#writing = true;
    try {
      const result = this.#guarded(() => {
        begin.run();
        this.#writers.log.begin();
        const done = run(draft);
        if (!done.dirty) {
          rollback.run();
          return done.result;
        }
        this.#writers.log.flush();
        this.#meta.flush(draft, state);
        crashPoint("commit:before");
        commit.run();
        draft.commit();
        return done.result;
      });
      crashPoint("commit:after");
      return result;
    } finally {
      this.#writing = false;
    }
  }

  /** Maps errors, leaves no transaction open, and remembers a failure after which the file cannot be trusted. */
  #guarded<Result>(run: () => Result): Result {
    const { writer, path } = this.#parts;
    try {
      this.#release();
      return run();
    } catch (thrown) {
      const error = sqliteError(thrown, `writing ${path}`);
      const untrusted = error !== thrown && error instanceof DfdbError && fatal.has(error.code);
      if (untrusted) this.#failed = error;
      try {
        if (writer.isTransaction) this.#statement.rollback.run();
      } catch (again) {
        this.#failed ??= new DfdbError("io_error", `${path}: a failed write could not be undone`, {
          cause: again,
        });
      }
      throw error;
    }
  }

  /** The committed state while a write transaction is open. */
  #besides(): View {
    const { path, state } = this.#parts;
    this.#reader ??= mapped(`opening ${path}`, () => {
      const reader = connect(path, true);
      configure(reader, { path, cacheKiB: besidesCacheKiB, readOnly: true });
      return reader;
    });
    return new View(committedCatalog(state), new TableStatements(this.#reader));
  }

  /** Opens the read transaction, if it is not open. */
  #hold(): void {
    if (this.#held || this.#writing) return;
    this.#statement.beginRead.run();
    this.#held = true;
  }

  /** Ends the read transaction: the state is about to change. */
  #release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#statement.endRead.run();
  }

  #usable(): void {
    if (this.#failed !== null) throw this.#failed;
    if (this.#closed) throw new DfdbError("closing", `${this.#parts.path} is closed`);
  }
}
