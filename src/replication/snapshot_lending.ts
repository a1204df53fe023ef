import { DfdbError, messageOf } from "../base/errors.ts";
import type { LeaderEffect, LeaderInput } from "./leader_events.ts";
import type { SnapshotLease, SnapshotSource } from "./types.ts";

type SnapshotEffect = LeaderEffect & { type: "acquire" | "read" | "checksum" };

/** One follower's snapshot: carries out what its session asks for, and lets go of the lease when all is over. */
export class SnapshotLending {
  readonly #source: SnapshotSource;
  readonly #feed: (input: LeaderInput) => void;
  readonly #abort = new AbortController();
  #lease: SnapshotLease | null = null;
  #busy = false;

  constructor(source: SnapshotSource, feed: (input: LeaderInput) => void) {
    this.#source = source;
    this.#feed = feed;
  }

  /** Never rejects; the answer, or why there is none, is fed. One call at a time. */
  async perform(effect: SnapshotEffect): Promise<void> {
    this.#busy = true;
    const answer = await this.#answer(effect).catch(refusal);
    this.#busy = false;
    if (this.#abort.signal.aborted) return this.#release();
    this.#feed(answer);
  }

  /** The session is over. The lease is released at once, or after the read that is under way. */
  close(): void {
    this.#abort.abort(new DfdbError("going_away", "the follower has left"));
    if (!this.#busy) this.#release();
  }

  async #answer(effect: SnapshotEffect): Promise<LeaderInput> {
    if (effect.type === "acquire") {
      const { resumeId, notBefore } = effect;
      this.#lease = await this.#source.acquire(resumeId, this.#abort.signal, notBefore);
      const { id, bytes, position } = this.#lease;
      return { type: "leased", lease: { id, bytes, position } };
    }
    const lease = this.#lease;
    if (lease === null) throw new DfdbError("internal", "no snapshot is leased");
    if (effect.type === "checksum") return { type: "checksum", checksum: await lease.checksum() };
    const bytes = await lease.read(effect.offset, effect.length);
    if (bytes.length !== effect.length) throw new DfdbError("io_error", "a snapshot is shorter than it was");
    return { type: "piece", bytes };
  }

  #release(): void {
    this.#lease?.release();
    this.#lease = null;
  }
}

function refusal(thrown: unknown): LeaderInput {
  if (thrown instanceof DfdbError) return { type: "refuse", error: thrown };
  const error = new DfdbError("internal", `no snapshot: ${messageOf(thrown)}`, { cause: thrown });
  return { type: "refuse", error };
}
