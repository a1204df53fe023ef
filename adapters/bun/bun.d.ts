/** The part of Bun's API that the adapter uses, and no more. */
declare namespace Bun {
  interface Socket<Data> {
    data: Data;
    readonly remoteAddress: string;
    readonly remotePort: number;
    /** Bytes that the system took, which may be less than `bytes` holds; -1 when the socket is closed. */
    write(bytes: Uint8Array, offset?: number, length?: number): number;
    pause(): void;
    resume(): void;
    setNoDelay(on: boolean): boolean;
    /** Ends our direction only. */
    shutdown(): void;
    /** Closes. */
    end(): void;
    /** Closes with a reset. */
    terminate(): void;
  }
  interface SocketHandler<Data> {
    open?(socket: Socket<Data>): void;
    data?(socket: Socket<Data>, bytes: Uint8Array): void;
    drain?(socket: Socket<Data>): void;
    end?(socket: Socket<Data>): void;
    close?(socket: Socket<Data>, error?: Error): void;
    error?(socket: Socket<Data>, error: Error): void;
    connectError?(socket: Socket<Data>, error: Error): void;
  }
  interface TcpOptions<Data> {
    hostname: string;
    port: number;
    allowHalfOpen: boolean;
    data?: Data;
    socket: SocketHandler<Data>;
  }
  interface SocketListener {
    readonly hostname: string;
    readonly port: number;
    stop(closeActiveConnections?: boolean): void;
  }
  interface Server {
    readonly hostname: string;
    readonly port: number;
    requestIP(request: Request): { readonly address: string; readonly port: number } | null;
    /** Seconds without a byte moving until the connection of this request is cut; 0 = never, at most 255. */
    timeout(request: Request, seconds: number): void;
    stop(closeActiveConnections?: boolean): Promise<void>;
  }
  interface ServeOptions {
    hostname: string;
    port: number;
    /** PEM texts. */
    tls?: { cert: string; key: string };
    development: boolean;
    reusePort: boolean;
    /** Seconds, 0 to 255. */
    idleTimeout: number;
    maxRequestBodySize: number;
    fetch(request: Request, server: Server): Response | Promise<Response>;
    error(error: unknown): Response | Promise<Response>;
  }
  const version: string;
  function listen<Data>(options: TcpOptions<Data>): SocketListener;
  function connect<Data>(options: TcpOptions<Data>): Promise<Socket<Data>>;
  function serve(options: ServeOptions): Server;
}
