/** Who gets which thread, and what becomes of threads that die or do not answer; in virtual time, without threads. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type {
  FromQueryThread,
  QueryThreadInput,
  ThreadReading,
  ToQueryThread,
} from "../../src/engine/query_messages.ts";
import type { Reading } from "../../src/engine/query_reading.ts";
import { StaleStatement } from "../../src/engine/query_reading.ts";
import { QueryThreads } from "../../src/engine/query_threads.ts";
import type { Position } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import { coded } from "../suites/storage_fixture.ts";
import { ManualClock } from "../tool/manual_clock.ts";

interface FakeThread {
  readonly posted: ToQueryThread[];
  readonly stop: Int32Array;
  ended: boolean;
  say(message: FromQueryThread): void;
  die(error: DfdbError | null): void;
}

function fakes(untilSeen: (position: Position) => Promise<void> | null = () => null) {
  const clock = new ManualClock(), opened: FakeThread[] = [];
  const threads = new QueryThreads({
    clock,
    path: "data",
    storage: { untilSeen },
    workers: {
      open(_, input, { onMessage, onEnd }) {
        const { stop } = input as QueryThreadInput;
        const thread: FakeThread = {
          posted: [],
          stop: new Int32Array(stop),
          ended: false,
          say: onMessage,
          die: onEnd,
        };
        opened.push(thread);
        return {
          post: (message) => void thread.posted.push(message as ToQueryThread),
          end: () => void (thread.ended = true),
        };
      },
    },
  });
  const read = (sql = "SELECT 1"): Reading => threads.read(orderOf(sql));
  return { clock, opened, threads, read };
}

const orderOf = (sql: string): ThreadReading => ({
  sql,
  values: [],
  output: "cells",
  tables: { collections: [], indexes: [] },
  explain: false,
  ahead: limits.queryChunksAhead,
});

const chunk = (id: number, last: boolean, ...rows: string[]): FromQueryThread => ({
  type: "chunk",
  id,
  at: null,
  rows,
  last,
  details: null,
});

const died = new DfdbError("internal", "the thread died");

test("readings go to free threads, then wait in order", async () => {
  const { opened, read } = fakes();
  const readings = [1, 2, 3, 4].map((i) => read(`SELECT ${i}`));
  assert.equal(opened.length, limits.queryThreads);
  opened[1]!.say(chunk(2, true, "second"));
  assert.deepEqual(opened[1]!.posted.map((order) => order.type === "read" && order.sql), [
    "SELECT 2",
    "SELECT 3",
  ]);
  opened[1]!.say(chunk(2, true, "of an earlier reading"));
  opened[1]!.say(chunk(3, false, "a"));
  opened[1]!.say(chunk(3, false, "b"));
  opened[1]!.say(chunk(3, true, "c"));
  assert.equal(opened[1]!.posted.length, 3, "the fourth");
  opened[1]!.say({
    type: "failed",
    id: 4,
    at: null,
    failure: { code: "disk_full", message: "no room", details: { n: 1 } },
  });
  opened[0]!.say({ type: "stale", id: 1, at: null });
  const rows = async (reading: Reading): Promise<unknown[]> => {
    const all: unknown[] = [];
    for (let next = await reading.next(); next !== null; next = await reading.next()) all.push(...next.rows);
    return all;
  };
  assert.deepEqual(await rows(readings[1]!), ["second"]);
  assert.deepEqual(await rows(readings[2]!), ["a", "b", "c"]);
  await assert.rejects(rows(readings[3]!), coded("disk_full"));
  await assert.rejects(rows(readings[0]!), StaleStatement);
});

test("a chunk that was taken asks for another one", async () => {
  const { opened, read } = fakes(), reading = read(), [thread] = opened;
  thread!.say(chunk(1, false, "a"));
  thread!.say(chunk(1, false, "b"));
  assert.equal(thread!.posted.length, 1);
  await reading.next();
  await reading.next();
  assert.deepEqual(thread!.posted.slice(1), [{ type: "more", id: 1 }, { type: "more", id: 1 }]);
  const waited = reading.next();
  thread!.say(chunk(1, true, "c"));
  assert.deepEqual((await waited)?.rows, ["c"]);
  assert.equal(thread!.posted.length, 3);
  assert.equal(await reading.next(), null);
});

test("what is of a state that nobody sees yet is kept back, in order; the thread goes on meanwhile", async () => {
  const seen = Promise.withResolvers<void>(), asked: Position[] = [];
  const { clock, opened, read } = fakes((position) => {
    asked.push(position);
    return position.seq === 0 ? seen.promise : null;
  });
  const [first, second, third, fourth] = [read(), read(), read(), read()] as const, at = origin;
  const late = new DfdbError("query_timeout", "late"), told: string[] = [];
  const tells = (what: string) => (): void => void told.push(what);
  opened[0]!.say({ ...chunk(1, false, "a"), at } as FromQueryThread);
  opened[0]!.say(chunk(1, true, "b"));
  const failure = { code: "bad_request", message: "no", details: {} } as const;
  opened[1]!.say({ type: "failed", id: 2, at, failure });
  opened[0]!.say({ type: "stale", id: 3, at });
  opened[1]!.say({ ...chunk(4, true, "of what is known"), at: { ...at, seq: seqOf(1) } } as FromQueryThread);
  assert.deepEqual(asked.map(({ seq }) => seq), [0, 0, 0, 1], "once for each");
  assert.deepEqual((await fourth.next())?.rows, ["of what is known"]);
  const chunks = first.next().then((next) => [next?.rows, told.push("first")]);
  const failed = assert.rejects(second.next(), coded("bad_request")).finally(tells("second"));
  const left = assert.rejects(third.next(), (error) => error === late).finally(tells("third"));
  third.stop(late);
  await left;
  await clock.advance(1_000);
  assert.deepEqual(told, ["third"]);
  seen.resolve();
  assert.deepEqual((await chunks)[0], ["a"]);
  assert.deepEqual((await first.next())?.rows, ["b"]);
  assert.equal(await first.next(), null);
  await failed;
});

test("where nobody can say whether a state is known its reading fails", async () => {
  const { opened, read } = fakes(() => {
    throw died;
  });
  const reading = read(), failed = assert.rejects(reading.next(), (error) => error === died);
  opened[0]!.say({ ...chunk(1, false, "a"), at: origin } as FromQueryThread);
  await failed;
  assert.deepEqual(opened[0]!.posted.at(-1), { type: "leave", id: 1 });
});

test("who leaves frees the thread when it answers; who waits in the queue just goes", async () => {
  const { clock, opened, read } = fakes(), gone = new Error("gone");
  const [first, , third, fourth] = [read(), read(), read(), read()] as const, [thread] = opened;
  const waiting = assert.rejects(first.next(), (error) => error === gone);
  first.stop(gone);
  third.stop(gone);
  await waiting;
  await assert.rejects(third.next(), (error) => error === gone);
  assert.deepEqual([thread!.stop[0], thread!.posted[1]], [1, { type: "leave", id: 1 }]);
  assert.equal(thread!.posted.length, 2, "it is not free yet");
  thread!.say(chunk(1, false, "too late"));
  thread!.say({ type: "left", id: 1 });
  assert.equal(thread!.posted[2]?.type, "read");
  thread!.say(chunk(3, true, "fourth"));
  assert.deepEqual((await fourth.next())?.rows, ["fourth"]);
  await clock.advance(limits.queryStopMs * 2);
  assert.equal(thread!.ended, false);
});

test("a thread that does not answer is left to itself, and another one takes its place; not for ever", async () => {
  const { clock, opened, read, threads } = fakes(), late = new DfdbError("query_timeout", "late");
  const stuck: Reading[] = [];
  for (let i = 0; i < 20; i++) {
    const reading = read();
    stuck.push(reading);
    reading.stop(late);
    await assert.rejects(reading.next(), coded("query_timeout"));
    await clock.advance(limits.queryStopMs);
  }
  assert.ok(opened.length <= limits.queryThreads + 4, `${opened.length} threads`);
  const waiting = read();
  assert.equal(opened.every(({ ended }) => ended), true);
  opened[0]!.die(null);
  assert.equal(opened.at(-1)!.ended, false);
  opened.at(-1)!.say(chunk(opened.at(-1)!.posted[0]!.id, true, "at last"));
  assert.deepEqual((await waiting.next())?.rows, ["at last"]);
  const closed = threads.close();
  for (const thread of opened) thread.die(null);
  await closed;
  assert.equal(threads.size, 0);
});

test("a thread that dies takes only its own reading with it", async () => {
  const { opened, read } = fakes(), [first, second, third] = [read(), read(), read()] as const;
  opened[0]!.die(died);
  await assert.rejects(first.next(), (error) => error === died);
  assert.equal(opened.length, 3);
  opened[2]!.say(chunk(3, true, "third"));
  opened[1]!.say(chunk(2, true, "second"));
  assert.deepEqual((await third.next())?.rows, ["third"]);
  assert.deepEqual((await second.next())?.rows, ["second"]);
});

test("an unused thread goes after a while", async () => {
  const { clock, opened, read, threads } = fakes(), reading = read();
  opened[0]!.say(chunk(1, true, "a"));
  await reading.next();
  await clock.advance(limits.queryThreadIdleMs - 1);
  const again = read();
  opened[0]!.say(chunk(2, true, "b"));
  await again.next();
  await clock.advance(limits.queryThreadIdleMs - 1);
  assert.equal(opened[0]!.ended, false);
  await clock.advance(1);
  assert.equal(opened[0]!.ended, true);
  opened[0]!.die(null);
  assert.deepEqual([threads.size, clock.timers], [0, 0]);
});

test("the queue is bounded", async () => {
  const { read, threads, opened } = fakes(), { queriesWaitingMax, queryThreads } = limits;
  const waiting = Array.from({ length: queriesWaitingMax + queryThreads }, () => read());
  assert.throws(() => read(), coded("busy"));
  const told = Promise.all(waiting.map((reading) => assert.rejects(reading.next(), coded("closing"))));
  const closed = threads.close();
  for (const thread of opened) thread.die(null);
  await closed;
  await told;
  assert.throws(() => read(), coded("closing"));
});

test("the end does not wait for ever for a thread that is inside SQLite", async () => {
  const { clock, read, threads } = fakes(), reading = read();
  const told = assert.rejects(reading.next(), coded("closing"));
  let over = false;
  const closed = threads.close().then(() => over = true);
  await told;
  await clock.settle();
  assert.equal(over, false);
  await clock.advance(limits.shutdownMs / 4);
  await closed;
  assert.deepEqual([threads.size, clock.timers], [1, 0]);
});
