/** Mistakes in what is kept of the log, and in snapshots. */
import { DatabaseSync } from "node:sqlite";
import { SnapshotSending } from "../../../src/replication/snapshot_sending.ts";
import type { makeSnapshot } from "../../../src/storage/sqlite/make_snapshot.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite_storage.ts";
import type { TrimPolicy } from "../../../src/storage/storage.ts";
import { hook, taskHooks } from "../hooks.ts";
import { type Plant, wrap } from "./plant.ts";

/** `change` makes another policy for each trimming. */
function otherTrim(change: (policy: TrimPolicy) => TrimPolicy): () => void {
  return wrap(SqliteStorage.prototype, "trimLog", (trimLog) =>
    function (this: SqliteStorage, policy) {
      return trimLog.call(this, change(policy));
    });
}

type Made = ReturnType<typeof makeSnapshot>;

/** Deletes the documents of the last two entries. */
function cutTail(path: string, { position }: Made): void {
  const db = new DatabaseSync(path);
  try {
    for (const { number } of db.prepare("SELECT number FROM collections").all()) {
      const { changes } = db.prepare(`DELETE FROM docs_${Number(number)} WHERE seq > ?`).run(
        position.seq - 2,
      );
      db.prepare("UPDATE collections SET documents = documents - ? WHERE number = ?").run(
        changes,
        number as number,
      );
    }
  } finally {
    db.close();
  }
}

function snapshotWithoutTail(): () => void {
  return hook(taskHooks, (table) => ({
    ...table,
    "sqlite.makeSnapshot": async (input, context) => {
      const made = await table["sqlite.makeSnapshot"]?.(input, context) as Made;
      cutTail((input as { target: string }).target, made);
      return made;
    },
  }));
}

export const logPlants: Readonly<Record<string, Plant>> = {
  trim_too_early: {
    mistake: "the log is trimmed to a quarter of what is to be kept",
    plant: () => otherTrim((policy) => ({ ...policy, bytesMax: Math.floor(policy.bytesMax / 4) })),
  },
  trim_too_young: {
    mistake: "entries are old at half of the age that is to be kept",
    plant: () =>
      otherTrim((policy) =>
        policy.age === null ? policy : { ...policy, age: { ...policy.age, msMax: policy.age.msMax / 2 } }
      ),
  },
  trim_under_snapshot: {
    mistake: "the log is trimmed while a follower still takes the snapshot before it",
    plant: () => otherTrim(({ bytesMax, age }) => ({ bytesMax, age })),
  },
  snapshot_without_tail: {
    mistake: "a snapshot lacks the documents of its last two entries",
    plant: snapshotWithoutTail,
  },
  snapshot_stands_still: {
    mistake:
      "what a follower has of a snapshot is not counted, so that it waits for ever when the window is full",
    plant: () => wrap(SnapshotSending.prototype, "acknowledge", () => () => null),
  },
};
