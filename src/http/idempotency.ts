/**
 * `Idempotency-Key` on POST: the same request may be sent again when its answer was lost, and gets that answer. The key is looked up inside the
 * transaction that writes (`engine/remembered.ts`), so that of two at once one writes and the other one gets its answer.
 */
import { concat, hex, utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { documentIdOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Plan, SlicedPlan } from "../engine/plan.ts";
import type { Asked, EntryPlace, KeptAnswer, MakeAnswer } from "../engine/remembered.ts";
import { remembered } from "../engine/remembered.ts";
import { positionText, termAt } from "../storage/position_text.ts";
import { jsonText } from "./answers.ts";
import { queryOf, routePath } from "./path.ts";
import { Turns } from "./turns.ts";
import type { HttpDependencies } from "./types.ts";

/** The `Idempotency-Key` of a POST, null: it has none. Throws `bad_request` for one that is no key. */
export function idempotencyKey({ method, headers }: Request): DocumentId | null {
  const key = headers.get("idempotency-key");
  if (key === null || method !== "POST") return null;
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= limits.idempotencyKeyCharsMax) return documentIdOf(key);
  throw new DfdbError(
    "bad_request",
    `Idempotency-Key must be 1 to ${limits.idempotencyKeyCharsMax} visible ASCII characters`,
  );
}

/** Throws `bad_request` where the request has a key: what it asks for is not remembered, for the reason that `why` gives. */
export function refuseIdempotencyKey(request: Request, why: string): void {
  if (idempotencyKey(request) === null) return;
  throw new DfdbError("bad_request", `${why}; send the request without Idempotency-Key`);
}

type OnceDependencies = Pick<HttpDependencies, "engine" | "storage" | "clock" | "crypto">;

/**
 * Carries a write out and answers it with what `answer` makes of it: under the request's key, if it has one, at most once. Rejects with what the
 * write rejects with, `conflict` for a key that was used for another request, `payload_too_large` for an answer that is too large to be remembered.
 */
export async function writeOnce<Value>(
  dependencies: OnceDependencies,
  request: Request,
  body: Uint8Array,
  plan: Plan<Value> | SlicedPlan<Value>,
  answer: (value: Value, at: EntryPlace) => KeptAnswer,
): Promise<Response> {
  const key = idempotencyKey(request);
  if (key !== null) return await writeUnder(dependencies, request, key, body, plan, answer);
  const { value, position } = await dependencies.engine.submit(plan);
  return keptAnswer(answer(value, position), position);
}

/** As {@linkcode writeOnce}, for a request that has a key. */
export async function writeUnder<Value>(
  dependencies: OnceDependencies,
  request: Request,
  key: DocumentId,
  body: Uint8Array,
  plan: Plan<Value> | SlicedPlan<Value>,
  answer: MakeAnswer<Value>,
): Promise<Response> {
  const { engine } = dependencies;
  const asked = await askedOf(dependencies, request, key, body);
  const { value } = await engine.submit(remembered(plan, asked, answer));
  return keptAnswer(value, { ...termAt(dependencies.storage.log.terms, value.seq), seq: value.seq });
}

/** The answer to a write whose entry is at `at`. */
export function keptAnswer({ status, headers, body }: KeptAnswer, at: EntryPlace): Response {
  return jsonText(body, status, { ...headers, "x-dfdb-position": positionText(at, at.seq) });
}

/** Hashed in pieces, so that a large body holds nobody up. */
const pieceBytes = 1024 * 1024;

/** What the request is, as far as it says what to write: method, path, query, conditions and body. */
async function askedOf(
  { clock, crypto }: Pick<HttpDependencies, "clock" | "crypto">,
  request: Request,
  key: DocumentId,
  body: Uint8Array,
): Promise<Asked> {
  const { method, url, headers } = request, turns = new Turns(clock);
  const conditions = [headers.get("if-match"), headers.get("if-none-match")];
  const hashes = [
    crypto.sha256(utf8(JSON.stringify([method, routePath(url), queryOf(url), ...conditions, body.length]))),
  ];
  for (let at = 0; at < body.length; at += pieceBytes) {
    hashes.push(crypto.sha256(body.subarray(at, at + pieceBytes)));
    if (turns.due()) await turns.next();
  }
  return { key, request: hex(crypto.sha256(concat(hashes))) };
}
