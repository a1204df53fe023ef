/** What a database is that was attached to a node. The command line says it of `default`; this one goes with that. */
import type { RoleKind } from "../cluster/role.ts";
import { parseWireAddress } from "../replication/wire_address.ts";
import type { NodeState } from "../storage/storage.ts";
import type { NodeDatabase } from "./database.ts";
import type { Settings } from "./settings.ts";

/**
 * As the role of the command line is for `default`: for a database that never had one, and where nothing else made it what it is. Where `default`
 * follows, a new one follows the database of its name there, and one that had a role has it still.
 */
export function configuredRole(main: RoleKind, kept: NodeState | null): RoleKind {
  return main !== "follower" ? main : kept === null ? main : kept.role ?? "none";
}

/** It leads on the port of `default`, and first looks for its leader where that one has its own. */
export function attachedSettings(settings: Settings, { role, replication }: NodeDatabase): Settings {
  const { server, following } = replication;
  const at = following === null ? null : parseWireAddress(following.status().endpoint);
  return {
    ...settings,
    replicationRole: role.kind,
    forceRole: false,
    replicationPort: server?.port ?? settings.replicationPort,
    leaderHost: at?.hostname ?? settings.leaderHost,
    leaderPort: at?.port ?? settings.leaderPort,
  };
}
