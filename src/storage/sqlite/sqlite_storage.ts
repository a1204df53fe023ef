import type { DatabaseSync, StatementSync } from "node:sqlite";
import { assert } from "../../base/assert.ts";
import { DfdbError, messageOf } from "../../base/errors.ts";
import type { DatabaseId } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { OpenWrite, ReadView, Storage, StorageStats, TrimPolicy, WriteTransaction } from "../storage.ts";
import { Apply } from "./apply.ts";
import { checkKind, configure, connect, pragma, transaction } from "./connection.ts";
import { Draft } from "./draft.ts";
import { loadState } from "./load_state.ts";
import type { Lock } from "./lock.ts";
import { SqliteLogReader } from "./log_reader.ts";
import { LogWriter } from "./log_writer.ts";
import { checkpointIfDue, closeCleanly, reclaimSlice } from "./maintenance.ts";
import { MetaWriter } from "./meta_writer.ts";
import { dataFile } from "./schema.ts";
import { mapped, sqliteError } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { committedCatalog, firstSeq, replaceState } from "./state.ts";
import { TableStatements } from "./statements.ts";
import { LogTrimmer } from "./trim_log.ts";
import { View } from "./view.ts";
import type { Writers } from "./write_transaction.ts";
import { Transaction } from "./write_transaction.ts";

/** Pages that a small entry adds to the WAL, about: of the log, the documents, their ids, the catalog. */
const pagesPerEntry = 4;

/** Pages that a slice of trimming adds to the WAL, about. */
const pagesPerTrim = 48;

/** Pages that a slice of freeing a dropped collection adds to the WAL, about: most are of the ids' index. */
const pagesPerReclaim = 300;

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
  #reader: { readonly db: DatabaseSync; readonly view: View } | null = null;
  #reading = 0;
  #writing = false;
  /** Rolls back the transaction that is open over macrotasks; null: there is none. */
  #abandon: (() => void) | null = null;
  /** A read transaction is open. */
  #held = false;
  /** Another connection may be replacing the content. */
  #exchanging = false;
  /** The end of the log when the length of the WAL was asked for last. */
  #looked = { seq: -Infinity, bytes: 0 };
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
    const log = this.log = new SqliteLogReader({
      db: writer,
      state,
      path: parts.path,
      hold: () => this.#hold(),
    });
    const wallMsAt = log.wallMsAt.bind(log);
    this.#trimmer = new LogTrimmer({ db: writer, state, meta: this.#meta, crashPoint, wallMsAt });
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
    if (this.#writing) return mapped(`reading ${this.#parts.path}`, () => run(this.#besides()));
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
    const draft = this.#draft();
    this.#writing = true;
    try {
      return this.#guarded(() => {
        const tx = this.#begin(draft), result = run(tx);
        assert(!(result instanceof Promise), "a write transaction is synchronous");
        this.#end(draft, tx);
        return result;
      });
    } finally {
      this.#writing = false;
    }
  }

  begin(): OpenWrite {
    const draft = this.#draft();
    let open = true;
    const step = <Result>(run: () => Result): Result => {
      assert(open, "a transaction is used until it is over");
      try {
        return this.#guarded(run);
      } catch (thrown) {
        over();
        throw thrown;
      }
    };
    const over = (): void => {
      open = this.#writing = false;
      this.#abandon = null;
    };
    this.#writing = true;
    const tx = step(() => this.#begin(draft)), end = (): void => this.#end(draft, tx);
    const rollback = (): void => {
      if (!open) return;
      step(() => this.#statement.rollback.run());
      over();
    };
    this.#abandon = rollback;
    return {
      slice: (run) => step(() => run(tx)),
      commit() {
        step(end);
        over();
      },
      rollback,
    };
  }

  adoptDatabaseId(id: DatabaseId): void {
    if (id === this.#databaseId) return;
    this.#usable();
    this.#notExchanging();
    const { state, writer, path } = this.#parts;
    if (state.position.seq !== 0) {
      const message = `${path} belongs to database ${this.#databaseId} and is not empty`;
      throw new DfdbError("wrong_database", message, { details: { own: this.#databaseId, other: id } });
    }
    // An empty database stays marked as cleanly closed: no copy of it can be torn.
    this.#guarded(() => transaction(writer, () => this.#meta.databaseId(id)));
    this.#databaseId = id;
  }

  async exchange(run: () => Promise<void>): Promise<void> {
    this.#usable();
    this.#notExchanging();
    assert(this.#reading === 0 && !this.#writing, "the content is exchanged between reads and writes");
    this.#exchanging = true;
    try {
      this.#pin();
      await run();
    } finally {
      this.#exchanging = false;
      this.#reload();
    }
  }

  reclaim(): boolean {
    const { state, writer, crashPoint } = this.#parts;
    this.#usable();
    if (state.dropped.size === 0 || this.#abandon !== null || this.#exchanging) return false;
    const more = this.#guarded(() =>
      reclaimSlice({ writer, state, tables: this.#writers.tables, meta: this.#meta, crashPoint })
    );
    this.#looked.bytes -= pagesPerReclaim * limits.pageBytes;
    return more;
  }

  trimLog(policy: TrimPolicy): boolean {
    this.#usable();
    if (this.#abandon !== null || this.#exchanging) return false;
    assert(this.#reading === 0 && !this.#writing, "the log is trimmed between reads and writes");
    const plan = mapped(this.#parts.path, () => this.#trimmer.plan(policy));
    if (plan === null) return false;
    this.#guarded(() => this.#trimmer.carryOut(plan));
    this.#looked.bytes -= pagesPerTrim * limits.pageBytes;
    return plan.more;
  }

  checkpointIfDue(): boolean {
    this.#usable();
    if (this.#abandon !== null || this.#exchanging) return false;
    // Asking SQLite how long the WAL is costs as much as a small commit: only when it may have grown enough.
    const { position, endBytes } = this.#parts.state;
    const grown = (position.seq - this.#looked.seq) * pagesPerEntry +
      (endBytes - this.#looked.bytes) / limits.pageBytes;
    if (grown < limits.checkpointPages / 8) return false;
    this.#looked = { seq: position.seq, bytes: endBytes };
    return this.#guarded(() => checkpointIfDue(this.#parts.writer, this.#parts.crashPoint));
  }

  stats(): StorageStats {
    this.#usable();
    const { path, state, writer } = this.#parts;
    const pageCount = Number(mapped(path, () => pragma(writer, "page_count")));
    const fileBytes = pageCount * limits.pageBytes;
    const logEntries = state.position.seq - state.trimmed.position.seq;
    const logBytes = state.endBytes - state.trimmed.endBytes;
    const logFirstMs = this.log.wallMsAt(firstSeq(state));
    return {
      path,
      fileBytes,
      pageCount,
      logEntries,
      logBytes,
      logFirstMs,
      collectionsDropped: state.dropped.size,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#notExchanging();
    this.#abandon?.();
    assert(this.#reading === 0 && !this.#writing, "closed by a function that uses it");
    this.#closed = true;
    const { writer, lock, state, path, crashPoint } = this.#parts;
    try {
      mapped(`closing ${path}`, () => {
        this.#release();
        this.#reader?.db.close();
        if (this.#failed === null) closeCleanly(writer, state, this.#meta, crashPoint);
      });
    } finally {
      if (writer.isOpen) writer.close();
      lock.release();
    }
    crashPoint("close:after");
  }

  /** What the next transaction changes. */
  #draft(): Draft {
    this.#usable();
    this.#notExchanging();
    assert(!this.#writing, "one write transaction at a time");
    assert(this.#reading === 0, "no write inside a read");
    return new Draft(this.#parts.state);
  }

  #begin(draft: Draft): Transaction {
    this.#statement.begin.run();
    this.#writers.log.begin(this.log.isRead);
    return new Transaction(draft, this.#writers);
  }

  #end(draft: Draft, tx: Transaction): void {
    const { state, crashPoint } = this.#parts, { log } = this.#writers;
    if (!tx.finish()) return void this.#statement.rollback.run();
    log.flush();
    this.#meta.flush(draft, state);
    crashPoint("commit:before");
    this.#statement.commit.run();
    draft.commit();
    this.log.committed(log.takeAdded());
    crashPoint("commit:after");
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
    if (this.#reader === null) {
      const db = mapped(`opening ${path}`, () => {
        const reader = connect(path, true);
        configure(reader, { path, cacheKiB: besidesCacheKiB, readOnly: true });
        return reader;
      });
      this.#reader = { db, view: new View(committedCatalog(state), new TableStatements(db)) };
    }
    return this.#reader.view;
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

  /** Opens the read transaction and makes it see the state of this moment, whatever another connection writes. */
  #pin(): void {
    mapped(`reading ${this.#parts.path}`, () => {
      this.#hold();
      // BEGIN alone does not decide yet.
      this.#parts.writer.prepare("SELECT one FROM meta").get();
    });
  }

  /** After the content may have been replaced. What is no database of ours is not touched any more. */
  #reload(): void {
    const { writer, path, state } = this.#parts;
    try {
      mapped(`reading ${path}`, () => {
        this.#release();
        checkKind(writer, path, dataFile);
        const loaded = loadState(writer, path);
        replaceState(state, loaded.state);
        this.#databaseId = loaded.databaseId;
      });
    } catch (thrown) {
      const known = thrown instanceof DfdbError && fatal.has(thrown.code);
      throw this.#failed = known
        ? thrown
        : new DfdbError("data_corrupt", `${path}: ${messageOf(thrown)}`, { cause: thrown });
    }
    this.#writers.tables.clear();
    this.log.reset();
    // What was installed is in the WAL.
    this.#looked = { seq: -Infinity, bytes: 0 };
  }

  #notExchanging(): void {
    if (this.#exchanging) throw new DfdbError("busy", `the content of ${this.#parts.path} is being replaced`);
  }

  #usable(): void {
    if (this.#failed !== null) throw this.#failed;
    if (this.#closed) throw new DfdbError("closing", `${this.#parts.path} is closed`);
  }
}
