/** Lines between machines: what they delay, hold up and spoil. */
import type { Chance } from "./chance.ts";
import type { Cancel, Owner, World } from "./world.ts";

/** Longest wait until what was held up by a cut is sent again after healing, ms. */
const retryMsMax = 200;

/** What a line is slow by. */
export interface Slowness {
  /** Time that a piece is under way, ms. */
  readonly delayMs?: { readonly min: number; readonly max: number };
  /** Bytes per ms of each connection; null: no limit. */
  readonly bytesPerMs?: number | null;
}

/** One direction between two machines. Changes count for what is sent from then on; a cut counts at once. */
export class Link {
  readonly from: string;
  readonly to: string;
  /** Chance that a piece arrives with one byte changed. */
  flipRate = 0;
  /** Chance that a piece arrives as several. */
  splitRate = 0;
  readonly #world: World;
  readonly #waiting = new Set<Lane>();
  /** What it is slow by now, the latest last. */
  readonly #slow = new Set<Slowness>();
  #own: Required<Slowness> = { delayMs: { min: 0.1, max: 2 }, bytesPerMs: null };
  #cut = false;
  #lanes = 0;

  constructor(world: World, from: string, to: string) {
    this.#world = world;
    this.from = from;
    this.to = to;
    if (from === to) this.delayMs = { min: 0.015, max: 0.025 };
  }

  /** Time that a piece is under way, ms. Whoever sets it sets what it is while nothing makes it slow. */
  get delayMs(): Required<Slowness>["delayMs"] {
    return this.#now.delayMs;
  }

  set delayMs(delayMs: Required<Slowness>["delayMs"]) {
    this.#own = { ...this.#own, delayMs };
  }

  /** Bytes per ms of each connection; null: no limit. Set as `delayMs` is. */
  get bytesPerMs(): number | null {
    return this.#now.bytesPerMs;
  }

  set bytesPerMs(bytesPerMs: number | null) {
    this.#own = { ...this.#own, bytesPerMs };
  }

  /** Slow until what is returned is called, in whatever order several of them end. Of two that say the same thing the later one counts. */
  slow(by: Slowness): () => void {
    const one = { ...by };
    this.#slow.add(one);
    return () => void this.#slow.delete(one);
  }

  get #now(): Required<Slowness> {
    return this.#slow.size === 0 ? this.#own : Object.assign({ ...this.#own }, ...this.#slow);
  }

  /** While it is true nothing gets through; what is sent waits, and is sent again some time after healing. */
  get cut(): boolean {
    return this.#cut;
  }

  /** A machine is never cut off from itself. */
  set cut(cut: boolean) {
    if (this.from === this.to || cut === this.#cut) return;
    this.#cut = cut;
    this.#world.say(() => `link ${this.from}>${this.to} ${cut ? "cut" : "healed"}`);
    if (cut) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const lane of waiting) lane.resume();
  }

  /** An ordered way along this link. */
  lane(): Lane {
    const name = `lane ${this.from}>${this.to} ${this.#lanes++}`;
    return new Lane(this.#world, this, this.#world.chance(name));
  }

  /** For lanes: `lane` arrived at the cut. */
  hold(lane: Lane): void {
    this.#waiting.add(lane);
  }

  /** For lanes: nothing waits on `lane` any more. */
  release(lane: Lane): void {
    this.#waiting.delete(lane);
  }
}

/** Something under way. */
export interface Parcel {
  /** When it was sent, virtual ms; a thread that is busy sends what it sends at the end of that time. */
  readonly sentAt: number;
  /** When it arrives if nothing comes between, virtual ms. */
  at: number;
  /** Whose event its arrival is. */
  readonly owner: Owner | null;
  readonly arrive: () => void;
}

/**
 * One direction of one connection: what is sent first arrives first. There is one event at a time, that of the first
 * parcel; what is due then arrives with it.
 */
export class Lane {
  readonly link: Link;
  readonly chance: Chance;
  readonly #world: World;
  readonly #parcels: Parcel[] = [];
  #event: Cancel | null = null;
  #arriving = false;
  #lineFreeAt = 0;

  constructor(world: World, link: Link, chance: Chance) {
    this.#world = world;
    this.link = link;
    this.chance = chance;
  }

  /** True when nothing is under way. */
  get empty(): boolean {
    return this.#parcels.length === 0;
  }

  /** The parcel sent last, if it is still under way. */
  get last(): Parcel | null {
    return this.#parcels.at(-1) ?? null;
  }

  /** Sends at the virtual time `sentAt`, now or later; `arrive` is called in an event of `owner`. */
  send(sentAt: number, bytes: number, owner: Owner | null, arrive: () => void): Parcel {
    const { bytesPerMs } = this.link;
    const leavesAt = Math.max(sentAt, this.#lineFreeAt) + (bytesPerMs === null ? 0 : bytes / bytesPerMs);
    this.#lineFreeAt = leavesAt;
    const at = Math.max(this.last?.at ?? 0, leavesAt + this.delay());
    const parcel = { sentAt, at, owner, arrive };
    this.#parcels.push(parcel);
    if (this.#parcels.length === 1 && !this.#arriving) this.#schedule();
    return parcel;
  }

  /** A time under way, ms. */
  delay(): number {
    const { min, max } = this.link.delayMs;
    return this.chance.between(min, max);
  }

  /** What is under way never arrives. */
  clear(): void {
    this.#parcels.length = 0;
    this.#event?.cancel();
    this.#event = null;
    this.#lineFreeAt = 0;
    this.link.release(this);
  }

  /** What was to be sent later than now is not sent. */
  unsend(): void {
    const sent = this.#parcels.filter(({ sentAt }) => sentAt <= this.#world.now);
    if (sent.length === 0) return this.clear();
    this.#parcels.splice(0, Infinity, ...sent);
  }

  /** For the link: it healed. */
  resume(): void {
    const first = this.#parcels[0];
    if (first === undefined) return;
    first.at = this.#world.now + this.delay() + this.chance.between(0, retryMsMax);
    this.#schedule();
  }

  #schedule(): void {
    const { at, owner } = this.#parcels[0] as Parcel;
    this.#event = this.#world.at(owner, at - this.#world.now, () => this.#arrive());
  }

  #arrive(): void {
    this.#event = null;
    if (this.link.cut) return this.link.hold(this);
    const owner = this.#parcels[0]?.owner;
    this.#arriving = true;
    try {
      do this.#parcels.shift()?.arrive(); while (this.#next(owner));
    } finally {
      this.#arriving = false;
    }
    if (!this.empty) this.#schedule();
  }

  /** True when the next parcel is for the same owner, who lives, and due. */
  #next(owner: Owner | null | undefined): boolean {
    const next = this.#parcels[0];
    return next !== undefined && next.owner === owner && owner?.alive !== false && next.at <= this.#world.now;
  }
}
