import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Connection, Listener } from "../runtime/net.ts";
import type { Clock } from "../runtime/runtime.ts";
import { bytePipe } from "../wire/byte_pipe.ts";
import { firstHello, withHead } from "./first_hello.ts";

export interface SharedPortOptions {
  readonly listener: Listener;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Those of the node, in lower case, whether they listen here or not. */
  readonly databases: () => ReadonlySet<string>;
}

/** A connection whose hello is not there yet. */
interface Newcomer {
  readonly connection: Connection;
  heard: boolean;
}

/** A listener that several databases accept from. It is open as long as one of them is at its door. */
export class SharedPort {
  /** Resolves when nothing of it is left, and the port is free. */
  readonly over: Promise<void>;
  readonly #options: SharedPortOptions;
  readonly #doors = new Map<string, Door>();
  readonly #newcomers = new Set<Newcomer>();
  #ending = false;
  #closed: Promise<void> | null = null;

  constructor(options: SharedPortOptions) {
    this.#options = options;
    this.over = this.#run();
  }

  get port(): number {
    return this.#options.listener.port;
  }

  /** What `database` accepts from; null: it is closing. Throws `port_in_use`. */
  join(database: string, hostname: string): Listener | null {
    const { listener } = this.#options, { port } = listener;
    if (this.#ending) return null;
    const inUse = (sentence: string): DfdbError =>
      new DfdbError("port_in_use", sentence, { details: { port } });
    if (this.#doors.has(database)) throw inUse(`port ${port} is taken by this database itself`);
    if (hostname !== listener.hostname) {
      throw inUse(`another database of this node listens on port ${port} of ${listener.hostname}`);
    }
    const door = new Door(listener, () => this.#leave(database));
    this.#doors.set(database, door);
    return door;
  }

  #leave(database: string): Promise<void> {
    this.#doors.delete(database);
    if (this.#doors.size > 0) return Promise.resolve();
    this.#end();
    return this.over;
  }

  #end(): void {
    if (this.#ending) return;
    this.#ending = true;
    for (const { connection } of this.#newcomers) connection.abort(stopping());
    void this.#close();
  }

  /** What fails here is gone already. */
  #close(): Promise<void> {
    return this.#closed ??= this.#options.listener.close().catch(() => {});
  }

  async #run(): Promise<void> {
    const { listener } = this.#options;
    let failure: { readonly thrown: unknown } | null = null;
    try {
      for await (const connection of listener) this.#arrived(connection);
    } catch (thrown) {
      failure = { thrown };
    }
    for (const door of this.#doors.values()) door.end(failure);
    this.#doors.clear();
    this.#end();
    await this.#close();
  }

  #arrived(connection: Connection): void {
    const [only] = this.#doors.values();
    if (this.#ending || only === undefined) return connection.abort(stopping());
    // Whatever it asks for, nobody else could answer.
    if (this.#doors.size === 1 && this.#options.databases().size <= 1) return only.offer(connection);
    if (this.#newcomers.size >= limits.handshakesMax) this.#makeRoom();
    const newcomer: Newcomer = { connection, heard: false };
    this.#newcomers.add(newcomer);
    void this.#lead(newcomer).finally(() => this.#newcomers.delete(newcomer));
  }

  /** The oldest that said nothing, else the oldest, goes. */
  #makeRoom(): void {
    const all = [...this.#newcomers], victim = all.find(({ heard }) => !heard) ?? all[0];
    if (victim === undefined) return;
    this.#newcomers.delete(victim);
    victim.connection.abort(new DfdbError("timeout", "too many connections wait for a handshake"));
  }

  /** To the door that its hello names. Never rejects. */
  async #lead(newcomer: Newcomer): Promise<void> {
    const { connection } = newcomer, { clock, logger } = this.#options, pipe = bytePipe(connection);
    const timer = clock.timer(limits.handshakeMs, () => connection.abort(late()));
    try {
      const first = await firstHello(pipe, () => void (newcomer.heard = true));
      if (first === null) return await pipe.close();
      const door = this.#doorFor(first.database);
      if (door === null) return connection.abort(notHere());
      door.offer(withHead(connection, pipe, first.head));
    } catch (thrown) {
      connection.abort(late());
      logger.debug("connection closed before its hello", { reason: messageOf(thrown) });
    } finally {
      timer.cancel();
    }
  }

  /**
   * Null: as if nobody listened. What is no hello, or asks for a database that is unknown here, gets its refusal from whoever listens: it
   * knows the protocol and, with it, the secret.
   */
  #doorFor(database: string | null): Door | null {
    const name = database?.toLowerCase() ?? null, [any = null] = this.#doors.values();
    if (name === null || this.#ending) return this.#ending ? null : any;
    return this.#doors.get(name) ?? (this.#options.databases().has(name) ? null : any);
  }
}

/** One database's share of the listener. */
class Door implements Listener {
  readonly hostname: string;
  readonly port: number;
  readonly #leave: () => Promise<void>;
  readonly #waiting: Connection[] = [];
  #wake = (): void => {};
  #ended = false;
  #failure: { readonly thrown: unknown } | null = null;

  constructor({ hostname, port }: Listener, leave: () => Promise<void>) {
    this.hostname = hostname;
    this.port = port;
    this.#leave = leave;
  }

  offer(connection: Connection): void {
    this.#waiting.push(connection);
    this.#wake();
  }

  end(failure: { readonly thrown: unknown } | null): void {
    this.#ended = true;
    this.#failure = failure;
    this.#wake();
  }

  async close(): Promise<void> {
    if (!this.#ended) {
      this.end(null);
      await this.#leave();
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Connection> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        yield next;
      } else if (this.#ended) {
        if (this.#failure !== null) throw this.#failure.thrown;
        return;
      } else {
        await new Promise<void>((resolve) => void (this.#wake = resolve));
      }
    }
  }
}

const stopping = (): DfdbError => new DfdbError("going_away", "the leader is stopping");
const late = (): DfdbError => new DfdbError("timeout", "the hello did not come in time");
const notHere = (): DfdbError => new DfdbError("not_leader", "this database does not listen here");
