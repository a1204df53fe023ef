import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeLog, put, seenAs } from "./fake_log.ts";
import { History } from "./history.ts";
import { LeadershipCheck } from "./leadership_check.ts";
import type { Cause } from "./transitions_watch.ts";
import { Violation } from "./types.ts";

/** n1, n2 and n3, whose ids are a, b and c; n1 leads, and n2 and n3 have its three entries. */
function rig() {
  const machines = new Map(
    [["a", "n1"], ["b", "n2"], ["c", "n3"]].map(([id, name]) => [id?.repeat(32), name]),
  );
  const history = new History(() => 0);
  const check = new LeadershipCheck({ history, machineOf: (nodeId) => machines.get(nodeId) ?? null });
  const see = (machine: string, log: FakeLog): void => history.observe(seenAs(machine, log));
  const begins = (machine: string, cause: Cause, from?: string): void =>
    check.begins(machine, { cause, over: false, ...(from === undefined ? {} : { from: from.repeat(32) }) });
  const old = new FakeLog().begin().add([put("a", 0, "t1")]), second = old.copy(), third = old.copy();
  see("n1", old);
  see("n2", second);
  see("n3", third);
  return { check, history, see, begins, old, second, third };
}

function violates(run: () => void, message: RegExp): void {
  assert.throws(run, (thrown) => {
    assert.ok(thrown instanceof Violation, `${thrown}`);
    assert.equal(thrown.checker, "leadership");
    assert.match(thrown.message, message);
    return true;
  });
}

const more = (log: FakeLog): FakeLog => log.add([put("b", 0, "late")]);

test("what a leader writes after it agreed that another one leads is seen, whichever is seen first", () => {
  for (const late of [false, true]) {
    const { see, begins, old, third } = rig();
    begins("n3", "handover", "a");
    const seen = [() => see("n3", third.term(2, "3", "c")), () => see("n1", more(old))];
    if (late) seen.reverse();
    seen[0]?.();
    violates(
      () => seen[1]?.(),
      /2\.33333333-4 took over after 1\.11111111-3 by agreement, and .* was written/,
    );
  }
});

test("a leader by force that has written nothing gives what it has: its predecessor did not agree", () => {
  const { check, history, see, begins, old, third } = rig();
  begins("n2", "forced");
  begins("n3", "handover", "b");
  see("n3", third.term(2, "3", "c"));
  assert.deepEqual(check.counts, { start: 1, handover: 1 });
  see("n1", more(old));
  assert.ok(check.mayLack(history.tip("n3"), history.tip("n1")));
});

test("so does who took over from that one and ended before its own run began", () => {
  const { check, history, see, begins, old, second } = rig();
  begins("n2", "failover");
  begins("n3", "handover", "b");
  begins("n2", "handover", "c");
  see("n2", second.term(2, "2", "b"));
  see("n1", more(old));
  assert.ok(check.mayLack(history.tip("n2"), history.tip("n1")));
});

test("a leader by force that wrote agrees for what it wrote", () => {
  const { see, begins, second, third } = rig();
  begins("n2", "forced");
  see("n2", second.term(2, "2", "b"));
  third.become(second);
  see("n3", third);
  begins("n3", "handover", "b");
  see("n3", third.term(3, "3", "c"));
  violates(() => see("n2", more(second)), /took over after 2\.22222222-4 by agreement/);
});

test("the writer of the last run agrees for it, though it began anew by force", () => {
  const { see, begins, old, third } = rig();
  begins("n1", "forced");
  begins("n3", "handover", "a");
  see("n3", third.term(2, "3", "c"));
  violates(() => see("n1", more(old)), /took over after 1\.11111111-3 by agreement/);
});
