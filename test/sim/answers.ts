/** Answers, looked at strictly: form, codes, tokens. What is not as the documentation has it is a violation. */
import { type Answer, Violation, type Write } from "./types.ts";

export type Outcome = Write["outcome"];
export type Json = Readonly<Record<string, unknown>>;

/** An answer that is JSON; an error has a code that is known. */
export interface Told {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Json;
  /** Null: it is no error. */
  readonly code: string | null;
}

/** Codes that a client may see, each with its status (the HTTP contract). */
const statuses: ReadonlyMap<string, number> = new Map([
  ["schema_violation", 400],
  ["condition_failed", 409],
  ["query_timeout", 503],
  ["bad_request", 400],
  ["setting_invalid", 400],
  ["reserved_id", 400],
  ["not_found", 404],
  ["collection_not_found", 404],
  ["method_not_allowed", 405],
  ["duplicate_key", 409],
  ["conflict", 409],
  ["leader_active", 409],
  ["stale_epoch", 409],
  ["no_lease", 409],
  ["behind_final_position", 409],
  ["second_candidate", 409],
  ["wrong_database", 409],
  ["ahead", 409],
  ["diverged", 409],
  ["corrupt", 409],
  ["gap", 409],
  ["position_lost", 409],
  ["precondition_failed", 412],
  ["payload_too_large", 413],
  ["not_leader", 421],
  ["busy", 503],
  ["read_only", 503],
  ["closing", 503],
  ["not_ready", 503],
  ["not_caught_up", 503],
  ["unreachable", 503],
  ["going_away", 503],
  ["replication_timeout", 504],
  ["outcome_unknown", 504],
  ["timeout", 503],
  ["disk_full", 507],
]);

/** What any write may be answered, whatever it is, and what became of it then (GUARANTEES.md). */
const anyWrite: ReadonlyMap<string, Outcome> = new Map([
  ["not_leader", "refused"],
  ["read_only", "refused"],
  ["busy", "refused"],
  ["closing", "refused"],
  // a follower could not reach its leader to pass it on
  ["not_ready", "refused"],
  ["disk_full", "refused"],
  ["replication_timeout", "kept"],
  ["outcome_unknown", "unknown"],
]);

export function check(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Violation("client", what());
}

export function brief({ status, text }: Pick<Answer, "status" | "text">): string {
  return `${status} ${text.slice(0, 300)}`;
}

/** Throws Violation for what is no JSON, for an unknown code, for `internal`. */
export function told(answer: Answer): Told {
  const { status, headers, text } = answer;
  const is = (holds: boolean, what: string): void => check(holds, () => `${what}: ${brief(answer)}`);
  is(/^application\/json\b/.test(headers.get("content-type") ?? ""), "an answer is not called JSON");
  const body = parsed(text);
  is(isObject(body), "an answer is no JSON object");
  if (status === 200 || status === 201) return { status, headers, text, body: body as Json, code: null };
  const { code, error, leader } = body as Json;
  // That a collection is not there is what is wrong with a statement of the query language.
  const unknown = code === "collection_not_found" && status === 400;
  is(
    typeof code === "string" && (unknown || statuses.get(code) === status),
    "an error has no code of its status",
  );
  is(typeof error === "string" && error !== "", "an error has no sentence");
  if (code === "not_leader") {
    is(leader === null || typeof leader === "string", "not_leader does not tell the leader");
    is(headers.get("x-dfdb-leader") === leader, "x-dfdb-leader is not what the body says");
  }
  return { status, headers, text, body: body as Json, code: code as string };
}

/** What became of a write that was answered with an error; `expected`: further codes that its kind may meet. */
export function refusedWrite(answer: Told, expected: readonly string[]): Outcome {
  const code = answer.code ?? "";
  if (expected.includes(code)) return "refused";
  const outcome = anyWrite.get(code);
  check(outcome !== undefined, () => `a write was answered what it cannot be: ${brief(answer)}`);
  if (outcome === "kept") {
    const { seq, required, achieved } = answer.body;
    const whole = [seq, required, achieved].every((value) => Number.isSafeInteger(value));
    check(
      whole && Number(seq) > 0 && Number(required) > 0 && Number(achieved) >= 0,
      () => `a replication_timeout without its figures: ${brief(answer)}`,
    );
  }
  return outcome;
}

/** Checks that the refusal of a read is one that it may meet. */
export function refusedRead(answer: Told, expected: readonly string[]): void {
  check(
    expected.includes(answer.code ?? "") || answer.code === "closing",
    () => `a read was answered what it cannot be: ${brief(answer)}`,
  );
}

/** Checks that the body has these members with these values, and no others. */
export function exactly(answer: Told, expected: Json): void {
  const { body } = answer;
  const same = Object.keys(body).length === Object.keys(expected).length &&
    Object.keys(expected).every((name) => Object.hasOwn(body, name) && body[name] === expected[name]);
  check(same, () => `not the answer ${JSON.stringify(expected)}: ${brief(answer)}`);
}

/** A position or etag: the run that it belongs to, and its place. */
export interface Place {
  /** `<epoch>.<run>` */
  readonly run: string;
  readonly seq: number;
}

/** Throws Violation when `token` is no position. */
export function placeOf(token: unknown): Place {
  const match = typeof token === "string" ? /^(\d{1,15}\.[0-9a-f]{8})-(\d{1,16})$/.exec(token) : null;
  check(match !== null, () => `not a position: ${JSON.stringify(token)}`);
  return { run: match[1] as string, seq: Number(match[2]) };
}

/** The position of an answered write. */
export function positionOf(answer: Told): string {
  const position = answer.headers.get("x-dfdb-position");
  placeOf(position);
  return position as string;
}

export function isServerId(id: unknown): id is string {
  return typeof id === "string" && /^[0-9a-f]{32}$/.test(id);
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value of JSON text; undefined when it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
