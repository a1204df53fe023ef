import type { DfdbError } from "../../src/base/errors.ts";
import { epochOf, nodeIdOf, runIdOf } from "../../src/base/ids.ts";
import type { DocumentId } from "../../src/base/ids.ts";
import { documentIdOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { utf8 } from "../../src/base/bytes.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { engine } from "../../src/engine/engine.ts";
import type { Leadership } from "../../src/engine/plan.ts";
import { transaction } from "../../src/engine/transaction.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, testOptions } from "../suites/storage_fixture.ts";
import { currentRuntime } from "./current_runtime.ts";

/** A database on disk with its commit path. */
export interface DatabaseRig {
  readonly storage: Storage;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly logger: typeof silentLogger;
  /** By which it writes. */
  leadership: Leadership;
  /** Why it does not write; null: it does. */
  refusal: DfdbError | null;
  /** Documents of a collection, all in one entry. */
  insert(collection: string, documents: Readonly<Record<string, unknown>>): Promise<void>;
  /** The stored text; null: there is none. */
  body(collection: string, id: string): string | null;
}

export function withDatabase(run: (rig: DatabaseRig) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const { clock } = currentRuntime();
    const storage = await openStorage(testOptions(`${folder}/data.dfdb`));
    const writer = engine({
      storage,
      clock,
      gate: () => {
        if (rig.refusal !== null) throw rig.refusal;
        return rig.leadership;
      },
      onFatal: (error) => {
        throw error;
      },
      onDiskFull: () => {},
    });
    const rig: DatabaseRig = {
      storage,
      engine: writer,
      clock,
      logger: silentLogger,
      leadership: { epoch: epochOf(1), run: runIdOf("ab".repeat(16)), nodeId: nodeIdOf("e".repeat(32)) },
      refusal: null,
      async insert(collection, documents) {
        await writer.submit(transaction(
          Object.entries(documents).map(([id, document]) => ({
            op: "insert" as const,
            collection,
            id: documentIdOf(id),
            body: utf8(typeof document === "string" ? document : JSON.stringify(document)),
          })),
        ));
      },
      body: (collection, id) =>
        storage.read((view) => {
          const info = view.collection(collection);
          return info === null ? null : view.document(info.number, id as DocumentId)?.body ?? null;
        }),
    };
    try {
      await run(rig);
    } finally {
      await writer.close();
      storage.close();
    }
  });
}
