import type { TlsServer } from "./net.ts";

/** Serves HTTP with web-standard Request and Response. */
export interface HttpHost {
  /** Throws DfdbError `port_in_use` (details: `port`), or `io_error`. `port` 0 picks a free one. */
  serve(options: ServeOptions): Promise<HttpServer>;
}

/** Answers one request; must not throw. `peer` is the address of the client. */
export type HttpHandler = (
  request: Request,
  peer: { readonly hostname: string },
) => Response | Promise<Response>;

export interface ServeOptions {
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsServer | null;
  readonly handler: HttpHandler;
  readonly limits: HttpLimits;
}

/** Set explicitly on every runtime where it has the knob; their defaults cut long answers. 0 = no limit. */
export interface HttpLimits {
  /** Largest request body, bytes: refused with 413 before it is read where the runtime can. */
  readonly bodyBytesMax: number;
  /** Time for a client to send its request line and headers, ms. */
  readonly headersMs: number;
  /** Time for a client to send a whole request, ms. */
  readonly requestMs: number;
  /** Time that an idle kept-alive connection stays open, ms. */
  readonly keepAliveMs: number;
  /** Time an answer may take without a byte moving, ms. */
  readonly idleMs: number;
}

export interface HttpServer {
  readonly hostname: string;
  readonly port: number;
  /** Stops accepting, lets running requests finish for at most `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}
