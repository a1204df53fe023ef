import { limits } from "../base/limits.ts";
import type { ConflictPolicy } from "../document/judge.ts";
import { judge } from "../document/judge.ts";
import type { Engine } from "../engine/engine.ts";
import type { SlicedPlan } from "../engine/plan.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { Position } from "../storage/log.ts";
import { versionsBytesMax } from "../storage/version_codec.ts";
import type { KeyPlace } from "../storage/versions.ts";
import { CollectionMaker } from "./collection_maker.ts";
import { EntryWriter } from "./entry_writer.ts";
import { versionsOf } from "./incoming_plan.ts";
import { outcomeOf, sameShown, shownNow } from "./outcome.ts";

export interface Resolved {
  /** Keys that show now what the policy says, and did not before. */
  readonly resolved: number;
  /** What the policy leaves to people. */
  readonly open: number;
  /** The log's end after the last of them. */
  readonly position: Position;
}

interface Page {
  readonly resolved: number;
  readonly open: number;
  /** Null: there are no more. */
  readonly next: KeyPlace | null;
}

/** Versions that one transaction looks at. */
const pageVersions = 1_000;
const entryOverhead = 64;

/**
 * Judges all keys with several versions anew: open conflicts, those between policies included, and what an earlier policy has settled, or two masters with one policy
 * could go on showing two contents of one vector. Nothing is minted: the versions stay, and so do their vectors. Rejects as `Engine.submit`; with `bundle_not_active`.
 */
export async function resolve(engine: Pick<Engine, "submit">, policy: ConflictPolicy): Promise<Resolved> {
  let resolved = 0, open = 0, after: KeyPlace | null = null;
  for (;;) {
    const { value, position } = await engine.submit(page(policy, after)) as {
      readonly value: Page;
      readonly position: Position;
    };
    resolved += value.resolved;
    open += value.open;
    after = value.next;
    if (after === null) return { resolved, open, position };
  }
}

function page(policy: ConflictPolicy, after: KeyPlace | null): SlicedPlan<Page> {
  return {
    bytes: limits.sliceBytes,
    *slices(tx, wallMs) {
      const writer = new EntryWriter(tx, wallMs),
        slice = new Slice(),
        collections = new CollectionMaker(tx),
        versions = versionsOf(tx);
      const { keys, next } = versions.several(after, { keysMax: pageVersions, bytesMax: limits.sliceBytes });
      let resolved = 0, open = 0;
      for (const key of keys) {
        const { shown } = judge(versions.tree, key.versions, policy), now = shownNow(key);
        if (slice.full(key.versions.reduce((sum, { body }) => sum + (body?.length ?? 0), 0))) yield;
        if (shown.kind === "conflict") open++;
        if (sameShown(shown, now)) continue;
        const operation = outcomeOf(tx, key.name, key.id, key, key.versions, shown);
        const fits = versionsBytesMax(operation) + entryOverhead <= limits.entryBytesMax;
        // What was settled as deleted may be of a collection that never was here, or is no more.
        const made = !fits || shown.kind === "deleted" ? [] : collections.missing(operation.name);
        if (!fits || typeof made === "string") {
          if (now.kind === "conflict") open++;
          continue;
        }
        if (shown.kind !== "conflict") resolved++;
        if (writer.add([...made, operation])) yield* writer.flush();
      }
      yield* writer.flush();
      return { resolved, open, next };
    },
  };
}
