/** Waiting until this database holds a position that somebody was told. */
import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import type { Signal } from "../base/signal.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { LogReader, Position } from "../storage/log.ts";
import type { PositionToken } from "../storage/position_text.ts";
import { positionText } from "../storage/position_text.ts";

/** Where one's own history is, and what tells that it went on. */
export interface OwnHistory {
  readonly log: Pick<LogReader, "last" | "terms">;
  /** `Engine.committed`. */
  readonly committed: Signal<Position>;
  readonly clock: Clock;
}

/**
 * What a history says of a position: it holds it, it may still come to it, or it went another way. Then
 * `lastInCommon` is the last entry of that run that is here, where the terms tell it.
 */
export type Standing =
  | { readonly kind: "here" }
  | { readonly kind: "ahead" }
  | { readonly kind: "lost"; readonly lastInCommon: string | null };

const here: Standing = { kind: "here" }, ahead: Standing = { kind: "ahead" };
const lost = (lastInCommon: string | null): Standing => ({ kind: "lost", lastInCommon });

/** The one position that is in every history: before the first entry. */
const isOrigin = ({ epoch, run, seq }: PositionToken): boolean =>
  seq === 0 && epoch === 0 && /^0+$/.test(run);

export function standing({ last, terms }: OwnHistory["log"], at: PositionToken): Standing {
  if (isOrigin(at)) return here;
  // Epochs never fall along a history, and most tokens are of one of the last runs.
  for (let i = terms.length - 1; i >= 0; i--) {
    const term = terms[i], next = terms[i + 1];
    if (term === undefined || term.epoch < at.epoch) break;
    if (term.epoch > at.epoch || !term.run.startsWith(at.run)) continue;
    if (at.seq < term.firstSeq) return lost(null); // no entry was ever called so
    if (next === undefined) return at.seq <= last.seq ? here : ahead;
    return at.seq < next.firstSeq ? here : lost(positionText(term, (next.firstSeq - 1) as Seq));
  }
  // The run is not known here. One of a higher epoch may come, even if entries of ours have to go for it; so may
  // one that the newest epoch's leader began when it started again. Any other was left behind.
  const newest = terms.at(-1);
  if (newest === undefined || at.epoch > newest.epoch) return ahead;
  return at.epoch === newest.epoch && at.seq > last.seq ? ahead : lost(null);
}

/**
 * Null when `at` is held already, else resolves as soon as it is. Throws or rejects with `position_lost` (details:
 * `lastInCommon`) as soon as the history has gone another way, rejects with `not_caught_up` (details: `position`, where
 * this node is) after `timeoutMs`.
 */
export function reached(own: OwnHistory, at: PositionToken, timeoutMs: number): Promise<void> | null {
  const { log, committed, clock } = own;
  const text = `${at.epoch}.${at.run}-${at.seq}`;
  const look = (): boolean => {
    const found = standing(log, at);
    if (found.kind !== "lost") return found.kind === "here";
    const { lastInCommon } = found;
    throw new DfdbError("position_lost", `${text} is not in the history of this database`, {
      details: { lastInCommon },
    });
  };
  if (look()) return null;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = clock.timer(timeoutMs, () => {
    reject(
      new DfdbError("not_caught_up", `${text} was not reached within ${timeoutMs} ms`, {
        details: { position: positionText(log.last, log.last.seq) },
      }),
    );
  });
  const unsubscribe = committed.subscribe(() => {
    try {
      if (look()) resolve();
    } catch (error) {
      reject(error);
    }
  });
  return promise.finally(() => {
    timer.cancel();
    unsubscribe();
  });
}
