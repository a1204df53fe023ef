import { DfdbError } from "../base/errors.ts";
import type { Plan } from "../engine/plan.ts";
import type { ReplicationParts } from "./replication.ts";

/** Writes nothing: it is answered after everything that was queued before it. */
const barrier: Plan<null> = { bytes: 0, run: () => null };

/** Resolves when everything that was queued is answered: with the gate closed before, no write is in progress then. */
export async function drained(
  { engine, runtime }: Pick<ReplicationParts, "engine" | "runtime">,
): Promise<void> {
  for (;;) {
    const refusal = await engine.submit(barrier).then(() => null, (error: unknown) => error);
    if (!(refusal instanceof DfdbError) || refusal.code !== "busy") return;
    await new Promise<void>((resolve) => runtime.clock.macrotask(resolve));
  }
}
