import type { Connection, ConnectOptions, Listener, ListenOptions, Net } from "../../src/runtime/net.ts";
import { listenBacklog } from "../shared/accept_queue.ts";
import { connectError, listenError } from "../shared/socket_errors.ts";
import { accept, denoConnection } from "./raw_socket.ts";
import { connectTls, listenTls } from "./tls_net.ts";

function connectionOf(conn: Deno.TcpConn): Connection {
  try {
    conn.setNoDelay(true);
  } catch {
    // The peer is gone already: reading tells.
  }
  return denoConnection(conn);
}

function listen(options: ListenOptions): Listener | Promise<Listener> {
  if (options.tls !== null) return listenTls(options, options.tls);
  const { hostname, port } = options;
  let listener: Deno.Listener<Deno.TcpConn>;
  try {
    listener = Deno.listen({ hostname, port, tcpBacklog: listenBacklog });
  } catch (error) {
    throw listenError(hostname, port, error);
  }
  let open = true;
  const next = async (): Promise<IteratorResult<Connection, undefined>> => {
    const conn = open ? await accept(listener) : null;
    return conn === null ? { done: true, value: undefined } : { done: false, value: connectionOf(conn) };
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
  if (options.tls !== null) return connectTls(options, options.tls);
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
