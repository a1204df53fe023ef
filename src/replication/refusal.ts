import { DfdbError, type ErrorCode, isErrorCode } from "../base/errors.ts";
import { isHexId, nodeIdOf } from "../base/ids.ts";
import type { KnownNode, Refused } from "../wire/message.ts";
import type { StandingBy } from "./types.ts";

/** The message that tells a peer why the connection ends; `knownNodes`: whom it may try instead. */
export function refusedMessage(error: DfdbError, knownNodes: KnownNode[] = []): Refused {
  const { code, message, details } = error;
  const refused: Refused = {
    type: "refused",
    code,
    message: message.slice(0, 1000),
    details: { ...details },
  };
  return knownNodes.length === 0 ? refused : { ...refused, knownNodes };
}

/** The answer of a node that listens but does not lead; names whom it takes for the leader. */
export function notLeader({ leader, epoch }: StandingBy): DfdbError {
  const message = leader === null
    ? "this node does not lead"
    : `this node does not lead; the leader is "${leader.nodeName}"`;
  return new DfdbError("not_leader", message, {
    details: {
      leaderNodeId: leader?.nodeId ?? null,
      leaderName: leader?.nodeName ?? null,
      leaderHttpUrl: leader?.httpUrl ?? null,
      leaderWireAddress: leader?.wireAddress ?? null,
      epoch,
    },
  });
}

/** Whom a `not_leader` refusal names; null when nobody. */
export function leaderNamedIn({ details }: Pick<Refused, "details">): KnownNode | null {
  const { leaderNodeId, leaderName, leaderHttpUrl, leaderWireAddress } = details;
  if (!isHexId(leaderNodeId)) return null;
  const text = (value: unknown): string | null => typeof value === "string" ? value : null;
  return {
    nodeId: nodeIdOf(leaderNodeId),
    nodeName: text(leaderName) ?? leaderNodeId,
    httpUrl: text(leaderHttpUrl),
    wireAddress: text(leaderWireAddress),
  };
}

/** The error that a peer's refusal stands for; a code that this version does not know is shown in the sentence. */
export function errorOfRefusal(message: Refused): DfdbError {
  const { code, details } = message;
  if (isErrorCode(code)) return new DfdbError(code, message.message, { details });
  return new DfdbError("version", `${code}: ${message.message}`, { details });
}

/** Ends of a connection that say nothing against the peer: the line is down or the other side restarts. */
export function isNetworkError(code: ErrorCode): boolean {
  return code === "unreachable" || code === "timeout" || code === "going_away";
}
