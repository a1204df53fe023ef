/** TCP and TLS as web streams. */
export interface Net {
  /**
   * Listens; `port` 0 picks a free one. Throws DfdbError `port_in_use` (details: `port`), or `io_error`.
   * With TLS: connections come when their handshake is done; one that takes longer than `limits.handshakeMs`, or fails,
   * never comes and holds up no other.
   */
  listen(options: ListenOptions): Promise<Listener>;
  /**
   * Connects; throws DfdbError `unreachable`, also when `signal` aborts first. With TLS: the handshake is done and the
   * certificate holds for `hostname`, else `certificate_invalid` (details: `reason`, {@linkcode CertificateReason}).
   */
  connect(options: ConnectOptions): Promise<Connection>;
}

export interface ListenOptions {
  readonly hostname: string;
  readonly port: number;
  /** Null for plain TCP. */
  readonly tls: TlsServer | null;
}

export interface ConnectOptions {
  readonly hostname: string;
  readonly port: number;
  /** Null for plain TCP. */
  readonly tls: TlsClient | null;
  readonly signal: AbortSignal;
}

/** PEM texts: the certificate with what its authority put between, and its unencrypted key. Clients show none. */
export interface TlsServer {
  readonly cert: string;
  readonly key: string;
}

export interface TlsClient {
  /** PEM text of the trusted authorities; null: the public ones that the runtime knows. */
  readonly ca: string | null;
}

/** Why a peer's certificate was not accepted. */
export type CertificateReason =
  | "expired"
  | "not_yet_valid"
  | "unknown_authority"
  | "wrong_host"
  | "invalid";

export interface Listener extends AsyncIterable<Connection> {
  readonly hostname: string;
  readonly port: number;
  /** Stops accepting; ends the iteration; connections already accepted go on. */
  close(): Promise<void>;
}

/**
 * One connection. Back-pressure is real both ways: bytes that nobody reads stay with the peer (at most one
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
  /**
   * The same connection without streams, which cost as much as the system calls when messages are small. Absent where there
   * are only streams. For who takes the connection over: either this is used or the streams are.
   */
  readonly plain?: PlainConnection;
}

/** Back-pressure and failures are those of the streams. */
export interface PlainConnection {
  /** The next bytes; null when the peer closed. One call at a time. */
  read(): Promise<Uint8Array | null>;
  /** Sends all of `bytes`. Null: the system took them; else resolves when it has. Throws or rejects. One call at a time. */
  write(bytes: Uint8Array): Promise<void> | null;
  /** After the last write: as closing the one stream, then cancelling the other. */
  close(): Promise<void>;
}
