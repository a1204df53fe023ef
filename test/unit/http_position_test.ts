/** Which histories hold a position, which may come to it, and which went another way. */
import assert from "node:assert/strict";
import test from "node:test";
import { epochOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { signal } from "../../src/base/signal.ts";
import type { OwnHistory } from "../../src/engine/reached.ts";
import { reached, standing } from "../../src/engine/reached.ts";
import type { Position, TermRecord } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import { parsePosition } from "../../src/storage/position_text.ts";
import { ManualClock } from "../tool/manual_clock.ts";

const run = (digit: string) => runIdOf(digit.repeat(32));
const term = (epoch: number, digit: string, firstSeq: number): TermRecord => ({
  epoch: epochOf(epoch),
  run: run(digit),
  nodeId: nodeIdOf("e".repeat(32)),
  firstSeq: seqOf(firstSeq),
});
const end = ({ epoch, run }: TermRecord, seq: number): Position => ({
  epoch,
  run,
  seq: seqOf(seq),
  chain: 7,
});

/** Two runs of one node, then another node's: 1.a from 1, 1.b from 11, 3.c from 21, now at 30. */
const terms = [term(1, "a", 1), term(1, "b", 11), term(3, "c", 21)];
const history = { terms, last: end(terms[2] as TermRecord, 30) };

const text = (epoch: number, digit: string, seq: number): string => `${epoch}.${digit.repeat(8)}-${seq}`;

test("standing: a history with three runs", () => {
  const cases: readonly (readonly [position: string, kind: string, lastInCommon?: string | null])[] = [
    [text(0, "0", 0), "here"],
    [text(1, "a", 1), "here"],
    [text(1, "a", 10), "here"],
    [text(1, "a", 11), "lost", text(1, "a", 10)],
    [text(1, "a", 99), "lost", text(1, "a", 10)],
    [text(1, "b", 10), "lost", null],
    [text(1, "b", 11), "here"],
    [text(1, "b", 20), "here"],
    [text(1, "b", 21), "lost", text(1, "b", 20)],
    [text(3, "c", 20), "lost", null],
    [text(3, "c", 21), "here"],
    [text(3, "c", 30), "here"],
    [text(3, "c", 31), "ahead"],
    [text(1, "d", 5), "lost", null],
    [text(1, "d", 99), "lost", null],
    [text(2, "d", 25), "lost", null],
    [text(2, "d", 99), "lost", null],
    [text(2, "c", 25), "lost", null],
    [text(3, "d", 25), "lost", null],
    [text(3, "d", 30), "lost", null],
    [text(3, "d", 31), "ahead"],
    [text(4, "d", 1), "ahead"],
    [text(4, "d", 31), "ahead"],
    [text(4, "c", 31), "ahead"],
    [text(1, "a", 0), "lost", null],
    [text(0, "a", 0), "lost", null],
  ];
  for (const [position, kind, lastInCommon] of cases) {
    const wanted = kind === "lost" ? { kind, lastInCommon } : { kind };
    assert.deepEqual(standing(history, parsePosition(position)), wanted, position);
  }
});

test("standing: an empty history may come to anything", () => {
  const empty = { terms: [], last: origin };
  assert.deepEqual(standing(empty, parsePosition(text(0, "0", 0))), { kind: "here" });
  for (const position of [text(1, "a", 1), text(7, "a", 99)]) {
    assert.deepEqual(standing(empty, parsePosition(position)), { kind: "ahead" });
  }
});

/** A history that can be changed, with a clock that stands still. */
function changing() {
  const clock = new ManualClock(), told = signal(history.last);
  let listeners = 0;
  const committed: OwnHistory["committed"] = {
    value: history.last,
    subscribe(listener) {
      listeners++;
      const unsubscribe = told.subscribe(listener);
      return () => {
        listeners--;
        unsubscribe();
      };
    },
  };
  const log = { ...history };
  const own: OwnHistory = { log, committed, clock };
  const become = (next: typeof history): void => {
    Object.assign(log, next);
    told.emit(next.last);
  };
  /** Nothing is left behind. */
  const quiet = (): void => assert.deepEqual([clock.timers, listeners], [0, 0]);
  return { clock, own, become, quiet };
}

const [newest] = terms.slice(-1) as [TermRecord];

test("reached: resolves when the entry comes, whatever else comes before, and leaves nothing behind", async () => {
  const { clock, own, become, quiet } = changing();
  assert.equal(reached(own, parsePosition(text(3, "c", 30)), 5_000), null);
  quiet();
  let done = false;
  const wait = reached(own, parsePosition(text(3, "c", 32)), 5_000)?.then(() => void (done = true));
  become({ terms, last: end(newest, 31) });
  await clock.advance(4_999);
  assert.equal(done, false);
  become({ terms, last: end(newest, 40) });
  await wait;
  quiet();
});

test("reached: gives up when the time is over, and tells where it is", async () => {
  const { clock, own, quiet } = changing();
  const wait = reached(own, parsePosition(text(3, "c", 32)), 5_000) as Promise<void>;
  const rejected = assert.rejects(wait, { code: "not_caught_up", details: { position: text(3, "c", 30) } });
  await clock.advance(5_000);
  await rejected;
  quiet();
});

test("reached: a history that goes another way ends the wait at once; one that is replaced can end it well", async () => {
  const { own, become, quiet } = changing();
  const next = term(4, "d", 31);
  const lost = reached(own, parsePosition(text(3, "c", 32)), 5_000) as Promise<void>;
  const found = reached(own, parsePosition(text(4, "d", 25)), 5_000) as Promise<void>;
  const rejected = assert.rejects(lost, {
    code: "position_lost",
    details: { lastInCommon: text(3, "c", 30) },
  });
  const alsoLost = assert.rejects(found, { code: "position_lost", details: { lastInCommon: null } });
  become({ terms: [...terms, next], last: end(next, 31) });
  await rejected;
  await alsoLost;
  const other = term(5, "f", 24);
  const replaced = reached(own, parsePosition(text(5, "f", 25)), 5_000) as Promise<void>;
  become({ terms: [...terms, other], last: end(other, 26) });
  await replaced;
  quiet();
  assert.throws(() => reached(own, parsePosition(text(4, "d", 31)), 5_000), { code: "position_lost" });
});
