/** The part of Deno's API that the adapter uses, and no more. */
declare namespace Deno {
  interface NetAddr {
    readonly hostname: string;
    readonly port: number;
  }
  interface TcpConn {
    readonly remoteAddr: NetAddr;
    /** Null at the end of the stream. */
    read(buffer: Uint8Array): Promise<number | null>;
    /** Bytes that the system took, which may be less than `bytes` holds. */
    write(bytes: Uint8Array): Promise<number>;
    closeWrite(): Promise<void>;
    close(): void;
    setNoDelay(on: boolean): void;
  }
  interface TcpListener {
    readonly addr: NetAddr;
    accept(): Promise<TcpConn>;
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
  function listen(options: { hostname: string; port: number; tcpBacklog?: number }): TcpListener;
  function connect(options: { hostname: string; port: number; signal: AbortSignal }): Promise<TcpConn>;
  function serve(
    options: ServeOptions,
    handler: (request: Request, info: ServeInfo) => Response | Promise<Response>,
  ): HttpServer;
}
