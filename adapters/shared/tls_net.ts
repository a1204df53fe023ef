import nodeNet from "node:net";
import nodeTls from "node:tls";
import { DfdbError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import type {
  Connection,
  ConnectOptions,
  Listener,
  ListenOptions,
  TlsClient,
  TlsServer,
} from "../../src/runtime/net.ts";
import { acceptQueue } from "./accept_queue.ts";
import { nodeConnection, nodeListener } from "./node_socket.ts";
import { connectError, listenError } from "./socket_errors.ts";
import type { PeerCertificate } from "./tls_errors.ts";
import { certificateError, certificateReason, handshakeError } from "./tls_errors.ts";
import { boundHandshakes, handshakeTimeout } from "./tls_handshakes.ts";

const minVersion = "TLSv1.2";

function connectionOf(socket: nodeTls.TLSSocket): Connection {
  socket.setNoDelay(true);
  // A TLS socket cannot be reset; the peer sees an end, and the frames of the wire tell where they were cut.
  return nodeConnection(socket, () => void socket.destroy());
}

/** {@linkcode Net.listen} with TLS, through node:tls. */
export async function listenTls(options: ListenOptions, { cert, key }: TlsServer): Promise<Listener> {
  const queue = acceptQueue();
  let server: nodeTls.Server;
  try {
    server = nodeTls.createServer({ cert, key, minVersion, handshakeTimeout });
  } catch (error) {
    throw listenError(options.hostname, options.port, error);
  }
  const handshakes = boundHandshakes(server);
  server.on("secureConnection", (socket) => {
    if (queue.hasRoom) queue.offer(connectionOf(socket));
    else socket.destroy();
  });
  return await nodeListener(server, queue, options, handshakes.cut);
}

/** {@linkcode Net.connect} with TLS, through node:tls. */
export async function connectTls(options: ConnectOptions, tls: TlsClient): Promise<Connection> {
  const { hostname, port, signal } = options;
  if (signal.aborted) throw connectError(hostname, port, signal.reason);
  const met = { tcp: false };
  try {
    return connectionOf(await handshake(options, tls, true, met));
  } catch (error) {
    if (signal.aborted) throw connectError(hostname, port, signal.reason);
    const reason = certificateReason(error);
    if (reason !== null) {
      throw certificateError(hostname, port, reason, await look(options, tls), error);
    }
    throw met.tcp ? handshakeError(hostname, port, error) : connectError(hostname, port, error);
  }
}

/** Resolves when the handshake is done and, with `verify`, the certificate was found good; nothing was sent yet. */
function handshake(
  { hostname, port, signal }: ConnectOptions,
  { ca }: TlsClient,
  verify: boolean,
  met: { tcp: boolean },
): Promise<nodeTls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = nodeTls.connect({
      host: hostname,
      port,
      minVersion,
      rejectUnauthorized: verify,
      // No name of a server may be an address; the certificate is compared with `host` all the same.
      servername: nodeNet.isIP(hostname) === 0 ? hostname : "",
      ...(ca === null ? {} : { ca }),
    });
    const settle = (): void => {
      signal.removeEventListener("abort", aborted);
      socket.off("error", failed);
      socket.off("close", closed);
    };
    const failed = (error: Error): void => {
      settle();
      socket.on("error", () => {});
      socket.destroy();
      reject(error);
    };
    const closed = (): void => failed(new Error("the connection was closed in the TLS handshake"));
    const aborted = (): void => failed(signal.reason);
    signal.addEventListener("abort", aborted);
    socket.on("error", failed);
    socket.on("close", closed);
    socket.on("connect", () => void (met.tcp = true));
    socket.once("secureConnect", () => {
      if (verify && !socket.authorized) return failed(new Error("the certificate was not verified"));
      settle();
      resolve(socket);
    });
  });
}

/**
 * What the peer's certificate says, for the sentence about why it was refused: a second connection that takes any
 * certificate and carries nothing. Null when it cannot be had.
 */
export async function look(options: ConnectOptions, tls: TlsClient): Promise<PeerCertificate | null> {
  const patience = new AbortController();
  const stop = (): void => patience.abort(new DfdbError("timeout", "no answer"));
  const timer = setTimeout(stop, limits.handshakeMs);
  options.signal.addEventListener("abort", stop);
  try {
    const socket = await handshake({ ...options, signal: patience.signal }, tls, false, { tcp: false });
    const certificate = socket.getPeerCertificate();
    socket.on("error", () => {});
    socket.destroy();
    const { CN, O } = certificate.issuer ?? {};
    return {
      names: certificate.subjectaltname ?? "",
      issuer: String(CN ?? O ?? ""),
      validFrom: Date.parse(certificate.valid_from),
      validUntil: Date.parse(certificate.valid_to),
    };
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", stop);
  }
}
