/** Forgets what was remembered of requests when nobody can ask for it any more: the leader looks now and then, and deletes through the log. */
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Engine } from "../engine/engine.ts";
import { forgetExpired, isAnyExpired } from "../engine/remembered.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { Storage } from "../storage/storage.ts";
import { settledWall } from "./settled_wall.ts";

export interface RememberedSweeperOptions {
  readonly storage: Pick<Storage, "read">;
  readonly engine: Pick<Engine, "submit">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly role: { readonly leadership: object | null; readonly readOnly: { readonly on: boolean } };
}

/** A slice at a time, others having their turn in between. Returns what stops it. */
export function rememberedSweeper(options: RememberedSweeperOptions): () => void {
  const { storage, engine, clock, logger, role } = options;
  const wallNow = settledWall(clock, limits.expirySettleMs);
  let timer: Timer, stopped = false;
  const after = (ms: number, run: () => void): void => {
    if (!stopped) timer = clock.timer(ms, run);
  };
  const look = async (): Promise<void> => {
    for (let now = wallNow(); now !== null && !stopped; now = wallNow()) {
      const until = now;
      if (role.leadership === null || role.readOnly.on) return;
      if (!storage.read((view) => isAnyExpired(view, until))) return;
      const { value } = await engine.submit(forgetExpired(until));
      logger.debug("answers of old requests are forgotten", { answers: value });
      await new Promise<void>((resolve) => after(limits.expiryPauseMs, resolve));
    }
  };
  const failed = (error: unknown): void => {
    // Whatever is in the way of a write is in the way of this one: the next look tries again.
    if (!(error instanceof DfdbError)) throw error;
    logger.debug("answers of old requests cannot be forgotten", { code: error.code, reason: error.message });
  };
  const everySoOften = (): void => {
    after(limits.forgetEveryMs, () => void look().catch(failed).then(everySoOften));
  };
  everySoOften();
  return () => {
    stopped = true;
    timer.cancel();
  };
}
