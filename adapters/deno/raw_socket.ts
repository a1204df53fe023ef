import type { Connection } from "../../src/runtime/net.ts";
import type { RawSocket, SocketEvents } from "../shared/raw_socket.ts";
import { plainAddress } from "../shared/socket_errors.ts";
import { streamBytesMax, tcpConnection } from "../shared/tcp_connection.ts";

/** A chunk smaller than this is copied out of the read buffer, so that a few bytes do not hold all of it. */
const copyBelowBytes = streamBytesMax / 4;

/** Deno's sockets are pulled: the read loop runs while the stream wants bytes. */
function rawSocket(conn: Deno.Conn, events: SocketEvents): RawSocket {
  let wanted = false, reading = false, closed = false;
  let buffer: Uint8Array | null = null;

  const readLoop = async (): Promise<void> => {
    reading = true;
    try {
      while (wanted) {
        buffer ??= new Uint8Array(streamBytesMax);
        const length = await conn.read(buffer);
        if (length === null) return events.end();
        if (length < copyBelowBytes) {
          events.data(buffer.slice(0, length));
        } else {
          events.data(buffer.subarray(0, length));
          buffer = null;
        }
      }
    } catch (error) {
      if (!closed) events.broken(error);
    } finally {
      reading = false;
    }
  };
  const writeAll = async (bytes: Uint8Array): Promise<void> => {
    try {
      let at = 0;
      while (at < bytes.byteLength) at += await conn.write(at === 0 ? bytes : bytes.subarray(at));
      events.drained();
    } catch (error) {
      if (!closed) events.broken(error);
    }
  };
  const close = (): void => {
    if (closed) return;
    closed = true;
    wanted = false;
    conn.close();
  };
  return {
    remote: { hostname: plainAddress(conn.remoteAddr.hostname), port: conn.remoteAddr.port },
    resume() {
      wanted = !closed;
      if (wanted && !reading) void readLoop();
    },
    pause: () => void (wanted = false),
    write(bytes) {
      void writeAll(bytes);
      return false;
    },
    finish: (sent) => void conn.closeWrite().then(sent, (error) => closed || events.broken(error)),
    close,
    // Deno has no way to ask for a reset; the system sends one by itself when bytes were left unread.
    reset: close,
  };
}

/** A {@linkcode Connection} on a socket of Deno's, TCP or TLS. */
export function denoConnection(conn: Deno.Conn): Connection {
  return tcpConnection((events) => rawSocket(conn, events));
}

/** Accepts on demand: who is not accepted yet waits with the system. Null: the listener was closed. */
export async function accept<Conn>(listener: Deno.Listener<Conn>): Promise<Conn | null> {
  for (;;) {
    try {
      return await listener.accept();
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || (error as Error).name === "Interrupted") return null;
      // A client that gave up while it waited, or no descriptor left: the listener itself is still good. The pause
      // keeps the second case from spinning.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
