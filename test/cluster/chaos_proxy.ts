/** A TCP proxy that treats its connections badly, on loopback: for the wire between a follower and its leader. */
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { Prng } from "../../src/base/prng.ts";

/**
 * `cut`: all connections are reset. `freeze`: nothing moves either way, nothing is closed. `garble`: bytes are flipped, about one in
 * 20,000. `slow`: 10 KB/s each way. `refuse`: new connections are closed at once, the others cut.
 */
export const faults = ["cut", "freeze", "garble", "slow", "refuse"] as const;
export type Fault = typeof faults[number];

export interface ChaosProxy {
  readonly port: number;
  /** Sets what happens to the bytes from now on; null: they pass. */
  set(fault: Fault | null): void;
  /** Bytes flipped, connections cut and bytes passed on so far. */
  readonly done: { flipped: number; cut: number; passed: number };
  close(): Promise<void>;
}

const slowBytesPerSecond = 10_000, tickMs = 50, oneIn = 20_000;

/** Passes bytes from one socket to the other as the fault in force says. Back-pressure goes through. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #mangle: (bytes: Buffer) => Buffer;
  readonly #count: (bytes: number) => void;
  #waiting: Buffer[] = [];
  #timer: ReturnType<typeof setInterval> | null = null;
  fault: Fault | null = null;

  constructor(
    from: Socket,
    to: Socket,
    fault: Fault | null,
    mangle: (bytes: Buffer) => Buffer,
    count: (bytes: number) => void,
  ) {
    this.#from = from;
    this.#to = to;
    this.#mangle = mangle;
    this.#count = count;
    from.on("data", (bytes: Buffer) => this.#take(bytes));
    from.on("end", () => to.end());
    this.set(fault);
  }

  set(fault: Fault | null): void {
    this.fault = fault;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    if (fault === "freeze") return void this.#from.pause();
    if (fault === "slow") {
      this.#timer = setInterval(() => this.#drip(), tickMs);
      return;
    }
    for (const bytes of this.#waiting.splice(0)) this.#pass(bytes);
    this.#from.resume();
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #take(bytes: Buffer): void {
    if (this.fault !== "slow") return this.#pass(bytes);
    this.#waiting.push(bytes);
    this.#from.pause();
  }

  #pass(bytes: Buffer): void {
    if (this.#to.destroyed) return;
    const passed = this.fault === "garble" ? this.#mangle(bytes) : bytes;
    this.#count(passed.length);
    if (this.#to.write(passed)) return;
    this.#from.pause();
    this.#to.once("drain", () => {
      if (this.fault !== "freeze") this.#from.resume();
    });
  }

  #drip(): void {
    let room = slowBytesPerSecond * tickMs / 1000;
    while (room > 0) {
      const first = this.#waiting[0];
      if (first === undefined) return void this.#from.resume();
      const part = first.subarray(0, room);
      room -= part.length;
      if (part.length === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(part.length);
      this.#pass(part);
    }
  }
}

/** Listens on a free port of loopback and passes connections on to `target`. */
export async function chaosProxy(target: number, chance: Prng): Promise<ChaosProxy> {
  const pairs = new Set<{ sockets: Socket[]; pipes: Pipe[] }>();
  const done = { flipped: 0, cut: 0, passed: 0 };
  let fault: Fault | null = null;
  const mangle = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes);
    for (let at = chance.below(oneIn); at < copy.length; at += 1 + chance.below(2 * oneIn)) {
      copy[at] = (copy[at] as number) ^ (1 << chance.below(8));
      done.flipped++;
    }
    return copy;
  };
  const server: Server = createServer((near) => {
    if (fault === "refuse") return void near.destroy();
    const far = connect(target, "127.0.0.1"), sockets = [near, far];
    const count = (bytes: number): void => void (done.passed += bytes);
    const pipes = [
      new Pipe(near, far, fault, mangle, count),
      new Pipe(far, near, fault, mangle, count),
    ];
    const pair = { sockets, pipes };
    pairs.add(pair);
    for (const socket of sockets) {
      socket.on("error", () => {});
      socket.on("close", () => {
        for (const pipe of pipes) pipe.end();
        for (const other of sockets) other.destroy();
        pairs.delete(pair);
      });
    }
  });
  const cut = (): void => {
    for (const { sockets } of pairs) {
      done.cut++;
      for (const socket of sockets) socket.resetAndDestroy();
    }
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return {
    port: address.port,
    done,
    set(next) {
      fault = next === "cut" ? null : next;
      if (next === "cut" || next === "refuse") cut();
      for (const { pipes } of pairs) for (const pipe of pipes) pipe.set(fault);
    },
    close() {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
