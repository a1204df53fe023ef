/**
 * What a leader makes of the claims of others: whether it may write yet, whom it follows instead, when it begins a higher epoch.
 * Claims come only from peers of the same database that proved the secret.
 */
import type { Epoch, MonotonicMs, NodeId, Seq } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Machine, Tick } from "../base/machine.ts";
import type { Term, TermRecord } from "../storage/log.ts";
import type { KnownNode } from "../wire/message.ts";
import type { Claim } from "./claim.ts";
import { askAgainMs, Questions } from "./questions.ts";

/** A leadership begins, or begins again under another term. */
export interface Leads {
  readonly type: "lead";
  readonly term: Term;
  /** Of its first entry; null: it has none yet. */
  readonly firstSeq: Seq | null;
  /** While it has none: this node's own last term of the same epoch, which it leads on with after a restart. Default: none. */
  readonly before?: TermRecord | null;
  readonly nodeId: NodeId;
  /** Must be heard, or silent for `waitMs`, before the first write. */
  readonly ask: readonly KnownNode[];
  readonly waitMs: number;
  /** An epoch above that of `term` that was heard of. */
  readonly knowsHigher: Epoch | null;
  /** A promotion that a crash cut off: when the old leader still leads, it may go on. */
  readonly unfinished?: boolean;
  /** With `unfinished`: the epoch of the last entry here. Who leads below it is no leader of this history. */
  readonly logEpoch?: Epoch;
}

export type FencingInput =
  | Tick
  | Leads
  /** The leadership has its first entry. */
  | { readonly type: "begun"; readonly firstSeq: Seq }
  /** There is no leadership any more. */
  | { readonly type: "follow" }
  | { readonly type: "met"; readonly claim: Claim }
  /** A fresh sign that this candidate follows this node, or does not lead at least. */
  | { readonly type: "heardFollower"; readonly nodeId: NodeId }
  /** What came of the question to `nodeId`; null: no answer. */
  | { readonly type: "asked"; readonly nodeId: NodeId; readonly claim: Claim | null }
  /** This node stood still: for longer than those to ask wait before they take over. */
  | { readonly type: "late"; readonly ask: readonly KnownNode[]; readonly waitMs: number };

export type FencingEffect =
  | { readonly type: "bar"; readonly cause: "unconfirmed" | "fenced"; readonly on: boolean }
  /** To be answered with `asked`; `peer` has an address. */
  | { readonly type: "ask"; readonly peer: KnownNode }
  /** To be answered with the input `follow`. */
  | {
    readonly type: "follow";
    readonly leader: KnownNode;
    readonly epoch: Epoch;
    readonly why: "stale_epoch" | "epoch_collision" | "unfinished";
  }
  /** Wants a new term above `above`: to be answered with `lead`. */
  | { readonly type: "raise"; readonly above: Epoch; readonly why: "stale_epoch" | "epoch_collision" }
  /** Somebody outside gives epochs and gave a higher one, whose leader cannot be found: to be answered with `follow`. */
  | { readonly type: "resign"; readonly epoch: Epoch }
  /** These were not heard in time; this node leads all the same. */
  | { readonly type: "unconfirmed"; readonly nodes: readonly NodeId[] };

export interface FencingOptions {
  /** False: somebody outside gives the epochs. */
  readonly counts?: boolean;
  /** A node that this one knows by its id. */
  readonly known?: (nodeId: NodeId) => KnownNode | null;
}

export interface Fencing extends Machine<FencingInput, FencingEffect> {
  /** What is told to others: the term under which this node leads, once it, or an earlier run of the same epoch, has an entry. */
  readonly leads: TermRecord | null;
}

export function fencing(options: FencingOptions = {}): Fencing {
  return new Fence(options);
}

/** Of two leaders in one epoch the one goes on whose run began at the higher seq, then the one with the larger run id. */
export function goesOn(own: TermRecord, other: TermRecord): boolean {
  return own.firstSeq === other.firstSeq ? own.run > other.run : own.firstSeq > other.firstSeq;
}

/** The first write waits for these. */
interface Start {
  readonly waiting: Set<NodeId>;
  until: number;
  /** That all were heard is not enough: nobody is known who could say who leads. */
  readonly whole: boolean;
  readonly knowsHigher: Epoch | null;
  /** The lowest epoch whose leader is followed; null: only a higher one than this node's. */
  readonly yieldsFrom: number | null;
  /** What somebody says unasked does not count: it may have waited here, unread, since before its sender took over. */
  answersOnly: boolean;
}

/** Somebody has entries of another leader; whoever that is, is asked until then. */
interface Doubt {
  above: Epoch;
  until: number;
  why: "stale_epoch" | "epoch_collision";
  readonly asked: Set<NodeId>;
}

class Fence implements Fencing {
  readonly #counts: boolean;
  readonly #known: (nodeId: NodeId) => KnownNode | null;
  readonly #questions = new Questions();
  readonly #bars = new Set<"unconfirmed" | "fenced">();
  #own: Leads | null = null;
  #firstSeq: Seq | null = null;
  #start: Start | null = null;
  #doubt: Doubt | null = null;
  /** What to do is said; until it is done claims wait. */
  #decided = false;
  /** The highest one that waits. */
  #waiting: Claim | null = null;
  #effects: FencingEffect[] = [];

  constructor({ counts = true, known = () => null }: FencingOptions) {
    this.#counts = counts;
    this.#known = known;
  }

  get leads(): TermRecord | null {
    if (this.#own === null) return null;
    if (this.#firstSeq === null) return this.#own.before ?? null;
    const { term: { epoch, run }, nodeId } = this.#own;
    return { epoch, run, nodeId, firstSeq: this.#firstSeq };
  }

  get deadline(): MonotonicMs | null {
    if (this.#own === null || this.#decided) return null;
    const until = this.#start?.until ?? this.#doubt?.until ?? Infinity;
    const next = Math.min(until, this.#questions.deadline ?? Infinity);
    return next === Infinity ? null : monotonicMsOf(next);
  }

  step(input: FencingInput, now: MonotonicMs): readonly FencingEffect[] {
    this.#effects = [];
    this.#take(input, now);
    if (this.#own !== null && !this.#decided) {
      this.#settle(this.#own, now);
      if (!this.#decided) {
        this.#effects.push(...this.#questions.due(now).map((peer) => ({ type: "ask" as const, peer })));
      }
    }
    return this.#effects;
  }

  #take(input: FencingInput, now: MonotonicMs): void {
    switch (input.type) {
      case "tick":
        return;
      case "lead":
        return this.#lead(input, now);
      case "begun":
        this.#firstSeq = input.firstSeq;
        return;
      case "follow":
        return this.#end();
      case "met":
        return this.#met(input.claim, now);
      case "heardFollower":
        return this.#heard(input.nodeId);
      case "asked":
        this.#questions.back(input.nodeId);
        if (input.claim !== null) this.#met(input.claim, now, true);
        return;
      case "late":
        return this.#late(input.ask, input.waitMs, now);
    }
  }

  #lead(lead: Leads, now: MonotonicMs): void {
    const { term, ask, unfinished = false, logEpoch = 0 } = lead;
    const knowsHigher = lead.knowsHigher !== null && lead.knowsHigher > term.epoch ? lead.knowsHigher : null;
    const uncertain = unfinished || knowsHigher !== null;
    this.#own = lead;
    this.#firstSeq = lead.firstSeq;
    this.#decided = false;
    this.#doubt = null;
    this.#questions.keepOnly(() => false);
    this.#start = ask.length === 0 && !uncertain ? null : {
      waiting: new Set(),
      until: now + lead.waitMs,
      whole: ask.length === 0,
      knowsHigher,
      yieldsFrom: unfinished ? logEpoch : null,
      answersOnly: false,
    };
    if (this.#start !== null) this.#waitFor(this.#start, ask, now);
    else this.#bar("unconfirmed", false);
    this.#bar("fenced", false);
    const claim = this.#waiting;
    this.#waiting = null;
    if (claim !== null) this.#met(claim, now);
  }

  #end(): void {
    this.#own = null;
    this.#start = null;
    this.#doubt = null;
    this.#waiting = null;
    this.#decided = false;
    this.#questions.keepOnly(() => false);
    this.#bar("fenced", false);
    this.#bar("unconfirmed", false);
  }

  #late(ask: readonly KnownNode[], waitMs: number, now: MonotonicMs): void {
    if (this.#own === null || this.#decided) return;
    // What was answered meanwhile waits unread, and whoever was asked had no time of this node's.
    if (this.#start !== null) this.#start.until = Math.max(this.#start.until, now + askAgainMs);
    if (ask.length === 0) return;
    this.#start ??= {
      waiting: new Set<NodeId>(),
      until: 0,
      whole: false,
      knowsHigher: null,
      yieldsFrom: null,
      answersOnly: true,
    };
    this.#start.answersOnly = true;
    this.#start.until = Math.max(this.#start.until, now + waitMs);
    this.#waitFor(this.#start, ask, now);
  }

  #waitFor(start: Start, ask: readonly KnownNode[], now: MonotonicMs): void {
    this.#bar("unconfirmed", true);
    for (const peer of ask) {
      start.waiting.add(peer.nodeId);
      this.#questions.add(peer, now);
    }
  }

  #heard(nodeId: NodeId): void {
    if (this.#start?.waiting.delete(nodeId) !== true) return;
    this.#questions.keepOnly((id) =>
      this.#start?.waiting.has(id) === true || this.#doubt?.asked.has(id) === true
    );
  }

  #met(claim: Claim, now: MonotonicMs, asked = false): void {
    const own = this.#own;
    if (own === null || claim.peer.nodeId === own.nodeId) return;
    if (this.#decided) {
      if ((claim.leads?.epoch ?? -1) >= (this.#waiting?.leads?.epoch ?? 0)) this.#waiting = claim;
      return;
    }
    if (claim.leads !== null) this.#metLeader(own, claim, claim.leads);
    else if (claim.newest !== null) this.#metFollower(own, claim, claim.newest, now);
    if (!this.#decided && (asked || this.#start?.answersOnly !== true)) this.#heard(claim.peer.nodeId);
  }

  /** It has just said that it leads, over a living connection. */
  #metLeader({ term }: Leads, { peer }: Claim, leads: TermRecord): void {
    const { epoch } = leads, own = this.leads, yieldsFrom = this.#start?.yieldsFrom ?? null;
    if (leads.run === term.run) return;
    if (epoch > term.epoch) this.#follow(peer, epoch, "stale_epoch");
    else if (epoch === term.epoch) {
      // A run without an entry has nothing to lose, and nobody else knows of it.
      if (own !== null && goesOn(own, leads)) this.#raise(epoch, "epoch_collision");
      else this.#follow(peer, epoch, "epoch_collision");
    } else if (yieldsFrom !== null && epoch >= yieldsFrom) this.#follow(peer, epoch, "unfinished");
  }

  /** It only has entries of `newest`: whether anybody leads under it has to be found out. */
  #metFollower({ term, nodeId }: Leads, claim: Claim, newest: TermRecord, now: MonotonicMs): void {
    const own = this.leads;
    if (newest.run === term.run || newest.epoch < term.epoch) return;
    if (newest.epoch > term.epoch) return this.#ask(claim, newest, "stale_epoch", now);
    if (newest.nodeId === nodeId) return; // an earlier run of this node's own
    if (own !== null && goesOn(own, newest)) this.#raise(newest.epoch, "epoch_collision");
    else this.#ask(claim, newest, "epoch_collision", now);
  }

  #ask(claim: Claim, newest: TermRecord, why: Doubt["why"], now: MonotonicMs): void {
    const until = now + limits.claimAskMs;
    this.#doubt ??= { above: newest.epoch, until, why, asked: new Set() };
    if (newest.epoch > this.#doubt.above) Object.assign(this.#doubt, { above: newest.epoch, until, why });
    this.#bar("fenced", true);
    for (const peer of [claim.leader, this.#known(newest.nodeId)]) {
      if (peer === null || peer.nodeId === this.#own?.nodeId) continue;
      const found = this.#reachable(peer);
      this.#doubt.asked.add(found.nodeId);
      this.#questions.add(found, now);
    }
  }

  /** The first write has waited long enough, or the other leader was asked for long enough. */
  #settle({ term }: Leads, now: MonotonicMs): void {
    const start = this.#start;
    if (start !== null) {
      if (now < start.until && (start.whole || start.waiting.size > 0)) return;
      if (now > start.until + limits.stallMs && start.waiting.size > 0) return this.#late([], 0, now);
      this.#start = null;
      if (start.waiting.size > 0) this.#effects.push({ type: "unconfirmed", nodes: [...start.waiting] });
      const known = start.knowsHigher;
      if (known !== null && this.#doubt === null) return this.#raise(known, "stale_epoch");
      if (known !== null && this.#doubt !== null && known > this.#doubt.above) this.#doubt.above = known;
      this.#bar("unconfirmed", false);
      this.#questions.keepOnly((id) => this.#doubt?.asked.has(id) === true);
    }
    const doubt = this.#doubt;
    if (doubt !== null && now >= doubt.until) {
      this.#raise(doubt.above, doubt.above > term.epoch ? "stale_epoch" : doubt.why);
    }
  }

  #follow(peer: KnownNode, epoch: Epoch, why: "stale_epoch" | "epoch_collision" | "unfinished"): void {
    this.#bar("fenced", true);
    this.#decide({ type: "follow", leader: this.#reachable(peer), epoch, why });
  }

  #raise(above: Epoch, why: "stale_epoch" | "epoch_collision"): void {
    const raises = this.#counts || why === "epoch_collision";
    this.#decide(raises ? { type: "raise", above, why } : { type: "resign", epoch: above });
  }

  #decide(effect: FencingEffect): void {
    this.#decided = true;
    this.#effects.push(effect);
  }

  #reachable(peer: KnownNode): KnownNode {
    return peer.wireAddress === null ? this.#known(peer.nodeId) ?? peer : peer;
  }

  #bar(cause: "unconfirmed" | "fenced", on: boolean): void {
    if (this.#bars.has(cause) === on) return;
    if (on) this.#bars.add(cause);
    else this.#bars.delete(cause);
    this.#effects.push({ type: "bar", cause, on });
  }
}
