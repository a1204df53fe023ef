import type { HttpHost, HttpServer, ServeOptions } from "../../src/runtime/http_host.ts";
import { listenBacklog } from "../shared/accept_queue.ts";
import { answer, closing, internalError, payloadTooLarge } from "../shared/http_answers.ts";
import { listenError, plainAddress } from "../shared/socket_errors.ts";

type Handler = (request: Request, info: Deno.ServeInfo) => Response | Promise<Response>;

function handlerOf(options: ServeOptions): Handler {
  const { handler, limits: { bodyBytesMax } } = options;
  return (request, info) => {
    // Only an announced length can be refused here; the application counts a chunked body while it reads.
    if (bodyBytesMax > 0 && request.method !== "GET" && request.method !== "HEAD") {
      if (Number(request.headers.get("content-length")) > bodyBytesMax) return payloadTooLarge(bodyBytesMax);
    }
    return answer(handler, request, {
      get hostname() {
        return plainAddress(info.remoteAddr.hostname);
      },
    });
  };
}

/**
 * Counts the requests that run. Deno.serve either waits without end (`shutdown`) or cuts everything (its signal), and
 * after the first the second throws; so the waiting happens here, and only then one of the two is chosen.
 */
function gatekeeper(handle: Handler): { handle: Handler; drained(): Promise<void> } {
  let running = 0;
  let quiet: (() => void) | null = null;
  const finished = (): void => {
    if (--running === 0) quiet?.();
  };
  return {
    handle(request, info) {
      if (quiet !== null) return closing();
      running++;
      info.completed.then(finished, finished);
      return handle(request, info);
    },
    drained: () =>
      new Promise((resolve) => {
        quiet = resolve;
        if (running === 0) resolve();
      }),
  };
}

/** Waits for `promise`, but not longer than until `deadline` (as performance.now() counts); true if it came. */
async function before(deadline: number, promise: Promise<void>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(deadline - performance.now(), 0));
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Deno.serve has no setting for any of the time limits (2.9): it cuts nothing, so long answers are safe, and a
 * client that dawdles is bounded only by the number of descriptors.
 */
function serve(options: ServeOptions): HttpServer {
  const { hostname, port, tls } = options;
  const cut = new AbortController();
  const gate = gatekeeper(handlerOf(options));
  let server: Deno.HttpServer;
  try {
    server = Deno.serve({
      hostname,
      port,
      ...(tls === null ? {} : { cert: tls.cert, key: tls.key }),
      tcpBacklog: listenBacklog,
      signal: cut.signal,
      automaticCompression: false,
      onListen: () => {},
      onError: internalError,
    }, gate.handle);
  } catch (error) {
    throw listenError(hostname, port, error);
  }
  let closed: Promise<void> | null = null;
  const close = async (graceMs: number): Promise<void> => {
    const deadline = performance.now() + graceMs;
    if (await before(deadline, gate.drained())) {
      // What may still hang here is a client that does not take its 503, or never ends its TLS handshake.
      await before(performance.now() + 1_000, server.shutdown());
    } else {
      cut.abort();
      await server.finished;
    }
  };
  return {
    hostname: server.addr.hostname,
    port: server.addr.port,
    close: (graceMs) => closed ??= close(graceMs),
  };
}

/** HTTP through Deno.serve. */
export const http: HttpHost = { serve: async (options) => serve(options) };
