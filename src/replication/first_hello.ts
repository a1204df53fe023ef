/** The first message of a connection, read before it is known whose the connection is. */
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Connection, PlainConnection } from "../runtime/net.ts";
import { decodeMessage } from "../wire/codec.ts";
import { frameDecoder } from "../wire/frame.ts";

export interface FirstHello {
  /** The bytes that were read, as they came. */
  readonly head: readonly Uint8Array[];
  /** Null: what came is no hello. */
  readonly database: string | null;
}

/**
 * Reads until the first frame is whole, or cannot become a hello: no more than `limits.helloBytesMax` and what came with them. Null:
 * the peer closed before. Throws what reading throws. `onBytes` is called at the first byte.
 */
export async function firstHello(pipe: PlainConnection, onBytes: () => void): Promise<FirstHello | null> {
  const frames = frameDecoder(limits.helloBytesMax), head: Uint8Array[] = [];
  for (;;) {
    const bytes = await pipe.read();
    if (bytes === null) return null;
    if (bytes.length === 0) continue;
    if (head.length === 0) onBytes();
    head.push(bytes);
    try {
      frames.push(bytes);
      const body = frames.next();
      if (body === null) continue;
      const message = decodeMessage(body);
      return { head, database: message.type === "hello" ? message.database : null };
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      return { head, database: null };
    }
  }
}

/** `connection` with `head` still to be read; `pipe` is its bytes, and nobody else reads or writes it. */
export function withHead(
  connection: Pick<Connection, "remote" | "abort">,
  pipe: PlainConnection,
  head: readonly Uint8Array[],
): Connection {
  const waiting = [...head];
  const plain: PlainConnection = {
    read() {
      const first = waiting.shift();
      return first === undefined ? pipe.read() : Promise.resolve(first);
    },
    write: (bytes) => pipe.write(bytes),
    close: () => pipe.close(),
  };
  let readable: ReadableStream<Uint8Array> | null = null, writable: WritableStream<Uint8Array> | null = null;
  return {
    remote: connection.remote,
    abort: (reason) => connection.abort(reason),
    plain,
    get readable() {
      return readable ??= new ReadableStream({
        async pull(controller) {
          const bytes = await plain.read();
          if (bytes === null) controller.close();
          else controller.enqueue(bytes);
        },
        cancel: () => plain.close(),
      }, { highWaterMark: 0 });
    },
    get writable() {
      return writable ??= new WritableStream({
        async write(bytes) {
          await plain.write(bytes);
        },
        close: () => plain.close(),
      });
    },
  };
}
