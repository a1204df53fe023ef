import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { LogReader, Position } from "../storage/log.ts";
import type { Message, SnapshotChunk, SnapshotEnd, SnapshotOffer, Welcome } from "../wire/message.ts";
import { Bisection, type Found } from "./bisection.ts";
import type { FollowerEffect, ResyncEffect, ResyncInput } from "./follower_events.ts";
import { unexpected } from "./follower_failure.ts";

export interface FollowerResyncOptions {
  readonly log: LogReader;
  readonly welcome: Welcome;
  /** This node asked for a new copy: what it has is kept whole before. */
  readonly asked: boolean;
  readonly emit: (effect: FollowerEffect) => void;
}

/** Steps of a re-sync, named by the state that is shown meanwhile. */
type Step = "diverged" | "rescuing" | "snapshot" | "installing";

/** Pieces that came and are not written: above it nothing more is read. */
const pendingPiecesMax = 4;

/**
 * One connection on which a follower takes a snapshot instead of the log: finds the point in common, rescues what it has
 * after it, receives, installs. It goes on being told what came of its effects after the connection has ended.
 */
export class FollowerResync {
  step: Step = "snapshot";
  /** Effects that are not answered yet. */
  jobs = 0;
  /** This connection's rescue, once it is durable; `common` null: the whole database. */
  rescued: { readonly common: Seq | null } | null = null;
  readonly asked: boolean;
  /** What is here is in the leader's history. */
  readonly #found: boolean;
  readonly #log: LogReader;
  readonly #emit: (effect: FollowerEffect) => void;
  #bisection: Bisection | null = null;
  #rescuing: { readonly common: Seq | null } | null = null;
  /** What was asked for; null before. */
  #wanted: { readonly resume: { readonly id: string; readonly offset: number } | null } | null = null;
  #offer: SnapshotOffer | null = null;
  #received = 0;
  #written = 0;
  #ended = false;

  constructor({ log, welcome, asked, emit }: FollowerResyncOptions) {
    this.#log = log;
    this.#emit = emit;
    this.asked = asked;
    this.#found = welcome.follow === "snapshot";
    if (asked && log.last.seq > 0) this.#rescue(null);
    else if (welcome.follow === "rescue") {
      this.step = "diverged";
      this.#bisection = new Bisection(log, welcome.position.seq);
      this.#ask(this.#bisection);
    } else this.#do({ type: "resumable" });
  }

  /** The snapshot that is received or installed. */
  get snapshot(): { readonly id: string; readonly bytes: number; readonly received: number } | null {
    if (this.#offer === null) return null;
    return { id: this.#offer.id, bytes: this.#offer.bytes, received: this.#received };
  }

  get congested(): boolean {
    return this.#received - this.#written >= pendingPiecesMax * limits.snapshotPieceBytes;
  }

  /** Also says that this node lives. `answers`: what a heartbeat asked for. */
  acknowledge(answers?: number): void {
    const ack = { type: "snapshotAck", offset: this.#written } as const;
    this.#emit({ type: "send", message: answers === undefined ? ack : { ...ack, answers } });
  }

  /** Takes a message, or says what is wrong with it. */
  onMessage(message: Message): DfdbError | null {
    if (message.type === "probed" && this.#bisection !== null && this.step === "diverged") {
      const answer = this.#bisection.answered(message);
      if (answer instanceof DfdbError) return answer;
      if (answer !== null) this.#rescue(answer.common);
      else this.#ask(this.#bisection);
      return null;
    }
    if (message.type === "snapshot" && this.#wanted !== null && this.#offer === null) {
      return this.#onOffer(message, this.#wanted.resume);
    }
    if (this.#offer !== null && !this.#ended) {
      if (message.type === "snapshotChunk") return this.#onChunk(message, this.#offer);
      if (message.type === "snapshotEnd") return this.#onEnd(message, this.#offer);
    }
    return unexpected(message);
  }

  /** What came of an effect; `live`: the connection is still there and wants the next step. */
  took(input: ResyncInput, live: boolean): void {
    assert(this.jobs > 0, "an effect was not answered yet");
    this.jobs--;
    if (input.type === "rescued") {
      this.rescued = this.#rescuing;
      this.step = "snapshot";
      if (live) this.#do({ type: "resumable" });
    } else if (input.type === "resumable" && live) {
      this.#wanted = { resume: input.resume };
      this.#emit({ type: "send", message: { type: "wantSnapshot", resume: input.resume } });
    } else if (input.type === "written") {
      this.#written += input.bytes;
      if (live) this.acknowledge();
    }
  }

  #ask(bisection: Bisection): void {
    const next: Seq | Found = bisection.next;
    if (typeof next === "object") return this.#rescue(next.common);
    this.#emit({ type: "send", message: { type: "probe", seq: next } });
  }

  #rescue(common: Seq | null): void {
    this.step = "rescuing";
    this.#rescuing = { common };
    this.#do({ type: "rescue", common });
  }

  #onOffer(
    offer: SnapshotOffer,
    resume: { readonly id: string; readonly offset: number } | null,
  ): DfdbError | null {
    const old = this.#tooOld(offer.position);
    if (old !== null) return old;
    const resumed = resume !== null && resume.id === offer.id && resume.offset === offer.offset;
    if (offer.bytes === 0 || offer.offset > offer.bytes || (offer.offset !== 0 && !resumed)) {
      return wrong(`a snapshot of ${offer.bytes} bytes from ${offer.offset} on`);
    }
    this.#offer = offer;
    this.#received = this.#written = offer.offset;
    this.#do({ type: "begin", offer });
    return null;
  }

  /** A snapshot must hold all that is here and in the leader's history. */
  #tooOld(position: Position): DfdbError | null {
    const least = this.#found ? this.#log.last.seq : this.rescued?.common ?? 0;
    if (position.seq >= least) return null;
    return wrong(`a snapshot that ends at ${position.seq}, before entry ${least}, which is here`);
  }

  #onChunk({ offset, bytes }: SnapshotChunk, offer: SnapshotOffer): DfdbError | null {
    const length = Math.min(limits.snapshotPieceBytes, offer.bytes - this.#received);
    if (offset !== this.#received || bytes.length !== length || length === 0) {
      return wrong(
        `${bytes.length} bytes at ${offset} of the snapshot instead of ${length} at ${this.#received}`,
      );
    }
    this.#received += length;
    this.#do({ type: "write", offset, bytes });
    return null;
  }

  #onEnd({ checksum }: SnapshotEnd, offer: SnapshotOffer): DfdbError | null {
    if (this.#received !== offer.bytes) {
      return wrong(`the end of the snapshot at ${this.#received} of ${offer.bytes} bytes`);
    }
    this.#ended = true;
    this.step = "installing";
    this.#do({ type: "install", checksum });
    return null;
  }

  #do(effect: ResyncEffect): void {
    this.jobs++;
    this.#emit(effect);
  }
}

function wrong(what: string): DfdbError {
  return new DfdbError("bad_frame", `the leader sent ${what}`);
}
