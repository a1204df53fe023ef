import { concat } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/crc32.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { prng } from "../../src/base/prng.ts";
import type { Connection, Listener } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";

/** A promise with its handles outside. */
export interface Gate<Value> {
  readonly promise: Promise<Value>;
  open(value: Value): void;
}

/** A {@linkcode Gate} that is still shut. */
export function gate<Value = void>(): Gate<Value> {
  const { promise, resolve } = Promise.withResolvers<Value>();
  return { promise, open: resolve };
}

/** Less than a test runner waits, more than anything takes on a busy machine. */
const hangMs = 100_000;

/** The value of `promise`, or an error that names what did not happen in time. Not a sleep: a bound on a hang. */
export async function within<Value>(runtime: Runtime, what: string, promise: Promise<Value>): Promise<Value> {
  const late = Promise.withResolvers<never>();
  const timer = runtime.clock.timer(hangMs, () => late.reject(new Error(`timed out: ${what}`)));
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    timer.cancel();
  }
}

/** True when `promise` is still pending after `ms`: how a test sees that something waits. */
export async function pendingFor(runtime: Runtime, ms: number, promise: Promise<unknown>): Promise<boolean> {
  const waited = gate<boolean>();
  const timer = runtime.clock.timer(ms, () => waited.open(true));
  const settled = promise.then(() => false, () => false);
  const pending = await Promise.race([settled, waited.promise]);
  timer.cancel();
  return pending;
}

/** What `promise` is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("expected a rejection");
}

/** True for what `connect` and broken streams fail with. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof DfdbError && error.code === "unreachable";
}

/** The same pseudo-random bytes for the same seed. */
export function pattern(length: number, seed = 1): Uint8Array {
  const random = prng(seed);
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.uint32();
  return new Uint8Array(words.buffer, 0, length);
}

/** Length and checksum of everything up to the end of `stream`. */
export async function drain(stream: ReadableStream<Uint8Array>): Promise<{ length: number; crc: number }> {
  let length = 0, crc = 0;
  for await (const chunk of stream) {
    length += chunk.byteLength;
    crc = crc32(chunk, crc);
  }
  return { length, crc };
}

/** All bytes of `stream` up to its end, or up to where it broke. */
export async function readUntilOver(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  try {
    for await (const chunk of stream) parts.push(chunk);
  } catch {
    // Broken: what came before counts.
  }
  return concat(parts);
}

/** Bytes of `reader` until `enough` says so or the stream ends, as text of single bytes. */
export async function readText(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  enough: (text: string) => boolean,
): Promise<string> {
  let text = "";
  while (!enough(text)) {
    const { done, value } = await reader.read();
    if (done) break;
    for (const byte of value) text += String.fromCharCode(byte);
  }
  return text;
}

/** Opens a plain connection to a port of this machine. */
export function connectTo(runtime: Runtime, port: number, signal?: AbortSignal): Promise<Connection> {
  const { signal: never } = new AbortController();
  return runtime.net.connect({ hostname: "127.0.0.1", port, tls: null, signal: signal ?? never });
}

/** Listens on a free port of this machine. */
export function listen(runtime: Runtime, port = 0): Promise<Listener> {
  return runtime.net.listen({ hostname: "127.0.0.1", port, tls: null });
}

/** Takes the next accepted connection. */
export async function accepted(listener: Listener): Promise<Connection> {
  const next = await listener[Symbol.asyncIterator]().next();
  if (next.done) throw new Error("the listener was closed");
  return next.value;
}

/** Two ends of one connection; nothing listens any more when the test gets them. */
export async function pair(runtime: Runtime): Promise<{ client: Connection; server: Connection }> {
  const listener = await listen(runtime);
  const [client, server] = await Promise.all([connectTo(runtime, listener.port), accepted(listener)]);
  await listener.close();
  return { client, server };
}
