/**
 * What a runtime provides. Types only: the implementations are in `adapters/` (deno, bun, node) and `test/sim`.
 * Nothing else may differ between them, and nothing in `src/` can tell them apart.
 */
import type { MonotonicMs, WallMs } from "../base/ids.ts";
import type { Certificates } from "./certificates.ts";
import type { HttpHost } from "./http_host.ts";
import type { Net } from "./net.ts";
import type { Terminal } from "./terminal.ts";
import type { Files } from "./files.ts";
import type { Workers } from "./workers.ts";

export interface Runtime {
  readonly name: "deno" | "bun" | "node" | "sim";
  /** Version of the runtime, for the banner and the bench. */
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly net: Net;
  readonly http: HttpHost;
  readonly files: Files;
  readonly process: ProcessHost;
  readonly workers: Workers;
  /** Outgoing HTTP; the same contract as the web standard. */
  readonly fetch: (input: string, init?: RequestInit) => Promise<Response>;
  readonly crypto: Crypto;
  readonly certificates: Certificates;
  /** Called at labelled places of the commit and apply paths; does nothing outside crash tests. */
  readonly crashPoint: CrashPoint;
}

/** A label is `area:moment`, for instance `commit:before`. May not return (the process dies there). */
export type CrashPoint = (label: string) => void;

export interface Clock {
  monotonic(): MonotonicMs;
  wall(): WallMs;
  /** Calls `run` once after `delayMs`. Never early; may be late. A pending timer keeps the process alive. */
  timer(delayMs: number, run: () => void): Timer;
  /** Calls `run` in a later macrotask, after input that is already waiting was read. */
  macrotask(run: () => void): void;
}

export interface Timer {
  cancel(): void;
}

export interface Random {
  /** Unpredictable bytes, at most 65,536 at a time. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1). */
  float(): number;
}

/** Synchronous, because WebCrypto resolves outside virtual time. */
export interface Crypto {
  /** 32 bytes. */
  sha256(bytes: Uint8Array): Uint8Array;
  /** 32 bytes. */
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array;
}

export interface ProcessHost {
  readonly pid: number;
  readonly hostname: string;
  /** Arguments after the program's own name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  cwd(): string;
  stdout(text: string): void;
  stderr(text: string): void;
  readonly stdoutIsTerminal: boolean;
  /** Characters in a line of the terminal; null when it does not tell, or there is none. */
  readonly columns: number | null;
  readonly terminal: Terminal;
  /** Calls `run` at every SIGINT and SIGTERM until the returned function is called. */
  onStopSignal(run: (signal: "SIGINT" | "SIGTERM") => void): () => void;
  /** Resident memory, bytes. */
  memoryBytes(): number;
  /** Ends the process at once. */
  exit(code: number): never;
}
