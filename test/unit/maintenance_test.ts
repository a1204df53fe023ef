import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/logger.ts";
import { signal } from "../../src/base/signal.ts";
import { maintenance } from "../../src/node/maintenance.ts";
import { settledWall } from "../../src/node/settled_wall.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import type { Position } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import type { Storage, TrimPolicy } from "../../src/storage/storage.ts";
import { ClockWorld } from "../sim/clock_world.ts";

const minute = 60_000, hour = 60 * minute, day = 24 * hour;

/** Maintenance over a storage that only notes what it is asked. */
function rig(logAgeMs = 7 * day) {
  const world = new ClockWorld(1), committed = signal<Position>(origin), offset = { ms: 0 };
  const clock: Clock = {
    monotonic: () => world.monotonic(),
    wall: () => wallMsOf(world.wall() + offset.ms),
    timer: (ms, run) => world.timer(ms, run),
    macrotask: (run) => world.macrotask(run),
  };
  const trims: { at: number; event: number; policy: TrimPolicy }[] = [], warnings: string[] = [];
  const fatal: DfdbError[] = [];
  const due = { reclaims: 0, slices: 0, trims: 0, long: false, error: null as DfdbError | null };
  const moves: PromiseWithResolvers<void>[] = [];
  const checkpoint = (): Promise<void> => {
    const move = Promise.withResolvers<void>();
    moves.push(move);
    return move.promise;
  };
  const storage = {
    checkpointIfDue: () => {
      if (due.error !== null) throw due.error;
      return due.long;
    },
    reclaim: () => due.reclaims-- > 0,
    buildSlice: () => due.slices-- > 0,
    trimLog: (policy: TrimPolicy) => {
      trims.push({ at: world.now, event: world.events, policy });
      return due.trims-- > 0;
    },
  } as unknown as Storage;
  const note = (message: string): void => void warnings.push(message);
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const onFatal = (error: DfdbError): void => void fatal.push(error);
  const stop = maintenance({
    storage,
    clock,
    committed,
    logger,
    logBytesMax: 1_000,
    logAgeMs,
    checkpoint,
    onFatal,
  });
  const run = (ms: number) => {
    let over = false;
    world.timer(ms, () => over = true);
    return world.until(() => over, ms);
  };
  return { world, committed, clock, offset, trims, warnings, fatal, due, moves, stop, run };
}

/** Virtual times at which age counted. */
function agedAt(trims: ReturnType<typeof rig>["trims"]): number[] {
  return trims.filter(({ policy }) => policy.age !== null).map(({ at }) => at);
}

test("maintenance: trims by bytes after a commit, each slice in a macrotask of its own", async () => {
  const { committed, trims, due, run, stop } = rig();
  await run(1);
  assert.deepEqual(trims.map(({ policy }) => policy), [{ bytesMax: 1_000, age: null }], "at the start");
  due.trims = 3;
  for (let i = 0; i < 5; i++) committed.emit(origin);
  assert.equal(trims.length, 1, "not in the commit's macrotask");
  await run(1);
  assert.equal(trims.length, 5);
  assert.equal(new Set(trims.map(({ event }) => event)).size, 5);
  stop();
});

test("maintenance: dropped collections and the log get a slice each in every turn; neither waits for the other", async () => {
  const { trims, due, run, stop } = rig();
  due.reclaims = 3;
  due.trims = 1;
  await run(1);
  assert.deepEqual(trims.map(({ event }) => event), [1, 2, 3, 4]);
  assert.equal(due.reclaims, -1, "until nothing is left");
  stop();
});

test("maintenance: indexes are filled, a slice in every turn beside the others", async () => {
  const { committed, trims, due, run, stop } = rig();
  await run(1);
  due.slices = 4;
  due.reclaims = 2;
  committed.emit(origin);
  await run(1);
  assert.equal(trims.length, 1 + 5);
  assert.ok(due.slices < 0, "until nothing is left");
  stop();
});

test("maintenance: age counts once a minute, after the clock was steady for an hour", async () => {
  const { world, clock, committed, trims, due, run, stop } = rig();
  const start = clock.wall();
  await run(hour - 1);
  assert.deepEqual(agedAt(trims), []);
  committed.emit(origin);
  await run(minute / 2);
  assert.deepEqual(agedAt(trims), [hour]);
  assert.deepEqual(trims.at(-1)?.policy, { bytesMax: 1_000, age: { msMax: 7 * day, now: start + hour } });
  committed.emit(origin);
  await run(10);
  assert.deepEqual(agedAt(trims), [hour], "a commit in between does not ask again");
  due.trims = 2;
  await run(minute);
  assert.deepEqual(agedAt(trims), [hour, ...Array(3).fill(hour + minute)], "all slices of one look");
  const before = world.events;
  stop();
  committed.emit(origin);
  await run(hour);
  assert.equal(agedAt(trims).length, 4);
  assert.equal(world.events, before + 1, "no timer is left but the test's own");
});

test("maintenance: a jump of the wall clock, either way, begins the hour anew", async () => {
  for (const jump of [365 * day, -365 * day, 2 * minute, -2 * minute]) {
    const { offset, trims, run, stop } = rig();
    await run(2 * hour);
    const before = agedAt(trims).length;
    assert.ok(before >= 60);
    offset.ms = jump;
    await run(hour - minute);
    assert.equal(agedAt(trims).length, before, `${jump}`);
    await run(3 * minute);
    assert.ok(agedAt(trims).length > before);
    stop();
  }
});

test("maintenance: a log that is kept for less than an hour waits no longer than that", async () => {
  const { trims, run, stop } = rig(5 * minute);
  await run(6.5 * minute);
  assert.deepEqual(agedAt(trims), [5 * minute, 6 * minute]);
  stop();
});

test("maintenance: a full disk is told once and tried again; a broken one ends the node", async () => {
  const { committed, due, warnings, fatal, run, stop } = rig();
  due.error = new DfdbError("disk_full", "no space");
  for (let i = 0; i < 3; i++) {
    committed.emit(origin);
    await run(1);
  }
  assert.equal(warnings.length, 1);
  due.error = new DfdbError("io_error", "bad sector");
  committed.emit(origin);
  await run(1);
  assert.deepEqual([warnings.length, fatal.map(({ code }) => code)], [1, ["io_error"]]);
  stop();
});

test("maintenance: what is in the way for a while ends nothing: told once, tried again", async () => {
  const { committed, due, moves, warnings, fatal, run, stop } = rig();
  const commit = async (error: DfdbError | null): Promise<void> => {
    due.error = error;
    committed.emit(origin);
    await run(1);
  };
  const locked = new DfdbError("data_locked", "somebody reads"), odd = new DfdbError("internal", "a worker");
  for (const error of [locked, locked, odd, odd, locked]) await commit(error);
  assert.deepEqual([warnings.length, fatal.length], [3, 0]);
  due.long = true;
  await commit(null);
  moves[0]?.reject(odd);
  await commit(null);
  moves[1]?.reject(new DfdbError("data_corrupt", "torn"));
  await run(1);
  assert.deepEqual([moves.length, warnings.length, fatal.map(({ code }) => code)], [2, 4, ["data_corrupt"]]);
  due.long = false;
  await stop();
});

test("maintenance: a long WAL is moved by a worker, one at a time; stopping waits for it", async () => {
  const { committed, due, moves, warnings, fatal, run, stop } = rig();
  const commits = async (count: number) => {
    for (let i = 0; i < count; i++) {
      committed.emit(origin);
      await run(1);
    }
  };
  await commits(1);
  assert.equal(moves.length, 0);
  due.long = true;
  await commits(3);
  assert.equal(moves.length, 1);
  moves[0]?.resolve();
  await commits(2);
  assert.equal(moves.length, 2);
  moves[1]?.reject(new DfdbError("disk_full", "no space"));
  await commits(2);
  assert.deepEqual([moves.length, warnings.length, fatal.length], [3, 1, 0]);
  let stopped = false;
  const ending = stop().then(() => (stopped = true));
  await run(1);
  assert.equal(stopped, false);
  moves[2]?.reject(new DfdbError("io_error", "bad sector"));
  await ending;
  assert.deepEqual([fatal.map(({ code }) => code), moves.length], [["io_error"], 3]);
});

test("settledWall: a clock that is corrected in small steps stays settled", () => {
  let wall = 1e12, monotonic = 0;
  const clock = { wall: () => wallMsOf(wall), monotonic: () => monotonic } as unknown as Clock;
  const now = settledWall(clock, limits.wallSettleMs);
  for (let i = 1; i <= 120; i++) {
    monotonic += minute;
    wall += minute + (i % 2 === 0 ? 30_000 : -30_000);
    assert.equal(now(), i < 60 ? null : wall);
  }
  wall += hour;
  assert.equal(now(), null);
});
