import type { Socket } from "node:net";
import type { Server } from "node:tls";
import { limits } from "../../src/base/limits.ts";
import { acceptedWaitingMax } from "./accept_queue.ts";

/** Time for a client to do its handshake, ms. */
export const handshakeTimeout = limits.handshakeMs;

const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/**
 * Bounds the connections of a server whose handshake is not done, in number and (with {@linkcode handshakeTimeout})
 * in time: no runtime ends one that fails or is late by itself. `cut` ends those that are left.
 */
export function boundHandshakes(server: Server): { cut(): void } {
  const running = new Map<string, Socket>();
  server.on("connection", (socket: Socket) => {
    if (running.size >= acceptedWaitingMax) return void socket.destroy();
    const key = keyOf(socket);
    running.set(key, socket);
    socket.once("close", () => void (running.get(key) === socket && running.delete(key)));
  });
  server.on("secureConnection", (socket) => void running.delete(keyOf(socket)));
  server.on("tlsClientError", (_error, socket) => void socket.destroy());
  return {
    cut() {
      for (const socket of [...running.values()]) socket.destroy();
    },
  };
}
