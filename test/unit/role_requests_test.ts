/** The table role × request → answer (src/cluster/DESIGN.md). */
import assert from "node:assert/strict";
import test from "node:test";
import type { ErrorCode } from "../../src/base/errors.ts";
import type { RoleFacts, RoleRequest } from "../../src/cluster/role_requests.ts";
import { refusalOf } from "../../src/cluster/role_requests.ts";

const facts = (given: Partial<RoleFacts>): RoleFacts => ({
  kind: "none",
  readOnlyReason: null,
  following: null,
  wrote: false,
  higherEpoch: null,
  followerAhead: false,
  ...given,
});

const states = {
  "none, nothing written": facts({}),
  "none, wrote": facts({ wrote: true }),
  "none, read-only": facts({ wrote: true, readOnlyReason: "operator" }),
  "none, higher epoch known": facts({ readOnlyReason: "operator", higherEpoch: 7 }),
  "leader": facts({ kind: "leader", wrote: true }),
  "leader, nothing written": facts({ kind: "leader" }),
  "leader, read-only": facts({ kind: "leader", wrote: true, readOnlyReason: "operator" }),
  "leader, behind followers": facts({ kind: "leader", readOnlyReason: "behind_followers" }),
  "leader, a follower is ahead": facts({ kind: "leader", wrote: true, followerAhead: true }),
  "leader, higher epoch known": facts({ kind: "leader", readOnlyReason: "operator", higherEpoch: 7 }),
  "follower": facts({ kind: "follower", following: "a:1" }),
  "follower, read-only": facts({ kind: "follower", following: "a:1", readOnlyReason: "operator" }),
  "follower of nobody": facts({ kind: "follower" }),
};

type Answer = ErrorCode | "ok";
const requests = [
  "start-leader",
  "start-follower",
  "read-only",
  "read-write",
  "accept-loss",
  "resync",
] as const;

/** In the order of `requests`. */
const table: Record<keyof typeof states, readonly Answer[]> = {
  "none, nothing written": ["ok", "ok", "ok", "ok", "conflict", "conflict"],
  "none, wrote": ["ok", "leader_active", "ok", "ok", "conflict", "conflict"],
  "none, read-only": ["ok", "ok", "ok", "ok", "conflict", "conflict"],
  "none, higher epoch known": ["stale_epoch", "ok", "ok", "stale_epoch", "conflict", "conflict"],
  "leader": ["bad_request", "leader_active", "ok", "ok", "conflict", "conflict"],
  "leader, nothing written": ["bad_request", "leader_active", "ok", "ok", "conflict", "conflict"],
  "leader, read-only": ["bad_request", "ok", "ok", "ok", "conflict", "conflict"],
  "leader, behind followers": ["bad_request", "ok", "ok", "conflict", "ok", "conflict"],
  "leader, a follower is ahead": ["bad_request", "leader_active", "ok", "ok", "ok", "conflict"],
  "leader, higher epoch known": ["bad_request", "ok", "ok", "stale_epoch", "conflict", "conflict"],
  "follower": ["leader_active", "bad_request", "ok", "ok", "conflict", "ok"],
  "follower, read-only": ["leader_active", "bad_request", "ok", "ok", "conflict", "ok"],
  "follower of nobody": ["leader_active", "ok", "ok", "ok", "conflict", "conflict"],
};

for (const [state, answers] of Object.entries(table)) {
  test(`role requests: ${state}`, () => {
    const got = requests.map((request: RoleRequest): Answer => {
      const refusal = refusalOf(request, states[state as keyof typeof states]);
      if (refusal !== null) assert.match(refusal.message, /^[A-Z].{15,}/, "a sentence");
      return refusal?.code ?? "ok";
    });
    assert.deepEqual(Object.fromEntries(requests.map((name, i) => [name, got[i]])), {
      ...Object.fromEntries(requests.map((name, i) => [name, answers[i]])),
    });
  });
}
