/**
 * Deletes expired documents while this node leads and may write: every `intervalSeconds` of a collection, in slices with a pause after each. It
 * has no timer where nothing is set. Followers delete what the log says.
 */
import { DfdbError } from "../base/errors.ts";
import type { RunId, WallMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { collectionKey } from "../document/names.ts";
import type { IndexParts } from "../engine/build_index.ts";
import { SettingsCache } from "../engine/collection_settings.ts";
import type { Engine } from "../engine/engine.ts";
import type { Ttl, TtlSetting } from "../engine/ttl.ts";
import { agreeTtlIndex, checkedTtl, parsed, removeTtl, setTtl, ttlIndexLacks, ttls } from "../engine/ttl.ts";
import { sweepCollection } from "../engine/ttl_sweep.ts";
import type { Timer } from "../runtime/runtime.ts";
import { settledWall } from "./settled_wall.ts";

export interface TtlOptions extends IndexParts {
  readonly engine: Pick<Engine, "submit" | "committed">;
  readonly role: {
    /** Null: another node leads. */
    readonly leadership: object | null;
    readonly readOnly: { readonly on: boolean };
  };
}

export interface TtlSweeper extends Ttl {
  /** Resolves when no slice is on its way any more. */
  close(): Promise<void>;
}

export function ttlSweeper(options: TtlOptions): TtlSweeper {
  return new Sweeper(options);
}

/** A collection with a setting. */
interface Watched {
  readonly setting: TtlSetting;
  /** Monotonic ms of its next sweep. */
  dueMs: number;
}

class Sweeper implements TtlSweeper {
  readonly #options: TtlOptions;
  readonly #settings = new SettingsCache("ttl", parsed);
  readonly #unsubscribe: () => void;
  /** By collection key; empty while this node does not lead. */
  readonly #watched = new Map<string, Watched>();
  /** Collections whose index is being made or dropped. */
  readonly #agreeing = new Map<string, Promise<void>>();
  /** What is watched. */
  #known: ReadonlyMap<string, TtlSetting> | null = null;
  #run: RunId;
  #timer: Timer | null = null;
  /** The wall clock as far as it is trusted; null while nothing is watched. */
  #wall: (() => WallMs | null) | null = null;
  /** The end of the last sweep that was asked for: they follow one another. */
  #sweeping: Promise<unknown> = Promise.resolve();
  /** Ends the pause of the sweep that makes one. */
  #goOn: (() => void) | null = null;
  /** The last failure that was told. */
  #told: string | null = null;
  #closed = false;

  constructor(options: TtlOptions) {
    const { committed } = options.engine;
    this.#options = options;
    this.#run = committed.value.run;
    this.#unsubscribe = committed.subscribe(({ run }) => {
      if (run === this.#run) return;
      this.#run = run;
      this.#look();
    });
    this.#look();
  }

  async set(collection: string, wanted: TtlSetting) {
    const { engine } = this.#options, setting = checkedTtl(wanted);
    const { value: name, position } = await engine.submit(setTtl(collection, setting));
    const set = { collection: name, ...setting, position };
    this.#look();
    try {
      await this.#agree(name);
    } catch (error) {
      // The setting is kept, so it is not refused any more: whoever may write next makes the index.
      if (error instanceof DfdbError && later.has(error.code)) return set;
      throw error;
    }
    return { ...set, position: engine.committed.value };
  }

  async remove(collection: string) {
    const { value, position } = await this.#options.engine.submit(removeTtl(collection));
    this.#look();
    return { collection: value, position };
  }

  list() {
    return this.#options.storage.read(ttls);
  }

  async sweep() {
    const { storage, clock, engine } = this.#options;
    await engine.submit({ bytes: 0, run: () => null }); // why not, where this node may not write
    const settings = storage.read((view) => this.#settings.of(view));
    let deleted = 0;
    const sweeping = this.#after(() =>
      this.#sweep(settings.keys(), () => clock.wall(), (documents) => deleted += documents)
    );
    const late = Promise.withResolvers<boolean>();
    const timer = clock.timer(limits.expiryAnswerMs, () => late.resolve(true));
    const more = await Promise.race([sweeping.then(() => false), late.promise])
      .finally(() => timer.cancel());
    if (more) sweeping.catch((error: unknown) => this.#failed(error));
    return { deleted, more, position: engine.committed.value };
  }

  async close() {
    this.#closed = true;
    this.#unsubscribe();
    this.#timer?.cancel();
    this.#goOn?.();
    await this.#sweeping;
    await Promise.allSettled(this.#agreeing.values());
  }

  /** Takes up the settings as they are now, where this node leads. */
  #look(): void {
    const { storage, clock, role } = this.#options;
    if (this.#closed || role.leadership === null) return;
    const settings = storage.read((view) => this.#settings.of(view));
    if (settings === this.#known) return;
    this.#known = settings;
    const now = clock.monotonic();
    for (const collection of this.#watched.keys()) {
      if (!settings.has(collection)) this.#watched.delete(collection);
    }
    for (const [collection, setting] of settings) {
      const dueMs = now + setting.intervalSeconds * 1_000, before = this.#watched.get(collection);
      this.#watched.set(collection, { setting, dueMs: Math.min(before?.dueMs ?? dueMs, dueMs) });
    }
    this.#wait();
  }

  #wait(): void {
    const { clock } = this.#options;
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed) return;
    if (this.#watched.size === 0) return void (this.#wall = null);
    this.#wall ??= settledWall(clock, limits.expirySettleMs, this.#plausible());
    let waitMs: number = limits.expiryLookMs;
    for (const { dueMs } of this.#watched.values()) waitMs = Math.min(waitMs, dueMs - clock.monotonic());
    this.#timer = clock.timer(Math.max(0, waitMs), () => {
      try {
        this.#tick();
      } catch (error) {
        // The disk failed a moment ago, and the node is about to end: nothing else may end it before.
        this.#failed(error);
        this.#timer = clock.timer(limits.expiryLookMs, () => this.#wait());
      }
    });
  }

  /** A clock that is far ahead of the newest entry was away for long, or is wrong. */
  #plausible(): boolean {
    const { clock, storage: { log } } = this.#options, newest = log.wallMsAt(log.last.seq);
    return newest === null || clock.wall() - newest <= limits.expirySettleMs;
  }

  #tick(): void {
    const { clock, role } = this.#options;
    if (role.leadership === null) {
      this.#known = null;
      this.#watched.clear();
      return this.#wait();
    }
    this.#look();
    this.#wall?.();
    const now = clock.monotonic();
    const due = [...this.#watched].filter(([, { dueMs }]) => dueMs <= now).map(([collection]) => collection);
    if (due.length === 0) return this.#wait();
    if (role.readOnly.on) return this.#postpone(due);
    for (const collection of due) this.#watched.get(collection)!.dueMs = Infinity; // while it is at it
    this.#wait();
    this.#after(() => this.#sweep(due, () => this.#wall?.() ?? null, () => {}))
      .then(() => void (this.#told = null))
      .catch((error: unknown) => this.#failed(error))
      .finally(() => this.#postpone(due));
  }

  /** The next sweep of each is an interval from now. */
  #postpone(collections: readonly string[]): void {
    const now = this.#options.clock.monotonic();
    for (const collection of collections) {
      const watched = this.#watched.get(collection);
      if (watched !== undefined) watched.dueMs = now + watched.setting.intervalSeconds * 1_000;
    }
    this.#wait();
  }

  async #sweep(
    collections: Iterable<string>,
    now: () => WallMs | null,
    onDeleted: (documents: number) => void,
  ): Promise<void> {
    const { storage } = this.#options, pause = (ms: number) => this.#pause(ms);
    for (const collection of collections) {
      const { setting, lacks } = storage.read((view) => ({
        setting: this.#settings.of(view).get(collection),
        lacks: ttlIndexLacks(view, collection),
      }));
      if (setting === undefined || this.#closed) continue;
      if (lacks) this.#agree(collection).catch((error: unknown) => this.#failed(error));
      else {
        const open = () => this.#closed ? null : now();
        await sweepCollection(this.#options, { collection, setting, now: open, pause, onDeleted });
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const goOn = this.#goOn = (): void => {
        timer.cancel();
        this.#goOn = null;
        resolve();
      };
      const timer = this.#options.clock.timer(ms, goOn);
    });
  }

  #after<Value>(run: () => Promise<Value>): Promise<Value> {
    const sweep = this.#sweeping.then(run);
    this.#sweeping = sweep.catch(() => {}); // who asked for it is told
    return sweep;
  }

  /** Resolves when the index of the collection is as its setting wants it. */
  #agree(name: string): Promise<void> {
    const collection = collectionKey(name), before = this.#agreeing.get(collection);
    const agreeing = (before ?? Promise.resolve()).catch(() => {})
      .then(() => agreeTtlIndex(this.#options, name))
      .finally(() => {
        if (this.#agreeing.get(collection) === agreeing) this.#agreeing.delete(collection);
      });
    this.#agreeing.set(collection, agreeing);
    return agreeing;
  }

  /** The next sweep tries again. */
  #failed(error: unknown): void {
    if (!(error instanceof DfdbError)) throw error;
    const { code, message } = error;
    const level = code === this.#told || expected.has(code) ? "debug" : "warn";
    this.#options.logger[level]("expired documents could not be deleted", { code, reason: message });
    this.#told = code;
  }
}

/** Another node leads, or this one stops: nothing is wrong. */
const expected: ReadonlySet<string> = new Set(["not_leader", "read_only", "closing", "busy"]);
/** Why nothing of a write was kept here, where another one may be later. */
const later: ReadonlySet<string> = new Set([...expected, "no_lease", "disk_full"]);
