/** What is kept of destinations that fail: at most one write a minute for each. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { databaseIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { FailureNotes } from "../../src/node/failure_notes.ts";
import { failureNotes } from "../../src/node/failure_notes.ts";
import type { NotedFailure } from "../../src/storage/storage.ts";
import { ManualClock } from "../tool/manual_clock.ts";

const minute = limits.failureNoteEveryMs, id = databaseIdOf("1".repeat(32));
const late = new DfdbError("timeout", "no answer");

class Rig {
  readonly clock = new ManualClock();
  readonly kept = new Map<string, NotedFailure>();
  readonly writes: string[] = [];
  full = false;

  open(): FailureNotes {
    const write = (what: string): void => {
      if (this.full) throw new DfdbError("disk_full", "no room");
      this.writes.push(what);
    };
    return failureNotes({
      databaseId: () => id,
      clock: this.clock,
      logger: silentLogger,
      store: {
        failures: () => [...this.kept.values()],
        keepFailure: (_, failure) => {
          write(`${failure.url} ${failure.count}`);
          this.kept.set(failure.url, failure);
        },
        clearFailure: (_, url) => {
          write(`${url} gone`);
          return this.kept.delete(url);
        },
      },
    });
  }
}

const counts = (notes: FailureNotes): readonly (readonly [string, number])[] =>
  notes.all().map(({ url, count }) => [url, count]);

test("the first failure is kept at once, the following ones once a minute, each destination on its own", async () => {
  const rig = new Rig(), notes = rig.open();
  for (let count = 1; count <= 5; count++) notes.note("a", count, late);
  assert.deepEqual(rig.writes, ["a 1"]);
  assert.deepEqual(counts(notes), [["a", 5]]);
  await rig.clock.advance(minute / 2);
  notes.note("b", 1, late);
  assert.deepEqual(rig.writes, ["a 1", "b 1"]);
  notes.note("a", 6, late);
  await rig.clock.advance(minute / 2 - 1);
  assert.equal(rig.writes.length, 2);
  await rig.clock.advance(1);
  assert.deepEqual(rig.writes, ["a 1", "b 1", "a 6"]);
  assert.equal(rig.kept.get("a")?.error.code, "timeout");
  await rig.clock.advance(10 * minute);
  assert.equal(rig.writes.length, 3, "nothing new, nothing written");
  assert.equal(rig.clock.timers, 0);
});

test("one that is well again is not shown, and goes from the disk when it may be written", async () => {
  const rig = new Rig(), notes = rig.open();
  notes.note("a", 1, late);
  notes.clear("a");
  notes.clear("never failed");
  assert.deepEqual([counts(notes), rig.writes], [[], ["a 1"]]);
  notes.note("a", 1, late);
  notes.clear("a");
  await rig.clock.advance(minute);
  assert.deepEqual(rig.writes, ["a 1", "a gone"]);
});

test("what is not written yet is written at the end, and read at the next start", () => {
  const rig = new Rig(), notes = rig.open();
  notes.note("a", 1, late);
  notes.note("a", 20, late);
  notes.close();
  notes.note("a", 21, late);
  assert.deepEqual(rig.writes, ["a 1", "a 20"]);
  assert.equal(rig.clock.timers, 0);
  const again = rig.open();
  assert.deepEqual(counts(again), [["a", 20]]);
  again.clear("a");
  assert.deepEqual([counts(again), rig.kept.size], [[], 0]);
});

test("a disk that is full is tried again a minute later", async () => {
  const rig = new Rig(), notes = rig.open();
  rig.full = true;
  notes.note("a", 1, late);
  assert.deepEqual(counts(notes), [["a", 1]]);
  await rig.clock.advance(minute);
  rig.full = false;
  notes.note("a", 2, late);
  assert.deepEqual(rig.writes, []);
  await rig.clock.advance(minute);
  assert.deepEqual(rig.writes, ["a 2"]);
});
