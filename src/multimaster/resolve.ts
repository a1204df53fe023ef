import { limits } from "../base/limits.ts";
import type { ConflictPolicy } from "../document/judge.ts";
import { judge } from "../document/judge.ts";
import type { Engine } from "../engine/engine.ts";
import type { SlicedPlan } from "../engine/plan.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { Position } from "../storage/log.ts";
import { versionsBytesMax } from "../storage/version_codec.ts";
import type { KeyPlace } from "../storage/versions.ts";
import { EntryWriter } from "./entry_writer.ts";
import { versionsOf } from "./incoming_plan.ts";
import { outcomeOf } from "./outcome.ts";

export interface Resolved {
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

/** Of one transaction. */
const pageKeys = 500;
const entryOverhead = 64;

/**
 * Applies `policy` to all open conflicts, those between policies included. Nothing is minted: the versions stay, and so do their vectors. Rejects as
 * `Engine.submit`; with `bundle_not_active`.
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
      const writer = new EntryWriter(tx, wallMs), slice = new Slice(), versions = versionsOf(tx);
      const { keys, next } = versions.conflicts(after, { keysMax: pageKeys, bytesMax: limits.sliceBytes });
      let resolved = 0;
      for (const key of keys) {
        const { shown } = judge(versions.tree, key.versions, policy);
        if (slice.full(key.versions.reduce((sum, { body }) => sum + (body?.length ?? 0), 0))) yield;
        if (shown.kind === "conflict") continue;
        const operation = outcomeOf(tx, key.name, key.id, key, key.versions, shown);
        if (versionsBytesMax(operation) + entryOverhead > limits.entryBytesMax) continue;
        resolved++;
        if (writer.add([operation])) yield* writer.flush();
      }
      yield* writer.flush();
      return { resolved, open: keys.length - resolved, next };
    },
  };
}
