import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs, Seq } from "../base/ids.ts";
import { chainAfter } from "../storage/chain.ts";
import { type LogEntry, type LogReader, type Position, samePosition } from "../storage/log.ts";
import type { Append, Heartbeat, Message, Part } from "../wire/message.ts";
import { ApplyPace } from "./apply_pace.ts";
import { EntryParts } from "./entry_parts.ts";
import type { FollowerEffect, HandoverFromLeader } from "./follower_events.ts";
import { unexpected } from "./follower_failure.ts";
import { FollowerTail } from "./follower_tail.ts";
import { sameTerm } from "./judge_position.ts";
import type { LeaderView } from "./leader_view.ts";
import { positionOf } from "./send_window.ts";

export interface ApplyLimits {
  /** Largest apply: entries, bytes of payload, and about how long it may take. */
  readonly applyEntriesMax: number;
  readonly applyBytesMax: number;
  readonly applyMs: number;
}

export interface FollowerStreamOptions extends ApplyLimits {
  readonly log: LogReader;
  readonly leader: LeaderView;
  readonly emit: (effect: FollowerEffect) => void;
  /** Something went well: an entry was applied, or nothing is missing. */
  readonly onProgress: () => void;
}

/** What is being applied. `before`: the position that it continues. */
interface Applying {
  readonly entries: readonly LogEntry[];
  readonly before: Position;
  readonly from: MonotonicMs;
}

/** The stream, over all connections: takes entries in, has them applied one batch at a time, acknowledges. */
export class FollowerStream {
  tail: FollowerTail;
  opsApplied = 0;
  gapsDetected = 0;
  lastApplied: LogEntry | null = null;
  readonly #options: FollowerStreamOptions;
  readonly #pace: ApplyPace;
  #parts = new EntryParts();
  #live = false;
  #applyAsked = false;
  #applying: Applying | null = null;
  #holdAfter: Seq | null = null;
  /** The last heartbeat's `ask`, which only grows, until it is answered. */
  #asked: number | null = null;
  /** Messages of a handover, each with the last entry that came before it. */
  #held: { readonly message: HandoverFromLeader; readonly after: Seq }[] = [];
  /** First entry of an apply that failed although its chain fits; 0: none did since something was applied. */
  #failedAt = 0;

  constructor(options: FollowerStreamOptions) {
    this.#options = options;
    this.#pace = new ApplyPace(options.applyMs, options.applyEntriesMax);
    this.tail = new FollowerTail(options.log);
  }

  /** An apply was asked for and is not answered. */
  get applying(): boolean {
    return this.#applying !== null;
  }

  get congested(): boolean {
    return this.tail.count >= this.#options.applyEntriesMax || this.tail.bytes >= this.#options.applyBytesMax;
  }

  /** A connection begins to stream. */
  begin(): void {
    this.end();
    this.#live = true;
  }

  /** No connection streams: what waits comes again, but for a handover. What is being applied is not called back. */
  end(): void {
    this.#live = false;
    this.#asked = null;
    this.#held = [];
    this.tail = new FollowerTail(this.#options.log);
    this.#parts = new EntryParts();
  }

  /** Takes a message, or says what is wrong with it. */
  onMessage(message: Message, now: MonotonicMs): DfdbError | null {
    switch (message.type) {
      case "append":
        return this.#onAppend(message);
      case "part":
        return this.#onPart(message);
      case "heartbeat":
        return this.#onHeartbeat(message, now);
      case "prepare":
      case "commit":
      case "abort":
      case "declined":
        this.#held.push({ message, after: this.tail.end.seq });
        this.#giveOut();
        return null;
      default:
        return unexpected(message);
    }
  }

  /** Tells what is durable here; also says that this node lives. */
  acknowledge(): void {
    const { seq, epoch, run, chain } = this.#options.log.last, answers = this.#asked;
    const ack = { type: "ack", seq, epoch, run, chain } as const;
    this.#asked = null;
    this.#options.emit({ type: "send", message: answers === null ? ack : { ...ack, answers } });
  }

  hold(seq: Seq | null): void {
    this.#holdAfter = seq;
    this.#applySoon();
  }

  applyNow(now: MonotonicMs): void {
    this.#applyAsked = false;
    if (!this.#live || this.#applying !== null || !this.#ready) return;
    const { applyBytesMax, emit, log } = this.#options;
    const bounds = { entriesMax: this.#pace.entries, bytesMax: applyBytesMax, lastSeq: this.#holdAfter };
    const entries = this.tail.take(bounds);
    this.#applying = { entries, before: log.last, from: now };
    emit({ type: "apply", entries });
  }

  /** `slowly`: over several macrotasks, which says nothing of how long it held the thread. */
  applied(position: Position, slowly: boolean, now: MonotonicMs): void {
    const { entries, from } = this.#settled(), last = entries[entries.length - 1];
    assert(
      last !== undefined && samePosition(position, positionOf(last)),
      "what was applied is what was sent",
    );
    this.tail.settled();
    this.#failedAt = 0;
    if (!slowly) this.#pace.took(entries.length, now - from);
    this.opsApplied += entries.length;
    this.lastApplied = last;
    this.#options.onProgress();
    if (!this.#live) return;
    this.acknowledge();
    this.#giveOut();
    this.#applySoon();
  }

  /** True when this is the second time in a row and a third one will not help: what is here does not fit the history. */
  applyFailed(error: DfdbError): boolean {
    if (this.#applying === null) return false;
    const { entries, before } = this.#settled(), seq = before.seq + 1;
    if (!hopeless.has(error.code) || !chainFits(before, entries)) return false;
    const again = this.#failedAt === seq;
    this.#failedAt = seq;
    return again;
  }

  /** Something waits that may be applied. */
  get #ready(): boolean {
    const first = this.tail.firstWaiting;
    return first !== null && (this.#holdAfter === null || first.seq <= this.#holdAfter);
  }

  #onAppend(append: Append): DfdbError | null {
    if (this.#parts.open) {
      return new DfdbError("bad_frame", "the leader sent entries between the parts of one");
    }
    return this.#add(append);
  }

  #onPart(part: Part): DfdbError | null {
    const whole = this.#parts.add(part);
    return whole === null || whole instanceof DfdbError ? whole : this.#add(whole);
  }

  #onHeartbeat(heartbeat: Heartbeat, now: MonotonicMs): DfdbError | null {
    const mine = this.#options.log.last, theirs = heartbeat.position;
    if (mine.seq === theirs.seq && !samePosition(mine, theirs)) {
      const code = sameTerm(mine, theirs) ? "corrupt" : "diverged";
      return new DfdbError(code, `entry ${mine.seq} here is not the leader's`);
    }
    this.#options.leader.beat(heartbeat, now);
    const { ask } = heartbeat;
    if (ask !== undefined) this.#asked = ask;
    // What will be applied at once is acknowledged then, but who asks waits for the answer.
    else if (this.#applying === null && this.#ready) return null;
    if (mine.seq === theirs.seq) this.#options.onProgress();
    this.acknowledge();
    return null;
  }

  #add(append: Append): DfdbError | null {
    const wrong = this.tail.add(append);
    if (wrong !== null) {
      if (wrong.code === "gap") this.gapsDetected++;
      return wrong;
    }
    this.#options.leader.appended(append);
    if (this.tail.first === null) this.acknowledge();
    else this.#applySoon();
    return null;
  }

  /** What belongs to a handover, as soon as all that came before it is applied. */
  #giveOut(): void {
    const { emit, log } = this.#options;
    for (let next = this.#held[0]; next !== undefined && next.after <= log.last.seq; next = this.#held[0]) {
      this.#held.shift();
      emit({ type: "handover", message: next.message });
    }
  }

  #applySoon(): void {
    if (!this.#live || this.#applyAsked || this.#applying !== null || !this.#ready) return;
    this.#applyAsked = true;
    this.#options.emit({ type: "applySoon" });
  }

  #settled(): Applying {
    const applying = this.#applying;
    assert(applying !== null, "something was being applied");
    this.#applying = null;
    return applying;
  }
}

/** Failures that come again as long as the documents here are as they are. */
const hopeless: ReadonlySet<string> = new Set(["diverged", "corrupt", "internal"]);

/** True when the entries are what their leader wrote, right after `before`. */
function chainFits(before: Position, entries: readonly LogEntry[]): boolean {
  let chain = before.chain;
  for (const { term, seq, wallMs, payload, chain: claimed } of entries) {
    chain = chainAfter(chain, term, seq, wallMs, payload);
    if (chain !== claimed) return false;
  }
  return true;
}
