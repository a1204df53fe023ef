import { DfdbError, messageOf } from "../base/errors.ts";
import type { Connection, PlainConnection } from "../runtime/net.ts";
import { bytePipe } from "./byte_pipe.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { frameDecoder } from "./frame.ts";
import type { Message } from "./message.ts";

/** Messages over one connection; the one place where bytes meet messages. */
export interface Channel {
  /**
   * The next message; null when the peer closed between two frames. One call at a time.
   * Throws DfdbError `bad_frame` or `version` (nothing more is read after it), `unreachable` when the connection broke.
   */
  receive(): Promise<Message | null>;
  /** Null: the system took the bytes; else resolves when it has. In order. Rejects with DfdbError `unreachable`; never throws. */
  send(message: Message): Promise<void> | null;
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
  readonly #bytes: PlainConnection;
  readonly #frames: ReturnType<typeof frameDecoder>;
  /** The last message that the system has not taken yet; never rejects. */
  #sending: Promise<void> | null = null;
  heard = false;

  constructor(options: ChannelOptions) {
    this.#connection = options.connection;
    this.#onBytes = options.onBytes;
    this.#encode = options.encode ?? encodeMessage;
    this.#bytes = bytePipe(options.connection);
    this.#frames = frameDecoder(options.bodyBytesMax);
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
      const bytes = await this.#read();
      if (bytes === null) {
        if (this.#frames.unfinished) {
          throw new DfdbError("unreachable", "the connection ended inside a frame");
        }
        return null;
      }
      if (bytes.length === 0) continue;
      this.heard = true;
      this.#frames.push(bytes);
      this.#onBytes();
    }
  }

  async #read(): Promise<Uint8Array | null> {
    try {
      return await this.#bytes.read();
    } catch (thrown) {
      throw broken(thrown);
    }
  }

  send(message: Message): Promise<void> | null {
    const before = this.#sending;
    const sent = before === null
      ? this.#write(message)
      : before.then(() => this.#write(message) ?? undefined);
    if (sent !== null) this.#await(sent);
    return sent;
  }

  /** Apart from `send`, so that what waits holds the frame alone and not the message that it was made of. */
  #await(sent: Promise<void>): void {
    const settled: Promise<void> = sent.catch(() => {}).then(() => {
      if (this.#sending === settled) this.#sending = null;
    });
    this.#sending = settled;
  }

  #write(message: Message): Promise<void> | null {
    try {
      const frame = this.#encode(message);
      if (frame.length > pieceBytes) return this.#writePieces(frame);
      return this.#bytes.write(frame)?.catch(rethrowBroken) ?? null;
    } catch (thrown) {
      return Promise.reject(broken(thrown));
    }
  }

  async #writePieces(frame: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < frame.length; at += pieceBytes) {
        await this.#bytes.write(frame.subarray(at, at + pieceBytes));
        if (at > 0) this.#onBytes();
      }
    } catch (thrown) {
      throw broken(thrown);
    }
  }

  async drain(): Promise<void> {
    try {
      while (await this.#bytes.read() !== null);
    } catch {
      // broken is as good as closed here
    }
  }

  async close(): Promise<void> {
    await this.#sending;
    try {
      await this.#bytes.close();
    } catch {
      // it is gone already
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

function rethrowBroken(thrown: unknown): never {
  throw broken(thrown);
}
