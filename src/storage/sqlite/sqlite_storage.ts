import type { DatabaseSync, StatementSync } from "node:sqlite";
import { assert } from "../../base/assert.ts";
import { DfdbError, messageOf } from "../../base/errors.ts";
import type { CollectionNumber, DatabaseId, IndexNumber } from "../../base/ids.ts";
import type { IndexDefinition } from "../../document/operation.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { OpenWrite, ReadView, Storage, StorageStats, TrimPolicy, WriteTransaction } from "../storage.ts";
import { Apply } from "./apply.ts";
import { checkKind, transaction } from "./connection.ts";
import { Draft } from "./draft.ts";
import { Exchange } from "./exchange.ts";
import { HeldRead } from "./held_read.ts";
import { IndexBuilder } from "./index_builder.ts";
import { IndexWriter } from "./index_writer.ts";
import { loadState } from "./load_state.ts";
import type { Lock } from "./lock.ts";
import { SqliteLogReader } from "./log_reader.ts";
import { LogWriter } from "./log_writer.ts";
import { checkpointIfDue, closeCleanly, isReclaimDue, reclaimSlice } from "./maintenance.ts";
import { MetaWriter } from "./meta_writer.ts";
import { ReaderBeside } from "./reader_beside.ts";
import { dataFile } from "./schema.ts";
import { Selects } from "./selects.ts";
import { mapped, sqliteError } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { committedCatalog, replaceState } from "./state.ts";
import { statsOf } from "./stats.ts";
import { TableStatements } from "./statements.ts";
import { LogTrimmer } from "./trim_log.ts";
import { UniqueKeys } from "./unique_keys.ts";
import { View } from "./view.ts";
import { WalGrowth } from "./wal_growth.ts";
import type { Writers } from "./write_transaction.ts";
import { Transaction } from "./write_transaction.ts";

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

type Statement = "begin" | "commit" | "rollback";

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
  readonly #indexes: IndexWriter;
  readonly #builder: IndexBuilder;
  readonly #growth: WalGrowth;
  readonly #held: HeldRead;
  readonly #statement: Readonly<Record<Statement, StatementSync>>;
  #databaseId: DatabaseId;
  /** For reads inside a write; opened when first needed. */
  #reader: ReaderBeside | null = null;
  #reading = 0;
  #writing = false;
  /** Rolls back the transaction that is open over macrotasks; null: there is none. */
  #abandon: (() => void) | null = null;
  readonly #exchange = new Exchange();
  readonly untilSeen: Storage["untilSeen"] = (position) => this.#exchange.untilSeen(position, this.log);
  #closed = false;
  /** Why nothing may be written any more: a commit had an unknown outcome. */
  #failed: DfdbError | null = null;

  constructor(parts: Parts) {
    const { writer, state, crashPoint } = parts, tables = new TableStatements(writer);
    this.#parts = parts;
    this.#databaseId = parts.databaseId;
    this.#meta = new MetaWriter(writer);
    const indexes = this.#indexes = new IndexWriter(writer), selects = new Selects(writer);
    this.#builder = new IndexBuilder({ db: writer, state, meta: this.#meta, indexes, crashPoint });
    this.#growth = new WalGrowth(state);
    this.#held = new HeldRead(writer);
    this.#writers = {
      tables,
      selects,
      unique: new UniqueKeys(writer),
      apply: new Apply(writer, tables, indexes, () => this.#databaseId, crashPoint),
      log: new LogWriter(writer),
      crashPoint,
    };
    this.#view = new View(committedCatalog(state), tables, selects);
    const log = this.log = new SqliteLogReader({
      db: writer,
      state,
      path: parts.path,
      hold: () => {
        if (!this.#writing) this.#held.hold();
      },
    });
    const wallMsAt = log.wallMsAt.bind(log);
    this.#trimmer = new LogTrimmer({ db: writer, state, meta: this.#meta, crashPoint, wallMsAt });
    this.#statement = {
      begin: writer.prepare("BEGIN IMMEDIATE"),
      commit: writer.prepare("COMMIT"),
      rollback: writer.prepare("ROLLBACK"),
    };
  }

  get databaseId(): DatabaseId {
    return this.#databaseId;
  }

  read<Result>(run: (view: ReadView) => Result): Result {
    this.#usable();
    if (this.#writing) return mapped(`reading ${this.#parts.path}`, () => this.#beside(run));
    this.#reading++;
    try {
      this.#held.hold();
      return run(this.#view);
    } catch (thrown) {
      throw sqliteError(thrown, `reading ${this.#parts.path}`);
    } finally {
      if (--this.#reading === 0) this.#writers.selects.close();
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
    this.#exchange.begin();
    try {
      mapped(`reading ${this.#parts.path}`, () => this.#held.pin());
      await run();
    } finally {
      this.#exchange.end(() => this.#reload());
    }
  }

  reclaim(): boolean {
    const { state, writer, crashPoint } = this.#parts;
    this.#usable();
    if (!isReclaimDue(state) || this.#abandon !== null || this.#exchange.underWay) return false;
    const { tables } = this.#writers, meta = this.#meta, indexes = this.#indexes;
    const more = this.#guarded(() => reclaimSlice({ writer, state, tables, meta, indexes, crashPoint }));
    this.#growth.add("reclaim");
    return more;
  }

  prepareIndex(collection: CollectionNumber, definition: IndexDefinition): IndexNumber {
    this.#notBusy();
    return this.#guarded(() => this.#builder.prepare(collection, definition));
  }

  buildSlice(): boolean {
    this.#usable();
    if (!this.#builder.isDue || this.#abandon !== null || this.#exchange.underWay) return false;
    const more = this.#guarded(() => this.#builder.slice());
    this.#growth.add("index");
    return more;
  }

  built(index: IndexNumber): number | null {
    this.#usable();
    return this.#builder.built(index);
  }

  abandonIndex(index: IndexNumber): void {
    this.#builder.giveUp(index);
    if (this.#closed || this.#failed !== null || this.#abandon !== null || this.#exchange.underWay) return;
    try {
      this.#guarded(() => this.#builder.abandon());
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error; // the next slice or write tries again
    }
  }

  rebuildIndex(index: IndexNumber): void {
    this.#notBusy();
    this.#guarded(() => this.#builder.rebuild(index));
  }

  trimLog(policy: TrimPolicy): boolean {
    this.#usable();
    if (this.#abandon !== null || this.#exchange.underWay) return false;
    assert(this.#reading === 0 && !this.#writing, "the log is trimmed between reads and writes");
    const plan = mapped(this.#parts.path, () => this.#trimmer.plan(policy));
    if (plan === null) return false;
    this.#guarded(() => this.#trimmer.carryOut(plan));
    this.#growth.add("trim");
    return plan.more;
  }

  checkpointIfDue(): boolean {
    this.#usable();
    if (this.#abandon !== null || this.#exchange.underWay) return false;
    if (!this.#growth.isDue()) return false;
    return this.#guarded(() => checkpointIfDue(this.#parts.writer, this.#parts.crashPoint));
  }

  stats(): StorageStats {
    this.#usable();
    return statsOf(this.#parts, this.log);
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
        this.#held.release();
        this.#reader?.close();
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
    if (this.#builder.hasUnwanted) this.#guarded(() => this.#builder.abandon());
    return new Draft(this.#parts.state);
  }

  #begin(draft: Draft): Transaction {
    this.#statement.begin.run();
    this.#writers.log.begin(this.log.isRead);
    return new Transaction(draft, this.#writers);
  }

  #end(draft: Draft, tx: Transaction): void {
    const { state, crashPoint } = this.#parts, { log } = this.#writers;
    this.#writers.selects.close();
    if (!tx.finish()) return void this.#statement.rollback.run();
    log.flush();
    this.#meta.flush(draft, state);
    draft.bundle?.flush(this.#writers.tables.versions);
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
      this.#held.release();
      return run();
    } catch (thrown) {
      this.#writers.selects.close();
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

  #beside<Result>(run: (view: ReadView) => Result): Result {
    const { path, state } = this.#parts;
    return (this.#reader ??= new ReaderBeside(path, state)).read(run);
  }

  /** After the content may have been replaced. What is no database of ours is not touched any more. */
  #reload(): void {
    const { writer, path, state } = this.#parts;
    try {
      mapped(`reading ${path}`, () => {
        this.#held.release();
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
    this.#builder.clear();
    this.log.reset();
    // What was installed is in the WAL.
    this.#growth.reset();
  }

  #notExchanging(): void {
    if (this.#exchange.underWay) {
      throw new DfdbError("busy", `the content of ${this.#parts.path} is being replaced`);
    }
  }

  /** For what waits for no turn. */
  #notBusy(): void {
    this.#usable();
    this.#notExchanging();
    if (this.#abandon !== null) {
      throw new DfdbError("busy", `a large write to ${this.#parts.path} is on its way`);
    }
    assert(this.#reading === 0 && !this.#writing, "indexes are made between reads and writes");
  }

  #usable(): void {
    if (this.#failed !== null) throw this.#failed;
    if (this.#closed) throw new DfdbError("closing", `${this.#parts.path} is closed`);
  }
}
