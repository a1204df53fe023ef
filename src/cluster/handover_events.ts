/** What happens to the two sides of a handover, and what they want done. */
import type { DfdbError } from "../base/errors.ts";
import type { Epoch, MonotonicMs, Seq } from "../base/ids.ts";
import type { Tick } from "../base/machine.ts";
import type { Position, TermRecord } from "../storage/log.ts";
import type { Abort, Commit, Declined, KnownNode, Prepare, Prepared, Promoted } from "../wire/message.ts";
import type { Claim } from "./claim.ts";

export type HandoverOutcome = "promoted" | "not_promoted" | "unknown";

/** The side that leads now. */
export type HandoverInput =
  | Tick
  | { readonly type: "start"; readonly id: string; readonly target: KnownNode; readonly timeoutMs: number }
  /** What `drain` was for: nothing is being written any more, and this is the last entry. */
  | { readonly type: "quiet"; readonly position: Position }
  | { readonly type: "quietFailed"; readonly error: DfdbError }
  /** The target acknowledged it in its session, as part of this history. */
  | { readonly type: "holds"; readonly seq: Seq }
  /** From the target's session. In `prepared` the address is as this node can reach it. */
  | { readonly type: "received"; readonly message: Prepared | Promoted | Declined }
  /** The target's session ended. */
  | { readonly type: "left"; readonly error?: DfdbError }
  /** The target said hello again, in a session that began after `left`, as a follower that has no higher term. */
  | { readonly type: "returned" }
  | { readonly type: "met"; readonly claim: Claim }
  /** What came of `ask`: each is answered once, also one that does not matter any more. */
  | { readonly type: "asked"; readonly claim: Claim | null; readonly outcome: HandoverOutcome | null }
  /** An operator wants it ended. */
  | { readonly type: "cancel" }
  /** An operator knows that the target does not lead; this node has begun a higher epoch, durably. */
  | { readonly type: "forced" }
  | { readonly type: "stop" }
  /** After a restart: this one was in doubt. */
  | { readonly type: "resumed"; readonly id: string; readonly target: KnownNode };

export type HandoverEffect =
  /** No write begins from now on. */
  | { readonly type: "close" }
  /** To be answered with `quiet` or `quietFailed`, in the order in which it was asked for. */
  | { readonly type: "drain" }
  | { readonly type: "send"; readonly message: Prepare | Commit | Abort }
  /** Makes the doubt durable; whoever starts from it does not write. */
  | { readonly type: "store"; readonly id: string; readonly target: KnownNode }
  | { readonly type: "clear" }
  /** Writes may begin again, as far as this handover is concerned. */
  | { readonly type: "open" }
  /** To be answered with `asked`. */
  | { readonly type: "ask"; readonly target: KnownNode; readonly id: string }
  /** The other leads: durable before anything else is done. */
  | { readonly type: "follow"; readonly target: KnownNode; readonly term: TermRecord }
  /** The two answers to whoever called; one of them comes once for each `start`. */
  | { readonly type: "done"; readonly finalSeq: Seq; readonly epoch: Epoch; readonly pausedMs: number }
  | { readonly type: "fail"; readonly error: DfdbError };

export type HandoverStep = "draining" | "catching_up" | "preparing" | "committing" | "in_doubt";

export interface HandoverProgress {
  readonly id: string;
  readonly step: HandoverStep;
  readonly target: KnownNode;
  readonly finalSeq: Seq | null;
  readonly targetSeq: Seq | null;
  /** Since when this node takes no writes for it. */
  readonly since: MonotonicMs;
}

/** The side that is to lead. */
export type TakeoverInput =
  | Tick
  | { readonly type: "prepare"; readonly id: string; readonly position: Position }
  /** The last entry here, durable; told whenever it changes. */
  | { readonly type: "holds"; readonly position: Position }
  /** What came of `bind`, one of the two. */
  | { readonly type: "bound"; readonly wireAddress: string | null }
  | { readonly type: "bindFailed"; readonly error: DfdbError }
  | { readonly type: "commit"; readonly id: string }
  | { readonly type: "abort"; readonly id: string }
  /** The session on which it was prepared ended; nothing that came on it is read any more. */
  | { readonly type: "left" }
  /** The leader asks on another connection what became of it. */
  | { readonly type: "asked"; readonly id: string }
  /** What came of `promote`, one of the two. Failed: it is certain that this node does not lead and will not. */
  | { readonly type: "promoted"; readonly term: TermRecord }
  | { readonly type: "promotionFailed"; readonly error: DfdbError }
  | { readonly type: "stop" };

export type TakeoverEffect =
  /** Listens where this node would lead; to be answered with `bound` or `bindFailed`. */
  | { readonly type: "bind" }
  | { readonly type: "unbind" }
  | { readonly type: "send"; readonly message: Prepared | Promoted | Declined }
  /** Role, epoch and run durable, then leads; to be answered with `promoted` or `promotionFailed`. */
  | { readonly type: "promote"; readonly id: string }
  /** Cuts the session: nothing that came on it is read any more. */
  | { readonly type: "dropSession" }
  | { readonly type: "answer"; readonly id: string; readonly outcome: HandoverOutcome };
