/** From whatever was thrown to what the client is told. */
import { InvariantError } from "../base/assert.ts";
import { hex } from "../base/bytes.ts";
import type { ErrorCode } from "../base/errors.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import { InConflict } from "../engine/conflicts.ts";
import { etagText } from "../storage/position_text.ts";
import type { AnswerHeaders } from "./answers.ts";
import { json } from "./answers.ts";
import type { HttpDependencies } from "./types.ts";

/** A precondition that does not hold. What the etag is now is only known once the group has committed. */
export class PreconditionFailed extends DfdbError {
  /** Last change of the document as the plan found it, 0: there is none. */
  readonly current: Seq;

  constructor(message: string, expected: string | null, current: Seq) {
    super("precondition_failed", message, { details: { expected } });
    this.current = current;
  }
}

/** A forwarded write did not get to the leader: nothing was written, and it may be tried again here. */
export class LeaderUnreachable extends DfdbError {
  readonly leader: string;

  constructor(leader: string, cause: unknown) {
    super("not_ready", `The leader at ${leader} cannot be reached; nothing was written`, {
      details: { leader },
      cause,
    });
    this.leader = leader;
  }
}

/**
 * A change of the role did not come about. Whoever asks for one sees the codes of the wire and of a start in the status and the log
 * too, so they are the answer here as well.
 */
export class RoleChangeFailed extends DfdbError {
  readonly #status: number;

  constructor({ code, message, details }: DfdbError, status: number, cause?: unknown) {
    super(code, message, { details, cause });
    this.#status = status;
  }

  override get status(): number {
    return this.#status;
  }
}

/**
 * 400: another value is taken. 409: this node, the other one or its history is not as it must be. 503: somebody was not there or not
 * in time, and nothing has changed; 504 is only where something may have.
 */
const roleChangeStatus: Partial<Record<ErrorCode, number>> = {
  setting_invalid: 400,
  port_in_use: 400,
  bad_secret: 409,
  wrong_database: 409,
  version: 409,
  self: 409,
  duplicate_node: 409,
  second_candidate: 409,
  ahead: 409,
  diverged: 409,
  corrupt: 409,
  gap: 409,
  certificate_invalid: 409,
  too_many_followers: 503,
  going_away: 503,
  bad_frame: 503,
  timeout: 503,
  unreachable: 503,
};

/** What `thrown` says of a change of the role; `elsewhere`: a port that is taken is another node's. */
export function roleChangeFailed(thrown: unknown, elsewhere = false): unknown {
  if (!(thrown instanceof DfdbError) || thrown.status !== 500) return thrown;
  const status = elsewhere && thrown.code === "port_in_use" ? 409 : roleChangeStatus[thrown.code];
  return status === undefined ? thrown : new RoleChangeFailed(thrown, status, thrown);
}

/** An error as an answer tells it. */
export interface Failure {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: AnswerHeaders;
}

/** Describes a thrown error; what nobody foresaw, or names the inside, becomes `internal` with an id that is logged. */
export type DescribeFailure = (thrown: unknown) => Failure;

export function failures(dependencies: HttpDependencies): DescribeFailure {
  return (thrown) => {
    if (!(thrown instanceof DfdbError) || thrown.status === 500) return internal(dependencies, thrown);
    const body: Record<string, unknown> = { error: thrown.message, code: thrown.code, ...thrown.details };
    const headers: Record<string, string> = {};
    if (thrown.code === "not_leader") {
      const leader = dependencies.node.leaderHttpUrl();
      body["leader"] = leader;
      if (leader !== null) headers["x-dfdb-leader"] = leader;
    } else if (thrown instanceof LeaderUnreachable) {
      headers["retry-after"] = "1";
      headers["x-dfdb-leader"] = thrown.leader;
    } else if (thrown instanceof PreconditionFailed) {
      const { current } = thrown;
      body["actual"] = current === 0 ? null : etagText(dependencies.storage.log.terms, current);
    } else if (thrown instanceof InConflict) {
      body["Conflicts"] = thrown.versions;
    } else if (thrown.code === "unauthorized") {
      headers["www-authenticate"] = 'Bearer realm="dfdb"';
    } else if (thrown.code === "method_not_allowed") {
      headers["allow"] = String(thrown.details["allow"]);
    } else if (thrown.code === "busy") {
      headers["retry-after"] = "1";
    }
    return { status: thrown.status, body, headers };
  };
}

/** Whether nothing is left of a transaction that failed with this; the others say that it is durable here, or may be. */
export function wasRolledBack(error: unknown): boolean {
  return !(error instanceof DfdbError) ||
    (error.code !== "replication_timeout" && error.code !== "outcome_unknown");
}

export function failureAnswer(failure: Failure): Response {
  return json(failure.body, failure.status, failure.headers);
}

function internal(dependencies: HttpDependencies, thrown: unknown): Failure {
  const id = hex(dependencies.random.bytes(8));
  dependencies.logger.error("a request failed", {
    id,
    code: thrown instanceof DfdbError ? thrown.code : "internal",
    error: messageOf(thrown),
    stack: thrown instanceof Error ? thrown.stack : undefined,
  });
  if (thrown instanceof InvariantError) {
    // The client gets its answer, then the process ends: nothing may go on after a broken invariant.
    dependencies.clock.macrotask(() => {
      throw thrown;
    });
  }
  const error = `Something failed inside; the server's log has it under ${id}`;
  return { status: 500, body: { error, code: "internal", id }, headers: {} };
}
