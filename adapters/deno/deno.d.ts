/** The part of Deno's API that the adapter uses, and no more. */
declare namespace Deno {
  interface NetAddr {
    readonly hostname: string;
    readonly port: number;
  }
  interface Conn {
    readonly remoteAddr: NetAddr;
    /** Null at the end of the stream. */
    read(buffer: Uint8Array): Promise<number | null>;
    /** Bytes that the system took, which may be less than `bytes` holds. */
    write(bytes: Uint8Array): Promise<number>;
    closeWrite(): Promise<void>;
    close(): void;
  }
  interface TcpConn extends Conn {
    setNoDelay(on: boolean): void;
  }
  interface TlsConn extends Conn {
    /** Rejects with an InvalidData that says what was wrong with the peer or its certificate. */
    handshake(): Promise<unknown>;
  }
  interface Listener<Accepted> {
    readonly addr: NetAddr;
    accept(): Promise<Accepted>;
    close(): void;
  }
  interface HttpServer {
    readonly addr: NetAddr;
    readonly finished: Promise<void>;
    shutdown(): Promise<void>;
  }
  interface ServeOptions {
    hostname: string;
    port: number;
    /** PEM texts; both or none. */
    cert?: string;
    key?: string;
    tcpBacklog?: number;
    signal: AbortSignal;
    automaticCompression: boolean;
    onListen(address: NetAddr): void;
    onError(error: unknown): Response | Promise<Response>;
  }
  interface ServeInfo {
    readonly remoteAddr: NetAddr;
    /** Settles when the answer is sent or can no longer be. */
    readonly completed: Promise<void>;
  }
  const version: { readonly deno: string };
  const errors: { readonly BadResource: new () => Error };
  function listen(options: { hostname: string; port: number; tcpBacklog?: number }): Listener<TcpConn>;
  function connect(options: { hostname: string; port: number; signal: AbortSignal }): Promise<TcpConn>;
  /** PEM texts. Connections are accepted before their handshake. */
  function listenTls(
    options: { hostname: string; port: number; cert: string; key: string; tcpBacklog?: number },
  ): Listener<TlsConn>;
  /** Takes `conn` over; PEM texts of authorities besides those that the runtime knows. */
  function startTls(conn: TcpConn, options: { hostname: string; caCerts: string[] }): Promise<TlsConn>;
  function serve(
    options: ServeOptions,
    handler: (request: Request, info: ServeInfo) => Response | Promise<Response>,
  ): HttpServer;
}
