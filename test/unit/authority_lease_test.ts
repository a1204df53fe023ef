/** The lease: until when it may be relied on, and when it is renewed. */
import assert from "node:assert/strict";
import test from "node:test";
import { monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import { type LeaseInput, LeaseMachine } from "../../src/cluster/authority/lease.ts";

const wallStart = 1_760_000_000_000;

type Without<Input> = Input extends unknown ? Omit<Input, "wall"> : never;

/** A lease of 10 s, on clocks that the test moves. */
class Bench {
  readonly machine = new LeaseMachine();
  now = 0;
  /** The wall clock ahead of the other. */
  aheadMs = 0;

  get sent() {
    return { at: monotonicMsOf(this.now), wall: wallMsOf(wallStart + this.now + this.aheadMs) };
  }

  feed(input: Without<LeaseInput>) {
    const { at, wall } = this.sent;
    return this.machine.step({ ...input, wall } as LeaseInput, at);
  }

  /** At `now`: "ok", or why it must not be relied on. */
  at(now: number): string {
    this.now = now;
    const { at, wall } = this.sent;
    return this.machine.ended(at, wall) ?? "ok";
  }

  tick(now: number) {
    this.now = now;
    return this.feed({ type: "tick" });
  }

  taken(id = "1", ttlMs = 10_000) {
    assert.deepEqual(this.feed({ type: "taken", id, ttlMs, sent: this.sent }), []);
    return this;
  }
}

const late = "it was not renewed in time", jumped = "the wall clock jumped, or this machine was suspended";
const none = "this node does not hold the lease";
const lost = (why: string) => [{ type: "lost", why }];

test("it holds for 0.8 of its time, from when it was asked for", () => {
  const bench = new Bench();
  assert.equal(bench.at(0), none);
  assert.equal(bench.machine.deadline, null);
  const { sent } = bench;
  bench.now = 1_500;
  bench.feed({ type: "taken", id: "1", ttlMs: 10_000, sent });
  assert.equal(bench.machine.id, "1");
  assert.deepEqual([bench.at(7_999), bench.at(8_000)], ["ok", late]);
  assert.deepEqual(bench.tick(8_000), lost(late));
  assert.deepEqual([bench.at(8_000), bench.machine.deadline, bench.machine.id], [none, null, null]);
  assert.deepEqual(bench.tick(9_000), [], "it is lost once");
});

test("a lease that was granted too late is never held", () => {
  const bench = new Bench(), { sent } = bench;
  bench.now = 8_000;
  assert.deepEqual(bench.feed({ type: "taken", id: "1", ttlMs: 10_000, sent }), lost(late));
});

test("it is renewed at a quarter of its time, and counts from when that was sent", () => {
  const bench = new Bench().taken();
  assert.equal(bench.machine.deadline, 2_500);
  assert.deepEqual(bench.tick(2_499), []);
  assert.deepEqual(bench.tick(2_500), [{ type: "renew", id: "1" }]);
  assert.equal(bench.machine.deadline, 8_000, "one renewal at a time");
  const { sent } = bench;
  assert.deepEqual(bench.tick(3_000), []);
  assert.deepEqual(bench.feed({ type: "renewed", id: "1", ttlMs: 10_000, sent }), []);
  assert.equal(bench.machine.deadline, 5_000);
  assert.deepEqual([bench.at(10_499), bench.at(10_500)], ["ok", late]);
});

test("a renewal that failed is tried again soon; one without an end lets it run out", () => {
  const bench = new Bench().taken();
  bench.tick(2_500);
  bench.now = 3_750;
  bench.feed({ type: "failed", id: "1" });
  assert.equal(bench.machine.deadline, 4_250);
  assert.deepEqual(bench.tick(4_250), [{ type: "renew", id: "1" }]);
  assert.deepEqual(bench.tick(8_000), lost(late));
});

test("an answer that comes after the end does not bring it back", () => {
  const bench = new Bench().taken();
  bench.tick(2_500);
  const { sent } = bench;
  bench.now = 8_000;
  assert.deepEqual(bench.feed({ type: "renewed", id: "1", ttlMs: 10_000, sent }), lost(late));
  assert.deepEqual(bench.feed({ type: "renewed", id: "1", ttlMs: 10_000, sent }), []);
  assert.equal(bench.at(8_000), none);
});

test("an answer that nobody knows the lease ends it now, and so does somebody else in its place", () => {
  const gone = new Bench().taken();
  gone.tick(2_500);
  const answer = { type: "renewed", id: "1", ttlMs: 0, sent: gone.sent } as const;
  assert.deepEqual(gone.feed(answer), lost("it is not known any more"));
  assert.equal(gone.at(2_500), none);
  const replaced = new Bench().taken();
  assert.deepEqual(
    replaced.feed({ type: "replaced", id: "1" }),
    lost("somebody else has its place, or nobody"),
  );
});

test("wall time that runs away from monotonic time: the machine was suspended", () => {
  for (
    const [aheadMs, now, said] of [
      [1_000, 1, "ok"],
      [1_001, 1, jumped],
      [3_600_000, 1, jumped],
      [-3_600_000, 7_999, "ok"],
      // A suspend within what is let pass counts as time.
      [900, 7_099, "ok"],
      [900, 7_100, late],
    ] as const
  ) {
    const bench = new Bench().taken();
    bench.aheadMs = aheadMs;
    assert.equal(bench.at(now), said, `${aheadMs} ms ahead at ${now}`);
  }
});

test("a short lease does not outlive a short suspend", () => {
  const bench = new Bench().taken("1", 2_000);
  bench.aheadMs = 900;
  assert.deepEqual([bench.at(699), bench.at(700)], ["ok", late]);
});

test("what the wall clock did before a renewal was sent does not count after it", () => {
  const bench = new Bench().taken();
  bench.aheadMs = 800;
  bench.tick(2_500);
  assert.deepEqual(bench.feed({ type: "renewed", id: "1", ttlMs: 10_000, sent: bench.sent }), []);
  bench.aheadMs = 1_600;
  assert.equal(bench.at(2_600), "ok");
});

test("a renewal sent before a suspend and answered after it is worth nothing", () => {
  const bench = new Bench().taken();
  bench.tick(2_500);
  const { sent } = bench;
  bench.aheadMs = 60_000;
  bench.now = 2_510;
  assert.deepEqual(bench.feed({ type: "renewed", id: "1", ttlMs: 10_000, sent }), lost(jumped));
});

test("answers about an older lease change nothing", () => {
  const bench = new Bench().taken("1");
  bench.tick(2_500);
  const { sent } = bench;
  bench.now = 3_000;
  bench.taken("2");
  assert.deepEqual(bench.feed({ type: "replaced", id: "1" }), []);
  assert.deepEqual(bench.feed({ type: "renewed", id: "1", ttlMs: 0, sent }), []);
  assert.deepEqual(bench.feed({ type: "failed", id: "1" }), []);
  assert.deepEqual([bench.at(3_000), bench.machine.deadline], ["ok", 5_500]);
});

test("what was given up is not lost", () => {
  const bench = new Bench().taken();
  assert.deepEqual(bench.feed({ type: "released" }), []);
  assert.deepEqual([bench.at(1), bench.tick(9_000)], [none, []]);
});
