/** TCP as web streams. */
export interface Net {
  /**
   * Listens; `port` 0 picks a free one. Throws DfdbError `port_in_use` (details: `port`), or `io_error`.
   * TLS (a later step) is null for plain TCP.
   */
  listen(options: ListenOptions): Promise<Listener>;
  /** Connects; throws DfdbError `unreachable`, also when `signal` aborts first. */
  connect(options: ConnectOptions): Promise<Connection>;
}

export interface ListenOptions {
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsServer | null;
}

export interface ConnectOptions {
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsClient | null;
  readonly signal: AbortSignal;
}

/** PEM texts. */
export interface TlsServer {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | null;
}

/** PEM texts. */
export interface TlsClient {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

export interface Listener extends AsyncIterable<Connection> {
  readonly hostname: string;
  readonly port: number;
  /** Stops accepting; ends the iteration; connections already accepted go on. */
  close(): Promise<void>;
}

/**
 * One TCP connection. Back-pressure is real both ways: bytes that nobody reads stay with the peer (at most one
 * buffer of about 64 KiB is held here), and a `write` resolves when the system took the bytes.
 */
export interface Connection {
  readonly remote: { readonly hostname: string; readonly port: number };
  /** Ends when the peer closed; errors when the connection broke. Cancelling it closes the connection. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Closing it sends what is buffered and then ends the connection (both directions: nothing depends on half-close). */
  readonly writable: WritableStream<Uint8Array>;
  /** Breaks the connection at once; both streams fail with `reason`. Safe to call at any time, also twice. */
  abort(reason: Error): void;
}
