import type nodeNet from "node:net";
import type { Connection, Listener } from "../../src/runtime/net.ts";
import type { AcceptQueue } from "./accept_queue.ts";
import { listenBacklog } from "./accept_queue.ts";
import type { RawSocket, SocketEvents } from "./raw_socket.ts";
import { listenError, plainAddress } from "./socket_errors.ts";
import { tcpConnection } from "./tcp_connection.ts";

/** How a socket of node:net or node:tls is broken off. */
type Reset = (socket: nodeNet.Socket) => void;

function rawSocket(socket: nodeNet.Socket, reset: Reset, events: SocketEvents): RawSocket {
  socket.on("data", (bytes: Buffer) => events.data(bytes));
  socket.on("end", () => events.end());
  socket.on("error", (error) => events.broken(error));
  // Comes last of all; an end or error before it has already been told.
  socket.on("close", () => events.broken(new Error("closed")));
  // Listening for "data" alone would start the flow.
  socket.pause();
  return {
    remote: { hostname: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 },
    resume: () => void (socket.isPaused() && socket.resume()),
    pause: () => void socket.pause(),
    write(bytes) {
      let taken = true;
      // Also called, later, for what the system took at once: whoever waits by then waits for something else.
      socket.write(bytes, (error) => {
        if (!taken && !error) events.drained();
      });
      taken = socket.writableLength === 0 && !socket.destroyed;
      return taken;
    },
    finish: (sent) => void socket.end(sent),
    close: () => void socket.destroy(),
    reset: () => reset(socket),
  };
}

/** A {@linkcode Connection} on a socket of node:net or node:tls. */
export function nodeConnection(socket: nodeNet.Socket, reset: Reset): Connection {
  return tcpConnection((events) => rawSocket(socket, reset, events));
}

/** Listens with `server`, which offers what it accepts to `queue`. */
export function nodeListener(
  server: nodeNet.Server,
  queue: AcceptQueue,
  { hostname, port }: { readonly hostname: string; readonly port: number },
  onClose: () => void = () => {},
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(hostname, port, error)));
    server.listen({ host: hostname, port, backlog: listenBacklog }, () => {
      // One connection that could not be accepted (out of descriptors, say) does not end the listener.
      server.on("error", () => {});
      const bound = server.address() as nodeNet.AddressInfo;
      const close = (): Promise<void> => {
        queue.close();
        onClose();
        // Its callback waits for all connections, which go on; that the port is free is known at once.
        if (server.listening) server.close();
        return Promise.resolve();
      };
      const iterate = (): AsyncIterator<Connection> => queue[Symbol.asyncIterator]();
      resolve({ hostname: bound.address, port: bound.port, close, [Symbol.asyncIterator]: iterate });
    });
  });
}
