/**
 * What one runtime's socket must be able to do; `tcp_connection.ts` builds the web streams on it, so that their
 * behaviour is the same everywhere. Every call is allowed in any state; after `close` or `reset` all do nothing.
 */
export interface RawSocket {
  readonly remote: { readonly hostname: string; readonly port: number };
  /** Lets `events.data` come. */
  resume(): void;
  /** Stops reading from the system; at most one further `data` may come. */
  pause(): void;
  /**
   * Writes all of `bytes`. True: the system took them. False: `events.drained` comes when it has. Not called again
   * before that.
   */
  write(bytes: Uint8Array): boolean;
  /** Sends the end of the stream (FIN) behind what was written; reading goes on. Calls `sent` when it is done. */
  finish(sent: () => void): void;
  /** Gives the socket back to the system, which still sends what it took. */
  close(): void;
  /** Breaks the connection, telling the peer at once where the runtime can. */
  reset(): void;
}

/** What a {@linkcode RawSocket} reports. Later events after `end` or `broken` are ignored. */
export interface SocketEvents {
  /** The receiver keeps `bytes`. */
  data(bytes: Uint8Array): void;
  drained(): void;
  /** The peer sent its end; all data came before. */
  end(): void;
  broken(cause: unknown): void;
}
