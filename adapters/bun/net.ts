import type { Connection, ConnectOptions, Listener, ListenOptions, Net } from "../../src/runtime/net.ts";
import { acceptQueue } from "../shared/accept_queue.ts";
import type { RawSocket, SocketEvents } from "../shared/raw_socket.ts";
import { connectError, listenError, plainAddress } from "../shared/socket_errors.ts";
import { tcpConnection } from "../shared/tcp_connection.ts";
import { connectTls, listenTls } from "../shared/tls_net.ts";

/** What hangs on each socket, because Bun's handlers are shared by all sockets of a listener. */
interface Attached {
  events: SocketEvents | null;
  /** What the system has not taken yet of the write that runs. */
  rest: Uint8Array | null;
}

type Socket = Bun.Socket<Attached>;

const nothing = (): void => {};

function rawSocket(socket: Socket, events: SocketEvents): RawSocket {
  const attached: Attached = { events, rest: null };
  socket.data = attached;
  socket.setNoDelay(true);
  let flowing = true;
  return {
    remote: { hostname: plainAddress(socket.remoteAddress), port: socket.remotePort },
    resume() {
      if (flowing) return;
      flowing = true;
      socket.resume();
    },
    pause() {
      if (!flowing) return;
      flowing = false;
      socket.pause();
    },
    write(bytes) {
      const taken = Math.max(socket.write(bytes), 0);
      if (taken === bytes.byteLength) return true;
      attached.rest = bytes.subarray(taken);
      return false;
    },
    finish(sent) {
      socket.shutdown();
      sent();
    },
    close: () => socket.end(),
    reset: () => socket.terminate(),
  };
}

/** Bun takes what fits into the system's buffer; the rest follows here. */
function drain(socket: Socket): void {
  const attached = socket.data;
  if (attached === undefined || attached.rest === null) return;
  const taken = socket.write(attached.rest);
  if (taken < 0) return;
  if (taken < attached.rest.byteLength) {
    attached.rest = attached.rest.subarray(taken);
    return;
  }
  attached.rest = null;
  attached.events?.drained();
}

function handlers(open: (socket: Socket) => void): Bun.SocketHandler<Attached> {
  return {
    open,
    // Bun makes a fresh buffer for each call, so the bytes need no copy.
    data: (socket, bytes) => socket.data?.events?.data(bytes),
    drain,
    end: (socket) => socket.data?.events?.end(),
    close: (socket, error) => socket.data?.events?.broken(error ?? new Error("closed")),
    error: (socket, error) => socket.data?.events?.broken(error),
  };
}

const connectionOf = (socket: Socket): Connection => tcpConnection((events) => rawSocket(socket, events));

function listen(options: ListenOptions): Listener | Promise<Listener> {
  if (options.tls !== null) return listenTls(options, options.tls);
  const { hostname, port } = options;
  const queue = acceptQueue();
  const open = (socket: Socket): void => {
    if (queue.hasRoom) queue.offer(connectionOf(socket));
    else socket.terminate();
  };
  try {
    // The backlog cannot be set: Bun asks the system for 512.
    const listener = Bun.listen({ hostname, port, allowHalfOpen: true, socket: handlers(open) });
    const close = (): Promise<void> => {
      queue.close();
      listener.stop();
      return Promise.resolve();
    };
    const iterate = (): AsyncIterator<Connection> => queue[Symbol.asyncIterator]();
    return { hostname: listener.hostname, port: listener.port, close, [Symbol.asyncIterator]: iterate };
  } catch (error) {
    throw listenError(hostname, port, error);
  }
}

function connect(options: ConnectOptions): Promise<Connection> {
  if (options.tls !== null) return connectTls(options, options.tls);
  const { hostname, port, signal } = options;
  if (signal.aborted) return Promise.reject(connectError(hostname, port, signal.reason));
  return new Promise((resolve, reject) => {
    // Bun cannot take back a connect: a socket that opens after the abort is closed at once.
    const aborted = (): void => reject(connectError(hostname, port, signal.reason));
    const failed = (error: unknown): void => {
      signal.removeEventListener("abort", aborted);
      reject(connectError(hostname, port, error));
    };
    const open = (socket: Socket): void => {
      signal.removeEventListener("abort", aborted);
      if (signal.aborted) socket.terminate();
      else resolve(connectionOf(socket));
    };
    signal.addEventListener("abort", aborted);
    // With a handler for it, a failed connect is told there and not a second time as an unhandled error.
    const socket = { ...handlers(open), connectError: nothing };
    Bun.connect({ hostname, port, allowHalfOpen: true, socket }).catch(failed);
  });
}

/** TCP through Bun's own sockets, TLS through node:tls. */
export const net: Net = {
  listen: async (options) => listen(options),
  connect: async (options) => await connect(options),
};
