/** How a database settles conflicts: as the program says, else as its document `Raven/Replication/Config` does. */
import { documentIdOf } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { ConflictPolicy, Resolve } from "../document/judge.ts";
import { readConflictConfig } from "../multimaster/conflict_config.ts";
import { systemDocument } from "../multimaster/system_documents.ts";
import type { Storage } from "../storage/storage.ts";
import type { Settings } from "./settings.ts";

export interface MasterPolicyOptions {
  readonly storage: Pick<Storage, "read">;
  readonly settings: Pick<Settings, "documentBytesMax" | "nestingMax">;
  readonly logger: Logger;
  /** The program's own; null: the document counts. */
  readonly resolve: Resolve | null;
}

export interface MasterPolicy {
  /** As it is now. */
  readonly policy: ConflictPolicy;
  /** Why it is not what the document wants; null: it is. */
  readonly problem: string | null;
}

const configId = documentIdOf("Replication/Config");

/** Reads the document at each call; a problem of it is logged once. */
export function masterPolicy(
  { storage, settings: { documentBytesMax, nestingMax }, logger, resolve }: MasterPolicyOptions,
): () => MasterPolicy {
  if (resolve !== null) {
    const documents = { bytesMax: documentBytesMax, nestingMax };
    const own: MasterPolicy = { policy: { kind: "function", resolve, documents }, problem: null };
    return () => own;
  }
  let text: string | null = null, read = readConflictConfig(null);
  return () => {
    const now = storage.read((view) => systemDocument(view, configId));
    if (now === text) return read;
    const before = read.problem;
    text = now;
    read = readConflictConfig(now);
    const { problem } = read;
    if (problem !== null && problem !== before) {
      logger.warn("a document of replication is wrong", { document: `Raven/${configId}`, problem });
    }
    return read;
  };
}
