import nodeNet from "node:net";
import { messageOf } from "../../src/base/errors.ts";
import type { Connection, ConnectOptions, Listener, ListenOptions, Net } from "../../src/runtime/net.ts";
import { acceptQueue } from "../shared/accept_queue.ts";
import { nodeConnection, nodeListener } from "../shared/node_socket.ts";
import { connectError } from "../shared/socket_errors.ts";
import { connectTls, listenTls } from "../shared/tls_net.ts";

const connectionOf = (socket: nodeNet.Socket): Connection =>
  nodeConnection(socket, () => void socket.resetAndDestroy());

function listen(options: ListenOptions): Promise<Listener> {
  if (options.tls !== null) return listenTls(options, options.tls);
  const queue = acceptQueue();
  const server = nodeNet.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
  server.on("connection", (socket) => {
    if (queue.hasRoom) queue.offer(connectionOf(socket));
    else socket.destroy();
  });
  return nodeListener(server, queue, options);
}

function connect(options: ConnectOptions): Promise<Connection> {
  if (options.tls !== null) return connectTls(options, options.tls);
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

/** TCP through node:net, TLS through node:tls. */
export const net: Net = {
  listen: async (options) => await listen(options),
  connect: async (options) => await connect(options),
};
