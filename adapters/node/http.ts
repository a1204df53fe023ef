import { getRequestListener, RequestError } from "@hono/node-server";
import nodeHttp from "node:http";
import nodeHttps from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { HttpHost, HttpServer, ServeOptions } from "../../src/runtime/http_host.ts";
import { listenBacklog } from "../shared/accept_queue.ts";
import { answer, badRequest, internalError, payloadTooLarge } from "../shared/http_answers.ts";
import { listenError, plainAddress } from "../shared/socket_errors.ts";
import { boundHandshakes, handshakeTimeout } from "../shared/tls_handshakes.ts";

/** How often Node looks for requests over their time; its default of 30 s would make short limits meaningless. */
const checkEveryMs = 1_000;

const headerBytesMax = 16 * 1024;

type Listener = (incoming: nodeHttp.IncomingMessage, outgoing: nodeHttp.ServerResponse) => Promise<void>;

function listenerOf(options: ServeOptions): Listener {
  const { handler, limits: { bodyBytesMax } } = options;
  return getRequestListener((request, env) => {
    const incoming = env.incoming as nodeHttp.IncomingMessage;
    // Only an announced length can be refused here; the application counts a chunked body while it reads.
    if (bodyBytesMax > 0 && Number(incoming.headers["content-length"]) > bodyBytesMax) {
      return payloadTooLarge(bodyBytesMax);
    }
    return answer(handler, request, {
      get hostname() {
        return plainAddress(incoming.socket.remoteAddress);
      },
    });
  }, {
    // Replaces the globals Request and Response by ones that are filled in only when somebody looks; see DESIGN.md.
    overrideGlobalObjects: true,
    errorHandler: (error) => error instanceof RequestError ? badRequest() : internalError(),
  });
}

type Server = nodeHttp.Server | nodeHttps.Server;

/** Connections with the number of requests that run on each, because Node counts a silent new one as busy. */
function trackConnections(server: Server, established: string): { closeIdle(): void } {
  const running = new Map<Socket, number>();
  let closing = false;
  server.on(established, (socket: Socket) => {
    running.set(socket, 0);
    socket.once("close", () => running.delete(socket));
  });
  server.on("request", (incoming: nodeHttp.IncomingMessage, outgoing: nodeHttp.ServerResponse) => {
    const { socket } = incoming;
    running.set(socket, (running.get(socket) ?? 0) + 1);
    outgoing.once("close", () => {
      const left = (running.get(socket) ?? 1) - 1;
      if (running.has(socket)) running.set(socket, left);
      if (closing && left === 0) socket.destroySoon();
    });
  });
  return {
    closeIdle() {
      closing = true;
      for (const [socket, count] of running) if (count === 0) socket.destroySoon();
    },
  };
}

function closer(server: Server, closeIdle: () => void): (graceMs: number) => Promise<void> {
  return (graceMs) =>
    new Promise((resolve) => {
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      closeIdle();
    });
}

/** An HTTP or HTTPS server, and how to end those of its connections on which nothing runs. */
function makeServer(options: ServeOptions): { server: Server; closeIdle(): void } {
  const { tls, limits } = options;
  const settings = {
    connectionsCheckingInterval: checkEveryMs,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    maxHeaderSize: headerBytesMax,
    noDelay: true,
  };
  if (tls === null) {
    const server = nodeHttp.createServer(settings, listenerOf(options));
    return { server, ...trackConnections(server, "connection") };
  }
  const { cert, key } = tls;
  const server = nodeHttps.createServer({ ...settings, cert, key, handshakeTimeout }, listenerOf(options));
  const handshakes = boundHandshakes(server);
  const connections = trackConnections(server, "secureConnection");
  return {
    server,
    closeIdle() {
      handshakes.cut();
      connections.closeIdle();
    },
  };
}

async function serve(options: ServeOptions): Promise<HttpServer> {
  const { hostname, port, limits } = options;
  let made: ReturnType<typeof makeServer>;
  try {
    made = makeServer(options);
  } catch (error) {
    throw listenError(hostname, port, error);
  }
  const { server, closeIdle } = made;
  server.timeout = limits.idleMs;
  return await new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(hostname, port, error)));
    server.listen({ host: hostname, port, backlog: listenBacklog }, () => {
      // One connection that could not be accepted (out of descriptors, say) does not end the server.
      server.on("error", () => {});
      const bound = server.address() as AddressInfo;
      resolve({ hostname: bound.address, port: bound.port, close: closer(server, closeIdle) });
    });
  });
}

/** HTTP through node:http and the bridge of @hono/node-server to Request and Response. */
export const http: HttpHost = { serve };
