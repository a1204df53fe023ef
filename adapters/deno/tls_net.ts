import { DfdbError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import type {
  CertificateReason,
  Connection,
  ConnectOptions,
  Listener,
  ListenOptions,
  TlsClient,
  TlsServer,
} from "../../src/runtime/net.ts";
import { acceptedWaitingMax, acceptQueue, listenBacklog } from "../shared/accept_queue.ts";
import { connectError, listenError } from "../shared/socket_errors.ts";
import { certificateError, handshakeError } from "../shared/tls_errors.ts";
import { look } from "../shared/tls_net.ts";
import { accept, denoConnection } from "./raw_socket.ts";

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // Closed already.
  }
}

/**
 * {@linkcode Net.listen} with TLS. Not through node:tls: there a write is taken whole, whatever the peer reads. A
 * connection that is closed before its handshake is through stays open on the system's side until the peer leaves.
 */
export function listenTls({ hostname, port }: ListenOptions, { cert, key }: TlsServer): Listener {
  let listener: Deno.Listener<Deno.TlsConn>;
  try {
    listener = Deno.listenTls({ hostname, port, cert, key, tcpBacklog: listenBacklog });
  } catch (error) {
    throw listenError(hostname, port, error);
  }
  const queue = acceptQueue();
  const greeting = new Set<Deno.TlsConn>();
  const greet = async (conn: Deno.TlsConn): Promise<void> => {
    greeting.add(conn);
    const timer = setTimeout(() => closeQuietly(conn), limits.handshakeMs);
    try {
      await conn.handshake();
      if (queue.hasRoom) queue.offer(denoConnection(conn));
      else closeQuietly(conn);
    } catch {
      closeQuietly(conn);
    } finally {
      clearTimeout(timer);
      greeting.delete(conn);
    }
  };
  const acceptAll = async (): Promise<void> => {
    for (let conn = await accept(listener); conn !== null; conn = await accept(listener)) {
      if (greeting.size < acceptedWaitingMax) void greet(conn);
      else closeQuietly(conn);
    }
  };
  const accepting = acceptAll();
  let open = true;
  const close = (): Promise<void> => {
    if (open) listener.close();
    open = false;
    queue.close();
    greeting.forEach(closeQuietly);
    // The port is free when the accept that waited has ended.
    return accepting;
  };
  const { hostname: address, port: bound } = listener.addr;
  const iterate = (): AsyncIterator<Connection> => queue[Symbol.asyncIterator]();
  return { hostname: address, port: bound, close, [Symbol.asyncIterator]: iterate };
}

/** {@linkcode Net.connect} with TLS. */
export async function connectTls(options: ConnectOptions, tls: TlsClient): Promise<Connection> {
  const { hostname, port, signal } = options;
  let tcp: Deno.TcpConn;
  try {
    signal.throwIfAborted();
    tcp = await Deno.connect({ hostname, port, signal });
  } catch (error) {
    throw connectError(hostname, port, error);
  }
  let conn: Deno.Conn = tcp;
  const aborted = (): void => closeQuietly(conn);
  signal.addEventListener("abort", aborted);
  try {
    signal.throwIfAborted();
    tcp.setNoDelay(true);
    const encrypted = await Deno.startTls(tcp, { hostname, caCerts: tls.ca === null ? [] : [tls.ca] });
    conn = encrypted;
    signal.throwIfAborted();
    await encrypted.handshake();
    return denoConnection(encrypted);
  } catch (error) {
    closeQuietly(conn);
    if (signal.aborted) throw connectError(hostname, port, signal.reason);
    const reason = reasonOf(error);
    if (reason === null) throw handshakeError(hostname, port, error);
    throw certificateError(hostname, port, reason, await look(options, tls), explained(error));
  } finally {
    signal.removeEventListener("abort", aborted);
  }
}

/** What a failed handshake says of the peer's certificate; null when the failure was another. Deno has no codes. */
function reasonOf(error: unknown): CertificateReason | null {
  const text = String(error);
  if (!text.includes("invalid peer certificate")) return null;
  if (text.includes("UnknownIssuer")) return "unknown_authority";
  if (text.includes("not valid for name")) return "wrong_host";
  if (text.includes("not valid yet")) return "not_yet_valid";
  return text.includes("certificate expired") ? "expired" : "invalid";
}

function explained(error: unknown): unknown {
  if (!String(error).includes("CaUsedAsEndEntity")) return error;
  const message =
    "it is that of an authority (CA:TRUE): issue one for the server by it, or a self-signed one with CA:FALSE";
  return new DfdbError("certificate_invalid", message, { cause: error });
}
