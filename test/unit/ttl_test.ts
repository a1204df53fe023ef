import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf, epochOf, nodeIdOf, runIdOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/logger.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { fieldSteps } from "../../src/document/field_path.ts";
import { createIndex } from "../../src/engine/build_index.ts";
import { setSetting } from "../../src/engine/collection_settings.ts";
import { bulkInsert, dropCollection, putDocument } from "../../src/engine/commands.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { engine as makeEngine } from "../../src/engine/engine.ts";
import { removeTtl, setTtl } from "../../src/engine/ttl.ts";
import type { TtlSweeper } from "../../src/node/ttl_sweeper.ts";
import { ttlSweeper } from "../../src/node/ttl_sweeper.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { coded, inFolder, patient, testOptions } from "../suites/storage_fixture.ts";
import { ManualClock } from "../tool/manual_clock.ts";

const second = 1_000, minute = 60 * second, hour = 60 * minute;

interface Rig {
  readonly time: ManualClock;
  readonly clock: Clock;
  /** The wall clock is wrong by so much. */
  readonly wrong: { ms: number };
  readonly storage: Storage;
  readonly engine: Engine;
  readonly ttl: TtlSweeper;
  readonly state: { leads: boolean; readOnly: boolean; run: string };
  readonly warnings: string[];
  /** Of plans and sweeps: everything that can happen without time passing. */
  done<Value>(promise: Promise<Value>): Promise<Value>;
  set(intervalSeconds: number, field?: string): Promise<unknown>;
  put(id: string, end: number, collection?: string): Promise<unknown>;
  /** How many documents are there. */
  left(collection?: string): number;
  /** Called before each plan that is submitted. */
  before: () => void;
  /** Another sweeper over the same database, as after a restart. */
  restarted(): TtlSweeper;
}

/** A real database in virtual time. */
function rig(name: string, run: (rig: Rig) => Promise<void>) {
  test(`ttl: ${name}`, patient, () =>
    inFolder(async (folder) => {
      const time = new ManualClock(), wrong = { ms: 0 }, warnings: string[] = [];
      const clock: Clock = {
        monotonic: () => time.monotonic(),
        wall: () => wallMsOf(time.wall() + wrong.ms),
        timer: (ms, then) => time.timer(ms, then),
        macrotask: (then) => time.macrotask(then),
      };
      const state = { leads: true, readOnly: false, run: "a" };
      const storage = await openStorage(testOptions(`${folder}/data.dfdb`));
      const engine = makeEngine({
        storage,
        clock,
        gate() {
          if (!state.leads) throw new DfdbError("not_leader", "another one leads");
          if (state.readOnly) throw new DfdbError("read_only", "not now");
          return { epoch: epochOf(1), run: runIdOf(state.run.repeat(32)), nodeId: nodeIdOf("e".repeat(32)) };
        },
        onFatal: (error) => assert.fail(error),
        onDiskFull: (error) => assert.fail(error),
      });
      const quiet = (): void => {};
      const logger: Logger = {
        debug: quiet,
        info: quiet,
        error: quiet,
        warn: (text) => void warnings.push(text),
      };
      const role = {
        get leadership() {
          return state.leads ? {} : null;
        },
        get readOnly() {
          return { on: state.readOnly };
        },
      };
      const made: TtlSweeper[] = [];
      const watched: Pick<Engine, "submit" | "committed"> = {
        committed: engine.committed,
        submit(plan) {
          here.before();
          return engine.submit(plan);
        },
      };
      const restarted = (): TtlSweeper => {
        const sweeper = ttlSweeper({ storage, engine: watched, clock, logger, role });
        made.push(sweeper);
        return sweeper;
      };
      const here: { before: () => void } = { before: () => {} };
      const ttl = restarted();
      const done = async <Value>(promise: Promise<Value>): Promise<Value> => {
        let over = false;
        const end = (): void => void (over = true);
        promise.then(end, end);
        while (!over) await time.settle();
        return await promise;
      };
      const rig: Rig = Object.assign(here, {
        time,
        clock,
        wrong,
        storage,
        engine,
        ttl,
        state,
        warnings,
        done,
        set: (intervalSeconds: number, field = "end") =>
          done(ttl.set("sessions", { field, intervalSeconds })),
        put: (id: string, end: number, collection = "sessions") =>
          done(engine.submit(putDocument(collection, document(id, { end }), () => {}))),
        left: (collection = "sessions") =>
          storage.read((view) => view.collection(collection)?.documents ?? 0),
        restarted,
      });
      try {
        await run(rig);
      } finally {
        await done(Promise.all(made.map((sweeper) => sweeper.close())));
        await done(engine.close());
        assert.equal(time.timers, 0, "no timer is left");
        storage.close();
      }
    }));
}

const document = (id: string, body: object) => ({ id: documentIdOf(id), body: utf8(JSON.stringify(body)) });

rig(
  "every interval, not before its time, and not after it was removed",
  async ({ time, clock, set, put, left, ttl, done }) => {
    assert.equal(time.timers, 0, "no timer where nothing is set");
    await set(10);
    assert.equal(time.timers, 1);
    const start = clock.wall();
    await put("a", start + 5 * second);
    await put("b", start + 10 * second);
    await put("c", start + 10 * second + 1);
    await time.advance(9_999);
    assert.equal(left(), 3, "seen until it is swept");
    await time.advance(1);
    assert.equal(left(), 1, "what expires at this very moment goes");
    await time.advance(9_000);
    assert.equal(left(), 1);
    await time.advance(2_000);
    assert.equal(left(), 0);
    await put("d", start);
    await done(ttl.remove("sessions"));
    assert.equal(time.timers, 0);
    await time.advance(hour);
    assert.equal(left(), 1);
  },
);

rig("a document that is changed in time stays", async ({ time, clock, set, put, left }) => {
  await set(10);
  await put("a", clock.wall() + 5 * second);
  await time.advance(4 * second);
  await put("a", clock.wall() + hour);
  await time.advance(minute);
  assert.equal(left(), 1);
  await time.advance(hour);
  assert.equal(left(), 0);
});

rig("what is changed while a slice waits is looked at again inside its transaction", async (rig) => {
  const { time, clock, set, put, engine, left, storage } = rig;
  await set(10);
  await put("a", clock.wall() + 5 * second);
  await put("b", clock.wall() + 5 * second);
  let asked = 0;
  rig.before = () => {
    // A client's write that is queued right before the slice.
    const later = document("a", { end: clock.wall() + hour });
    if (asked++ === 0) void engine.submit(putDocument("sessions", later, () => {}));
  };
  await time.advance(11 * second);
  assert.deepEqual([asked, left()], [1, 1]);
  const there = storage.read((view) =>
    view.page(view.collection("sessions")!.number, 0, { documentsMax: 5, bytesMax: 1e6 })
  );
  assert.deepEqual(there.documents.map(({ id }) => id), ["a"]);
});

rig(
  "many go in slices with pauses, and writers have their turn",
  async ({ time, set, engine, storage, left, done }) => {
    const count = limits.expiryDocuments * 5;
    const documents = Array.from({ length: count }, (_, i) => document(`d${i}`, { end: i }));
    await done(engine.submit(bulkInsert("sessions", documents)));
    await set(1);
    const { seq } = storage.log.last;
    await time.advance(second);
    assert.equal(left(), count - limits.expiryDocuments, "one slice, then a pause");
    await time.advance(limits.expiryPauseMs - 1);
    assert.equal(left(), count - limits.expiryDocuments);
    await time.advance(1);
    assert.equal(left(), count - 2 * limits.expiryDocuments);
    await time.advance(10 * limits.expiryPauseMs);
    assert.deepEqual([left(), storage.log.last.seq - seq], [0, 5]);
  },
);

rig("large documents make small slices", async ({ time, set, engine, storage, left, done }) => {
  const text = "x".repeat(limits.sliceBytes / 2);
  for (let i = 0; i < 6; i++) {
    await done(engine.submit(putDocument("sessions", document(`d${i}`, { end: i, text }), () => {})));
  }
  await set(1);
  const { seq } = storage.log.last;
  await time.advance(second + 10 * limits.expiryPauseMs);
  assert.deepEqual([left(), storage.log.last.seq - seq], [0, 3]);
});

rig(
  "a clock that jumps deletes nothing for a while",
  async ({ time, clock, wrong, set, put, left, warnings }) => {
    await set(10);
    await put("a", clock.wall() + hour);
    await time.advance(25 * second);
    wrong.ms = 2 * hour;
    await time.advance(limits.expirySettleMs - minute);
    assert.equal(left(), 1);
    wrong.ms = 0;
    await time.advance(30 * minute);
    assert.equal(left(), 1, "it was set right in time");
    wrong.ms = -2 * hour;
    await time.advance(minute);
    wrong.ms = 0;
    await time.advance(30 * minute);
    assert.equal(left(), 0);
    assert.deepEqual(warnings, []);
  },
);

rig("a start long after the newest entry waits; one soon after it does not", async (rig) => {
  const { time, wrong, clock, set, put, left, ttl, restarted, done } = rig;
  await set(10);
  await put("a", clock.wall() + minute);
  await put("b", clock.wall() + 3 * hour);
  await done(ttl.close());
  await time.advance(minute);
  const second = restarted();
  await time.advance(10_000);
  assert.equal(left(), 1);
  await done(second.close());
  wrong.ms = 4 * hour;
  restarted();
  await time.advance(limits.expirySettleMs - 1);
  assert.equal(left(), 1);
  await time.advance(minute);
  assert.equal(left(), 0, "it seems to be right");
});

rig(
  "a sweep that is asked for goes by the clock as it is",
  async ({ wrong, clock, set, put, left, ttl, done }) => {
    await set(3_600);
    await put("a", clock.wall() + hour);
    assert.deepEqual([(await done(ttl.sweep())).deleted, left()], [0, 1]);
    wrong.ms = 2 * hour;
    const { deleted, more } = await done(ttl.sweep());
    assert.deepEqual([deleted, more, left()], [1, false, 0]);
  },
);

rig("a sweep that takes long is answered after a while, and goes on", async (rig) => {
  const { time, engine, set, ttl, left, done } = rig, count = 2 * limits.expiryDocuments;
  await done(engine.submit(bulkInsert("sessions", expired(count))));
  await set(86_400);
  const answer = ttl.sweep();
  rig.before = () => time.pass(20 * second);
  await time.advance(limits.expiryAnswerMs);
  const { deleted, more } = await done(answer);
  assert.deepEqual([deleted, more], [count / 2, true]);
  await time.advance(5 * minute);
  assert.equal(left(), 0);
});

rig("a slow disk makes longer pauses", async (rig) => {
  const { time, engine, set, left, done } = rig, count = 2 * limits.expiryDocuments;
  await done(engine.submit(bulkInsert("sessions", expired(count))));
  await set(1);
  rig.before = () => time.pass(500);
  await time.advance(second + 500);
  assert.equal(left(), count / 2);
  await time.advance(500 * limits.expiryPauseShare - 1);
  assert.equal(left(), count / 2);
  await time.advance(501);
  assert.equal(left(), 0);
});

rig(
  "read-only: it waits, and goes on afterwards",
  async ({ time, state, clock, set, put, left, ttl, warnings, done }) => {
    await set(1);
    await put("a", clock.wall());
    state.readOnly = true;
    await time.advance(minute);
    assert.equal(left(), 1);
    await assert.rejects(done(ttl.sweep()), coded("read_only"));
    state.readOnly = false;
    await time.advance(2 * second);
    assert.deepEqual([left(), warnings], [0, []]);
  },
);

rig("a follower has no timer and deletes nothing; a new leader goes on, an old one stops", async (rig) => {
  const { time, state, engine, ttl, put, left, done, set } = rig;
  await set(1);
  state.leads = false;
  await time.advance(minute);
  assert.equal(time.timers, 0, "it does not lead any more");
  await assert.rejects(set(1), coded("not_leader"));
  await assert.rejects(done(ttl.sweep()), coded("not_leader"));
  assert.equal(ttl.list().length, 1);
  await time.advance(minute);
  state.leads = true;
  state.run = "b";
  await put("a", 0); // the first entry of the run
  assert.deepEqual([time.timers, left()], [1, 1]);
  await time.advance(second);
  assert.equal(left(), 0);
  state.leads = false;
  await time.advance(minute);
  assert.equal(time.timers, 0);
  await done(engine.close());
});

rig("what a reference holds is passed over, and goes when it is free", async (rig) => {
  const { time, clock, storage, engine, set, put, left, done, warnings } = rig;
  const parts = { engine, storage, clock, logger: silentLogger };
  const index = { name: "refs", unique: false, time: false, paths: [fieldSteps("session")] };
  await done(createIndex(parts, "uses", index, { createsCollection: true }));
  const schema = {
    required: [],
    types: {},
    checks: [],
    refs: [{ field: "session", collection: "sessions", targetField: "_id", onDelete: "restrict" }],
  };
  await done(engine.submit(setSetting("uses", "schema", JSON.stringify(schema))));
  const count = limits.expiryDocuments * 2;
  await done(engine.submit(bulkInsert("sessions", expired(count))));
  for (const i of [0, 1, 7, limits.expiryDocuments, count - 1]) {
    await done(engine.submit(putDocument("uses", document(`u${i}`, { session: `d${i}` }), () => {})));
  }
  await set(10);
  await time.advance(11 * second);
  assert.deepEqual([left(), left("uses")], [5, 5]);
  const { seq } = storage.log.last;
  await time.advance(10 * second);
  assert.deepEqual([left(), storage.log.last.seq], [5, seq], "no entry for nothing, and no endless turns");
  await done(engine.submit(dropCollection("uses")));
  await put("new", clock.wall());
  await time.advance(10 * second);
  assert.deepEqual([left(), warnings], [0, []]);
});

rig("of a slice that is too large for the rules the rest goes all the same", async (rig) => {
  const { time, clock, storage, engine, set, left, done } = rig;
  const parts = { engine, storage, clock, logger: silentLogger };
  const index = { name: "refs", unique: false, time: false, paths: [fieldSteps("session")] };
  await done(createIndex(parts, "uses", index, { createsCollection: true }));
  const schema = {
    required: [],
    types: {},
    checks: [],
    refs: [{ field: "session", collection: "sessions", targetField: "_id", onDelete: "cascade" }],
  };
  await done(engine.submit(setSetting("uses", "schema", JSON.stringify(schema))));
  await done(engine.submit(bulkInsert("sessions", expired(30))));
  // One of them takes more with it than one entry may.
  const uses = Array.from(
    { length: limits.cascadeDocumentsMax + 1 },
    (_, i) => document(`u${i}`, { session: "d3" }),
  );
  const few = Array.from({ length: 20 }, (_, i) => document(`v${i}`, { session: `d${10 + i}` }));
  await done(engine.submit(bulkInsert("uses", [...uses, ...few])));
  await set(10);
  await time.advance(12 * second);
  assert.deepEqual([left(), left("uses")], [1, uses.length]);
});

rig("the index is made where it is missing, and dropped where a setting went meanwhile", async (rig) => {
  const { time, engine, storage, put, left, ttl, done, restarted, set } = rig;
  await put("a", 1);
  await done(ttl.close());
  // A leader that was lost between the setting and its index.
  await done(engine.submit(setTtl("sessions", { field: "end", intervalSeconds: 5 })));
  assert.deepEqual(ownIndexes(storage), []);
  const next = restarted();
  await time.advance(10 * second);
  assert.deepEqual([left(), ownIndexes(storage)], [0, ["_ttl end"]]);
  // Two that want different things at a time: what was said last counts.
  const wanted = [
    next.set("sessions", { field: "other", intervalSeconds: 5 }),
    next.set("sessions", { field: "third", intervalSeconds: 5 }),
  ];
  await done(Promise.all(wanted));
  assert.deepEqual(ownIndexes(storage), ["_ttl third"]);
  const making = next.set("sessions", { field: "fourth", intervalSeconds: 5 });
  const removing = engine.submit(removeTtl("sessions"));
  await done(Promise.all([making, removing]));
  assert.deepEqual(ownIndexes(storage), []);
  await assert.rejects(set(10, "a[*]"), coded("bad_request"));
});

for (const how of ["readOnly", "leads"] as const) {
  rig(`what is set is not refused when its index cannot be made any more: ${how}`, async (own) => {
    const { ttl, state, storage, put, left, done, time } = own;
    await put("x", 0);
    let plans = 0;
    // The setting is the first one.
    own.before = () => {
      if (++plans === 2) state[how] = how === "readOnly";
    };
    const { position, field } = await done(ttl.set("sessions", { field: "end", intervalSeconds: 10 }));
    own.before = () => {};
    assert.deepEqual([field, position], ["end", storage.log.last]);
    assert.deepEqual([ttl.list().length, ownIndexes(storage)], [1, []]);
    await time.advance(10 * second);
    assert.equal(left(), 1);
    Object.assign(state, { leads: true, readOnly: false, run: "b" });
    await put("y", 9e15); // it leads again: this one begins its run
    await time.advance(20 * second);
    assert.deepEqual([left(), ownIndexes(storage)], [1, ["_ttl end"]]);
  });
}

rig("a disk that fails when it looks ends nothing; it goes on when the disk does", async (rig) => {
  const { time, clock, storage, set, put, left, warnings } = rig, read = storage.read.bind(storage);
  await set(10);
  await put("a", clock.wall() + 5 * second);
  storage.read = () => {
    throw new DfdbError("io_error", "the disk failed");
  };
  await time.advance(30 * second);
  assert.deepEqual(warnings, ["expired documents could not be deleted"]);
  storage.read = read;
  assert.equal(left(), 1);
  await time.advance(2 * limits.expiryLookMs + 20 * second);
  assert.equal(left(), 0);
});

rig("several collections, each at its interval", async ({ time, ttl, put, left, done }) => {
  await done(ttl.set("A", { field: "end", intervalSeconds: 7 }));
  await done(ttl.set("b", { field: "end", intervalSeconds: 90 }));
  for (const name of ["a", "b"]) await put("x", 0, name);
  await time.advance(7 * second);
  assert.deepEqual([left("a"), left("b")], [0, 1]);
  await time.advance(83 * second);
  assert.deepEqual([left("a"), left("b")], [0, 0]);
  assert.deepEqual(ttl.list(), [
    { collection: "A", field: "end", intervalSeconds: 7 },
    { collection: "b", field: "end", intervalSeconds: 90 },
  ]);
});

function expired(count: number) {
  return Array.from({ length: count }, (_, i) => document(`d${i}`, { end: i }));
}

function ownIndexes(storage: Storage): string[] {
  return storage.read((view) =>
    view.indexes(view.collection("sessions")!.number).map(({ name, paths }) =>
      `${name} ${paths[0]!.join(".")}`
    )
  );
}
