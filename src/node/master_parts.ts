import type { Logger } from "../base/logger.ts";
import type { Role } from "../cluster/role.ts";
import type { Resolve } from "../document/judge.ts";
import type { Engine } from "../engine/engine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeStore, Storage } from "../storage/storage.ts";
import type { Settings } from "./settings.ts";

/** What replication between masters needs of its database. */
export interface MastersOptions {
  readonly name: string;
  readonly runtime: Pick<Runtime, "clock" | "fetch" | "crypto">;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly storage: Storage;
  readonly nodeStore: NodeStore;
  readonly engine: Engine;
  readonly role: Role;
  /** Base URL of the database's API; null: it has none. */
  readonly httpUrl: string | null;
  /** The program's own policy; null: the database's. */
  readonly resolve: Resolve | null;
}
