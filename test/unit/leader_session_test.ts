/** Parts of the leader's side, step by step; the stories are in test/scenario/leader_session.txt. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { monotonicMsOf, seqOf } from "../../src/base/ids.ts";
import { Contact } from "../../src/replication/contact.ts";
import { LeaderStream } from "../../src/replication/leader_stream.ts";
import { Roster, type RosterMember } from "../../src/replication/roster.ts";
import { SendPace } from "../../src/replication/send_pace.ts";
import { SendWindow } from "../../src/replication/send_window.ts";
import { SharedReads } from "../../src/replication/shared_reads.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import type { Append } from "../../src/wire/message.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { tuning } from "../tool/replication_rig.ts";

function logOf(entries: number): FakeDatabase {
  const log = new FakeDatabase();
  log.lead(1, runOf("1"));
  log.write(entries - 1, 100);
  return log;
}

const at = (log: FakeDatabase, seq: number): Position => log.at(seqOf(seq)) as Position;
const slice = (log: FakeDatabase, from: number, to: number): readonly LogEntry[] =>
  log.kept.slice(from - 1, to);

test("the window counts payload bytes of whole frames, and frees them by cumulative acks", () => {
  const log = logOf(10), window = new SendWindow(at(log, 2));
  window.add(slice(log, 3, 4));
  window.add(slice(log, 5, 9));
  assert.equal(window.bytesInFlight, 700);
  assert.equal(window.sent.seq, 9);
  assert.equal(window.acknowledge(at(log, 3), log), null);
  assert.equal(window.bytesInFlight, 700, "half a frame frees nothing");
  assert.equal(window.acknowledge(at(log, 9), log), null);
  assert.equal(window.bytesInFlight, 0);
  assert.equal(window.acknowledge(at(log, 9), log), null, "the same again");
  assert.equal(window.acknowledge(at(log, 8), log)?.code, "corrupt");
  assert.equal(window.acknowledge(at(log, 10), log)?.code, "corrupt");
});

test("an ack of another epoch, run or chain is never believed", () => {
  const log = logOf(4);
  const wrong = [{ chain: 0 }, { run: runOf("2") }, { epoch: 2 as never }];
  for (const change of wrong) {
    const window = new SendWindow(at(log, 1));
    window.add(slice(log, 2, 4));
    assert.equal(window.acknowledge({ ...at(log, 4), ...change }, log)?.code, "corrupt");
    assert.equal(window.acked.seq, 1);
  }
});

test("an ack of a trimmed entry inside a frame says nothing, unless its run is another", () => {
  const log = logOf(9), window = new SendWindow(at(log, 1)), inside = at(log, 4), end = at(log, 6);
  window.add(slice(log, 2, 6));
  log.trim(8);
  assert.equal(window.acknowledge(inside, log), null);
  assert.deepEqual([window.acked.seq, window.bytesInFlight], [1, 500]);
  assert.equal(window.acknowledge({ ...inside, run: runOf("2") }, log)?.code, "corrupt");
  assert.equal(window.acknowledge(end, log), null);
  assert.deepEqual([window.acked, window.bytesInFlight], [end, 0]);
  assert.equal(window.acknowledge(inside, log)?.code, "corrupt", "it goes back");
});

test("silence counts only while this node was listening", () => {
  const contact = new Contact(1_000, 100, monotonicMsOf(0));
  assert.equal(contact.lost(monotonicMsOf(999)), false);
  assert.equal(contact.lost(monotonicMsOf(1_000)), true);
  contact.heard(monotonicMsOf(500));
  assert.equal(contact.deadline, 1_500);
  assert.equal(contact.lost(monotonicMsOf(1_601)), false, "the look was late");
  assert.equal(contact.deadline, 2_601);
  assert.equal(contact.lost(monotonicMsOf(2_601)), true);
});

test("a stall of this node that is shorter than what would be lost is not silence either", () => {
  const contact = new Contact(10_000, 1_000, monotonicMsOf(0), 2_000);
  assert.equal(contact.lost(monotonicMsOf(2_000)), false);
  assert.equal(contact.silentMs(monotonicMsOf(5_000)), 5_000, "not late");
  assert.equal(contact.silentMs(monotonicMsOf(8_001)), 0, "it stood still");
  assert.equal(contact.lost(monotonicMsOf(10_001)), false);
  assert.equal(contact.silentMs(monotonicMsOf(10_001)), 2_000);
  contact.heard(monotonicMsOf(10_500));
  assert.equal(contact.silentMs(monotonicMsOf(11_000)), 500);
});

test("what several are sent is read and encoded once, and only the newest is kept", () => {
  const log = logOf(20), reads = new SharedReads(log, { bytesMax: 1_000, entriesMax: 2 });
  const first = reads.append(at(log, 1)) as Append, frame = reads.encode(first);
  assert.equal(reads.append(at(log, 1)), first);
  assert.equal(reads.encode(first), frame, "the same bytes, not equal ones");
  assert.equal(log.reads, 1);
  log.write(1, 100);
  assert.notEqual(reads.append(at(log, 1)), first, "there may be more now");
  for (let seq = 3; seq < 15; seq += 2) reads.encode(reads.append(at(log, seq)) as Append);
  const again = reads.encode(first);
  assert.notEqual(again, frame);
  assert.deepEqual(again, frame);
  assert.equal(reads.append(log.last), null);
  log.trim(10);
  assert.equal((reads.append(at(log, 10)) as Append).entries[0]?.seq, 11);
  reads.clear();
  assert.equal(reads.append({ ...log.last, seq: seqOf(4) }), "compacted");
});

test("of the frames that are kept, the bytes are bounded", () => {
  const log = new FakeDatabase();
  log.lead(1, runOf("1"));
  log.write(3, 3 * 1024 * 1024);
  const reads = new SharedReads(log, { bytesMax: 1, entriesMax: 1 }, 4 * 1024 * 1024);
  const first = reads.append(at(log, 1)) as Append, frame = reads.encode(first);
  reads.encode(reads.append(at(log, 2)) as Append);
  assert.notEqual(reads.encode(first), frame);
});

test("an entry that travels in parts is not kept: who sends it holds it, and the others take it from there", () => {
  const log = logOf(3);
  log.write(1, 1_000);
  const reads = new SharedReads(log, { bytesMax: 500, entriesMax: 10 }, 200);
  const small = reads.append(at(log, 1)) as Append;
  assert.deepEqual(small.entries.map(({ seq }) => seq), [2, 3], "it travels alone");
  assert.equal(reads.append(at(log, 1)), small);
  assert.equal(log.reads, 1);
  const large = reads.append(at(log, 3)) as Append, [entry] = large.entries;
  assert.deepEqual(large.entries.map(({ seq }) => seq), [4]);
  assert.ok(entry !== undefined && reads.append(at(log, 3)) !== large);
  assert.equal(log.reads, 3);
  assert.equal(reads.large(entry), entry);
  log.write(1, 10);
  assert.deepEqual((reads.append(at(log, 3)) as Append).entries, [entry]);
  assert.equal(log.reads, 3, "also when the log has grown");
});

test("an entry larger than a frame waits for room unread", () => {
  const log = logOf(2);
  log.write(1, 200);
  const reads = new SharedReads(log, { bytesMax: 100, entriesMax: 10 }, 500);
  const stream = new LeaderStream(
    { log, reads, tuning: { appendBytes: 100, windowBytes: 250 } },
    new SendWindow(at(log, 1)),
  );
  const sent = (): unknown => {
    const message = stream.next();
    return message !== null && "entries" in message ? message.entries.map(({ seq }) => seq) : message;
  };
  assert.deepEqual(sent(), [2]);
  for (let i = 0; i < 3; i++) assert.equal(sent(), null, "300 bytes are more than 250");
  assert.equal(log.reads, 2, "its size is known from the first time");
  stream.window.acknowledge(at(log, 2), log);
  assert.deepEqual(sent(), [3]);
  assert.equal(stream.window.bytesInFlight, 200);
});

test("a rate is kept over time, and 50 ms may go ahead", () => {
  const pace = new SendPace();
  let now = 0;
  for (let piece = 0; piece < 100; piece++) {
    now = Math.max(now, pace.freeAt);
    pace.sent(100, now, 1_000);
  }
  assert.equal(now, 99 * 100 - 50);
  pace.sent(100, 20_000, 1_000);
  assert.equal(pace.freeAt, 20_050, "what was not used is not saved up");
});

interface FakeMember extends RosterMember {
  readonly refusals: DfdbError[];
}

function member(
  phase: "hello" | "streaming",
  hello: Record<string, unknown> | null,
  heardAt = 0,
): FakeMember {
  const refusals: DfdbError[] = [];
  const silentMs = (now: number): number => now - heardAt;
  const session = { phase, hello, silentMs, established: phase === "streaming" } as never;
  return { session, heard: hello !== null, refusals, refuse: (error) => void refusals.push(error) };
}

const hello = (node: string, instance = "1"): Record<string, unknown> => ({
  nodeId: node.repeat(32),
  nodeName: node,
  instance: instance.repeat(32),
});

test("the roster replaces a dead or half-open connection, never a live node", () => {
  const cases = [
    { instance: "1", now: 0, code: undefined, replaced: 1 },
    { instance: "2", now: 5_000, code: "duplicate_node", replaced: 0 },
    { instance: "2", now: 5_001, code: undefined, replaced: 1 },
  ];
  for (const { instance, now, code, replaced } of cases) {
    const roster = new Roster<FakeMember>(tuning), old = member("streaming", hello("b"));
    roster.add(old);
    const refusal = roster.admit(member("hello", hello("b", instance)), monotonicMsOf(now));
    assert.equal(refusal?.code, code);
    assert.deepEqual(old.refusals.map((error) => error.code), Array(replaced).fill("going_away"));
  }
});

test("the last question comes when nothing else stands against a follower, and before anything is replaced", () => {
  const roster = new Roster<FakeMember>({ ...tuning, followersMax: 2 }),
    old = member("streaming", hello("b"));
  roster.add(old);
  roster.add(member("streaming", hello("c")));
  const asked: string[] = [];
  const admit = (node: string, instance: string, answer: DfdbError | null = null): string | undefined =>
    roster.admit(member("hello", hello(node, instance)), monotonicMsOf(0), ({ nodeName }) => {
      asked.push(nodeName);
      return answer;
    })?.code;
  assert.equal(admit("b", "2"), "duplicate_node");
  assert.equal(admit("e", "1"), "too_many_followers");
  assert.deepEqual(asked, []);
  assert.equal(admit("b", "1", new DfdbError("second_candidate", "no")), "second_candidate");
  assert.deepEqual([asked, old.refusals], [["b"], []]);
  assert.equal(admit("b", "1"), undefined);
  assert.deepEqual(old.refusals.map(({ code }) => code), ["going_away"]);
});

test("a process that proves itself anew ends its older connection, and no other", () => {
  const roster = new Roster<FakeMember>(tuning);
  const [same, restarted, stranger, again] = ["1", "2", "1", "1"].map((instance, i) =>
    member(i === 3 ? "hello" : "streaming", hello(i === 2 ? "c" : "b", instance))
  ) as [FakeMember, FakeMember, FakeMember, FakeMember];
  for (const one of [same, restarted, stranger, again]) roster.add(one);
  roster.supersede(again);
  assert.deepEqual([same, restarted, stranger, again].map(({ refusals }) => refusals.length), [1, 0, 0, 0]);
});

test("of too many handshakes the oldest silent one goes, and if none is silent the oldest", () => {
  const roster = new Roster<FakeMember>({ ...tuning, handshakesMax: 3 });
  const first = member("hello", hello("b")), second = member("hello", null), third = member("hello", null);
  const stream = member("streaming", hello("c"));
  for (const one of [stream, first, second, third, member("hello", null)]) roster.add(one);
  assert.deepEqual(second.refusals.map((error) => error.code), ["timeout"]);
  roster.remove(second);
  assert.equal(first.refusals.length + third.refusals.length + stream.refusals.length, 0);
});
