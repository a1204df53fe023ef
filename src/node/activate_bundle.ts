/** The bundles of a database are switched on before anybody gets to it, so that its first document has versions. */
import { DfdbError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Role } from "../cluster/role.ts";
import { activateReplication, hasReplicationBundle } from "../engine/activate_bundle.ts";
import type { Engine } from "../engine/engine.ts";
import type { Bundle } from "../http/database_types.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Storage } from "../storage/storage.ts";
import type { Settings } from "./settings.ts";

export interface ActivationParts {
  readonly storage: Pick<Storage, "read">;
  readonly engine: Pick<Engine, "submit">;
  readonly role: Pick<Role, "kind" | "readOnly">;
  readonly runtime: { readonly clock: Pick<Clock, "timer" | "monotonic"> };
  readonly settings: Pick<Settings, "leaderStartMs">;
  readonly masters: { activated(): void };
}

export function activeBundles(storage: Pick<Storage, "read">): readonly Bundle[] {
  return storage.read(hasReplicationBundle) ? ["replication"] : [];
}

/**
 * Durable when it resolves, unless this node follows: then its leader's log brings it. A leader that is to hear first whether it may write
 * waits for that, as long as its writes would. Rejects with `conflict` where there are documents; as a write does.
 */
export async function activateBundles(
  { storage, engine, role, runtime: { clock }, settings: { leaderStartMs }, masters }: ActivationParts,
  bundles: readonly Bundle[],
  adoptExisting: boolean,
): Promise<void> {
  const untilMs = clock.monotonic() + leaderStartMs;
  while (bundles.length > activeBundles(storage).length && role.kind !== "follower") {
    try {
      await engine.submit(activateReplication(adoptExisting));
      masters.activated();
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      if (error.code === "conflict") {
        const message = `${error.message}; adoptExisting takes over those that are there`;
        throw new DfdbError("conflict", message, { cause: error });
      }
      // It is durable here, and followers get it when they come.
      if (error.code === "replication_timeout") return masters.activated();
      if (!passing.has(role.readOnly.reason ?? "") || clock.monotonic() >= untilMs) throw error;
      await new Promise<void>((resolve) => void clock.timer(lookEveryMs, resolve));
    }
  }
}

/** What the settings say of the database `default`. Rejects with `setting_invalid` where it has documents that are not to be adopted. */
export async function activateByTheSettings(
  parts: ActivationParts & { readonly settings: Pick<Settings, "replicationBundle" | "adoptExisting"> },
  logger: Logger,
): Promise<void> {
  const { replicationBundle, adoptExisting } = parts.settings, setting = "--replication-bundle";
  if (!replicationBundle) return;
  try {
    await activateBundles(parts, ["replication"], adoptExisting);
  } catch (error) {
    if (!(error instanceof DfdbError)) throw error;
    if (error.code === "conflict") {
      const message = `${setting}: ${error.message} (--adopt-existing)`;
      throw new DfdbError("setting_invalid", message, { details: { setting }, cause: error });
    }
    if (error.code !== "read_only") throw error;
    logger.warn("the replication bundle is not active yet: this node takes no writes", {
      reason: error.message,
    });
  }
}

/** Why a node does not write yet. */
const passing: ReadonlySet<string> = new Set(["unconfirmed_leadership", "no_lease"]);
const lookEveryMs = 50;
