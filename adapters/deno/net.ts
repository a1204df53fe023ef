import type { Connection, ConnectOptions, Listener, ListenOptions, Net } from "../../src/runtime/net.ts";
import { listenBacklog } from "../shared/accept_queue.ts";
import type { RawSocket, SocketEvents } from "../shared/raw_socket.ts";
import { connectError, listenError, plainAddress, refuseTls } from "../shared/socket_errors.ts";
import { streamBytesMax, tcpConnection } from "../shared/tcp_connection.ts";

/** A chunk smaller than this is copied out of the read buffer, so that a few bytes do not hold all of it. */
const copyBelowBytes = streamBytesMax / 4;

/** Deno's sockets are pulled: the read loop runs while the stream wants bytes. */
function rawSocket(conn: Deno.TcpConn, events: SocketEvents): RawSocket {
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

function connectionOf(conn: Deno.TcpConn): Connection {
  try {
    conn.setNoDelay(true);
  } catch {
    // The peer is gone already: reading tells.
  }
  return tcpConnection((events) => rawSocket(conn, events));
}

/** Accepts on demand: who is not accepted yet waits with the system. */
async function accept(listener: Deno.TcpListener): Promise<Connection | null> {
  for (;;) {
    try {
      return connectionOf(await listener.accept());
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || (error as Error).name === "Interrupted") return null;
      // A client that gave up while it waited, or no descriptor left: the listener itself is still good. The pause
      // keeps the second case from spinning.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function listen(options: ListenOptions): Listener {
  refuseTls(options.tls);
  const { hostname, port } = options;
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname, port, tcpBacklog: listenBacklog });
  } catch (error) {
    throw listenError(hostname, port, error);
  }
  let open = true;
  const next = async (): Promise<IteratorResult<Connection, undefined>> => {
    const value = open ? await accept(listener) : null;
    return value === null ? { done: true, value: undefined } : { done: false, value };
  };
  const close = (): Promise<void> => {
    if (open) listener.close();
    open = false;
    return Promise.resolve();
  };
  const { hostname: address, port: bound } = listener.addr;
  return { hostname: address, port: bound, close, [Symbol.asyncIterator]: () => ({ next }) };
}

async function connect(options: ConnectOptions): Promise<Connection> {
  refuseTls(options.tls);
  const { hostname, port, signal } = options;
  try {
    signal.throwIfAborted();
    return connectionOf(await Deno.connect({ hostname, port, signal }));
  } catch (error) {
    throw connectError(hostname, port, error);
  }
}

/** TCP through Deno's own sockets. */
export const net: Net = { listen: async (options) => listen(options), connect };
