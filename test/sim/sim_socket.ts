/** One end of a connection as its machine's system holds it: windows, resets, silence. */
import { tcpConnection } from "../../adapters/shared/tcp_connection.ts";
import type { RawSocket, SocketEvents } from "../../adapters/shared/raw_socket.ts";
import { concat } from "../../src/base/bytes.ts";
import type { Connection } from "../../src/runtime/net.ts";
import type { Lane, Parcel } from "./links.ts";
import type { Mortal, NetCore } from "./net_core.ts";
import type { Death, SimProcess } from "./sim_process.ts";

/** Bytes of one direction that the peer's process has not read yet, before a write waits. */
export const windowBytes = 64 * 1024;

/** Longest time until the side that still knows a forgotten connection is told so, ms. */
const staleMsMax = 5_000;

/** Bytes under way; what the same moment writes goes along. */
interface Piece {
  readonly parcel: Parcel;
  readonly sentAt: number;
  readonly parts: Uint8Array[];
}

/** For tests of code that has streams only. */
export function streamsOnly(whole: Connection): Connection {
  return {
    remote: whole.remote,
    abort: (reason) => whole.abort(reason),
    get readable() {
      return whole.readable;
    },
    get writable() {
      return whole.writable;
    },
  };
}

export interface SocketOptions {
  readonly core: NetCore<unknown>;
  readonly process: SimProcess;
  readonly remote: { readonly hostname: string; readonly port: number };
  /** Towards the peer. */
  readonly out: Lane;
  /** Called when this end is over. */
  readonly over: (socket: SimSocket) => void;
}

export class SimSocket implements RawSocket, Mortal {
  readonly process: SimProcess;
  readonly remote: { readonly hostname: string; readonly port: number };
  readonly out: Lane;
  readonly #core: NetCore<unknown>;
  readonly #over: (socket: SimSocket) => void;
  #peer: SimSocket | null = null;
  #events: SocketEvents | null = null;
  /** Arrived while the process did not want to read; null is the end. */
  #held: (Uint8Array | null)[] = [];
  #paused = true;
  #closed = false;
  /** Bytes sent that the peer's process has not read. */
  #unread = 0;
  #piece: Piece | null = null;
  /** What did not fit the window. */
  #backlog: Uint8Array | null = null;
  /** Called when the end is sent behind the backlog. */
  #finishing: (() => void) | null = null;
  #finished = false;
  #creditComing = false;
  #rebuffed = false;
  /** What is sent goes nowhere; `told`: after a while a reset comes back. */
  #muted: "no" | "silent" | "told" | "telling" = "no";

  constructor({ core, process, remote, out, over }: SocketOptions) {
    this.#core = core;
    this.process = process;
    this.remote = remote;
    this.out = out;
    this.#over = over;
    core.adopt(process, this);
  }

  /** The two ends of a connection. */
  pairWith(peer: SimSocket): void {
    this.#peer = peer;
    peer.#peer = this;
  }

  /** True when nothing that arrives is of use to anybody. */
  get gone(): boolean {
    return this.#closed || !this.process.alive;
  }

  /** Reports to `events` from now on. */
  attach(events: SocketEvents): this {
    this.#events = events;
    return this;
  }

  /** The connection as the process sees it. */
  connection(): Connection {
    const timer = (ms: number, run: () => void) => this.process.later(ms, run, "timer");
    return tcpConnection((events) => this.attach(events), timer);
  }

  /** Tells the peer something small, behind what was sent before; `sentAt`: default when the process has time. */
  signal(arrive: (peer: SimSocket) => void, sentAt: number = this.#now): void {
    const peer = this.#peer;
    if (peer === null || this.#muted !== "no") return;
    this.out.send(sentAt, 0, peer.gone ? null : peer.process, () => arrive(peer));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    while (!this.#paused && !this.gone) {
      const next = this.#held.shift();
      if (next === undefined) return;
      if (next === null) this.#events?.end();
      else this.#hand(next);
    }
  }

  write(bytes: Uint8Array): boolean {
    if (this.gone) return true;
    this.#backlog = bytes.slice();
    this.#push();
    return this.#backlog === null;
  }

  finish(sent: () => void): void {
    if (this.gone) return;
    this.#finishing = sent;
    if (this.#backlog === null) this.#sendEnd();
  }

  close(): void {
    if (this.gone) return;
    if (this.#held.some((held) => held !== null)) return this.reset();
    if (!this.#finished) this.signal((peer) => peer.#onEnd());
    this.#retire();
  }

  reset(): void {
    if (this.gone) return;
    this.#retire();
    this.#tellReset();
  }

  /** A fault breaks the connection for this end; what was under way from it is lost, and what it sends before it hears of it. */
  sever(): void {
    this.mute(false);
    if (!this.gone) this.#core.world.at(this.process, this.out.delay(), () => this.#onReset());
  }

  /** Nothing that it sends arrives any more; `told`: after a while it gets a reset for what it sends. */
  mute(told: boolean): void {
    this.out.clear();
    this.#muted = told ? "told" : "silent";
  }

  die(how: Death): void {
    const incoming = this.#peer?.out ?? null, unread = incoming?.empty === false || this.#held.length > 0;
    incoming?.clear();
    this.out.unsend();
    if (how === "power") {
      if (this.out.link.cut) this.out.clear();
      if (unread) this.#rebuff();
    } else if (unread) this.#tellReset(); // closing a socket with bytes that nobody read is not done nicely
    else if (!this.#finished) {
      if (this.out.chance.flip(0.5)) this.#tellReset();
      else this.signal((peer) => peer.#onEnd());
    }
    this.#retire();
  }

  /** The peer sends to an end that is over. */
  #rebuff(): void {
    const { machine } = this.process;
    if (this.#core.isDown(machine)) return this.#core.whenUp(machine, () => this.#rebuff());
    if (this.#rebuffed) return;
    this.#rebuffed = true;
    this.signal((peer) => peer.#onReset(), this.#core.world.now);
  }

  /** The time at which what is sent now leaves. */
  get #now(): number {
    return this.process.alive ? this.process.now : this.#core.world.now;
  }

  /** When the line is cut, a reset is sent again for a time only. */
  #tellReset(): void {
    if (this.out.link.cut || this.#peer === null) {
      this.out.clear();
      if (this.out.chance.flip(0.5)) return;
    }
    this.signal((peer) => peer.#onReset());
  }

  #retire(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#held = [];
    this.#backlog = null;
    this.#piece = null;
    this.#core.drop(this.process, this);
    this.#over(this);
  }

  /** Sends as much of the backlog as the window takes. */
  #push(): void {
    const backlog = this.#backlog, room = windowBytes - this.#unread;
    if (backlog === null || room <= 0) return;
    const left = backlog.length > room ? backlog.subarray(room) : null;
    this.#backlog = left;
    this.#transmit(left === null ? backlog : backlog.subarray(0, room));
  }

  #transmit(bytes: Uint8Array): void {
    const { figures } = this.#core, { link, chance } = this.out;
    this.#unread += bytes.length;
    figures.bytes += bytes.length;
    if (this.#muted !== "no") return this.#whileMuted();
    if (link.flipRate > 0 && chance.flip(link.flipRate)) {
      const at = chance.below(bytes.length);
      bytes[at] = bytes[at] as number ^ (1 + chance.below(255));
      figures.flips++;
    }
    if (link.splitRate > 0 && bytes.length > 1 && chance.flip(link.splitRate)) {
      const at = 1 + chance.below(bytes.length - 1);
      figures.splits++;
      this.#send(bytes.subarray(0, at));
      this.#piece = null;
      bytes = bytes.subarray(at);
    }
    this.#send(bytes);
  }

  #send(bytes: Uint8Array): void {
    const peer = this.#peer as SimSocket, sentAt = this.#now, before = this.#piece;
    if (
      before !== null && before.sentAt === sentAt && before.parcel === this.out.last &&
      this.out.link.bytesPerMs === null && before.parcel.owner?.alive === true
    ) {
      before.parts.push(bytes);
      return;
    }
    const parts = [bytes];
    const parcel = this.out.send(sentAt, bytes.length, peer.gone ? null : peer.process, () => {
      peer.#onData(parts.length === 1 ? bytes : concat(parts));
    });
    this.#piece = { parcel, sentAt, parts };
  }

  #whileMuted(): void {
    if (this.#muted !== "told") return;
    this.#muted = "telling";
    this.#core.world.at(this.process, this.out.chance.between(1, staleMsMax), () => this.#onReset());
  }

  #sendEnd(): void {
    const sent = this.#finishing;
    this.#finishing = null;
    this.#finished = true;
    this.signal((peer) => peer.#onEnd());
    sent?.();
  }

  #onData(bytes: Uint8Array): void {
    if (this.gone) this.#rebuff();
    else if (this.#paused || this.#held.length > 0) this.#held.push(bytes);
    else this.#hand(bytes);
  }

  #onEnd(): void {
    if (this.gone) return;
    if (this.#events === null) this.close();
    else if (this.#paused || this.#held.length > 0) this.#held.push(null);
    else this.#events.end();
  }

  #onReset(): void {
    if (this.gone) return;
    this.#core.figures.resets++;
    this.out.clear();
    this.#retire();
    this.#events?.broken(new Error("the peer reset the connection"));
  }

  #hand(bytes: Uint8Array): void {
    this.#credit(bytes.length);
    this.#events?.data(bytes);
  }

  /** The process read so much; the peer hears of it when it waits for that. */
  #credit(bytes: number): void {
    const peer = this.#peer;
    if (peer === null) return;
    peer.#unread -= bytes;
    if (peer.#backlog === null || peer.#creditComing) return;
    peer.#creditComing = true;
    this.signal(() => peer.#onCredit());
  }

  #onCredit(): void {
    this.#creditComing = false;
    if (this.gone || this.#backlog === null) return;
    this.#push();
    if (this.#backlog !== null) return;
    if (this.#finishing !== null) this.#sendEnd();
    this.#events?.drained();
  }
}
