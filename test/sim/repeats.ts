/**
 * Requests with an `Idempotency-Key`, which a client sends again when their answer was lost, and now and then when it was not: what each of them
 * comes to, all attempts together.
 */
import { brief, check, type Told } from "./answers.ts";
import type { Chance } from "./chance.ts";
import type { Claim, Judged, JudgedWrite, Request } from "./requests.ts";
import { all } from "./requests.ts";
import { rememberedName } from "./state.ts";

/** Attempts at one request. */
const attemptsMax = 6;
/** Requests that a client keeps to send them again. */
const keptMax = 5;

interface Kept {
  readonly key: string;
  /** As it was sent first. */
  readonly request: Request;
  attempts: number;
  /** Every attempt, so far, was refused: nothing of it is anywhere. */
  refused: boolean;
  /** Another body went out under the key: which of the two was first is not known. */
  other: boolean;
}

/** The same request, under a key. */
export function underKey(request: Request, key: string): Request {
  const { ask, intents } = request;
  return {
    ...request,
    ask: { ...ask, headers: { ...ask.headers, "idempotency-key": key } },
    intents: intents.map((intent) => ({ ...intent, once: { key, answer: null } })),
    judge: (answer) => kept(request.judge(answer), answer, key),
  };
}

/** What was written holds the answer, too. */
function kept(judged: Judged, answer: Told, key: string): Judged {
  const { status, text } = answer;
  const once = (write: JudgedWrite): JudgedWrite => ({
    ...write,
    once: { key, answer: write.outcome === "promised" ? { status, text } : null },
  });
  return { ...judged, writes: judged.writes.map(once) };
}

export class Repeats {
  readonly #kept: Kept[] = [];
  readonly #draw: Chance;

  constructor(draw: Chance) {
    this.#draw = draw;
  }

  /** A request that was sent before, as it was or with another body; null: there is none. */
  next(): Request | null {
    if (this.#kept.length === 0) return null;
    const one = this.#draw.pick(this.#kept);
    return this.#again(one, this.#draw.flip(0.1));
  }

  /** What of the writes is known for good after an attempt at `request`: a refusal, only when no attempt is left that may have been carried out. */
  learn(request: Request, judged: Judged): Judged {
    const key = keyOf(request);
    if (key === null) return judged;
    let one = this.#kept.find((other) => other.key === key);
    if (one === undefined) {
      this.#kept.push(one = { key, request, attempts: 0, refused: true, other: false });
    }
    one.attempts++;
    const { writes } = judged;
    if (writes.some(({ outcome }) => outcome !== "refused")) one.refused = false;
    const again = one.attempts > 1 ? { repeated: true } as const : {};
    const known = writes.filter(({ outcome }) => outcome !== "refused").map((write) => ({
      ...write,
      ...again,
    }));
    const { end: _, ...rest } = judged;
    const learned: Judged = one.attempts > 1 ? rest : judged;
    if (one.attempts < attemptsMax && !this.#draw.flip(0.15) && this.#kept.length <= keptMax) {
      return { ...learned, writes: known };
    }
    this.#kept.splice(this.#kept.indexOf(one), 1);
    return { ...learned, writes: one.refused ? all(one.request.intents, "refused") : known };
  }

  #again(one: Kept, other: boolean): Request {
    const { request, key } = one, { ask } = request;
    if (other) one.other = true;
    const mayConflict = one.other;
    return {
      ...request,
      kind: "repeat",
      // Another body, and the same request all the same: at most one of the two is ever carried out.
      ask: other ? { ...ask, body: `${ask.body ?? ""} ` } : ask,
      judge(answer) {
        if (answer.code !== "conflict" || answer.body["idempotencyKey"] !== key) return request.judge(answer);
        check(mayConflict, () => `${key} was used for one request only: ${brief(answer)}`);
        const claim: Claim = {
          what: `${key} is remembered`,
          holds: (state) => state.document(rememberedName, key) !== null,
        };
        return { writes: all(request.intents, "refused"), reads: [], claims: [claim] };
      },
    };
  }
}

/** Null: it was sent without one. */
export function keyOf({ ask }: Pick<Request, "ask">): string | null {
  return ask.headers?.["idempotency-key"] ?? null;
}
