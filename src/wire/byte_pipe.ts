import type { Connection, PlainConnection } from "../runtime/net.ts";

/** The bytes of a connection: its plain form, or one made from its streams. */
export function bytePipe(connection: Connection): PlainConnection {
  return connection.plain ?? new StreamPipe(connection);
}

class StreamPipe implements PlainConnection {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor({ readable, writable }: Connection) {
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    // A broken connection is reported by read and write; these promises only repeat it.
    this.#reader.closed.catch(() => {});
    this.#writer.closed.catch(() => {});
    this.#writer.ready.catch(() => {});
  }

  async read(): Promise<Uint8Array | null> {
    const { value, done } = await this.#reader.read();
    return done ? null : value;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes);
  }

  async close(): Promise<void> {
    try {
      await this.#writer.close();
    } finally {
      await this.#reader.cancel();
    }
  }
}
