/**
 * Each planted fault is caught within a bounded number of seeds, by a checker that is there for it. Worlds are the same on all
 * runtimes (`sim_traces_test.ts`): each runs a third of the faults, DFDB_ALL=1: all of them.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { mine } from "../tool/shared_out.ts";
import { plantNames, plants } from "./plants.ts";
import { caughtBy } from "./plants_table.ts";
import { runSeed } from "./run_seed.ts";

interface Expected {
  /** A seed from which it does not take long; from 1 on: `npm run sim -- --plants`. */
  readonly firstSeed?: number;
  /** Most seeds: two to three times as many as it takes from seed 1 on, at least 20. */
  readonly seeds?: number;
  readonly checkers: readonly string[];
}

const expected: Readonly<Record<string, Expected>> = {
  ack_before_apply: { firstSeed: 12, seeds: 40, checkers: ["followers", "promises"] },
  resume_one_too_far: { checkers: ["liveness", "stream"] },
  skip_gap: { checkers: ["followers", "promises"] },
  operation_lost: { checkers: ["content", "replay", "reads"] },
  time_of_apply: { checkers: ["content"] },
  sent_is_held: { checkers: ["followers", "promises"] },
  stale_ack: { checkers: ["promises"] },
  timeout_is_success: { firstSeed: 24, seeds: 100, checkers: ["promises"] },
  ack_of_old_run: { firstSeed: 23, seeds: 60, checkers: ["followers", "promises"] },
  answer_before_commit: { checkers: ["promises", "reads", "client"] },
  dropped_from_group: { checkers: ["promises", "reads", "client"] },
  executed_twice: { checkers: ["promises", "reads"] },
  refused_but_kept: { checkers: ["promises"] },
  torn_transaction: { checkers: ["promises", "client"] },
  if_match_ignored: { checkers: ["promises", "client"] },
  stale_read: { firstSeed: 20, seeds: 60, checkers: ["reads", "client"] },
  uncommitted_read: { firstSeed: 63, seeds: 160, checkers: ["reads", "content"] },
  old_entries_in_memory: { firstSeed: 51, seeds: 60, checkers: ["history", "content"] },
  writes_while_read_only: { checkers: ["read-only"] },
  follower_writes: { firstSeed: 12, seeds: 40, checkers: ["history", "promises"] },
  run_reused: { firstSeed: 8, seeds: 40, checkers: ["history"] },
  term_not_written: { checkers: ["history", "handover"] },
  discard_before_rescue: { firstSeed: 23, seeds: 60, checkers: ["rescue"] },
  rescue_one_too_few: { firstSeed: 23, seeds: 60, checkers: ["rescue"] },
  trim_too_early: { checkers: ["retention"] },
  trim_too_young: { firstSeed: 41, seeds: 120, checkers: ["retention"] },
  trim_under_snapshot: { checkers: ["retention"] },
  snapshot_without_tail: { checkers: ["content"] },
  snapshot_stands_still: { checkers: ["liveness"] },
  promotion_not_kept: { checkers: ["liveness", "leadership", "promises", "handover"] },
  claims_ignored: { checkers: ["liveness", "failover", "leadership", "history"] },
  handover_without_drain: { seeds: 60, checkers: ["leadership", "handover"] },
  silence_while_blocked: { firstSeed: 47, seeds: 150, checkers: ["failover"] },
  doubt_not_kept: { firstSeed: 264, seeds: 100, checkers: ["leadership", "history", "liveness"] },
  lease_from_answer: { firstSeed: 389, seeds: 80, checkers: ["lease"] },
  members_not_awaited: { firstSeed: 432, seeds: 60, checkers: ["promises"] },
  remembered_apart: { checkers: ["promises"] },
  remembered_lost: { firstSeed: 14, seeds: 40, checkers: ["promises", "rules"] },
  swept_too_early: { firstSeed: 8, checkers: ["deletions"] },
  unique_in_entry_not_checked: { firstSeed: 138, seeds: 60, checkers: ["rules"] },
  schema_passed_by: { firstSeed: 30, seeds: 60, checkers: ["rules"] },
  one_left_out: { firstSeed: 38, seeds: 60, checkers: ["promises", "client"] },
  feed_skips_entry: { checkers: ["feeds"] },
  index_skips_document: { checkers: ["indexes"] },
  members_forgotten: { firstSeed: 210_000_543, seeds: 1, checkers: ["promises"] },
  lease_not_checked: { firstSeed: 107, seeds: 60, checkers: ["lease", "leadership"] },
  sidecar_ignored: { firstSeed: 2170, seeds: 20, checkers: ["history"] },
  cursor_without_batch: { firstSeed: 1, checkers: ["convergence"] },
  maximum_withholds: { firstSeed: 1, checkers: ["convergence"] },
  vector_not_sent: { firstSeed: 1, checkers: ["bytes"] },
  deletions_not_sent: { firstSeed: 1, checkers: ["convergence"] },
  withheld_for_ever: { firstSeed: 10, seeds: 40, checkers: ["convergence"] },
  cursor_always_moved: { firstSeed: 1, checkers: ["liveness", "idle"] },
  local_policy: { firstSeed: 1, checkers: ["policy", "bytes"] },
  body_written_anew: { firstSeed: 1, checkers: ["bytes"] },
};

test("every plant is expected to be caught by somebody", () => {
  assert.deepEqual(Object.keys(expected).sort(), [...plantNames].sort());
});

/** Where a fault was caught, and whether in a world of plain documents. */
const seeds = new Map<string, { readonly seed: number; readonly plain: boolean }>();

for (const [name, { firstSeed = 2, seeds: most = 20, checkers }] of mine(Object.entries(expected))) {
  test(`the plant ${name} is caught`, async () => {
    const caught = await caughtBy(name, firstSeed, most);
    assert.ok(caught !== null, `not within ${most} seeds from ${firstSeed} on`);
    const { seed, violation: { checker, message } } = caught;
    assert.ok(checkers.includes(checker), `seed ${seed}: caught by ${checker}: ${message}`);
    // Of worlds of masters that is known by now (`caughtBy`).
    if (plants[name]?.masters === true) return;
    const plain = plants[name]?.features !== true;
    seeds.set(`${seed} ${plain}`, { seed, plain });
  });
}

test("without a plant the same seeds pass", async () => {
  assert.ok(seeds.size > 0);
  for (const { seed, plain } of seeds.values()) {
    const { violation } = await runSeed(seed, { plant: null, hash: false, keep: false, trace: null, plain });
    assert.equal(violation?.stack, undefined, `seed ${seed}`);
  }
});
