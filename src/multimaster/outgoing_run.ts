import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, MonotonicMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { FailureCount } from "./backoff.ts";
import { BatchSize } from "./batch_size.ts";
import type { Destination } from "./destinations.ts";
import { leaderUrl } from "./destinations.ts";
import type {
  DestinationStatus,
  OutgoingEffect,
  OutgoingInput,
  ReceiverAnswer,
  RunStep,
} from "./outgoing_events.ts";
import { explained } from "./outgoing_failure.ts";
import { ReceiverMemory, sameReceiver } from "./receiver_memory.ts";

export interface RunOptions {
  /** Of the database that sends. */
  readonly databaseId: DatabaseId;
  readonly requestMs: number;
  readonly batchItems: number;
  readonly batchBytes: number;
  /** So many versions without a batch that moved the receiver's cursor move it by themselves. */
  readonly cursorVersions: number;
  readonly emit: (effect: OutgoingEffect) => void;
  readonly nextRequest: () => number;
}

type Batch = Extract<OutgoingInput, { type: "read" }>;

/** One destination: its run, of which there is one at a time, and what is remembered between runs. */
export class DestinationRun {
  destination: Destination;
  readonly #options: RunOptions;
  readonly #failures: FailureCount;
  readonly #size: BatchSize;
  #step: RunStep = "idle";
  /** That is under way; 0: none. */
  #request = 0;
  #until = 0;
  /** There is something new that this run may not have seen. */
  #again = false;
  /** Where the leader is, and whose it is, when a follower answered at the destination's URL. */
  #moved: { readonly url: string; readonly databaseId: DatabaseId } | null = null;
  #hops = 0;
  #answer: ReceiverAnswer | null = null;
  #known: ReceiverMemory | null = null;
  #batch: Batch | null = null;
  #lastError: DfdbError | null = null;
  #lastFailureAt: MonotonicMs | null = null;
  #lastSuccessAt: MonotonicMs | null = null;
  #lastHeartbeatAt: MonotonicMs | null = null;

  constructor(destination: Destination, failures: number, options: RunOptions) {
    this.destination = destination;
    this.#options = options;
    this.#failures = new FailureCount(failures);
    this.#size = new BatchSize(options.batchItems);
  }

  get failures(): number {
    return this.#failures.count;
  }

  get request(): number {
    return this.#request;
  }

  /** When the request that is under way is given up. */
  get deadline(): number {
    return this.#step === "idle" || this.#local ? Infinity : this.#until;
  }

  get databaseId(): DatabaseId | null {
    return this.#known?.receiver.databaseId ?? null;
  }

  get status(): DestinationStatus {
    const known = this.#known, error = this.#lastError;
    return {
      url: this.destination.url,
      leaderUrl: this.#moved?.url ?? null,
      filter: this.destination.filter,
      state: this.destination.disabled ? "disabled" : this.#step,
      receiver: known?.receiver ?? null,
      lastReplicated: known?.after ?? null,
      failureCount: this.failures,
      lastError: error === null ? null : { code: error.code, message: error.message },
      lastFailureAt: this.#lastFailureAt,
      lastSuccessAt: this.#lastSuccessAt,
      lastHeartbeatAt: this.#lastHeartbeatAt,
      batchItems: this.#size.items,
    };
  }

  /** Sends what is new: now, or when the run that is under way has come to its end. */
  wake(now: MonotonicMs): void {
    if (this.#step !== "idle") this.#again = true;
    else this.#begin(now);
  }

  heartbeat(now: MonotonicMs): void {
    this.#lastHeartbeatAt = now;
    this.#forgive();
    this.wake(now);
  }

  /** Another key, for example; not another URL or filter. */
  change(destination: Destination): void {
    this.cancel();
    this.destination = destination;
    this.#moved = null;
    this.#forgive();
  }

  cancel(): void {
    if (this.#request !== 0) this.#options.emit({ type: "giveUp", request: this.#request });
    this.#doubt();
    this.#again = false;
    this.#rest();
  }

  /** It is not a destination any more. */
  remove(): void {
    this.cancel();
    this.#forgive();
  }

  tick(now: MonotonicMs): void {
    if (now < this.deadline) return;
    this.#options.emit({ type: "giveUp", request: this.#request });
    this.#failed(new DfdbError("timeout", `No answer within ${this.#options.requestMs} ms`), now);
  }

  take(
    input: Extract<OutgoingInput, { type: "answered" | "common" | "read" | "failed" }>,
    now: MonotonicMs,
  ): void {
    assert(input.request === this.#request, "an answer to the request that is under way");
    switch (input.type) {
      case "answered":
        assert(!this.#local, "a receiver was asked");
        return this.#answered(input.answer, now);
      case "common":
        assert(this.#step === "finding" && this.#answer !== null, "it was asked for");
        this.#known = new ReceiverMemory(this.#answer, input.after);
        this.#answer = null;
        return this.#readOn();
      case "read":
        assert(this.#step === "reading", "it was asked for");
        return this.#read(input, now);
      case "failed":
        if (this.#local) return this.#stuck(input.error, now);
        if (input.leader === undefined) return this.#failed(input.error, now);
        return this.#sentOn(input.leader, input.error, now);
    }
  }

  #begin(now: MonotonicMs): void {
    this.#again = false;
    this.#hops = 0;
    this.#ask(now);
  }

  #ask(now: MonotonicMs): void {
    this.#release();
    this.#options.emit({ type: "askLastEtag", ...this.#to("asking", now) });
  }

  #answered(answer: ReceiverAnswer, now: MonotonicMs): void {
    if (answer.databaseId === this.#options.databaseId) {
      return this.#failed(new DfdbError("same_database", "Sender and receiver have the same id"), now);
    }
    if (this.#moved !== null && answer.databaseId !== this.#moved.databaseId) {
      const message = `Another database than the one of the follower that named it answers at ${this.#url}`;
      return this.#failed(new DfdbError("wrong_database", message), now);
    }
    switch (this.#step) {
      case "asking":
        return this.#placed(answer, now);
      case "posting":
        return this.#posted(answer, now);
      case "putting":
        return this.#put(answer, now);
    }
  }

  /** The receiver has said where it stands. */
  #placed(answer: ReceiverAnswer, now: MonotonicMs): void {
    this.#lastSuccessAt = now;
    this.#recovered(this.#failures.succeeded("ask"));
    if (this.#known?.agrees(answer) === true) return this.#readOn();
    const { databaseId, term, cursor } = answer, known = this.#known;
    const before = known?.receiver.databaseId === databaseId ? known.receiver.term : null;
    this.#answer = answer;
    this.#options.emit({
      type: "findCommon",
      request: this.#ownRequest("finding"),
      destination: this.destination,
      cursor,
      receiver: { databaseId, term },
      before,
    });
  }

  #readOn(): void {
    const { receiver, after } = this.#receiver;
    this.#release();
    this.#again = false;
    this.#options.emit({
      type: "readBatch",
      request: this.#ownRequest("reading"),
      destination: this.destination,
      receiver,
      after,
      items: this.#size.items,
      bytes: this.#options.batchBytes,
    });
  }

  #read(batch: Batch, now: MonotonicMs): void {
    if (batch.count > 0) {
      this.#batch = batch;
      return this.#post(now);
    }
    this.#receiver.passed(batch.upTo, batch.skipped);
    if (batch.more || this.#again) return this.#readOn();
    this.#drained(now);
  }

  #post(now: MonotonicMs): void {
    assert(this.#batch !== null, "there is something to send");
    const receiver = this.#receiver.receiver, batch = this.#batch.request;
    this.#options.emit({ type: "post", ...this.#to("posting", now), batch, receiver });
  }

  #posted(answer: ReceiverAnswer, now: MonotonicMs): void {
    const known = this.#receiver, batch = this.#batch;
    assert(batch !== null, "a batch was sent");
    // Another leadership took it: what that one lacks is not known.
    if (!sameReceiver(known.receiver, answer)) return this.#anew(now);
    this.#lastSuccessAt = now;
    this.#size.sent();
    this.#recovered(this.#failures.succeeded("send"));
    known.holds(answer.cursor);
    known.passed(batch.upTo, batch.count + batch.skipped);
    if (batch.more || this.#again) return this.#readOn();
    this.#drained(now);
  }

  /** Nothing is left. */
  #drained(now: MonotonicMs): void {
    this.#release();
    if (this.#receiver.ahead >= this.#options.cursorVersions) return this.#putCursor(now);
    this.#recovered(this.#failures.reset());
    this.#end(now);
  }

  #putCursor(now: MonotonicMs): void {
    const { receiver, after: cursor } = this.#receiver;
    this.#options.emit({ type: "putCursor", ...this.#to("putting", now), cursor, receiver });
  }

  #put(answer: ReceiverAnswer, now: MonotonicMs): void {
    const known = this.#receiver;
    if (!sameReceiver(known.receiver, answer)) return this.#anew(now);
    known.holds(answer.cursor);
    known.told();
    this.#recovered(this.#failures.reset());
    if (this.#again) return this.#readOn();
    this.#end(now);
  }

  /** The leadership at the other end has changed during the run. */
  #anew(now: MonotonicMs): void {
    if (this.#hop()) return this.#ask(now);
    this.#failed(new DfdbError("conflict", "Different leaders answer from one request to the next"), now);
  }

  #sentOn(
    leader: { readonly url: string; readonly databaseId: DatabaseId | null },
    error: DfdbError,
    now: MonotonicMs,
  ): void {
    const url = leaderUrl(this.destination.url, leader.url);
    const databaseId = leader.databaseId ?? this.databaseId;
    if (url === null || databaseId === null || url === this.#url || !this.#hop()) {
      const message = `It is a follower, and its leader cannot be reached from it (${leader.url})`;
      return this.#failed(new DfdbError("not_leader", message, { cause: error }), now);
    }
    this.#moved = { url, databaseId };
    this.#ask(now);
  }

  #hop(): boolean {
    return ++this.#hops <= limits.masterHopsMax;
  }

  #failed(thrown: DfdbError, now: MonotonicMs): void {
    const error = explained(thrown), wasMoved = this.#moved !== null, step = this.#step;
    this.#request = 0;
    this.#lastFailureAt = now;
    if (step === "posting" && (error.code === "timeout" || error.code === "payload_too_large")) {
      this.#size.tooMuch(this.#batch?.count ?? 1);
    }
    this.#doubt();
    // Whoever leads next is named by the destination itself.
    this.#moved = null;
    if (!this.#failures.failed(step === "asking" ? "ask" : "send")) return this.#counted(error, now);
    this.#lastError = error;
    if (wasMoved || step === "asking") return this.#ask(now);
    return step === "posting" ? this.#post(now) : this.#putCursor(now);
  }

  #counted(error: DfdbError, now: MonotonicMs): void {
    const { destination, failures: count } = this;
    this.#options.emit({ type: "noteFailure", destination, count, error });
    if (count === 1 || error.code !== this.#lastError?.code) {
      this.#log("warn", "Replication to a destination fails", error);
    }
    this.#lastError = error;
    this.#end(now);
  }

  /** This node cannot read what it has to send: no failure of the destination. */
  #stuck(error: DfdbError, now: MonotonicMs): void {
    this.#log("warn", "What is to be sent to a destination cannot be read", error);
    this.#lastError = error;
    this.#end(now);
  }

  /** A request whose end is not known may have been carried out. */
  #doubt(): void {
    const known = this.#known;
    if (this.#step === "posting" && this.#batch !== null) known?.doubt(this.#batch.upTo);
    if (this.#step === "putting") known?.doubt(known.after);
  }

  /** It is tried as one that never failed. */
  #forgive(): void {
    if (!this.#failures.reset()) return;
    this.#options.emit({ type: "clearFailure", destination: this.destination });
  }

  #recovered(failed: boolean): void {
    if (!failed) return;
    this.#options.emit({ type: "clearFailure", destination: this.destination });
    this.#log("info", "Replication to a destination works again");
  }

  #log(level: "info" | "warn", message: string, error?: DfdbError): void {
    const fields = { url: this.destination.url, code: error?.code, error: error?.message };
    this.#options.emit({ type: "log", level, message, fields });
  }

  #end(now: MonotonicMs): void {
    this.#rest();
    if (this.#again) this.#begin(now);
  }

  #rest(): void {
    this.#step = "idle";
    this.#request = 0;
    this.#answer = null;
    this.#release();
  }

  #release(): void {
    if (this.#batch !== null) this.#options.emit({ type: "release", batch: this.#batch.request });
    this.#batch = null;
  }

  /** It waits for this node itself, which has no deadline. */
  get #local(): boolean {
    return this.#step === "finding" || this.#step === "reading";
  }

  get #receiver(): ReceiverMemory {
    assert(this.#known !== null, "the receiver has said where it stands");
    return this.#known;
  }

  get #url(): string {
    return this.#moved?.url ?? this.destination.url;
  }

  #ownRequest(step: RunStep): number {
    this.#step = step;
    this.#request = this.#options.nextRequest();
    return this.#request;
  }

  #to(step: RunStep, now: MonotonicMs) {
    this.#until = now + this.#options.requestMs;
    return { request: this.#ownRequest(step), destination: this.destination, url: this.#url };
  }
}
