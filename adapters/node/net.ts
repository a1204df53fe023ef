import nodeNet from "node:net";
import { messageOf } from "../../src/base/errors.ts";
import type { Connection, ConnectOptions, Listener, ListenOptions, Net } from "../../src/runtime/net.ts";
import { acceptQueue, listenBacklog } from "../shared/accept_queue.ts";
import type { RawSocket, SocketEvents } from "../shared/raw_socket.ts";
import { connectError, listenError, plainAddress, refuseTls } from "../shared/socket_errors.ts";
import { tcpConnection } from "../shared/tcp_connection.ts";

function rawSocket(socket: nodeNet.Socket, events: SocketEvents): RawSocket {
  socket.on("data", (bytes: Buffer) => events.data(bytes));
  socket.on("end", () => events.end());
  socket.on("error", (error) => events.broken(error));
  // Comes last of all; an end or error before it has already been told.
  socket.on("close", () => events.broken(new Error("closed")));
  // Listening for "data" alone would start the flow.
  socket.pause();
  const written = (error?: Error | null): void => {
    if (!error) events.drained();
  };
  return {
    remote: { hostname: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 },
    resume: () => void (socket.isPaused() && socket.resume()),
    pause: () => void socket.pause(),
    write(bytes) {
      // The callback comes also when the system took everything at once; then it finds nobody waiting.
      socket.write(bytes, written);
      return socket.writableLength === 0 && !socket.destroyed;
    },
    finish: (sent) => void socket.end(sent),
    close: () => void socket.destroy(),
    reset: () => void socket.resetAndDestroy(),
  };
}

const connectionOf = (socket: nodeNet.Socket): Connection =>
  tcpConnection((events) => rawSocket(socket, events));

function listen(options: ListenOptions): Promise<Listener> {
  refuseTls(options.tls);
  const { hostname, port } = options;
  const queue = acceptQueue();
  const server = nodeNet.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
  server.on("connection", (socket) => {
    if (queue.hasRoom) queue.offer(connectionOf(socket));
    else socket.destroy();
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(hostname, port, error)));
    server.listen({ host: hostname, port, backlog: listenBacklog }, () => {
      // One connection that could not be accepted (out of descriptors, say) does not end the listener.
      server.on("error", () => {});
      const bound = server.address() as nodeNet.AddressInfo;
      const close = (): Promise<void> => {
        queue.close();
        // Its callback waits for all connections, which go on; that the port is free is known at once.
        if (server.listening) server.close();
        return Promise.resolve();
      };
      const iterate = (): AsyncIterator<Connection> => queue[Symbol.asyncIterator]();
      resolve({ hostname: bound.address, port: bound.port, close, [Symbol.asyncIterator]: iterate });
    });
  });
}

function connect(options: ConnectOptions): Promise<Connection> {
  refuseTls(options.tls);
  const { hostname, port, signal } = options;
  if (signal.aborted) return Promise.reject(connectError(hostname, port, signal.reason));
  return new Promise((resolve, reject) => {
    const socket = nodeNet.connect({ host: hostname, port, allowHalfOpen: true, noDelay: true });
    const settle = (): void => {
      signal.removeEventListener("abort", aborted);
      socket.off("error", failed);
    };
    const failed = (error: Error): void => {
      settle();
      reject(connectError(hostname, port, new Error(messageOf(error) || "no answer", { cause: error })));
    };
    const aborted = (): void => {
      settle();
      socket.on("error", () => {});
      socket.destroy();
      reject(connectError(hostname, port, signal.reason));
    };
    signal.addEventListener("abort", aborted);
    socket.once("error", failed);
    socket.once("connect", () => {
      settle();
      resolve(connectionOf(socket));
    });
  });
}

/** TCP through node:net. */
export const net: Net = {
  listen: async (options) => await listen(options),
  connect: async (options) => await connect(options),
};
