/** TCP in memory: every chunk takes its own time, order within a connection is kept, back-pressure is real. */
import { DfdbError } from "../../src/base/errors.ts";
import type { Connection, ConnectOptions, Listener, ListenOptions, Net } from "../../src/runtime/net.ts";
import type { World } from "./world.ts";

/** Bytes that one direction holds before a write waits. */
const bufferBytes = 64 * 1024;

/** One direction of a connection. */
class Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #world: World;
  #reader: ReadableStreamDefaultController<Uint8Array> | null = null;
  #writer: WritableStreamDefaultController | null = null;
  #resume: (() => void) | null = null;
  #lastAt = 0;
  #over = false;

  constructor(world: World) {
    this.#world = world;
    this.readable = new ReadableStream({
      start: (controller) => {
        this.#reader = controller;
      },
      pull: () => this.#flow(),
      cancel: () => this.fail(new DfdbError("unreachable", "the reader is gone")),
    }, { highWaterMark: bufferBytes, size: (chunk) => chunk?.length ?? 0 });
    this.writable = new WritableStream({
      start: (controller) => {
        this.#writer = controller;
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#later(() => this.#end()),
      abort: (reason) => this.fail(reason),
    });
  }

  /** Breaks this direction: reader and writer fail. */
  fail(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    try {
      this.#reader?.error(reason);
      this.#writer?.error(reason);
    } finally {
      this.#flow();
    }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    const copy = chunk.slice();
    this.#later(() => {
      if (!this.#over) this.#reader?.enqueue(copy);
    });
    if ((this.#reader?.desiredSize ?? 1) > 0 || this.#over) return;
    await new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
  }

  #flow(): void {
    this.#resume?.();
    this.#resume = null;
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#reader?.close();
  }

  #later(run: () => void): void {
    this.#lastAt = Math.max(this.#lastAt, this.#world.now + this.#world.between(0.05, 2));
    this.#world.timer(this.#lastAt - this.#world.now, run);
  }
}

export class SimNet implements Net {
  readonly #world: World;
  readonly #listeners = new Map<number, (connection: Connection) => void>();
  readonly #open = new Set<{ abort(reason: Error): void }>();
  #nextPort = 40_000;

  constructor(world: World) {
    this.#world = world;
  }

  /** Breaks every connection, as when a cable is pulled. */
  cut(): void {
    for (const connection of [...this.#open]) {
      connection.abort(new DfdbError("unreachable", "the network was cut"));
    }
  }

  listen({ hostname, port }: ListenOptions): Promise<Listener> {
    if (this.#listeners.has(port)) {
      return Promise.reject(new DfdbError("port_in_use", `port ${port} is already in use`));
    }
    let closing = (): void => {};
    const accepted = new ReadableStream<Connection>({
      start: (controller) => {
        this.#listeners.set(port, (connection) => controller.enqueue(connection));
        closing = () => controller.close();
      },
    });
    return Promise.resolve({
      hostname,
      port,
      [Symbol.asyncIterator]: () => accepted[Symbol.asyncIterator](),
      close: () => {
        if (this.#listeners.delete(port)) closing();
        return Promise.resolve();
      },
    });
  }

  connect({ port, signal }: ConnectOptions): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.#world.timer(this.#world.between(0.1, 2), () => {
        const accept = this.#listeners.get(port);
        if (accept === undefined || signal.aborted) {
          return reject(new DfdbError("unreachable", `nobody listens on ${port}`));
        }
        const there = new Pipe(this.#world), back = new Pipe(this.#world);
        const connection = {
          abort: (reason: Error) => {
            this.#open.delete(connection);
            there.fail(reason);
            back.fail(reason);
          },
        };
        this.#open.add(connection);
        const end = (readable: Pipe, writable: Pipe, remotePort: number): Connection => ({
          remote: { hostname: "127.0.0.1", port: remotePort },
          readable: readable.readable,
          writable: writable.writable,
          abort: connection.abort,
        });
        accept(end(there, back, this.#nextPort++));
        resolve(end(back, there, port));
      });
    });
  }
}
