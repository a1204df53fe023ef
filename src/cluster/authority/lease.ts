/**
 * Until when a lease may be relied on. A pure machine: it asks for renewals and says once that the lease is lost. The lease counts from
 * the moment at which the request was sent, and for 0.8 of its time only: the other side's clock may run faster.
 */
import type { Machine } from "../../base/machine.ts";
import { type MonotonicMs, monotonicMsOf, type WallMs } from "../../base/ids.ts";

/** When a request was sent, on both clocks. */
export interface Sent {
  readonly at: MonotonicMs;
  readonly wall: WallMs;
}

/** Every input carries the wall time of its step. */
export type LeaseInput =
  & { readonly wall: WallMs }
  & (
    /** A new lease; takes the place of any other. `sent`: its grant. */
    | { readonly type: "taken"; readonly id: string; readonly ttlMs: number; readonly sent: Sent }
    /** It was kept alive; `ttlMs` 0: it is not known there any more. */
    | { readonly type: "renewed"; readonly id: string; readonly ttlMs: number; readonly sent: Sent }
    /** Nothing is known of the renewal. */
    | { readonly type: "failed"; readonly id: string }
    /** What the lease is for is not held under it any more. */
    | { readonly type: "replaced"; readonly id: string }
    /** It is given up by us. */
    | { readonly type: "released" }
    | { readonly type: "tick" }
  );

export type LeaseEffect =
  | { readonly type: "renew"; readonly id: string }
  | { readonly type: "lost"; readonly why: string };

/** Part of its time for which a lease is relied on. */
const holdsShare = 0.8;
/** Three renewals fit before the end, so that two may fail. */
const renewShare = 1 / 4;
/** Pause after a failed renewal. */
const retryShare = 1 / 20;
/** Wall time may run ahead of monotonic time by so much, ms; more is a suspended machine. */
const suspendMs = 1_000;

interface Held {
  readonly id: string;
  readonly ttlMs: number;
  readonly sent: Sent;
}

export class LeaseMachine implements Machine<LeaseInput, LeaseEffect> {
  #held: Held | null = null;
  #renewAt = 0;
  #renewing = false;

  /** Id of the lease; null: none is held. */
  get id(): string | null {
    return this.#held?.id ?? null;
  }

  /** Why the lease must not be relied on at this moment; null: it may. */
  ended(now: MonotonicMs, wall: WallMs): string | null {
    if (this.#held === null) return "this node does not hold the lease";
    const { ttlMs, sent } = this.#held, passedWall = wall - sent.wall;
    if (passedWall - (now - sent.at) > suspendMs) {
      return "the wall clock jumped, or this machine was suspended";
    }
    // A shorter suspend: the monotonic clock may have stood still for it.
    const over = now >= endOf(this.#held) || passedWall >= holdsShare * ttlMs;
    return over ? "it was not renewed in time" : null;
  }

  /** Ms for which it holds if nothing comes; 0 when it does not. */
  left(now: MonotonicMs): number {
    return this.#held === null ? 0 : Math.max(0, endOf(this.#held) - now);
  }

  get deadline(): MonotonicMs | null {
    if (this.#held === null) return null;
    return monotonicMsOf(this.#renewing ? endOf(this.#held) : Math.min(this.#renewAt, endOf(this.#held)));
  }

  step(input: LeaseInput, now: MonotonicMs): readonly LeaseEffect[] {
    if (input.type === "taken") {
      this.#hold(input);
      return this.#look(now, input.wall);
    }
    if (this.#held === null) return [];
    // What ended here is not taken up again, even if the answer came in the meantime.
    const why = this.ended(now, input.wall);
    if (input.type === "released") this.#held = null;
    else if (why !== null) return this.#lose(why);
    else if (input.type === "tick") return this.#look(now, input.wall);
    else if (input.id === this.#held.id) return this.#answered(input, now);
    return [];
  }

  #answered(
    input: LeaseInput & { readonly type: "renewed" | "failed" | "replaced" },
    now: MonotonicMs,
  ): readonly LeaseEffect[] {
    if (input.type === "replaced") return this.#lose("somebody else has its place, or nobody");
    if (input.type === "renewed") {
      if (input.ttlMs <= 0) return this.#lose("it is not known any more");
      this.#hold(input);
      return this.#look(now, input.wall);
    }
    this.#renewing = false;
    this.#renewAt = now + retryShare * (this.#held as Held).ttlMs;
    return [];
  }

  #hold({ id, ttlMs, sent }: Held): void {
    this.#held = { id, ttlMs, sent };
    this.#renewing = false;
    this.#renewAt = sent.at + renewShare * ttlMs;
  }

  #look(now: MonotonicMs, wall: WallMs): readonly LeaseEffect[] {
    const why = this.ended(now, wall);
    if (why !== null) return this.#lose(why);
    if (this.#renewing || now < this.#renewAt) return [];
    this.#renewing = true;
    return [{ type: "renew", id: (this.#held as Held).id }];
  }

  #lose(why: string): readonly LeaseEffect[] {
    this.#held = null;
    return [{ type: "lost", why }];
  }
}

function endOf({ sent, ttlMs }: Held): number {
  return sent.at + holdsShare * ttlMs;
}
