/** The role at start, as tables: each row is what was kept, each column what is configured. */
import assert from "node:assert/strict";
import test from "node:test";
import { epochOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import type { RoleKind } from "../../src/cluster/role.ts";
import type { StartFacts, StartRole } from "../../src/node/start_role.ts";
import { startRole } from "../../src/node/start_role.ts";
import type { TermRecord } from "../../src/storage/log.ts";
import type { NodeState, RoleOrigin } from "../../src/storage/storage.ts";

const roles: readonly RoleKind[] = ["none", "leader", "follower"];
const origins: readonly RoleOrigin[] = [
  "settings",
  "operator",
  "promoted",
  "failover",
  "handover",
  "fenced",
];
const states = [null, ...roles.flatMap((role) => origins.map((origin) => ({ role, origin })))];
const columns: readonly Pick<StartFacts, "configured" | "force">[] = [
  { configured: "none", force: false },
  { configured: "leader", force: false },
  { configured: "follower", force: false },
  { configured: "kept", force: false },
  { configured: "none", force: true },
  { configured: "leader", force: true },
  { configured: "follower", force: true },
];

const kept = (fields: Partial<NodeState>): NodeState => ({
  role: "leader",
  highestEpoch: 7,
  readOnly: false,
  readOnlyReason: null,
  origin: "settings",
  leadPort: 6000,
  term: null,
  leaderAddress: null,
  handover: null,
  ...fields,
});
const lastTerm = (epoch: number, run: string): TermRecord => ({
  epoch: epochOf(epoch),
  run: runIdOf(run.repeat(32)),
  nodeId: nodeIdOf("a".repeat(32)),
  firstSeq: seqOf(1),
});

/** Rows of `show` for all that may be kept and configured, in columns. */
function table(of: typeof columns, show: (start: StartRole) => string): string {
  const names = of.map(({ configured, force }) => `${force ? "force " : ""}${configured}`);
  const rows = states.map((state) => [
    state === null ? "nothing" : `${state.role} ${state.origin}`,
    ...of.map((column) =>
      show(
        startRole({ ...column, kept: state === null ? null : kept(state), lastTerm: lastTerm(7, "1") }),
      )
    ),
  ]);
  const all = [["kept", ...names], ...rows];
  const widths = (all[0] as string[]).map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  return all.map((row) => row.map((cell, i) => cell.padEnd(widths[i] as number)).join(" | ").trimEnd()).join(
    "\n",
  );
}

test("start role: every role kept, every way to it, every configured one", () => {
  // own: by settings from now on; + begins a new epoch; : leads on the port on which it was promoted or started
  const found = table(
    columns,
    ({ kind, origin, newEpoch, leadPort }) =>
      `${origin === "settings" ? "own " : ""}${kind}${newEpoch ? "+" : ""}${leadPort === null ? "" : ":"}`,
  );
  assert.equal(
    found,
    `
kept              | none         | leader       | follower     | kept         | force none | force leader | force follower
nothing           | own none     | own leader   | own follower | own none     | own none+  | own leader+  | own follower
none settings     | own none     | own leader   | own follower | own none     | own none+  | own leader+  | own follower
none operator     | none:        | own leader   | own follower | none:        | own none+  | own leader+  | own follower
none promoted     | none:        | leader:      | none:        | none:        | own none+  | own leader+  | own follower
none failover     | none:        | leader:      | none:        | none:        | own none+  | own leader+  | own follower
none handover     | none:        | leader:      | none:        | none:        | own none+  | own leader+  | own follower
none fenced       | none:        | leader:      | none:        | none:        | own none+  | own leader+  | own follower
leader settings   | own none     | own leader   | own follower | own none     | own none+  | own leader+  | own follower
leader operator   | leader:      | leader:      | leader:      | none:        | own none+  | own leader+  | own follower
leader promoted   | leader:      | leader:      | leader:      | none:        | own none+  | own leader+  | own follower
leader failover   | leader:      | leader:      | leader:      | none:        | own none+  | own leader+  | own follower
leader handover   | leader:      | leader:      | leader:      | none:        | own none+  | own leader+  | own follower
leader fenced     | leader:      | leader:      | leader:      | none:        | own none+  | own leader+  | own follower
follower settings | own follower | own follower | own follower | own follower | own none+  | own leader+  | own follower
follower operator | follower     | follower     | follower     | follower     | own none+  | own leader+  | own follower
follower promoted | follower     | follower     | follower     | follower     | own none+  | own leader+  | own follower
follower failover | follower     | follower     | follower     | follower     | own none+  | own leader+  | own follower
follower handover | follower     | follower     | follower     | follower     | own none+  | own leader+  | own follower
follower fenced   | follower     | follower     | follower     | follower     | own none+  | own leader+  | own follower
`.trim(),
  );
});

test("start role: what people are told when it is not the configured one", () => {
  const found = table(columns.slice(0, 3), ({ note }) => note ?? "-");
  assert.equal(
    found,
    `
kept              | none                                                     | leader                                                     | follower
nothing           | -                                                        | -                                                          | -
none settings     | -                                                        | -                                                          | -
none operator     | -                                                        | -                                                          | -
none promoted     | -                                                        | -                                                          | promoted; configured as follower
none failover     | -                                                        | -                                                          | promoted; configured as follower
none handover     | -                                                        | -                                                          | promoted; configured as follower
none fenced       | -                                                        | -                                                          | kept; configured as follower
leader settings   | -                                                        | -                                                          | -
leader operator   | started by an operator; configured as none               | -                                                          | started by an operator; configured as follower
leader promoted   | promoted; configured as none                             | -                                                          | promoted; configured as follower
leader failover   | promoted; configured as none                             | -                                                          | promoted; configured as follower
leader handover   | promoted; configured as none                             | -                                                          | promoted; configured as follower
leader fenced     | kept; configured as none                                 | -                                                          | kept; configured as follower
follower settings | following since it was configured so; configured as none | following since it was configured so; configured as leader | -
follower operator | following since an operator asked; configured as none    | following since an operator asked; configured as leader    | -
follower promoted | following; configured as none                            | following; configured as leader                            | -
follower failover | following; configured as none                            | following; configured as leader                            | -
follower handover | following since it handed over; configured as none       | following since it handed over; configured as leader       | -
follower fenced   | following since a higher epoch came; configured as none  | following since a higher epoch came; configured as leader  | -
`.trim(),
  );
});

test("start role: a promotion is unfinished while the log has no entry of its epoch", () => {
  const term = { epoch: epochOf(7), run: runIdOf("7".repeat(32)) };
  const start = (
    fields: Partial<NodeState>,
    last: TermRecord | undefined,
    more: Partial<StartFacts> = {},
  ) => {
    const facts = { configured: "follower", force: false, ...more } as const;
    const { kind, unfinished, newEpoch } = startRole({
      ...facts,
      kept: kept({ origin: "failover", term, ...fields }),
      lastTerm: last,
    });
    return [kind, unfinished, newEpoch];
  };
  assert.deepEqual(start({}, undefined), ["leader", true, true], "nothing in the log");
  assert.deepEqual(start({}, lastTerm(6, "6")), ["leader", true, true], "the old leader's run is the last");
  assert.deepEqual(start({}, lastTerm(7, "7")), ["leader", false, false], "its entry is there");
  assert.deepEqual(start({}, lastTerm(7, "8")), ["leader", false, false], "it was restarted since");
  assert.deepEqual(start({}, lastTerm(8, "8")), ["leader", false, false], "a later epoch has begun since");
  assert.deepEqual(start({ term: null }, lastTerm(6, "6")), ["leader", false, false], "none was taken");
  assert.deepEqual(start({ role: "follower" }, lastTerm(6, "6")), ["follower", false, false], "it gave up");
  assert.deepEqual(start({}, lastTerm(6, "6"), { configured: "kept" }), ["none", true, true], "embedded");
  assert.deepEqual(start({}, lastTerm(6, "6"), { force: true }), ["follower", false, false], "forced");
});

test("start role: a forced role says what it was", () => {
  const note = (configured: RoleKind) =>
    startRole({ configured, kept: kept({ role: "follower" }), force: true, lastTerm: undefined }).note;
  assert.deepEqual([note("leader"), note("follower")], ["forced; it was a follower", "forced"]);
});

test("start role: a state without a role is no role", () => {
  const start = startRole({
    configured: "leader",
    kept: kept({ role: null }),
    force: false,
    lastTerm: undefined,
  });
  assert.deepEqual([start.kind, start.origin, start.leadPort], ["leader", "settings", null]);
});
