import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectedFollower } from "../../src/replication/types.ts";
import type { Machine } from "./cluster.ts";
import { FakeLog, orders, put, remove, seenAs } from "./fake_log.ts";
import { FollowersCheck } from "./followers_check.ts";
import { History } from "./history.ts";
import { Promises } from "./promises.ts";
import { checkRead } from "./read_check.ts";
import { Replay } from "./replay.ts";
import type { RescuedTail } from "./rescued_check.ts";
import { SyncCandidates } from "./sync_candidates.ts";
import { type Observed, type ReadSeen, Violation, type Write } from "./types.ts";
import { WrittenTags } from "./written_tags.ts";

/** n1 leads: entry 3 is document a with tag t3, 4 replaces it by t4, 5 deletes it; n2 has the first four. */
function rig() {
  const clock = { now: 0 }, history = new History(() => clock.now), replay = new Replay(history);
  const tags = new WrittenTags(history), promises = new Promises({ history, replay, tags });
  const log = new FakeLog().begin();
  const see = (machine: string, own: FakeLog): void => history.observe(seenAs(machine, own));
  const followers: ConnectedFollower[] = [];
  const leader = {
    ...seenAs("n1", log),
    nodeId: "a".repeat(32),
    followers: () => followers,
  } as unknown as Observed;
  const step = (): void => {
    clock.now += 10;
    see("n1", log);
  };
  step(); // 10
  log.add([put("a", 0, "t3")]);
  step(); // 20
  log.add([put("a", 3, "t4")]);
  step(); // 30
  const follower = log.copy();
  see("n2", follower);
  log.add([remove("a", 4)]);
  step(); // 40
  const end = (lossBefore: number | null, rescued: readonly RescuedTail[] = []): void =>
    promises.final({
      leader,
      rescued,
      mayLack: (_tip, { seenAt }) => lossBefore !== null && seenAt <= lossBefore,
    });
  return { clock, history, replay, tags, promises, log, follower, leader, followers, see, step, end };
}

const write = (more: Partial<Write> = {}): Write => ({
  machine: "n1",
  documents: [{ collection: "orders", id: "a", tag: "t3" }],
  sentAt: 15,
  knownAt: 45,
  outcome: "promised",
  position: "1.11111111-3",
  required: 0,
  ...more,
});

function violates(run: () => void, message: RegExp, checker = "promises"): void {
  assert.throws(run, (thrown) => {
    assert.ok(thrown instanceof Violation, `${thrown}`);
    assert.equal(thrown.checker, checker);
    assert.match(thrown.message, message);
    return true;
  });
}

const bad = (message: RegExp, more: Partial<Write>): void =>
  violates(() => rig().promises.record(write(more)), message);

const removed = { documents: [{ collection: "ORDERS", id: "a", tag: null }], position: "1.11111111-5" };

test("writes that are as they were promised", () => {
  const { promises, log, step, end } = rig();
  promises.record(write());
  promises.record(write({ position: null, outcome: "kept" }));
  promises.record(write({ documents: [{ collection: "orders", id: null, tag: "t3" }] }));
  promises.record(write({ ...removed, ifMatch: "1.11111111-4" }));
  promises.record(write({ ...removed, position: null, outcome: "kept" }));
  promises.record(write({ required: 1 }));
  promises.record(write({ outcome: "unknown", position: null }));
  promises.record(
    write({
      outcome: "refused",
      position: null,
      documents: [{ ...removed.documents[0], tag: "no" } as never],
    }),
  );
  log.add([{ kind: "dropCollection", collection: orders }]);
  step();
  promises.record(write({ documents: [], drops: "Orders", position: "1.11111111-6" }));
  assert.equal(promises.count, 6);
  end(null);
});

test("writes that are not what was promised", () => {
  bad(/no node ever had an entry of this position/, { position: "1.11111111-9" });
  bad(/was never on n2/, { ...removed, machine: "n2" });
  bad(/no entry has t9/, { position: null, documents: [{ collection: "orders", id: "a", tag: "t9" }] });
  bad(/-4 has t4 for orders\/a, not t3/, { position: "1.11111111-4" });
  bad(/-5 has its deletion for orders\/a, not t3/, { position: "1.11111111-5" });
  bad(/-3 has nothing for orders\/b, not its deletion/, {
    documents: [{ collection: "orders", id: "b", tag: null }],
  });
  bad(/-3 changes a, too/, { documents: [] });
  bad(/-1 holds an operation of kind term/, { position: "1.11111111-1" });
  bad(/replaced 1\.11111111-4 of .*, not 1\.11111111-3/, { ...removed, ifMatch: "1.11111111-3" });
  bad(/-4 does not drop orders/, { documents: [], drops: "orders", position: "1.11111111-4" });
});

test("a transaction that timed out may have found nothing to delete", () => {
  const { promises } = rig();
  const documents = [...write().documents, { collection: "orders", id: "b", tag: null }];
  promises.record(write({ outcome: "kept", position: null, documents }));
  violates(() => promises.record(write({ documents })), /has nothing for orders\/b/);
});

test("as many followers as were promised hold a write when it is answered", () => {
  const { promises } = rig();
  promises.record(write({ required: 1 }), 30);
  violates(
    () => promises.record(write({ required: 1 }), 29),
    /was on 0 other machines \(\) when .* 29\.00, 1 had/,
  );
  violates(() => promises.record(write({ required: 2 })), /was on 1 other machines \(n2\)/);
  promises.record(write({ required: 2, outcome: "kept" }));
});

test("a tag is in one entry at most, and in none when it was refused", () => {
  const twice = rig();
  twice.log.add([put("a", 0, "t3")]);
  violates(twice.step, /t3 was written twice: by 1\.11111111-3 and 1\.11111111-6/);

  const refused = { outcome: "refused", position: null } as const;
  bad(/t3 was refused \(by n1 at 45\.00\), and it is in entry 1\.11111111-3/, refused);
  const later = rig();
  later.promises.record(write({ ...refused, documents: [{ collection: "orders", id: "b", tag: "t6" }] }));
  later.log.add([put("b", 0, "t6")]);
  violates(later.step, /t6 was refused .* it is in entry 1\.11111111-6/);
});

test("of a write whose fate is unknown there is all or nothing", () => {
  const unknown = (tags: readonly string[]): () => void => {
    const { promises, end } = rig();
    const documents = tags.map((tag) => ({ collection: "orders", id: "a", tag }));
    promises.record(write({ outcome: "unknown", position: null, documents }));
    return () => end(null);
  };
  unknown(["t3"])();
  unknown(["gone", "gone too"])();
  violates(unknown(["t3", "gone"]), /carried out in part: 1\.11111111-3, nowhere/);
  violates(unknown(["t3", "t4"]), /carried out in part: 1\.11111111-3, 1\.11111111-4/);
});

test("a promised write is in the leader's history, or rescued after a failover", () => {
  const failedOver = (give: boolean) => {
    const own = rig(), { history, promises, follower, see, step, clock, log } = own;
    promises.record(write(removed));
    const last = history.tip("n1");
    clock.now = 50;
    follower.term(2, "2", "b");
    see("n2", follower);
    if (give) log.become(follower);
    step();
    const leader = { ...own.leader, ...seenAs("n2", follower) } as Observed;
    const end = (lossBefore: number | null, rescued: readonly RescuedTail[] = []): void =>
      promises.final({
        leader,
        rescued,
        mayLack: (_tip, { seenAt }) => lossBefore !== null && seenAt <= lossBefore,
      });
    return { end, last };
  };
  const { end, last } = failedOver(true), tail = { machine: "n1", file: "x", from: 5, last };
  end(50, [tail]);
  violates(() => end(50), /-5 is not in the history of n2#0 .*, nor is it in a rescue file/);
  violates(() => end(50, [{ ...tail, from: 6 }]), /nor is it in a rescue file/);
  violates(
    () => end(null, [tail]),
    /-5 is not in the history of n2#0 \(2\.22222222-5\)\. The write: promised by n1/,
  );
  violates(() => end(39, [tail]), /is not in the history/);
  failedOver(false).end(50);
});

test("what a disk had that was made older may be lost", () => {
  const { history, promises, log, see, end } = rig();
  promises.record(write(removed));
  history.rolledBack("n1", "restored");
  const older = log.copy(4);
  log.become(older);
  see("n1", log);
  end(50);
  violates(() => end(null), /is not in the history/);
});

test("reads see a state that the machine had meanwhile", () => {
  const { history, replay, tags } = rig();
  const check = (machine: string, sentAt: number, knownAt: number, seen: ReadSeen["seen"]): void =>
    checkRead({ client: "c", machine, collection: "orders", id: "a", seen, sentAt, knownAt }, {
      history,
      replay,
      tags,
    });
  const t3 = { tag: "t3", etag: "1.11111111-3" }, t4 = { tag: "t4", etag: "1.11111111-4" };
  check("n1", 15, 25, null);
  check("n1", 15, 25, t3);
  check("n1", 15, 45, t4);
  check("n1", 41, 45, null);
  check("n2", 41, 45, t4);
  check("n3", 0, 45, null);
  const bad = (message: RegExp, ...read: Parameters<typeof check>) =>
    violates(() => check(...read), message, "reads");
  bad(
    /c saw t3 .* on n1 between 31\.00 and 32\.00: it was of 1\.11111111-4 at 1\.11111111-4/,
    "n1",
    31,
    32,
    t3,
  );
  bad(/c saw nothing .*: it was of 1\.11111111-4/, "n2", 31, 45, null);
  bad(/saw t4 .* it was of 1\.11111111-3 .* and it never had that/, "n1", 21, 25, t4);
  bad(/no node ever had an entry of this etag/, "n1", 0, 45, { tag: "t3", etag: "1.22222222-3" });
  bad(/was written by 1\.11111111-3/, "n1", 0, 45, { tag: "t3", etag: "1.11111111-4" });
  bad(/was written by no entry/, "n1", 0, 45, { tag: "?", etag: "1.11111111-4" });
});

test("a candidate has to hold what it counted for before the last confirmation came", () => {
  const { history, replay, tags } = rig(), candidates = new SyncCandidates();
  const promises = new Promises({ history, replay, tags, candidatesOf: (...of) => candidates.during(...of) });
  const look = (at: number, answeredSeq: number, ...names: string[]): void => {
    const node = { replication: { acks: { answeredSeq, state: () => ({ candidates: names }) } } };
    candidates.look({ name: "n1", node } as unknown as Machine, at);
  };
  const missing = /and not on n3, which may take over/;
  const own = write({ required: 1 }), passedOn = write({ machine: "n2", forwarded: true, required: 1 });
  look(1, 2, "n2");
  look(34, 3, "n2");
  look(36, 3, "n2", "n3");
  for (const came of [own, passedOn]) {
    promises.record(came, 40); // after that
    violates(() => promises.record({ ...came, sentAt: 37 }, 40), missing); // before it was asked for
  }
  look(41, 2, "n2", "n3");
  for (const came of [own, passedOn]) violates(() => promises.record(came, 42), missing); // nothing was confirmed
  look(43, 3, "n2", "n3");
  for (const came of [own, passedOn]) violates(() => promises.record(came, 44), missing); // before that
  look(45, 3, "n2");
  for (const came of [own, passedOn]) promises.record(came, 46); // and it went
});

test("what a leader believes that a follower holds", () => {
  const { history, follower, leader, followers, clock, see } = rig();
  const believe = (ackedSeq: number, endpoint = "n2:1"): void => {
    const one = { nodeId: "b".repeat(32), nodeName: "n2", ackedSeq, endpoint, connectedAtMs: 1 };
    followers.splice(0, 1, one as ConnectedFollower);
  };
  const check = new FollowersCheck({ history, now: () => clock.now, machineOf: () => "n2" });
  believe(4);
  check.check(leader);
  believe(0);
  check.check(leader);
  believe(5);
  violates(
    () => check.check(leader),
    /n1#0 believes that n2 holds entry 5; n2 never had 1\.11111111-5/,
    "followers",
  );
  believe(6);
  violates(() => check.check(leader), /its own log ends at 1\.11111111-5/, "followers");

  history.rolledBack("n2", "restored");
  clock.now = 50;
  see("n2", follower.copy(3));
  believe(4);
  check.check(leader);
  clock.now = 60;
  believe(4, "n2:2");
  violates(
    () => check.check(leader),
    /n2 does not have 1\.11111111-4 any more, it is at 1\.11111111-3/,
    "followers",
  );
});
