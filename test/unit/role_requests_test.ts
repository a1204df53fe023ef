/** The table role × request → answer. The same table stands in src/cluster/DESIGN.md; `DFDB_REWRITE=1` writes it there. */
import assert from "node:assert/strict";
import test from "node:test";
import type { RoleFacts, RoleRequest } from "../../src/cluster/role_requests.ts";
import { refusalOf } from "../../src/cluster/role_requests.ts";
import { readBeside, rewriting, writeBeside } from "../tool/rewrite.ts";

const facts = (given: Partial<RoleFacts>): RoleFacts => ({
  kind: "none",
  readOnlyReason: null,
  following: null,
  wrote: false,
  higherEpoch: null,
  followerAhead: false,
  handover: null,
  autoFailover: false,
  ...given,
});
const leader = (given: Partial<RoleFacts>): RoleFacts => facts({ kind: "leader", wrote: true, ...given });
const follower = (given: Partial<RoleFacts>): RoleFacts =>
  facts({ kind: "follower", following: "a:1", ...given });

const states = {
  "none, nothing written in this run": facts({}),
  "none, wrote": facts({ wrote: true }),
  "none, read-only (`operator`)": facts({ wrote: true, readOnlyReason: "operator" }),
  "none, a higher epoch is known": facts({ readOnlyReason: "operator", higherEpoch: 7 }),
  "leader": leader({}),
  "leader, nothing written in this run": leader({ wrote: false }),
  "leader, read-only (`operator`)": leader({ readOnlyReason: "operator" }),
  "leader, `behind_followers`": leader({ readOnlyReason: "behind_followers" }),
  "leader, a follower is `ahead`": leader({ followerAhead: true }),
  "leader, a higher epoch is known": leader({ readOnlyReason: "operator", higherEpoch: 7 }),
  "leader, `fenced`": leader({ readOnlyReason: "fenced", higherEpoch: 7 }),
  "leader, `unconfirmed_leadership`": leader({ readOnlyReason: "unconfirmed_leadership", wrote: false }),
  "leader, `no_lease`": leader({ readOnlyReason: "no_lease" }),
  "leader, a `handover` is under way": leader({ readOnlyReason: "handover", handover: "underway" }),
  "leader, `handover_in_doubt`": leader({ readOnlyReason: "handover_in_doubt", handover: "in_doubt" }),
  "follower": follower({}),
  "follower, read-only (`operator`)": follower({ readOnlyReason: "operator" }),
  "follower, auto-failover on": follower({ autoFailover: true }),
  "follower, prepared to take over": follower({ handover: "underway" }),
  "follower of nobody": follower({ following: null }),
};

type State = keyof typeof states;
const requests = [
  "start-leader",
  "start-follower",
  "read-only",
  "read-write",
  "accept-loss",
  "resync",
  "promote",
  "handover",
  "auto-failover/enable",
  "auto-failover/disable",
  "forget",
] as const;

/** In the order of `requests`; `*`: `force` goes round it. */
const table: Record<State, string> = {
  "none, nothing written in this run": "ok ok ok ok conflict conflict conflict conflict bad_request ok ok",
  "none, wrote": "ok leader_active ok ok conflict conflict conflict conflict bad_request ok ok",
  "none, read-only (`operator`)": "ok ok ok ok conflict conflict conflict conflict bad_request ok ok",
  "none, a higher epoch is known":
    "stale_epoch* ok ok stale_epoch* conflict conflict conflict conflict bad_request ok ok",
  "leader": "bad_request leader_active ok ok conflict conflict bad_request ok bad_request ok ok",
  "leader, nothing written in this run":
    "bad_request leader_active ok ok conflict conflict bad_request ok bad_request ok ok",
  "leader, read-only (`operator`)": "bad_request ok ok ok conflict conflict bad_request ok bad_request ok ok",
  "leader, `behind_followers`":
    "bad_request ok ok conflict ok conflict bad_request conflict bad_request ok ok",
  "leader, a follower is `ahead`":
    "bad_request leader_active ok ok ok conflict bad_request ok bad_request ok ok",
  "leader, a higher epoch is known":
    "bad_request ok ok stale_epoch* conflict conflict bad_request stale_epoch bad_request ok ok",
  "leader, `fenced`":
    "bad_request ok ok stale_epoch* conflict conflict bad_request stale_epoch bad_request ok ok",
  "leader, `unconfirmed_leadership`":
    "bad_request ok ok conflict* conflict conflict bad_request conflict bad_request ok ok",
  "leader, `no_lease`": "bad_request ok ok no_lease conflict conflict bad_request no_lease bad_request ok ok",
  "leader, a `handover` is under way":
    "bad_request conflict ok ok conflict conflict bad_request conflict bad_request ok ok",
  "leader, `handover_in_doubt`":
    "bad_request ok ok stale_epoch* conflict conflict bad_request conflict bad_request ok ok",
  "follower": "leader_active bad_request ok ok conflict ok ok conflict ok ok ok",
  "follower, read-only (`operator`)": "leader_active bad_request ok ok conflict ok ok conflict ok ok ok",
  "follower, auto-failover on": "leader_active bad_request ok ok conflict ok ok conflict bad_request ok ok",
  "follower, prepared to take over":
    "leader_active bad_request ok ok conflict conflict conflict conflict ok ok ok",
  "follower of nobody": "leader_active ok ok ok conflict conflict ok conflict conflict ok ok",
};

function answer(request: RoleRequest, of: RoleFacts): string {
  const [refusal, forced] = [refusalOf(request, of), refusalOf(request, of, true)];
  if (refusal === null) {
    assert.equal(forced, null, "force takes nothing away");
    return "ok";
  }
  assert.match(refusal.message, /^[A-Z].{15,}/, "a sentence");
  if (forced !== null) assert.equal(forced.code, refusal.code);
  return refusal.code + (forced === null ? "*" : "");
}

for (const [state, answers] of Object.entries(table)) {
  test(`role requests: ${state}`, () => {
    const got = requests.map((request) => answer(request, states[state as State]));
    assert.equal(got.join(" "), answers);
  });
}

const file = "../../src/cluster/DESIGN.md";
const part = /(<!-- role requests: [^\n]* -->\n)([\s\S]*?)(<!-- \/role requests -->)/;

test("the table in DESIGN.md is this one", () => {
  const head = ["this node is", ...requests];
  const rows = Object.entries(table).map(([state, answers]) => [state, ...answers.split(" ")]);
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  const made = [head, rule, ...rows].map(line).join("\n");
  const text = readBeside(import.meta.url, file);
  const wanted = text.replace(
    part,
    (_, begin: string, __: string, end: string) => `${begin}\n${made}\n\n${end}`,
  );
  assert.match(text, part);
  if (rewriting) writeBeside(import.meta.url, file, wanted);
  else assert.equal(text, wanted, "DFDB_REWRITE=1 rewrites it");
});
