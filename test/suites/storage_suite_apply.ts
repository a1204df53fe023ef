import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { epochOf, seqOf } from "../../src/base/ids.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import { encodeEntry } from "../../src/storage/entry_codec.ts";
import type { LogEntry, Position, Term } from "../../src/storage/log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  nodeB,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

const all = { bytesMax: 2 ** 30, entriesMax: 1e6 };

/** An entry that fits `after`, of `term`, with `payload`. */
function entryAfter(after: Position, term: Term, payload: Uint8Array, seq = seqOf(after.seq + 1)): LogEntry {
  const chain = chainAfter(after.chain, term, seq, wall, payload);
  return { seq, term: { epoch: term.epoch, run: term.run }, chain, wallMs: wall, payload };
}

/** Leader and follower do the same; what does not fit is refused and leaves nothing. */
export function applySuite({ openStorage }: StorageOpeners): void {
  const withPair = (run: (leader: Storage, follower: Storage) => void) =>
    inFolder(async (folder) => {
      const leader = await openStorage(testOptions(join(folder, "leader.dfdb")));
      const follower = await openStorage(testOptions(join(folder, "follower.dfdb")));
      run(leader, follower);
      leader.close();
      follower.close();
    });
  const copy = (leader: Storage, follower: Storage) => {
    const entries = leader.log.entries(follower.log.last.seq, all);
    assert.ok(entries !== "compacted");
    follower.write((tx) => entries.forEach((entry) => tx.apply(entry)));
  };

  test(
    "apply: a follower comes to the same state as its leader, rows included",
    patient,
    () =>
      withPair((leader, follower) => {
        const c = start(leader);
        copy(leader, follower);
        leader.write((tx) => {
          for (let i = 0; i < 50; i++) tx.append([put(c, `a${i}`, 0), put(c, `b${i}`, 0)], wall);
          for (let i = 0; i < 50; i += 2) {
            tx.append([put(c, `a${i}`, i + 3, '{"x":1}'), remove(c, `b${i}`, i + 3)], wall);
          }
          const number = (tx.newCollectionNumber(), tx.newCollectionNumber());
          tx.append([{ kind: "createCollection", collection: number, name: "Second" }], wall);
          tx.append([{ kind: "dropCollection", collection: c }], wall);
          tx.append([beginTerm(1, "2")], wall);
          tx.append([put(number, "after", 0)], wall);
          tx.append([beginTerm(5, "3", nodeB)], wall);
        });
        copy(leader, follower);
        assert.deepEqual(everything(follower), everything(leader));
        assert.deepEqual(follower.log.last, leader.log.last);
        assert.equal(follower.log.last.epoch, 5);
        assert.deepEqual(follower.log.terms.map((t) => [t.epoch, t.firstSeq]), [[1, 1], [1, 80], [5, 82]]);
      }),
  );

  test("apply: gap and duplicate", patient, () =>
    withPair((leader, follower) => {
      const c = start(leader);
      leader.write((tx) => ["a", "b", "c"].forEach((id) => tx.append([put(c, id, 0)], wall)));
      const entries = leader.log.entries(seqOf(0), all) as readonly LogEntry[];
      const [one, two, three, four] = entries as readonly [LogEntry, LogEntry, LogEntry, LogEntry];
      follower.write((tx) => [one, two].forEach((entry) => tx.apply(entry)));
      assert.throws(() => follower.write((tx) => tx.apply(four)), coded("gap"));
      assert.throws(() => follower.write((tx) => tx.apply(two)), coded("gap"));
      // What was refused before it changed anything does not spoil the transaction.
      follower.write((tx) => {
        tx.apply(three);
        assert.throws(() => tx.apply(three), coded("gap"));
        assert.equal(tx.apply(four).seq, 4);
      });
      assert.equal(follower.log.last.seq, 4);
    }));

  test(
    "apply: a changed byte, chain, wall time or term is corrupt, and nothing of it stays",
    patient,
    () =>
      withPair((leader, follower) => {
        const c = start(leader);
        copy(leader, follower);
        leader.write((tx) => tx.append([put(c, "a", 0)], wall));
        const [entry] = leader.log.entries(seqOf(2), all) as readonly [LogEntry];
        const before = everything(follower), payload = entry.payload.slice();
        payload[payload.length - 3] = (payload[payload.length - 3] as number) ^ 1;
        const wrong: readonly Partial<LogEntry>[] = [
          { payload },
          { payload: entry.payload.subarray(0, -1) },
          { chain: (entry.chain ^ 1) >>> 0 },
          { wallMs: (wall + 1) as typeof wall },
          { wallMs: -1 as typeof wall },
          { wallMs: 1.5 as typeof wall },
          { term: { ...entry.term, epoch: epochOf(2) } },
          { term: beginTerm(1, "9") },
        ];
        for (const change of wrong) {
          assert.throws(() => follower.write((tx) => tx.apply({ ...entry, ...change })), coded("corrupt"));
        }
        assert.deepEqual(everything(follower), before);
        follower.write((tx) => tx.apply(entry));
      }),
  );

  test("apply: terms", patient, () =>
    withPair((leader, follower) => {
      start(leader);
      leader.write((tx) => tx.append([beginTerm(3, "3")], wall));
      copy(leader, follower);
      const last = follower.log.last, term3 = beginTerm(3, "3"), term4 = beginTerm(4, "4");
      const drop = encodeEntry([{ kind: "dropCollection", collection: 1 as never }]);
      const refused: readonly (readonly [string, Term, Uint8Array])[] = [
        ["a term that has not begun", term4, drop],
        ["a lower epoch", beginTerm(2, "1"), drop],
        ["a lower epoch that begins", beginTerm(2, "2"), encodeEntry([beginTerm(2, "2")])],
        ["an entry outside the term that it begins", term3, encodeEntry([term4])],
        ["a run that begins twice", term3, encodeEntry([term3])],
        ["an old run that begins again", beginTerm(4, "1"), encodeEntry([beginTerm(4, "1")])],
        ["one epoch of two nodes", beginTerm(3, "4"), encodeEntry([beginTerm(3, "4", nodeB)])],
      ];
      for (const [what, term, payload] of refused) {
        assert.throws(
          () => follower.write((tx) => tx.apply(entryAfter(last, term, payload))),
          coded("diverged"),
          what,
        );
      }
      follower.write((tx) => tx.apply(entryAfter(last, term4, encodeEntry([term4]))));
      assert.equal(follower.log.terms.length, 3);
    }));

  test("apply: the first entry of a database begins a term", patient, () =>
    withPair((leader, follower) => {
      const drop = encodeEntry([{ kind: "dropCollection", collection: 1 as never }]);
      const first = entryAfter(leader.log.last, beginTerm(1, "1"), drop);
      assert.throws(() => follower.write((tx) => tx.apply(first)), coded("diverged"));
      const append = () =>
        leader.write((tx) => tx.append([{ kind: "dropCollection", collection: 1 as never }], wall));
      assert.throws(append, coded("diverged"));
    }));

  test(
    "apply: an unknown kind stops with version, an unreadable payload with corrupt",
    patient,
    () =>
      withPair((leader, follower) => {
        start(leader);
        copy(leader, follower);
        const last = follower.log.last, term = beginTerm(1, "1"), before = everything(follower);
        const apply = (payload: number[]) =>
          follower.write((tx) => tx.apply(entryAfter(last, term, Uint8Array.from(payload))));
        assert.throws(() => apply([1, 0x81, 0x82, 12, 1]), coded("version"));
        assert.throws(() => apply([2, 0x81, 0x82, 4, 1]), coded("version"));
        assert.throws(() => apply([1, 0x81, 0x83, 4, 1, 0]), coded("version"));
        assert.throws(() => apply([1, 0x81, 0x82, 4]), coded("corrupt"));
        assert.throws(() => apply([]), coded("corrupt"));
        assert.deepEqual(everything(follower), before);
      }),
  );

  test(
    "apply: an entry that does not fit the documents is diverged and leaves the whole batch out",
    patient,
    () =>
      withPair((leader, follower) => {
        const c = start(leader);
        copy(leader, follower);
        const before = everything(follower), term = beginTerm(1, "1");
        const good = entryAfter(follower.log.last, term, encodeEntry([put(c, "a", 0)]));
        const middle: Position = { ...follower.log.last, seq: good.seq, chain: good.chain };
        const bad = entryAfter(middle, term, encodeEntry([put(c, "b", 0), put(c, "a", 1)]));
        assert.throws(
          () => follower.write((tx) => [good, bad].forEach((entry) => tx.apply(entry))),
          coded("diverged"),
        );
        assert.deepEqual(everything(follower), before);
      }),
  );
}
