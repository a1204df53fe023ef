import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import type { ReadOnlyReason } from "../../src/cluster/role.ts";
import type { NodeDatabase } from "../../src/node/database.ts";
import type { LagBounds } from "../../src/node/readiness.ts";
import { readiness } from "../../src/node/readiness.ts";
import type { FollowingState } from "../../src/replication/types.ts";

interface Given {
  readonly state: FollowingState;
  readonly lagSeq?: number | null;
  readonly lagMs?: number | null;
}

function follower({ state, lagSeq = 0, lagMs = 0 }: Given): NodeDatabase {
  const status = { state, lagSeq, lagMs, lastError: { code: "gap", message: "a hole", atMs: 0 } };
  return {
    role: { kind: "follower" },
    replication: { following: { status: () => status } },
  } as unknown as NodeDatabase;
}

const ready = (given: Given, bounds?: LagBounds): boolean => readiness(follower(given), bounds) === null;

test("readiness: without bounds a follower is ready once it streams, in no other state", () => {
  const states: FollowingState[] = [
    "connecting",
    "handshake",
    "catching_up",
    "waiting",
    "refused",
    "ahead",
    "corrupt",
    "error",
    "diverged",
    "rescuing",
    "snapshot",
    "installing",
    "stopped",
  ];
  assert.equal(ready({ state: "streaming", lagSeq: 900 }), true);
  for (const state of states) {
    assert.equal(ready({ state }), false, state);
    assert.equal(ready({ state }, { maxLagSeq: 10 }), state === "catching_up", `${state}, with bounds`);
    assert.match(readiness(follower({ state })) as string, /\(gap: a hole\)$/);
  }
});

test("readiness: a follower is ready within both bounds; a lag that is not known is outside", () => {
  const at = { state: "streaming", lagSeq: 10, lagMs: 200 } as const;
  assert.equal(ready(at, { maxLagSeq: 10, maxLagMs: 200 }), true);
  assert.equal(ready(at, { maxLagSeq: 9 }), false);
  assert.equal(ready(at, { maxLagMs: 199 }), false);
  assert.equal(ready(at, { maxLagSeq: 10, maxLagMs: 0 }), false);
  assert.equal(ready({ ...at, lagSeq: null }, { maxLagSeq: 1_000 }), false);
  assert.equal(ready({ ...at, lagMs: null }, { maxLagMs: 1_000 }), false);
});

const leads = (kind: string, reason: string | null, lease = true): NodeDatabase =>
  ({
    role: { kind, readOnly: { reason } },
    replication: { following: null },
    authority: { check: () => lease ? null : new DfdbError("no_lease", "lost") },
  }) as unknown as NodeDatabase;

test("readiness: a leader is ready while nobody else can have answered a write, read-only or not", () => {
  const reasons: [reason: ReadOnlyReason | null, not: RegExp | null][] = [
    [null, null],
    ["operator", null],
    ["handover", null],
    ["behind_followers", /lacks entries/],
    ["fenced", /another node has led since/],
    ["handover_in_doubt", /gave its role away/],
    ["no_lease", /authority/],
    ["unconfirmed_leadership", /asks whether another node leads/],
  ];
  for (const kind of ["leader", "none"]) {
    for (const [reason, not] of reasons) {
      const told = readiness(leads(kind, reason), { maxLagSeq: 0 });
      if (not === null) assert.equal(told, null, `${kind}, ${reason}`);
      else assert.match(told ?? "ready", not, `${kind}, ${reason}`);
    }
    assert.match(readiness(leads(kind, null, false)) ?? "ready", /authority/, "no write has found out yet");
    assert.match(readiness(leads(kind, "operator", false)) ?? "ready", /authority/);
  }
});

test("readiness: a follower of nobody is not ready", () => {
  assert.match(readiness(leads("follower", null)) as string, /follows nobody/);
});
