import type { HttpHost, HttpServer, ServeOptions } from "../../src/runtime/http_host.ts";
import { answer, internalError } from "../shared/http_answers.ts";
import { listenError, plainAddress } from "../shared/socket_errors.ts";

/** Bun counts in whole seconds, up to this. */
const secondsMax = 255;

/** For a limit whose early end does no harm. */
const secondsAtMost = (ms: number): number => Math.min(Math.ceil(ms / 1000), secondsMax);

/** For a limit that must not come early: one that Bun cannot express is no limit. */
const secondsOrNever = (ms: number): number => ms > secondsMax * 1000 ? 0 : Math.ceil(ms / 1000);

function serve(options: ServeOptions): HttpServer {
  const { hostname, port, tls, handler, limits } = options;
  const idleSeconds = secondsOrNever(limits.idleMs);
  let server: Bun.Server;
  try {
    server = Bun.serve({
      hostname,
      port,
      ...(tls === null ? {} : { tls: { cert: tls.cert, key: tls.key } }),
      development: false,
      reusePort: false,
      // For connections that have not asked anything yet. With its first request a connection takes the limit for
      // answers and keeps it, also while it waits for the next request: Bun has one limit for both, and an answer that
      // is cut is worse than a connection that stays. It has no limit for the time of headers or of a whole request.
      idleTimeout: secondsAtMost(limits.keepAliveMs),
      // Beyond it Bun answers 413 (without a body) to an announced length, and breaks off a chunked body.
      maxRequestBodySize: limits.bodyBytesMax > 0 ? limits.bodyBytesMax : Number.MAX_SAFE_INTEGER,
      error: internalError,
      fetch(request, self) {
        self.timeout(request, idleSeconds);
        return answer(handler, request, {
          get hostname() {
            return plainAddress(self.requestIP(request)?.address);
          },
        });
      },
    });
  } catch (error) {
    throw listenError(hostname, port, error);
  }
  const { hostname: address, port: bound } = server;
  const close = async (graceMs: number): Promise<void> => {
    const timer = setTimeout(() => void server.stop(true), graceMs);
    await server.stop(false);
    clearTimeout(timer);
  };
  return { hostname: address, port: bound, close };
}

/** HTTP through Bun.serve. */
export const http: HttpHost = { serve: async (options) => serve(options) };
