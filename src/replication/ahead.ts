/** One node holds entries of the epoch that the leader lacks (`ahead`): who of whom, and what an operator can do. */
import type { DfdbError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { epochOf, isHexId, runIdOf, seqOf } from "../base/ids.ts";
import { positionText } from "../storage/position_text.ts";
import type { KnownNode } from "../wire/message.ts";

/** The leader that lacks what this node holds. */
export interface AheadOf {
  readonly nodeId: NodeId | null;
  /** Null: it never welcomed this node, which therefore does not know it by name. */
  readonly nodeName: string | null;
  /** `<epoch>.<run>-<seq>` of its last entry when it said so; null: it did not tell. */
  readonly position: string | null;
}

/** The same for both sides: they are shown to different people. */
export const aheadAdvice =
  "give the entries up with dfdb accept-loss at the leader (the node that is ahead rescues them first and is filled anew), " +
  "or keep them: stop the leader, and dfdb promote the node that is ahead";

/** `said`: the leader's refusal; `nodeId`: who sent it; `known`: whom this node has followed. */
export function aheadOf(said: DfdbError, nodeId: NodeId | null, known: KnownNode | null): AheadOf | null {
  if (said.code !== "ahead") return null;
  const nodeName = nodeId !== null && known?.nodeId === nodeId ? known.nodeName : null;
  return { nodeId, nodeName, position: leaderPosition(said) };
}

/** Where the leader that refused says that its log ends; null: it did not tell. */
export function leaderPosition({ details }: DfdbError): string | null {
  const { epoch, run, seq } = details;
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq) || !isHexId(run)) return null;
  if ((epoch as number) < 0 || (seq as number) < 0) return null;
  return positionText({ epoch: epochOf(epoch as number), run: runIdOf(run) }, seqOf(seq as number));
}
