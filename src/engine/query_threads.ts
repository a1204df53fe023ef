/** The threads that read for queries: started at first use, one statement at a time each, ended when nobody needs them. */
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { OpenThread, Workers } from "../runtime/workers.ts";
import type { Storage } from "../storage/storage.ts";
import type { FromQueryThread, QueryThreadInput, ThreadReading, ToQueryThread } from "./query_messages.ts";
import { queryResident } from "./query_messages.ts";
import { Reading, StaleStatement } from "./query_reading.ts";
import type { Tenant } from "./query_room.ts";
import { QueryRoom } from "./query_room.ts";

export interface QueryThreadsOptions {
  readonly workers: Pick<Workers, "open">;
  readonly clock: Clock;
  /** Of the data file. */
  readonly path: string;
  readonly storage: Pick<Storage, "untilSeen">;
  /** What it shares with other databases. Default: nothing is shared. */
  readonly room?: QueryRoom | undefined;
}

interface Running {
  readonly id: number;
  readonly reading: Reading;
  /** What it says is told when this has resolved; null: at once. */
  until: Promise<void> | null;
}

interface Thread {
  readonly opened: OpenThread;
  /** As {@linkcode QueryThreadInput.stop}. */
  readonly stop: Int32Array;
  running: Running | null;
  /** While it works: until it is given up. While it does not: until it goes. */
  timer: Timer | null;
}

/** Threads that were given up and have not ended yet; more than so many and nothing is read in a thread. */
const lostMax = 4;

export class QueryThreads {
  readonly #options: QueryThreadsOptions;
  readonly #room: QueryRoom;
  readonly #tenant: Tenant = { spare: () => this.#spare(), next: () => this.#next() };
  readonly #threads = new Set<Thread>();
  /** Told to end, or given up: they close their connection and go when SQLite returns. */
  readonly #ending = new Set<Thread>();
  readonly #waiting = new Set<Reading>();
  #lastId = 0;
  #closed = false;
  #gone: (() => void) | null = null;

  constructor(options: QueryThreadsOptions) {
    this.#options = options;
    this.#room = options.room ?? new QueryRoom(limits.queryThreads);
    this.#room.enter(this.#tenant);
  }

  /** Threads that there are, also those that were given up. */
  get size(): number {
    return this.#threads.size + this.#ending.size;
  }

  /** Throws `busy`, `closing`. */
  read(order: ThreadReading): Reading {
    if (this.#closed) throw closing();
    if (this.#waiting.size >= limits.queriesWaitingMax) {
      throw new DfdbError("busy", "Too many queries are waiting; try again in a moment");
    }
    const reading = new Reading(order, (own) => ({
      more: () => this.#tell(own, "more"),
      leave: () => this.#leave(own),
    }));
    this.#waiting.add(reading);
    this.#next();
    return reading;
  }

  /**
   * Ends what is read (`closing`). Resolves when all threads are gone, or, if one of them is inside SQLite for too long, after some seconds: its
   * connection ends with the process then.
   */
  async close(): Promise<void> {
    this.#closed = true;
    this.#room.leave(this.#tenant);
    for (const reading of [...this.#waiting]) reading.stop(closing());
    for (const thread of [...this.#threads]) {
      thread.running?.reading.stop(closing());
      this.#end(thread);
    }
    if (this.#ending.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gone = resolve;
    const timer = this.#options.clock.timer(limits.shutdownMs / 4, resolve);
    await promise;
    timer.cancel();
  }

  /** Gives what waits to threads that are free. */
  #next(): void {
    for (const reading of this.#waiting) {
      const thread = this.#free();
      if (thread === null) return;
      this.#waiting.delete(reading);
      this.#begin(thread, reading);
    }
  }

  #free(): Thread | null {
    for (const thread of this.#threads) if (thread.running === null) return thread;
    if (this.#threads.size >= limits.queryThreads || this.#ending.size >= lostMax) return null;
    return this.#room.take(this.#tenant) ? this.#start() : null;
  }

  #spare(): boolean {
    for (const thread of this.#threads) {
      if (thread.running !== null) continue;
      this.#end(thread);
      return true;
    }
    return false;
  }

  #start(): Thread {
    const stop = new SharedArrayBuffer(4);
    const input: QueryThreadInput = { path: this.#options.path, stop };
    const opened = this.#options.workers.open(queryResident, input, {
      onMessage: (message) => this.#heard(thread, message as FromQueryThread),
      onEnd: (error) => this.#ended(thread, error),
    });
    const thread: Thread = { opened, stop: new Int32Array(stop), running: null, timer: null };
    this.#threads.add(thread);
    return thread;
  }

  #begin(thread: Thread, reading: Reading): void {
    const id = ++this.#lastId;
    thread.timer?.cancel();
    thread.timer = null;
    thread.running = { id, reading, until: null };
    post(thread, { type: "read", id, ...reading.order });
  }

  #heard(thread: Thread, message: FromQueryThread): void {
    const { running } = thread;
    if (running === null || running.id !== message.id) return;
    const { reading } = running;
    if (message.type !== "chunk" || message.last) this.#over(thread);
    if (message.type === "left") return;
    try {
      if (message.at !== null) running.until = this.#options.storage.untilSeen(message.at);
    } catch (thrown) {
      return reading.stop(thrown);
    }
    if (running.until === null) tell(reading, message);
    else void running.until.then(() => tell(reading, message));
  }

  /** It does nothing any more. */
  #over(thread: Thread): void {
    thread.running = null;
    thread.timer?.cancel();
    thread.timer = null;
    if (!this.#threads.has(thread)) return;
    if (this.#room.wanted(this.#tenant)) {
      this.#end(thread);
      return this.#next();
    }
    this.#next();
    if (thread.running !== null) return;
    thread.timer = this.#options.clock.timer(limits.queryThreadIdleMs, () => this.#end(thread));
  }

  #tell(reading: Reading, type: "more" | "leave"): void {
    const thread = this.#of(reading);
    if (thread !== null && thread.running !== null) post(thread, { type, id: thread.running.id });
  }

  #leave(reading: Reading): void {
    if (this.#waiting.delete(reading)) return;
    const thread = this.#of(reading);
    if (thread === null || thread.running === null) return;
    Atomics.store(thread.stop, 0, thread.running.id);
    this.#tell(reading, "leave");
    thread.timer = this.#options.clock.timer(limits.queryStopMs, () => {
      this.#end(thread);
      this.#next();
    });
  }

  #of(reading: Reading): Thread | null {
    for (const thread of [...this.#threads, ...this.#ending]) {
      if (thread.running?.reading === reading) return thread;
    }
    return null;
  }

  /** Nothing is given to it any more. */
  #end(thread: Thread): void {
    if (!this.#threads.delete(thread)) return;
    thread.timer?.cancel();
    thread.timer = null;
    this.#ending.add(thread);
    thread.opened.end();
    this.#room.give();
  }

  #ended(thread: Thread, error: DfdbError | null): void {
    const held = this.#threads.delete(thread);
    this.#ending.delete(thread);
    thread.timer?.cancel();
    thread.running?.reading.fail(error ?? closing());
    thread.running = null;
    if (held) this.#room.give();
    if (this.#ending.size === 0 && this.#closed) this.#gone?.();
    if (!this.#closed) this.#next();
  }
}

function tell(reading: Reading, message: Exclude<FromQueryThread, { readonly type: "left" }>): void {
  if (message.type === "chunk") return reading.deliver(message);
  if (message.type === "stale") return reading.fail(new StaleStatement());
  const { code, message: sentence, details } = message.failure;
  reading.fail(new DfdbError(code, sentence, { details }));
}

function post(thread: Thread, message: ToQueryThread): void {
  thread.opened.post(message);
}

const closing = (): DfdbError => new DfdbError("closing", "This node is stopping");
