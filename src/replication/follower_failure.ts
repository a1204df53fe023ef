import { DfdbError, type ErrorCode } from "../base/errors.ts";
import type { Message } from "../wire/message.ts";
import { isNetworkError } from "./refusal.ts";
import type { FollowingState } from "./types.ts";

/** Why it does not go on, as shown while attempts do. */
export type Blocked = Extract<
  FollowingState,
  "refused" | "error" | "ahead" | "corrupt" | "diverged" | "rescuing" | "snapshot"
>;

/** After these what is here may not be the beginning of what the leader has, or is far behind it. */
const histories: ReadonlySet<string> = new Set(["ahead", "corrupt", "diverged", "gap", "compacted"]);

/** After its proof a node hears these only from a node that leads, and that does not take it as it is. */
export const saidByLeaders: ReadonlySet<string> = new Set([
  "second_candidate",
  "too_many_followers",
  "duplicate_node",
]);

/** `FollowerSession.unfit` of a node that only began to follow. */
export const notStreamed = "it has not streamed from its leader since it began to follow";

/** Why this node must not lead in its leader's place after `error`; null: the error says nothing against it. */
export function unfitBy(error: DfdbError, shown: Blocked | undefined): string | null {
  if (shown !== "error" && !histories.has(error.code)) return null;
  return `what it took from its leader ended with ${error.code}: ${error.message}`;
}

/**
 * The state after `code` ended a connection in `step`. That a leader lacks what is here, or has something else, is not
 * forgotten when it goes away.
 */
export function blockedBy(code: ErrorCode, before: Blocked | null, step: Blocked): Blocked | null {
  if (isNetworkError(code)) return before === "ahead" || before === "corrupt" ? before : null;
  return code === "ahead" || code === "corrupt" ? code : step;
}

/** A peer that hangs up or stays silent before it said anything sensible may be an HTTP port. */
export function explained(error: DfdbError): DfdbError {
  if (error.code === "bad_frame") {
    return new DfdbError(error.code, `${error.message}; does it speak TLS?`, { cause: error });
  }
  if (!isNetworkError(error.code)) return error;
  return new DfdbError(
    error.code,
    `${error.message}; is this its replication port, not its HTTP port, and is TLS on at both or none?`,
  );
}

export function unexpected({ type }: Message): DfdbError {
  return new DfdbError("bad_frame", `a leader must not send "${type}" now`);
}
