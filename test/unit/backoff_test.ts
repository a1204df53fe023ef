/** Who is tried when, as the table of failures says; all of it in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { monotonicMsOf } from "../../src/base/ids.ts";
import { FailureCount, isDue } from "../../src/multimaster/backoff.ts";
import { BatchSize } from "../../src/multimaster/batch_size.ts";
import { outgoing } from "../../src/multimaster/outgoing.ts";
import type { OutgoingOptions } from "../../src/multimaster/outgoing.ts";
import type { OutgoingInput } from "../../src/multimaster/outgoing_events.ts";
import { cursorOf, databaseOf, destinationOf, termOf, urlOf } from "../tool/outgoing_rig.ts";

/** A destination that refuses each connection until `heals`, and a commit now and then. */
function rig(failures: number, options: Partial<OutgoingOptions> = {}) {
  const machine = outgoing({ databaseId: databaseOf("a"), ...options });
  const destination = destinationOf({ Url: urlOf("b") });
  let now = 0, healthy = false, request = 0;
  /** Passes in which it was tried, and how often in all. */
  const tried: number[] = [];
  function feed(input: OutgoingInput): void {
    for (const effect of machine.step(input, monotonicMsOf(now))) {
      if (effect.type === "askLastEtag") {
        tried.push(machine.passes);
        request = effect.request;
      } else if (effect.type === "findCommon") {
        feed({ type: "common", request: effect.request, after: cursorOf("a", 0) });
      } else if (effect.type === "readBatch") {
        const read = { count: 0, skipped: 0, upTo: effect.after, more: false };
        feed({ type: "read", request: effect.request, ...read });
      }
    }
    while (request !== 0) settle();
  }
  function settle(): void {
    const number = request;
    request = 0;
    if (!healthy) {
      return feed({ type: "failed", request: number, error: new DfdbError("unreachable", "refused") });
    }
    const answer = { databaseId: databaseOf("b"), term: termOf("b"), cursor: null };
    feed({ type: "answered", request: number, answer });
  }
  feed({
    type: "start",
    destinations: [destination],
    problems: [],
    sources: [],
    failures: new Map([[destination.url, failures]]),
  });
  return {
    machine,
    tried,
    commits(count: number): number[] {
      const from = tried.length;
      for (let i = 0; i < count; i++) feed({ type: "committed" });
      return tried.slice(from);
    },
    pass(ms: number): void {
      const end = now + ms;
      for (let at = machine.deadline; at !== null && at <= end; at = machine.deadline) {
        now = at;
        feed({ type: "tick" });
      }
      now = end;
    },
    count: (): number => machine.status[0]?.failureCount ?? NaN,
    heals: (): void => void (healthy = true),
  };
}

/** How often one with so many failures is tried in 10,000 passes, if its count stayed as it is. */
function triedOf(failures: number): number {
  let tried = 0;
  for (let pass = 1; pass <= 10_000; pass++) if (isDue(failures, pass)) tried++;
  return tried;
}

test("the table: every pass, every 10th, every 100th, every 1,000th; a bound belongs to the band below", () => {
  const table = [
    [0, 10_000],
    [1, 10_000],
    [2, 10_000],
    [10, 10_000],
    [11, 1_000],
    [100, 1_000],
    [101, 100],
    [1_000, 100],
    [1_001, 10],
    [1_000_000, 10],
  ] as const;
  for (const [failures, times] of table) assert.equal(triedOf(failures), times, `${failures} failures`);
});

test("the first failure is tried again at once and does not count yet; the second does", () => {
  const { count, commits, tried } = rig(0);
  assert.deepEqual([tried, count()], [[1, 1], 1]);
  assert.deepEqual([commits(1), count()], [[2], 2]);
});

test("a dead destination from the first commit on: the passes in which it is tried", () => {
  const { commits, count } = rig(0);
  // Pass 1 made it one failure; pass 10 makes it ten, and that is not more than ten.
  assert.deepEqual(commits(10), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.equal(count(), 11);
  assert.deepEqual(commits(39), [20, 30, 40, 50]);
  commits(850);
  assert.equal(count(), 100);
  assert.deepEqual(commits(10), [910], "100 is not more than 100");
  assert.equal(count(), 101);
  assert.deepEqual(commits(1_090), [
    1_000,
    1_100,
    1_200,
    1_300,
    1_400,
    1_500,
    1_600,
    1_700,
    1_800,
    1_900,
    2_000,
  ]);
});

test("at 1,000 failures every 100th pass, at 1,001 every 1,000th", () => {
  // Beginning with one less: the first pass tries everybody and counts.
  for (const [before, passes] of [[999, [100]], [1_000, [1_000]]] as const) {
    const { commits, count } = rig(before);
    assert.equal(count(), before + 1);
    const first = commits(1_999)[0];
    assert.deepEqual([first], passes, `${before + 1} failures`);
  }
});

test("a success ends it: the next failure is a first one", () => {
  for (const before of [1, 10, 100, 1_000]) {
    const { machine, heals, commits, count } = rig(before);
    assert.equal(count(), before + 1);
    heals();
    commits(1_000);
    assert.equal(count(), 0, `${before + 1} failures`);
    assert.deepEqual(commits(3).length, 3);
    assert.equal(machine.status[0]?.lastError?.code, "unreachable", "what was stays to be read");
  }
});

test("five minutes without a commit: everybody is tried, whatever the count", () => {
  const { tried, pass, commits, heals, count } = rig(5_000);
  pass(299_999);
  assert.equal(tried.length, 1);
  pass(1);
  assert.equal(tried.length, 2);
  pass(299_000);
  commits(1);
  pass(299_000);
  assert.equal(tried.length, 2, "it was not quiet");
  heals();
  pass(1_000);
  assert.deepEqual([tried.length, count()], [3, 0]);
});

test("the divisors are settings", () => {
  const { commits } = rig(1, { thinning: [{ above: 1, every: 3 }, { above: 2, every: 5 }] });
  assert.deepEqual(commits(20), [3, 5, 10, 15, 20]);
});

test("two destinations that fail are tried in the same passes, and one that does not in each", () => {
  const machine = outgoing({ databaseId: databaseOf("a") });
  const names = ["b", "c", "d"], tried = new Map<string, number[]>(names.map((name) => [name, []]));
  const feed = (input: OutgoingInput): void => {
    for (const effect of machine.step(input, monotonicMsOf(0))) {
      if (effect.type !== "askLastEtag") continue;
      const name = new URL(effect.url).hostname;
      tried.get(name)?.push(machine.passes);
      feed({ type: "failed", request: effect.request, error: new DfdbError("unreachable", "refused") });
    }
  };
  feed({
    type: "start",
    destinations: names.map((name) => destinationOf({ Url: urlOf(name) })),
    problems: [],
    sources: [],
    failures: new Map([[urlOf("b"), 50], [urlOf("c"), 60]]),
  });
  for (let i = 0; i < 29; i++) feed({ type: "committed" });
  assert.deepEqual(tried.get("b"), [1, 10, 20, 30]);
  assert.deepEqual(tried.get("c"), [1, 10, 20, 30]);
  assert.deepEqual(tried.get("d"), [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20, 30]);
});

test("an answer to the question where it stands does not make good that it takes no batch", () => {
  const failures = new FailureCount();
  assert.equal(failures.failed("send"), true);
  assert.equal(failures.failed("send"), false);
  assert.deepEqual([failures.succeeded("ask"), failures.count], [false, 1]);
  assert.equal(failures.failed("ask"), false);
  assert.deepEqual([failures.succeeded("send"), failures.count], [true, 0]);
  assert.equal(failures.failed("ask"), true, "a first failure again");
  assert.equal(failures.succeeded("ask"), false, "it never counted");
  assert.equal(failures.failed("ask"), true);
  assert.equal(failures.failed("ask"), false);
  assert.deepEqual([failures.succeeded("ask"), failures.count], [true, 0]);
});

test("a batch is halved down to one, by what it really had, and grows to what it may have", () => {
  const size = new BatchSize(1_000);
  size.tooMuch(1_000);
  assert.equal(size.items, 500);
  size.tooMuch(20);
  assert.equal(size.items, 10);
  for (let i = 0; i < 10; i++) size.tooMuch(1_000);
  assert.equal(size.items, 1);
  const grown: number[] = [];
  for (let i = 0; i < 11; i++) {
    size.sent();
    grown.push(size.items);
  }
  assert.deepEqual(grown, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000, 1_000]);
});
