/** TCP in memory, without time: for tests of what happens on top of it. */
import { DfdbError } from "../../src/base/errors.ts";
import type { Connection, ConnectOptions, Listener, ListenOptions, Net } from "../../src/runtime/net.ts";

const bufferBytes = 64 * 1024;

/** One direction. */
class Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Nothing arrives while true; the writer fills the buffer and waits. */
  frozen = false;
  /** Bytes that still arrive before the connection breaks. */
  bytesLeft = Number.POSITIVE_INFINITY;
  onCut = (_reason: Error): void => {};
  onClose = (): void => {};
  bytesWritten = 0;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #ended = false;
  #failure: unknown = null;
  #reader: ReadableStreamDefaultController<Uint8Array> | null = null;
  #writer: WritableStreamDefaultController | null = null;
  #wake: (() => void)[] = [];

  constructor(onCancel: () => void) {
    this.readable = new ReadableStream({
      start: (controller) => void (this.#reader = controller),
      pull: () => this.#pull(),
      cancel: onCancel,
    }, { highWaterMark: 0 });
    this.writable = new WritableStream({
      start: (controller) => void (this.#writer = controller),
      write: (chunk) => this.#write(chunk),
      close: () => this.onClose(),
      abort: () => this.onCut(new Error("the writer gave up")),
    });
  }

  /** No more bytes come after those that are buffered. */
  end(): void {
    this.#ended = true;
    this.#stir();
  }

  fail(reason: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = reason;
    try {
      this.#reader?.error(reason);
    } catch { /* closed already */ }
    try {
      this.#writer?.error(reason);
    } catch { /* closed already */ }
    this.#stir();
  }

  thaw(): void {
    this.frozen = false;
    this.#stir();
  }

  async #write(chunk: Uint8Array): Promise<void> {
    this.bytesWritten += chunk.length;
    for (let at = 0; at < chunk.length; at += bufferBytes) {
      const piece = chunk.slice(at, at + bufferBytes);
      this.#chunks.push(piece);
      this.#buffered += piece.length;
      this.#stir();
      while (this.#buffered >= bufferBytes && this.#failure === null && !this.#ended) await this.#change();
      if (this.#failure !== null) throw this.#failure;
    }
  }

  async #pull(): Promise<void> {
    while (this.#failure === null && (this.frozen || (this.#chunks.length === 0 && !this.#ended))) {
      await this.#change();
    }
    if (this.#failure !== null) return;
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return this.#reader?.close();
    this.#buffered -= chunk.length;
    this.#stir();
    const arrives = chunk.subarray(0, this.bytesLeft);
    this.bytesLeft -= arrives.length;
    if (arrives.length > 0) this.#reader?.enqueue(arrives);
    if (this.bytesLeft === 0) this.onCut(new Error("the line was cut"));
  }

  #change(): Promise<void> {
    return new Promise((resolve) => void this.#wake.push(resolve));
  }

  #stir(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const resolve of waiting) resolve();
  }
}

/** A connection as the test sees it: both directions, and the means to break them. */
export class MemoryLine {
  readonly toServer: Pipe;
  readonly toClient: Pipe;
  open = true;

  constructor() {
    this.toServer = new Pipe(() => this.#close());
    this.toClient = new Pipe(() => this.#close());
    for (const pipe of [this.toServer, this.toClient]) {
      pipe.onCut = (reason) => this.cut(reason);
      pipe.onClose = () => this.#close();
    }
  }

  /** Breaks the connection for both sides. */
  cut(reason: Error = new Error("cut")): void {
    this.open = false;
    this.toServer.fail(reason);
    this.toClient.fail(reason);
  }

  side(which: "client" | "server"): Connection {
    const [incoming, outgoing] = which === "client"
      ? [this.toClient, this.toServer]
      : [this.toServer, this.toClient];
    return {
      remote: { hostname: "memory", port: 1 },
      readable: incoming.readable,
      writable: outgoing.writable,
      abort: (reason) => this.cut(reason),
    };
  }

  #close(): void {
    this.open = false;
    this.toServer.end();
    this.toClient.end();
  }
}

class MemoryListener implements Listener {
  readonly hostname: string;
  readonly port: number;
  readonly #onClose: () => void;
  readonly #waiting: Connection[] = [];
  #wake: (() => void) | null = null;
  #closed = false;

  constructor(hostname: string, port: number, onClose: () => void) {
    this.hostname = hostname;
    this.port = port;
    this.#onClose = onClose;
  }

  offer(connection: Connection): void {
    this.#waiting.push(connection);
    this.#wake?.();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#onClose();
    this.#wake?.();
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Connection> {
    while (!this.#closed || this.#waiting.length > 0) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => void (this.#wake = resolve));
    }
  }
}

/** All machines of a test share one; the host name does not matter. */
export class MemoryNet implements Net {
  /** Connections made so far, oldest first. */
  readonly lines: MemoryLine[] = [];
  /** While true every attempt to connect hangs. */
  blackhole = false;
  readonly #listeners = new Map<number, MemoryListener>();
  #nextPort = 50_000;

  get line(): MemoryLine {
    const line = this.lines.at(-1);
    if (line === undefined) throw new Error("nobody has connected");
    return line;
  }

  listen(options: ListenOptions): Promise<Listener> {
    const port = options.port === 0 ? this.#nextPort++ : options.port;
    if (this.#listeners.has(port)) {
      return Promise.reject(new DfdbError("port_in_use", `port ${port} is taken`));
    }
    const listener = new MemoryListener(options.hostname, port, () => this.#listeners.delete(port));
    this.#listeners.set(port, listener);
    return Promise.resolve(listener);
  }

  async connect(options: ConnectOptions): Promise<Connection> {
    if (this.blackhole) {
      await new Promise((resolve) => options.signal.addEventListener("abort", resolve, { once: true }));
    }
    const listener = this.#listeners.get(options.port);
    if (options.signal.aborted || listener === undefined) {
      throw new DfdbError("unreachable", "connection refused");
    }
    const line = new MemoryLine();
    this.lines.push(line);
    listener.offer(line.side("server"));
    return line.side("client");
  }
}
