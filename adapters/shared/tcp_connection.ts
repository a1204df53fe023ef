import { DfdbError, messageOf } from "../../src/base/errors.ts";
import type { Connection, PlainConnection } from "../../src/runtime/net.ts";
import { Arrivals } from "./arrivals.ts";
import type { RawSocket, SocketEvents } from "./raw_socket.ts";

/** Bytes held here before the socket is told to wait. */
export const streamBytesMax = 64 * 1024;

/**
 * How long a closed connection still takes (and drops) what the peer sends. Closing a socket that holds unread
 * bytes makes the system reset the connection, and the last bytes that we wrote would be lost with it.
 */
const lingerMs = 1_000;

const strategy = { highWaterMark: streamBytesMax, size: (chunk: Uint8Array) => chunk.byteLength };

interface Streams {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly input: ReadableStreamDefaultController<Uint8Array>;
  readonly output: WritableStreamDefaultController;
}

interface Settle {
  resolve(): void;
  reject(reason: unknown): void;
}

/** Calls `run` once after `delayMs`. */
export type StartTimer = (delayMs: number, run: () => void) => { cancel(): void };

const systemTimer: StartTimer = (delayMs, run) => {
  const timer = setTimeout(run, delayMs);
  return { cancel: () => clearTimeout(timer) };
};

/**
 * A {@linkcode Connection} on a raw socket. Life: `open` → (`closing`: our end is sent, what arrives is dropped) →
 * `over`. The streams are made when somebody asks for them; until then what arrives waits in a queue. No promise is made
 * for a write that the system takes at once. The state is always settled before the socket is touched, because a socket
 * may report back from inside the call.
 */
export function tcpConnection(
  attach: (events: SocketEvents) => RawSocket,
  startTimer: StartTimer = systemTimer,
): Connection {
  let state: "open" | "closing" | "over" = "open";
  let failure: Error | null = null;
  let waiting: Settle | null = null;
  let linger: { cancel(): void } | null = null;
  let streams: Streams | null = null;
  let inputOpen = true, outputAborted = false;
  const arrivals = new Arrivals(streamBytesMax);

  const endInput = (error: Error | null): void => {
    if (!inputOpen) return;
    inputOpen = false;
    arrivals.end(error);
    if (error === null) streams?.input.close();
    else streams?.input.error(error);
  };
  const gone = (why: string, cause?: unknown): DfdbError => {
    const { hostname, port } = socket.remote;
    const message = `connection with ${hostname}:${port} ${why}`;
    return new DfdbError("unreachable", message, { details: { hostname, port }, cause });
  };
  const over = (): void => {
    state = "over";
    linger?.cancel();
    waiting?.resolve();
    waiting = null;
  };
  /** Ends in failure; `inputError` null lets the readable end normally. */
  const fail = (error: Error, inputError: Error | null): void => {
    failure = error;
    endInput(inputError);
    if (!outputAborted) streams?.output.error(error);
    waiting?.reject(error);
    waiting = null;
    over();
  };

  const socket = attach({
    data(bytes) {
      if (!inputOpen) return;
      if (streams === null) arrivals.push(bytes);
      else streams.input.enqueue(bytes);
      const room = streams === null ? arrivals.hasRoom : (streams.input.desiredSize ?? 0) > 0;
      if (!room) socket.pause();
    },
    drained() {
      waiting?.resolve();
      waiting = null;
    },
    end() {
      if (state === "over") return;
      if (state === "closing") over();
      else fail(gone("was closed by the peer"), null);
      socket.close();
    },
    broken(cause) {
      if (state === "over") return;
      // After our end was sent the peer may reset as it likes: nothing of ours depends on it any more.
      const error = gone(`broke: ${messageOf(cause)}`, cause);
      if (state === "closing" && !inputOpen) over();
      else fail(error, error);
      socket.reset();
    },
  });

  const abort = (reason: Error): void => {
    if (state === "over") return;
    fail(reason, reason);
    socket.reset();
  };

  const close = (): Promise<void> =>
    new Promise((resolve, reject) => {
      if (state === "over") return failure === null ? resolve() : reject(failure);
      state = "closing";
      waiting = { resolve, reject };
      socket.finish(() => {
        if (state !== "closing") return;
        endInput(null);
        linger = startTimer(lingerMs, () => {
          over();
          socket.close();
        });
        socket.resume();
      });
    });

  const cancel = (): void => {
    inputOpen = false;
    arrivals.end(null);
    if (state !== "open") return;
    fail(gone("was closed here"), null);
    socket.close();
  };

  const write = (bytes: Uint8Array): Promise<void> | null => {
    if (failure !== null) throw failure;
    if (bytes.byteLength === 0 || socket.write(bytes)) return null;
    // The raw socket may have failed inside `write`.
    if (failure !== null) throw failure;
    return new Promise((resolve, reject) => void (waiting = { resolve, reject }));
  };

  const makeStreams = (): Streams => {
    let input!: ReadableStreamDefaultController<Uint8Array>, output!: WritableStreamDefaultController;
    const readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (input = controller),
      pull: () => socket.resume(),
      cancel,
    }, strategy);
    const writable = new WritableStream<Uint8Array>({
      start(controller) {
        output = controller;
        // The stream calls `abort` only after the running write has settled, which may be never; its signal is at once.
        controller.signal.addEventListener("abort", () => {
          outputAborted = true;
          abort(asError(controller.signal.reason));
        });
      },
      write: (bytes) => write(bytes) ?? undefined,
      close,
    }, strategy);
    for (const chunk of arrivals.take()) input.enqueue(chunk);
    const { over } = arrivals;
    if (over?.error) input.error(over.error);
    else if (over !== null) input.close();
    if (failure !== null) output.error(failure);
    return { readable, writable, input, output };
  };

  const plain: PlainConnection = {
    read() {
      if (arrivals.hasRoom && inputOpen) socket.resume();
      return arrivals.read();
    },
    write,
    close: () => close().finally(cancel),
  };

  return {
    remote: socket.remote,
    plain,
    abort,
    get readable() {
      return (streams ??= makeStreams()).readable;
    },
    get writable() {
      return (streams ??= makeStreams()).writable;
    },
  };
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
