/**
 * The lines between nodes on loopback, of which each pair can be cut or slowed down on its own: a proxy before each node's replication port. Whose a
 * connection is, its first message tells (nothing here is encrypted).
 */
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";

/**
 * `hold`: nothing arrives any more, and nobody is told. `reset`: connections are reset, and new ones closed. `slow`: 20 KB/s each way,
 * and what is on its way when one end closes is lost.
 */
export type Cut = "hold" | "reset" | "slow";

const slowBytesPerSecond = 20_000, dripMs = 20;

export interface SplitNet {
  /** Where others reach node `index`. */
  readonly ports: readonly number[];
  /** From now on, whoever of these two connects. */
  cut(one: number, other: number, how: Cut): void;
  /** What was held goes on. */
  heal(one: number, other: number): void;
  healAll(): void;
  close(): void;
}

interface Line {
  readonly near: Socket;
  /** Null until it is known who connects, and until it may. */
  far: Socket | null;
  /** Indexes of both ends; -1: not known yet. */
  from: number;
  readonly to: number;
  /** What came before there was a way on. */
  readonly held: Buffer[];
  /** What waits on a slow line, in order. */
  waiting: { readonly to: Socket; readonly bytes: Buffer }[];
  drip: ReturnType<typeof setInterval> | null;
}

/** `targets` are the nodes' own replication ports. `nameOf` must give names of which none is a part of another. */
export async function splitNet(
  targets: readonly number[],
  nameOf: (index: number) => string,
): Promise<SplitNet> {
  const net = new Net(targets, nameOf);
  await net.listen();
  return net;
}

class Net implements SplitNet {
  readonly ports: number[] = [];
  readonly #targets: readonly number[];
  readonly #nameOf: (index: number) => string;
  readonly #cuts = new Map<string, Cut>();
  readonly #lines = new Set<Line>();
  readonly #closers: (() => void)[] = [];

  constructor(targets: readonly number[], nameOf: (index: number) => string) {
    this.#targets = targets;
    this.#nameOf = nameOf;
  }

  async listen(): Promise<void> {
    for (const to of this.#targets.keys()) {
      const server = createServer((near) => this.#take(near, to));
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("the proxy has no port");
      this.ports.push(address.port);
      this.#closers.push(() => server.close());
    }
  }

  cut(one: number, other: number, how: Cut): void {
    this.#cuts.set(keyOf(one, other), how);
    for (const line of this.#lines) this.#look(line);
  }

  heal(one: number, other: number): void {
    this.#cuts.delete(keyOf(one, other));
    for (const line of this.#lines) this.#look(line);
  }

  healAll(): void {
    this.#cuts.clear();
    for (const line of this.#lines) this.#look(line);
  }

  close(): void {
    for (const close of this.#closers) close();
    for (const line of this.#lines) this.#end(line);
  }

  #take(near: Socket, to: number): void {
    const line: Line = { near, far: null, from: -1, to, held: [], waiting: [], drip: null };
    this.#lines.add(line);
    this.#watch(line, near);
    near.on("data", (bytes: Buffer) => {
      if (line.far !== null) return this.#pass(line, line.far, bytes);
      line.held.push(bytes);
      this.#look(line);
    });
  }

  #watch(line: Line, socket: Socket): void {
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => this.#end(line));
  }

  /** Lets it go on, holds it or ends it, as it must be now. */
  #look(line: Line): void {
    if (line.from === -1) line.from = this.#whose(Buffer.concat(line.held));
    if (line.from === -1) return;
    const cut = this.#cuts.get(keyOf(line.from, line.to));
    this.#setSlow(line, cut === "slow");
    if (cut === "reset") return this.#end(line);
    if (cut === "hold") {
      line.near.pause();
      line.far?.pause();
      return;
    }
    if (line.far === null) this.#connect(line);
    line.near.resume();
    line.far?.resume();
  }

  #connect(line: Line): void {
    const far = connect(this.#targets[line.to] as number, "127.0.0.1");
    line.far = far;
    this.#watch(line, far);
    far.on("data", (bytes: Buffer) => this.#pass(line, line.near, bytes));
    for (const bytes of line.held.splice(0)) this.#pass(line, far, bytes);
  }

  #pass(line: Line, to: Socket, bytes: Buffer): void {
    if (line.drip === null) to.write(bytes);
    else line.waiting.push({ to, bytes });
  }

  /** One piece of each direction. */
  #drip({ near, far, waiting }: Line): void {
    for (const to of [near, far]) {
      const at = waiting.findIndex((each) => each.to === to), first = waiting[at];
      if (first === undefined) continue;
      const part = first.bytes.subarray(0, slowBytesPerSecond * dripMs / 1000);
      first.to.write(part);
      if (part.length === first.bytes.length) waiting.splice(at, 1);
      else waiting[at] = { to: first.to, bytes: first.bytes.subarray(part.length) };
    }
  }

  #setSlow(line: Line, slow: boolean): void {
    if (slow === (line.drip !== null)) return;
    if (slow) {
      line.drip = setInterval(() => this.#drip(line), dripMs);
      return;
    }
    if (line.drip !== null) clearInterval(line.drip);
    line.drip = null;
    for (const { to, bytes } of line.waiting.splice(0)) to.write(bytes);
  }

  /** The name that comes first is that of who speaks. */
  #whose(bytes: Buffer): number {
    const found = [...this.#targets.keys()].map((index) => ({
      index,
      at: bytes.indexOf(this.#nameOf(index)),
    }))
      .filter(({ at }) => at !== -1).sort((a, b) => a.at - b.at);
    return found[0]?.index ?? -1;
  }

  #end(line: Line): void {
    if (!this.#lines.delete(line)) return;
    line.waiting = [];
    this.#setSlow(line, false);
    for (const socket of [line.near, line.far]) socket?.resetAndDestroy();
  }
}

function keyOf(one: number, other: number): string {
  return `${Math.min(one, other)}-${Math.max(one, other)}`;
}
