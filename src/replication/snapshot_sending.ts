import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { SnapshotEnd, SnapshotOffer, WantSnapshot } from "../wire/message.ts";
import type { LeaderEffect, LeasedSnapshot } from "./leader_events.ts";
import { SendPace } from "./send_pace.ts";
import type { StreamTuning } from "./types.ts";

export interface SnapshotSendingOptions {
  readonly pieceBytes: number;
  readonly tuning: Pick<
    StreamTuning,
    "windowBytes" | "snapshotBytesPerSecond" | "snapshotBusyBytesPerSecond"
  >;
}

/**
 * One snapshot on its way to one follower, from the wish to the checksum: a piece is read when the last one was taken by the
 * system, the window has room, and the rate allows it. Holds no bytes.
 */
export class SnapshotSending {
  readonly #options: SnapshotSendingOptions;
  readonly #pace = new SendPace();
  readonly #resume: WantSnapshot["resume"];
  #lease: LeasedSnapshot | null = null;
  /** Where the offer began. */
  #from = 0;
  #sent = 0;
  #acked = 0;
  #asked: "piece" | "checksum" | null = null;
  #ended = false;

  constructor(options: SnapshotSendingOptions, wish: WantSnapshot) {
    this.#options = options;
    this.#resume = wish.resume;
  }

  /** What the status shows; null until there is a snapshot. */
  get progress(): { id: string; bytes: number; acked: number } | null {
    const lease = this.#lease;
    return lease === null ? null : { id: lease.id, bytes: lease.bytes, acked: this.#acked };
  }

  /** When {@linkcode next} may have something although nothing else happened; null: not by time alone. */
  get wakeAt(): number | null {
    return this.#mayRead ? this.#pace.freeAt : null;
  }

  leased(lease: LeasedSnapshot): SnapshotOffer {
    assert(this.#lease === null, "one lease was asked for");
    this.#lease = lease;
    const { id, bytes, position } = lease, offset = this.#resumable(lease);
    this.#from = offset;
    this.#sent = offset;
    this.#acked = offset;
    return { type: "snapshot", id, bytes, position, offset };
  }

  /** What is to be done next, null when something has to happen first. */
  next(now: number): (LeaderEffect & { type: "read" | "checksum" }) | null {
    const lease = this.#lease;
    if (lease === null || this.#ended || this.#asked !== null) return null;
    if (this.#sent === lease.bytes) {
      this.#asked = "checksum";
      return { type: "checksum" };
    }
    if (!this.#mayRead || now < this.#pace.freeAt) return null;
    this.#asked = "piece";
    return { type: "read", offset: this.#sent, length: this.#pieceLength };
  }

  /** Takes what was read; the offset of the piece. `busy`: the log grew since the last one. */
  piece(bytes: Uint8Array, now: number, busy: boolean): number {
    const { snapshotBytesPerSecond: most, snapshotBusyBytesPerSecond } = this.#options.tuning;
    assert(this.#asked === "piece" && bytes.length === this.#pieceLength, "this piece was asked for");
    this.#asked = null;
    const offset = this.#sent;
    this.#sent += bytes.length;
    this.#pace.sent(bytes.length, now, busy ? Math.min(most, snapshotBusyBytesPerSecond) : most);
    return offset;
  }

  end(checksum: number): SnapshotEnd {
    assert(this.#asked === "checksum", "the checksum was asked for");
    this.#ended = true;
    return { type: "snapshotEnd", checksum };
  }

  /** Takes an acknowledgement, or says why it cannot be true (`bad_frame`). */
  acknowledge(offset: number): DfdbError | null {
    if (this.#lease === null) return null;
    // Until it has seen the offer, a follower answers heartbeats with whatever it holds.
    if (this.#acked === this.#from && offset <= this.#acked) return null;
    if (offset > this.#sent) return wrong(`received ${offset} bytes of a snapshot, sent were ${this.#sent}`);
    if (offset < this.#acked) return wrong(`received ${offset} bytes of a snapshot after ${this.#acked}`);
    if (!this.#isEdge(offset, this.#lease)) return wrong(`received ${offset} bytes, which is inside a piece`);
    this.#acked = offset;
    return null;
  }

  get #mayRead(): boolean {
    const lease = this.#lease;
    if (lease === null || this.#asked !== null || this.#sent === lease.bytes) return false;
    const inFlight = this.#sent - this.#acked;
    return inFlight === 0 || inFlight + this.#pieceLength <= this.#options.tuning.windowBytes;
  }

  get #pieceLength(): number {
    return Math.min(this.#options.pieceBytes, (this.#lease?.bytes ?? 0) - this.#sent);
  }

  #resumable(lease: LeasedSnapshot): number {
    const resume = this.#resume;
    if (resume === null || resume.id !== lease.id || resume.offset > lease.bytes) return 0;
    return this.#isEdge(resume.offset, lease) ? resume.offset : 0;
  }

  #isEdge(offset: number, lease: LeasedSnapshot): boolean {
    return offset % this.#options.pieceBytes === 0 || offset === lease.bytes;
  }
}

function wrong(what: string): DfdbError {
  return new DfdbError("bad_frame", `the follower says that it ${what}`);
}
