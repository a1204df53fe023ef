/**
 * Every code that a caller can see, with the HTTP status it is answered with. Codes are stable: clients switch on
 * them. `Start` and `wire` codes never reach HTTP in normal use; they are shown in the log, the status and on exit.
 */
export const errorStatus = {
  // requests
  bad_request: 400,
  reserved_id: 400,
  schema_violation: 400,
  restart_required: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  collection_not_found: 404,
  bundle_not_active: 404,
  method_not_allowed: 405,
  duplicate_key: 409,
  condition_failed: 409,
  conflict: 409,
  leader_active: 409,
  stale_epoch: 409,
  no_lease: 409,
  behind_final_position: 409,
  same_database: 409,
  peer_forgotten: 409,
  peer_too_old: 409,
  position_lost: 409,
  compacted: 410,
  precondition_failed: 412,
  payload_too_large: 413,
  not_leader: 421,
  headers_too_large: 431,
  internal: 500,
  busy: 503,
  query_timeout: 503,
  read_only: 503,
  not_caught_up: 503,
  not_ready: 503,
  database_unavailable: 503,
  physical_follower: 503,
  closing: 503,
  replication_timeout: 504,
  outcome_unknown: 504,
  disk_full: 507,
  // opening a database, starting a node
  data_locked: 500,
  data_corrupt: 500,
  data_foreign: 500,
  data_newer: 500,
  unclean_copy: 500,
  io_error: 500,
  certificate_invalid: 500,
  setting_invalid: 500,
  port_in_use: 500,
  not_built: 500,
  // replication wire: refusals and session ends (src/wire/PROTOCOL.md)
  bad_secret: 500,
  wrong_database: 500,
  version: 500,
  self: 500,
  duplicate_node: 500,
  second_candidate: 500,
  too_many_followers: 500,
  ahead: 500,
  diverged: 500,
  corrupt: 500,
  gap: 500,
  going_away: 500,
  bad_frame: 500,
  timeout: 500,
  unreachable: 500,
} as const;

/** A stable, machine-readable name of what went wrong. */
export type ErrorCode = keyof typeof errorStatus;

/** Further fields of the JSON error body, next to `error` and `code`. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;

/** An expected failure: has a stable `code`, a sentence for people, and optionally fields for programs. */
export class DfdbError extends Error {
  override readonly name = "DfdbError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  /** HTTP status this error is answered with. */
  get status(): number {
    return errorStatus[this.code];
  }
}

/** True when `text` is one of our codes (a peer may be newer and know more). */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(errorStatus, text);
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
