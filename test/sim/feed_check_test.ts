/** The checker of feeds sees what is missing, told twice, told too early or late, or made up; and believes what is right. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import { FakeLog, put, remove, seenAs } from "./fake_log.ts";
import { type FeedAsk, FeedCheck, type FollowedFeed } from "./feed_check.ts";
import { FeedLines } from "./feed_lines.ts";
import { History } from "./history.ts";
import { Replay } from "./replay.ts";
import { Violation } from "./types.ts";

/** Entry 2 makes the collection; 3 to 5 are of one change each, 6 of three. */
function filled(): FakeLog {
  return new FakeLog().begin()
    .add([put("a", 0, "t1")])
    .add([put("b", 0, "t2")])
    .add([remove("a", 3)])
    .add([put("c", 0, "t3"), put("d", 0, "t4"), remove("b", 4)]);
}

function rig(log = filled()) {
  const clock = { now: 0 }, now = (): number => clock.now, history = new History(now);
  const check = new FeedCheck({ history, replay: new Replay(history), now, failures: false });
  const see = (own: FakeLog): void => {
    history.observe(seenAs("n1", own));
    check.look(seenAs("n1", own));
  };
  see(log);
  const follow = (ask: Partial<FeedAsk> = {}): FollowedFeed =>
    check.begin({
      client: "f1",
      machine: "n1",
      since: "start",
      collection: null,
      once: false,
      limit: null,
      ...ask,
    });
  return { clock, log, see, follow, check };
}

const at = (seq: number): string => seq === 0 ? "0.00000000-0" : `1.11111111-${seq}`;
const begin = `{"position":"${at(0)}"}`;

/** What is told of a change, as the documentation has it. */
function change(seq: number, more: Record<string, unknown>, last = true): string {
  const time = new Date(1_790_000_000_000 + seq - 1).toISOString(), { document, ...rest } = more;
  return JSON.stringify({
    ...(last ? { position: at(seq) } : {}),
    seq,
    op: "put",
    collection: "orders",
    ...rest,
    ...(document === undefined ? {} : { etag: at(seq) }),
    time,
    ...(document === undefined ? {} : { document }),
  });
}

function stored(seq: number, id: string, tag: string, last = true): string {
  return change(seq, { id, document: { _id: id, _etag: at(seq), tag, sum: "x" } }, last);
}

const lines = [
  begin,
  change(2, { op: "createCollection" }),
  stored(3, "a", "t1"),
  stored(4, "b", "t2"),
  change(5, { op: "delete", id: "a" }),
  stored(6, "c", "t3", false),
  stored(6, "d", "t4", false),
  change(6, { op: "delete", id: "b" }),
];

function tell(feed: FollowedFeed, told: readonly string[], when = 0): void {
  for (const line of new FeedLines("ndjson").add(told.map((text) => `${text}\n`).join(""))) {
    feed.line(line, when);
  }
}

function violates(run: () => void, message: RegExp): void {
  assert.throws(run, (thrown) => {
    assert.ok(thrown instanceof Violation, `${thrown}`);
    assert.equal(thrown.checker, "feeds");
    assert.match(thrown.message, message);
    return true;
  });
}

test("what a node tells rightly is believed: whole, from a position on, of one collection, to an end", () => {
  const { follow, check, clock } = rig(), feed = follow();
  tell(feed, lines);
  assert.equal(feed.position, at(6));
  clock.now = 10;
  feed.rests(1);
  feed.ended("lost", 0);
  tell(follow({ since: at(4) }), [`{"position":"${at(4)}"}`, "", ...lines.slice(4, 6)]);
  const other = follow({ collection: "People", since: at(1) });
  tell(other, [`{"position":"${at(1)}"}`, `{"position":"${at(5)}"}`]);
  other.rests(1);
  const once = follow({ once: true });
  tell(once, [...lines, `{"position":"${at(6)}","end":true}`]);
  once.ended("whole", 0);
  const limited = follow({ limit: 5, collection: "ORDERS" });
  tell(limited, [...lines, `{"position":"${at(6)}","end":true}`]);
  limited.ended("whole", 0);
  assert.deepEqual([check.counts["followed"], check.counts["changes"], check.counts["at rest"]], [5, 22, 2]);
});

test("a change that is missing, told twice, in another order, or made up is seen", () => {
  const without = (place: number): readonly string[] => lines.filter((_, i) => i !== place);
  const swapped = (a: number, b: number): readonly string[] =>
    lines.map((line, i) => lines[i === a ? b : i === b ? a : i] ?? line);
  const told = (list: readonly string[], message: RegExp): void => {
    violates(() => {
      const feed = rig().follow();
      tell(feed, list);
      feed.ended("lost", 0);
    }, message);
  };
  told(without(3), /misses .*"t2".* of 1\.11111111-4/);
  told(without(5), /of 1\.11111111-6 it tells .*"t4".* instead of .*"t3"/);
  told(without(1), /misses .*createCollection/);
  told([...lines.slice(0, 4), lines[3] as string], /tells of 1\.11111111-4 again/);
  told([...lines.slice(0, 6), ...lines.slice(5)], /it tells .*"t3".* instead of .*"t4"/);
  told(swapped(2, 3), /misses .*"t1"/);
  told(swapped(5, 6), /it tells .*"t4".* instead of .*"t3"/);
  told([...lines.slice(0, 5), lines[3] as string], /tells of 1\.11111111-4, which does not come after it/);
  told([...lines, stored(7, "e", "t5")], /nobody ever had 1\.11111111-7/);
  told([...lines.slice(0, 2), stored(3, "a", "other")], /it tells .*"other".* instead of .*"t1"/);
  told([...lines.slice(0, 6), stored(6, "e", "t5", false)], /it tells .*"t5".* instead of .*"t4"/);
  told([...lines.slice(0, 4), stored(6, "c", "t3", false)], /misses .*"delete"/);
  told([...lines.slice(0, 6), stored(6, "d", "t4")], /misses .*"delete".* of 1\.11111111-6/);
  told([...lines.slice(0, 2), `{"position":"${at(3)}"}`], /misses .*"t1"/);
  told(
    [...lines.slice(0, 3), `{"position":"${at(3)}","end":true}`],
    /it ends at 1\.11111111-3 after 2 changes/,
  );
  told([`{"position":"${at(2)}"}`], /it begins at 1\.11111111-2/);
});

test("a feed that rests, ends without a word, or goes on after its end", () => {
  const { follow, clock } = rig(), feed = follow();
  tell(feed, lines.slice(0, 4));
  clock.now = 100;
  violates(() => feed.rests(10), /misses .*"delete".* at rest/);
  violates(() => feed.ended("whole", 100), /ended without a word/);
  const limited = follow({ limit: 1 });
  tell(limited, [...lines.slice(0, 2), `{"position":"${at(2)}","end":true}`]);
  violates(() => tell(limited, lines.slice(2, 3)), /goes on after its end/);
});

test("another history: who was told of entries that were given up hears of it, and nobody else", () => {
  const { follow, clock, see, log } = rig(), feed = follow();
  tell(feed, lines);
  const lost = `{"error":"gone","code":"position_lost"}`;
  violates(() => tell(feed, [lost]), /the node has gone no other way/);
  clock.now = 10;
  const left = follow({ since: at(6) }), kept = follow({ since: at(4) });
  tell(left, [`{"position":"${at(6)}"}`]);
  const other = log.copy(4).term(2, "2", "b").add([put("e", 0, "t9")]);
  clock.now = 20;
  see(other);
  tell(left, [lost], 20);
  const told = JSON.parse(stored(6, "e", "t9")) as Record<string, unknown>;
  const text = JSON.stringify({ ...told, position: "2.22222222-6", etag: "2.22222222-6" })
    .replace(at(6), "2.22222222-6");
  tell(kept, [`{"position":"${at(4)}"}`, text], 20);
  violates(() => tell(kept, [lines[4] as string], 20), /does not come after/);
  const refusal = (lastInCommon: string | null) =>
    JSON.stringify({ error: "gone", code: "position_lost", lastInCommon });
  clock.now = 30;
  follow({ since: at(6) }).refused(410, refusal(at(4)), 30);
  violates(() => follow({ since: at(6) }).refused(410, refusal(at(5)), 30), /is not what is in common/);
  violates(() => follow({ since: at(4) }).refused(410, refusal(null), 30), /never was in another history/);
});

test("a log that does not reach back, and a node that is behind", () => {
  const { follow, clock, see, log } = rig();
  const refusal = (firstSeq: number) => JSON.stringify({ error: "gone", code: "position_lost", firstSeq });
  violates(
    () => follow({ since: at(3) }).refused(410, refusal(5), 0),
    /the log is said to begin at 5, it began at 1/,
  );
  clock.now = 10;
  log.first = seqOf(5);
  see(log);
  clock.now = 20;
  follow({ since: at(3) }).refused(410, refusal(5), 20);
  violates(() => follow({ since: at(4) }).refused(410, refusal(5), 20), /it began at 5/);
  violates(
    () => follow({ since: at(4) }).refused(503, `{"error":"wait","code":"not_caught_up"}`, 20),
    /held 1\.11111111-4 all the time/,
  );
  violates(() => follow().refused(500, `{"error":"?","code":"internal"}`, 20), /answered 500/);
  tell(follow(), [`{"position":"${at(4)}"}`, ...lines.slice(4)], 20);
  violates(() => tell(follow(), [begin], 20), /begins at 0\.00000000-0/);
});

test("a name that nobody knows any more: only where the collection was dropped and its beginning trimmed", () => {
  const log = filled(), { follow, clock, see } = rig(log), lost = `{"error":"gone","code":"position_lost"}`;
  clock.now = 10;
  log.add([{ kind: "dropCollection", collection: 1 as never }]);
  see(log);
  clock.now = 20;
  const early = follow({ since: at(4) }), late = follow({ since: at(4) });
  tell(early, [`{"position":"${at(4)}"}`], 20);
  tell(late, [`{"position":"${at(4)}"}`], 20);
  violates(() => tell(early, [lost], 20), /the node has gone no other way/);
  clock.now = 30;
  log.first = seqOf(4);
  see(log);
  tell(late, [lost], 30);
  assert.equal(late.isLost, true);
});

test("events and lines say the same; what is neither is seen", () => {
  const change = `{"position":"1.11111111-2","seq":2,"op":"createCollection","collection":"c"}`;
  const text =
    `id: 1.11111111-1\n\n:\n\nid: 1.11111111-2\ndata: ${change}\n\ndata: {"seq":3,"op":"put"}\n\n` +
    `event: error\ndata: {"error":"x","code":"closing"}\n\nid: 1.11111111-3\nevent: end\n` +
    `data: {"position":"1.11111111-3","end":true}\n\n`;
  const ndjson =
    `{"position":"1.11111111-1"}\n\n${change}\n{"seq":3,"op":"put"}\n{"error":"x","code":"closing"}\n` +
    `{"position":"1.11111111-3","end":true}\n`;
  const inPieces = new FeedLines("events");
  const events = [...text].flatMap((letter) => inPieces.add(letter));
  assert.deepEqual(events.map(({ kind }) => kind), [
    "position",
    "word",
    "change",
    "change",
    "failure",
    "end",
  ]);
  assert.deepEqual(new FeedLines("ndjson").add(ndjson), events);
  for (const wrong of ["{}", "[1]", "x", `{"position":"1.11111111-1","more":1}`]) {
    violates(() => void new FeedLines("ndjson").add(`${wrong}\n`), /: /);
  }
  violates(
    () => void new FeedLines("events").add(`id: 1.11111111-9\ndata: ${change}\n\n`),
    /not its position/,
  );
  violates(() => void new FeedLines("events").add(`event: end\ndata: ${change}\n\n`), /no end/);
});
