import { DfdbError, messageOf } from "../base/errors.ts";
import type { Connection } from "../runtime/net.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { frameDecoder } from "./frame.ts";
import type { Message } from "./message.ts";

/** Messages over one connection; the one place where web streams meet messages. */
export interface Channel {
  /**
   * The next message; null when the peer closed between two frames. One call at a time.
   * Throws DfdbError `bad_frame` or `version` (nothing more is read after it), `unreachable` when the connection broke.
   */
  receive(): Promise<Message | null>;
  /** Resolves when the system took the bytes. In order. Throws DfdbError `unreachable`. */
  send(message: Message): Promise<void>;
  /** Largest body accepted from the next frame on, bytes. */
  bodyBytesMax: number;
  /** True once a byte has arrived. */
  readonly heard: boolean;
  /** Reads and drops whatever comes until the peer closes or the connection breaks. Never throws. */
  drain(): Promise<void>;
  /** Sends what is buffered, then ends the connection. Never throws. */
  close(): Promise<void>;
  /** Breaks the connection at once. Safe at any time, also twice. */
  abort(reason: Error): void;
}

export interface ChannelOptions {
  readonly connection: Connection;
  readonly bodyBytesMax: number;
  /** Called when bytes arrived, before they are a message, and when the peer took a part of a large frame. */
  readonly onBytes: () => void;
  /** Default {@linkcode encodeMessage}; a leader encodes once what it sends to several. */
  readonly encode?: (message: Message) => Uint8Array;
}

/** A frame is handed over in pieces of this size, so that a large one on a slow line shows that it moves. */
const pieceBytes = 256 * 1024;

export function channel(options: ChannelOptions): Channel {
  return new ConnectionChannel(options);
}

class ConnectionChannel implements Channel {
  readonly #connection: Connection;
  readonly #onBytes: () => void;
  readonly #encode: (message: Message) => Uint8Array;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #frames: ReturnType<typeof frameDecoder>;
  #sending: Promise<void> = Promise.resolve();
  heard = false;

  constructor(options: ChannelOptions) {
    this.#connection = options.connection;
    this.#onBytes = options.onBytes;
    this.#encode = options.encode ?? encodeMessage;
    this.#reader = options.connection.readable.getReader();
    this.#writer = options.connection.writable.getWriter();
    this.#frames = frameDecoder(options.bodyBytesMax);
    // A broken connection is reported by receive and send; these promises only repeat it.
    this.#reader.closed.catch(() => {});
    this.#writer.closed.catch(() => {});
    this.#writer.ready.catch(() => {});
  }

  get bodyBytesMax(): number {
    return this.#frames.bodyBytesMax;
  }

  set bodyBytesMax(bytes: number) {
    this.#frames.bodyBytesMax = bytes;
  }

  async receive(): Promise<Message | null> {
    for (;;) {
      const body = this.#frames.next();
      if (body !== null) return decodeMessage(body);
      const { value, done } = await this.#read();
      if (done) {
        if (this.#frames.unfinished) {
          throw new DfdbError("unreachable", "the connection ended inside a frame");
        }
        return null;
      }
      if (value.length === 0) continue;
      this.heard = true;
      this.#frames.push(value);
      this.#onBytes();
    }
  }

  async #read(): Promise<ReadableStreamReadResult<Uint8Array>> {
    try {
      return await this.#reader.read();
    } catch (thrown) {
      throw broken(thrown);
    }
  }

  send(message: Message): Promise<void> {
    const sent = this.#sending.then(() => this.#write(message));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  async #write(message: Message): Promise<void> {
    const frame = this.#encode(message);
    try {
      for (let at = 0; at < frame.length; at += pieceBytes) {
        await this.#writer.write(frame.subarray(at, at + pieceBytes));
        if (at > 0) this.#onBytes();
      }
    } catch (thrown) {
      throw broken(thrown);
    }
  }

  async drain(): Promise<void> {
    try {
      while (!(await this.#reader.read()).done);
    } catch {
      // broken is as good as closed here
    }
  }

  async close(): Promise<void> {
    try {
      await this.#writer.close();
    } catch {
      // it is gone already
    }
    try {
      await this.#reader.cancel();
    } catch {
      // likewise
    }
  }

  abort(reason: Error): void {
    this.#connection.abort(reason);
  }
}

function broken(thrown: unknown): DfdbError {
  if (thrown instanceof DfdbError) return thrown;
  return new DfdbError("unreachable", `the connection broke: ${messageOf(thrown)}`, { cause: thrown });
}
