/** The first half of a handover that a program does by itself: this leader takes no more writes, and waits for the node that comes next. */
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import { limits } from "../base/limits.ts";
import type { Role } from "../cluster/role.ts";
import type { Clock } from "../runtime/runtime.ts";

/** Last entry that the node holds which comes next. */
export type FollowerLastSeqProbe = () => number | Promise<number>;

export interface PlannedHandoverParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly role: Role;
  readonly lastSeq: () => Seq;
  /** Resolves when no write is in progress any more, and none begins. */
  readonly close: () => Promise<void>;
  readonly open: () => Promise<void>;
}

/**
 * Resolves with the last entry of this node once `probe` has answered as much; the node is read-only then, and stays so. Rejects with
 * `not_caught_up` when the probe fails or the time is over, with `conflict` when this node stops leading meanwhile: writes are on
 * again then, if they were.
 */
export async function plannedHandover(
  { clock, logger, role, lastSeq, close, open }: PlannedHandoverParts,
  probe: FollowerLastSeqProbe,
  timeoutMs: number,
): Promise<Seq> {
  const wasOpen = !role.readOnlyCauses.has("operator");
  const over = Promise.withResolvers<never>(), { signal } = new AbortController();
  let at: number | null = null;
  over.promise.catch(() => {}); // it may come when nobody waits any more
  const timer = clock.timer(timeoutMs, () => over.reject(late(at)));
  try {
    await Promise.race([close(), over.promise]);
    const finalSeq = lastSeq(), leadership = role.leadership?.signal ?? signal;
    for (;;) {
      at = await Promise.race([asked(probe), over.promise]);
      if (leadership.aborted) throw new DfdbError("conflict", "This node stopped leading meanwhile");
      if (at >= finalSeq) return finalSeq;
      const { promise, resolve } = Promise.withResolvers<void>();
      const pause = clock.timer(limits.probeEveryMs, resolve);
      await Promise.race([promise, over.promise]).finally(() => pause.cancel());
    }
  } catch (error) {
    if (wasOpen) {
      await open().catch((refusal: unknown) =>
        logger.warn("writes stay off after a handover that failed", { reason: messageOf(refusal) })
      );
    }
    throw error;
  } finally {
    timer.cancel();
  }
}

async function asked(probe: FollowerLastSeqProbe): Promise<number> {
  try {
    return await probe();
  } catch (cause) {
    const sentence = `The probe of the next leader failed: ${messageOf(cause)}`;
    throw new DfdbError("not_caught_up", sentence, { cause });
  }
}

function late(at: number | null): DfdbError {
  const held = at === null ? "did not answer" : `holds entries up to ${at}`;
  return new DfdbError("not_caught_up", `The next leader ${held}, and the time is over`);
}
