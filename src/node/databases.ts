/**
 * The databases of one node: `default`, which is always there, and those that were attached to it. Each is a whole {@linkcode NodeDatabase}; they
 * share `node.dfdb`, the replication port, the threads of queries and the look at the main thread.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, MonotonicMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { RoleKind } from "../cluster/role.ts";
import type { Resolve } from "../document/judge.ts";
import { QueryRoom } from "../engine/query_room.ts";
import type { DatabaseFile, NodeDatabases, ShownDatabase, UnattachedFile } from "../http/database_types.ts";
import { RoleChangeFailed } from "../http/failures.ts";
import { knownKeys } from "../http/known_keys.ts";
import { defaultDatabase } from "../http/needed_scope.ts";
import type { KnownKeys } from "../http/types.ts";
import { SharedPorts } from "../replication/shared_ports.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { activateBundles, activateByTheSettings } from "./activate_bundle.ts";
import { attachedSettings, configuredRole } from "./attached_role.ts";
import type { NodeDatabase } from "./database.ts";
import { openNodeDatabase } from "./database.ts";
import type { Catalog, CatalogEntry } from "./database_catalog.ts";
import { readCatalog, writeCatalog } from "./database_catalog.ts";
import {
  databaseKey,
  databaseName,
  deleteFiles,
  mainPaths,
  ownPath,
  pathsAt,
  relativePath,
  unattachedFiles,
} from "./database_paths.ts";
import { namedLogger } from "./named_logger.ts";
import { ServedDatabase } from "./served_database.ts";
import type { Settings } from "./settings.ts";
import type { Attached } from "./shown_database.ts";
import { shownDatabase } from "./shown_database.ts";

export interface DatabasesOptions {
  readonly runtime: Runtime;
  readonly settings: Settings;
  readonly logger: Logger;
  /** Absolute. */
  readonly dataDir: string;
  /** Base URL of the node. */
  readonly httpUrl: string;
  readonly startedAt: MonotonicMs;
  /** A program's own policy for conflicts between masters. */
  readonly resolve?: Resolve | undefined;
}

/** Why a database cannot be opened that another request, or an operator, can mend: whoever asks is told so. */
const mendable: ReadonlySet<string> = new Set([
  "data_locked",
  "data_corrupt",
  "data_foreign",
  "data_newer",
  "unclean_copy",
  "same_database",
  "port_in_use",
]);

export class Databases implements NodeDatabases {
  /** Resolves with why the node cannot go on: the disk failed in a commit of one of them. */
  readonly failed: Promise<DfdbError>;
  readonly #options: DatabasesOptions;
  readonly #ports: SharedPorts;
  readonly #room = new QueryRoom(limits.queryThreadsMax);
  /** By key, `default` too. */
  readonly #attached = new Map<string, Attached>();
  readonly #fail: (error: DfdbError) => void;
  #catalog: Catalog;
  /** In lower case: those that the wire is told of. */
  #names: ReadonlySet<string> = new Set([defaultDatabase]);
  #main: ServedDatabase | null = null;
  #keys: KnownKeys | null = null;
  #changes: Promise<unknown> = Promise.resolve();
  /** HTTP listens. */
  #served = false;
  #closing: Promise<void> | null = null;

  private constructor(options: DatabasesOptions, catalog: Catalog) {
    const { runtime: { net, clock }, logger } = options,
      { promise, resolve } = Promise.withResolvers<DfdbError>();
    this.#options = options;
    this.failed = promise;
    this.#fail = resolve;
    this.#catalog = catalog;
    this.#ports = new SharedPorts({ net, clock, logger, databases: () => this.#names });
    this.#renamed();
  }

  /**
   * Opens all. Rejects as {@linkcode openNodeDatabase} does when `default` cannot be opened, and nothing stays open then; another one is shown
   * with its error.
   */
  static async open(options: DatabasesOptions): Promise<Databases> {
    const { runtime: { files }, dataDir } = options;
    const databases = new Databases(options, await readCatalog(files, dataDir));
    try {
      await databases.#openAll();
    } catch (error) {
      await databases.close().catch(() => {}); // why it could not start is what counts
      throw error;
    }
    return databases;
  }

  get main(): ServedDatabase {
    if (this.#main === null) throw new DfdbError("closing", "This node is starting");
    return this.#main;
  }

  get defaultName(): string {
    return this.#catalog.default;
  }

  get byDefault(): ServedDatabase | null {
    return this.find(this.#catalog.default);
  }

  find(name: string): ServedDatabase | null {
    const found = this.#attached.get(databaseKey(name));
    return found instanceof ServedDatabase ? found : null;
  }

  missing(name: string): never {
    const found = this.#attached.get(databaseKey(name)), details = { database: name.slice(0, 200) };
    if (found === undefined || found instanceof ServedDatabase) {
      throw new DfdbError("not_found", "There is no such database", { details });
    }
    const sentence = found === "closing"
      ? "This database is being closed"
      : `This database could not be opened: ${found.error.code}`;
    throw new DfdbError("database_unavailable", sentence, { details });
  }

  list(): ShownDatabase[] {
    const { runtime: { files }, dataDir } = this.#options;
    const all = [{ name: defaultDatabase, path: "data.dfdb" }, ...this.#catalog.databases];
    return all.map(({ name, path }) => this.#shown(name, files.join(dataDir, path)));
  }

  attach(name: string, file: DatabaseFile): Promise<ShownDatabase> {
    return this.#change(() => this.#attach(databaseName(name), file));
  }

  detach(given: string, withFiles: boolean): Promise<string> {
    return this.#change(() => this.#detach(databaseName(given), withFiles));
  }

  setDefault(given: string): Promise<string> {
    return this.#change(async () => {
      const { name } = this.find(databaseName(given)) ?? this.missing(given);
      await this.#keep({ ...this.#catalog, default: name });
      return name;
    });
  }

  async unattached(): Promise<UnattachedFile[]> {
    const { runtime: { files }, dataDir } = this.#options;
    const attached = new Set(this.list().map(({ filePath }) => filePath));
    const found = await unattachedFiles(files, dataDir, attached);
    return found.map((file) => ({
      ...file,
      nameConflict: this.#attached.has(databaseKey(file.suggestedName)),
    }));
  }

  /** HTTP listens from now on. */
  served(): void {
    this.#served = true;
    for (const each of this.#attached.values()) {
      if (each instanceof ServedDatabase) each.database.masters.served();
    }
  }

  /** Ends the feeds of changes of all, or their clients are waited for. */
  endFeeds(): void {
    for (const each of this.#attached.values()) if (each instanceof ServedDatabase) each.endFeeds();
  }

  /** When no request runs any more: closes all, `default` last. Idempotent. */
  close(): Promise<void> {
    return this.#closing ??= this.#changes.then(() => this.#close());
  }

  async #close(): Promise<void> {
    const open = [...this.#attached.values()].filter((each) => each instanceof ServedDatabase);
    const others = open.filter((each) => each !== this.#main);
    const closed = await Promise.allSettled(others.map((each) => each.close(0)));
    await this.#main?.close(0);
    for (const each of closed) if (each.status === "rejected") throw each.reason;
  }

  async #openAll(): Promise<void> {
    const { runtime, settings, dataDir, logger, httpUrl, resolve } = this.#options, { files } = runtime;
    const database = await openNodeDatabase({
      runtime,
      settings,
      logger,
      paths: mainPaths(files, dataDir),
      httpUrl,
      role: settings.replicationRole as RoleKind,
      resolve,
      among: { ...this.#shared(defaultDatabase), main: null },
    });
    this.#keys = knownKeys({ ...database, crypto: runtime.crypto });
    this.#main = this.#serve(defaultDatabase, database);
    await activateByTheSettings(database, logger);
    for (const entry of this.#catalog.databases) {
      try {
        if (entry.dropping) await this.#finishDrop(entry);
        else await this.#openKept(entry);
      } catch (error) {
        if (!(error instanceof DfdbError)) throw error;
        this.#unavailable(entry.name, error);
      }
    }
  }

  /** Rejects where it cannot be opened: that keeps the others from nothing. */
  async #openKept({ name, path }: CatalogEntry): Promise<void> {
    const { runtime: { files }, dataDir } = this.#options;
    if (await files.size(files.join(dataDir, path)) === null) {
      throw new DfdbError("not_found", `there is no file ${path} in the data folder`);
    }
    this.#serve(name, await this.#open(name, path));
  }

  #unavailable(name: string, error: DfdbError): void {
    const { code, message } = error;
    this.#options.logger.error("a database could not be opened", { database: name, code, error: message });
    this.#attached.set(databaseKey(name), { error });
  }

  #open(name: string, path: string): Promise<NodeDatabase> {
    const { runtime, settings, logger, dataDir, httpUrl, resolve } = this.#options, { database } = this.main;
    return openNodeDatabase({
      runtime,
      settings: attachedSettings(settings, database),
      logger: namedLogger(logger, name),
      paths: pathsAt(runtime.files, dataDir, path),
      httpUrl: `${httpUrl}/db/${name}`,
      role: (kept) => configuredRole(database.role.kind, kept),
      resolve,
      name,
      among: { ...this.#shared(name), main: database },
    });
  }

  #shared(name: string) {
    const admit = (id: DatabaseId): void => {
      for (const each of this.#attached.values()) {
        if (
          !(each instanceof ServedDatabase) || each.name === name || each.database.storage.databaseId !== id
        ) continue;
        const sentence = `the database "${each.name}" of this node is the same one`;
        throw new DfdbError("same_database", sentence, { details: { databaseId: id } });
      }
    };
    return { net: this.#ports.netFor(name), room: this.#room, admit };
  }

  #serve(name: string, database: NodeDatabase): ServedDatabase {
    const { startedAt } = this.#options, keys = this.#keys;
    if (keys === null) throw new DfdbError("closing", "This node is starting");
    const other = (asked: string) => {
      const found = this.find(asked) ?? this.missing(asked);
      return { name: found.name, storage: found.database.storage };
    };
    const served = new ServedDatabase(database, startedAt, { name, keys, other });
    this.#attached.set(databaseKey(name), served);
    if (this.#served) database.masters.served();
    void database.failed.then((error) => {
      database.logger.error("a commit failed: this node ends", {
        path: database.paths.data,
        code: error.code,
      });
      this.#fail(error);
    });
    return served;
  }

  async #attach(
    name: string,
    { path: given, create, bundles, adoptExisting }: DatabaseFile,
  ): Promise<ShownDatabase> {
    const { runtime: { files }, dataDir, logger } = this.#options, { databases } = this.#catalog;
    if (this.#attached.has(databaseKey(name))) {
      throw new DfdbError("conflict", `There is a database "${name}" already`);
    }
    if (databases.length + 1 >= limits.databasesMax) {
      throw new DfdbError("conflict", `A node has at most ${limits.databasesMax} databases`);
    }
    const path = given === null ? ownPath(name) : relativePath(files, dataDir, given);
    const used = databases.find((each) => each.path === path);
    if (used !== undefined) throw new DfdbError("conflict", `The database "${used.name}" has that file`);
    const data = files.join(dataDir, path), there = await files.size(data) !== null;
    if (!there && !create) throw new DfdbError("not_found", `There is no file ${path} in the data folder`);
    // Peers that ask for it are told nothing until it listens, and not that it is unknown.
    this.#names = new Set([...this.#names, databaseKey(name)]);
    let database: NodeDatabase | null = null;
    try {
      database = await this.#open(name, path);
      // A crash before the next line leaves a file that is no database of this node yet.
      await activateBundles(database, bundles, adoptExisting);
      await this.#keep({ ...this.#catalog, databases: [...databases, { name, path, dropping: false }] });
    } catch (error) {
      this.#renamed();
      await database?.close();
      throw error instanceof DfdbError && mendable.has(error.code)
        ? new RoleChangeFailed(error, 409, error)
        : error;
    }
    this.#serve(name, database);
    logger.info("attached a database", { database: name, path: data, made: !there });
    return this.#shown(name, data);
  }

  async #detach(given: string, withFiles: boolean): Promise<string> {
    const key = databaseKey(given),
      { logger, runtime: { clock } } = this.#options,
      { databases } = this.#catalog;
    if (key === defaultDatabase) {
      throw new DfdbError("conflict", 'The database "default" has the keys of this node and stays');
    }
    const found = this.#attached.get(key), entry = databases.find(({ name }) => databaseKey(name) === key);
    if (found === undefined || found === "closing" || entry === undefined) return this.missing(given);
    const { name } = entry, rest = databases.filter((each) => each !== entry);
    const next = this.#catalog.default === name ? defaultDatabase : this.#catalog.default;
    // What began before it was told is finished before; what begins from here on finds nothing.
    this.#attached.set(key, "closing");
    try {
      await this.#keep({
        default: next,
        databases: withFiles ? [...rest, { ...entry, dropping: true }] : rest,
      });
    } catch (error) {
      this.#attached.set(key, found);
      throw error;
    }
    const begunMs = clock.monotonic();
    try {
      if (found instanceof ServedDatabase) await found.close(limits.shutdownMs / 2);
      if (withFiles) await this.#finishDrop(entry);
    } catch (error) {
      if (error instanceof DfdbError) this.#unavailable(name, error);
      throw error;
    }
    this.#attached.delete(key);
    logger.info(withFiles ? "dropped a database" : "detached a database", {
      database: name,
      ms: Math.round(clock.monotonic() - begunMs),
    });
    return name;
  }

  /** What a crash left to do comes here at the next start. */
  async #finishDrop(entry: CatalogEntry): Promise<void> {
    const { runtime: { files }, dataDir } = this.#options;
    await deleteFiles(files, pathsAt(files, dataDir, entry.path));
    const databases = this.#catalog.databases.filter(({ name }) => name !== entry.name);
    await this.#keep({ ...this.#catalog, databases });
  }

  #shown(name: string, filePath: string): ShownDatabase {
    const found = this.#attached.get(databaseKey(name)) ?? "closing";
    return shownDatabase({ name, filePath, isDefault: name === this.#catalog.default }, found);
  }

  async #keep(next: Catalog): Promise<void> {
    const { runtime: { files }, dataDir } = this.#options;
    await writeCatalog(files, dataDir, next);
    this.#catalog = next;
    this.#renamed();
  }

  #renamed(): void {
    const kept = this.#catalog.databases.filter(({ dropping }) => !dropping);
    this.#names = new Set([defaultDatabase, ...kept.map(({ name }) => databaseKey(name))]);
  }

  /** One change at a time. */
  #change<Value>(run: () => Promise<Value>): Promise<Value> {
    if (this.#closing !== null) return Promise.reject(new DfdbError("closing", "This node is stopping"));
    const change = this.#changes.then(run);
    this.#changes = change.catch(() => {});
    return change;
  }
}
