import assert from "node:assert/strict";
import { test } from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import { FakeLog, orders, put, remove, seenAs } from "./fake_log.ts";
import { History } from "./history.ts";
import { ancestorAt, commonOf, contains, tokenOf } from "./history_tree.ts";
import { Replay } from "./replay.ts";
import { Violation } from "./types.ts";

function historyAt(clock = { now: 0 }) {
  const history = new History(() => clock.now), replay = new Replay(history);
  const see = (machine: string, log: FakeLog): void => history.observe(seenAs(machine, log));
  return { history, replay, see, clock };
}

function violates(run: () => void, message: RegExp, checker = "history"): void {
  assert.throws(run, (thrown) => {
    assert.ok(thrown instanceof Violation, `${thrown}`);
    assert.equal(thrown.checker, checker);
    assert.match(thrown.message, message);
    return true;
  });
}

test("a leader, a follower behind it, and what each had when", () => {
  const { history, see, clock } = historyAt(), leader = new FakeLog().begin();
  see("n1", leader);
  clock.now = 10;
  leader.add([put("a", 0, "t1")]).add([put("a", 3, "t2")]);
  see("n1", leader);
  clock.now = 20;
  see("n2", leader.copy(3));
  const tip = history.tip("n1"), third = ancestorAt(tip, 3);
  assert.equal(tokenOf(tip), "1.11111111-4");
  assert.equal(history.byToken("1.11111111-3"), third);
  assert.equal(history.tip("n2"), third);
  assert.deepEqual([...third?.heldAt ?? []], [["n1", 10], ["n2", 20]]);
  assert.deepEqual(history.tipsBetween("n2", 0, 15).map(tokenOf), ["0.00000000-0"]);
  assert.deepEqual(history.tipsBetween("n2", 15, 25).map(tokenOf), ["0.00000000-0", "1.11111111-3"]);
  assert.deepEqual(history.tipsBetween("n2", 21, 25).map(tokenOf), ["1.11111111-3"]);
  assert.deepEqual(history.tipsBetween("n1", 5, 15).map(tokenOf), ["1.11111111-2", "1.11111111-4"]);
});

test("a trimmed log, and a snapshot whose log begins later", () => {
  const { history, see } = historyAt(), leader = new FakeLog().begin();
  see("n1", leader);
  for (let seq = 3; seq < 9; seq++) leader.add([put(`d${seq}`, 0, `t${seq}`)]);
  see("n1", leader);
  leader.first = seqOf(7);
  see("n2", leader);
  leader.add([put("e", 0, "e")]);
  see("n1", leader);
  see("n2", leader);
  assert.equal(history.tip("n2"), history.tip("n1"));
  const lost = leader.copy();
  lost.add([put("f", 0, "f")]).add([put("g", 0, "g")]).first = seqOf(11);
  violates(() => see("n3", lost), /n3#0: the log begins after 1\.11111111-10 .* nobody ever had that/);
});

test("a failover: two branches, one is given up", () => {
  const { history, replay, see } = historyAt(), old = new FakeLog().begin().add([put("a", 0, "t1")]);
  see("n1", old);
  const next = old.copy();
  see("n2", next);
  old.add([put("a", 3, "lost")]);
  see("n1", old);
  next.term(2, "2", "b").add([put("a", 3, "t2")]);
  see("n2", next);
  const lost = history.tip("n1"), tip = history.tip("n2");
  assert.equal(tokenOf(commonOf(lost, tip)), "1.11111111-3");
  assert.equal(commonOf(tip, lost), commonOf(lost, tip));
  assert.ok(!contains(tip, lost) && !contains(lost, tip) && contains(tip, history.root));
  assert.equal(replay.valueAt(lost, "orders", "a")?.body, '{"tag":"lost","sum":"x"}');
  assert.equal(replay.valueAt(tip, "Orders", "a")?.body, '{"tag":"t2","sum":"x"}');
  old.become(next);
  see("n1", old);
  assert.equal(history.tip("n1"), tip);
  assert.deepEqual(history.rollbacks.map(({ why, common }) => [why, common.seq]), [["diverged", 3]]);
});

test("the documents at any entry: created, changed, deleted, dropped, made again", () => {
  const { history, replay, see } = historyAt(), log = new FakeLog().begin();
  log.add([put("a", 0, "1"), put("b", 0, "2")]).add([put("a", 3, "3")]).add([remove("b", 3)]);
  log.add([{ kind: "dropCollection", collection: orders }]);
  log.add([{ kind: "createCollection", collection: seqNumber(2), name: "ORDERS" }, {
    ...put("b", 0, "4"),
    collection: seqNumber(2),
  }]);
  see("n1", log);
  const at = (seq: number) =>
    [...replay.documentsAt(ancestorAt(history.tip("n1"), seq) as never).values()].map((
      { name, documents },
    ) => [
      name,
      ...[...documents].map(([id, value]) =>
        `${id} ${value.seq} ${value.createdMs % 1000} ${value.modifiedMs % 1000}`
      ),
    ]);
  assert.deepEqual(at(1), []);
  assert.deepEqual(at(2), [["orders"]]);
  assert.deepEqual(at(3), [["orders", "a 3 2 2", "b 3 2 2"]]);
  assert.deepEqual(at(4), [["orders", "a 4 2 3", "b 3 2 2"]]);
  assert.deepEqual(at(5), [["orders", "a 4 2 3"]]);
  assert.deepEqual(at(6), []);
  assert.deepEqual(at(7), [["ORDERS", "b 7 6 6"]]);
});

const seqNumber = (value: number) => value as typeof orders;

test("an entry that does not fit what is before it", () => {
  const bad = (message: RegExp, change: (log: FakeLog) => void, checker = "history"): void => {
    const { see } = historyAt(), log = new FakeLog().begin().add([put("a", 0, "t")]);
    see("n1", log);
    change(log);
    violates(() => see("n1", log), message, checker);
  };
  bad(/n1#0: entry 5: it comes after entry 3/, (log) => log.add([put("b", 0, "u")], { seq: 5 }));
  bad(/entry 4: its chain/, (log) => log.add([put("b", 0, "u")], { chain: 7 }));
  bad(/entry 4: it cannot be read/, (log) => log.add([], { payload: new Uint8Array([1, 2, 3]) }));
  bad(/was not begun by a term entry/, (log) => {
    log.add([put("b", 0, "u")], { term: { ...log.last, run: "9".repeat(32) as never } });
  });
  bad(/is not its own/, (log) => {
    log.add([{
      kind: "term",
      epoch: 2 as never,
      run: "3".repeat(32) as never,
      nodeId: "b".repeat(32) as never,
    }]);
  });
  bad(/run 11111111 begins a second time/, (log) => log.term(1, "1"));
  bad(/epoch 1 has two writers/, (log) => log.term(1, "2", "b"));
  bad(/epoch 1 begins after epoch 3/, (log) => log.term(3, "3", "b").term(1, "2"));
  bad(/the log ends at .*its entries at/, (log) => {
    log.add([put("b", 0, "u")]).all.pop();
  });
  bad(
    /it replaces orders\/a of entry 0, but that is of entry 3/,
    (log) => log.add([put("a", 0, "u")]),
    "replay",
  );
  bad(/it replaces orders\/b of entry 3/, (log) => log.add([remove("b", 3)]), "replay");
  bad(/changes orders\/b twice/, (log) => log.add([put("b", 0, "u"), put("b", 4, "v")]), "replay");
  bad(/changes collection 2, which does not/, (log) => log.add([put("b", 0, "u", seqNumber(2))]), "replay");
  bad(
    /drops collection 2/,
    (log) => log.add([{ kind: "dropCollection", collection: seqNumber(2) }]),
    "replay",
  );
  bad(/makes collection 1 a second/, (log) => {
    log.add([{ kind: "dropCollection", collection: orders }]);
    log.add([{ kind: "createCollection", collection: orders, name: "x" }]);
  }, "replay");
  bad(/makes collection ORDERS, which exists/, (log) => {
    log.add([{ kind: "createCollection", collection: seqNumber(2), name: "ORDERS" }]);
  }, "replay");
});

test("one run, one seq, two contents", () => {
  const { see } = historyAt(), log = new FakeLog().begin(), other = log.copy();
  see("n1", log.add([put("a", 0, "t")]));
  see("n2", other);
  violates(() => see("n2", other.add([put("a", 0, "u")])), /n2#0: entry 3: run 11111111 has another entry/);
});

test("an epoch forks only where the world allowed it", () => {
  const fork = (allowed: boolean): () => void => {
    const { history, see } = historyAt(), log = new FakeLog().begin(), other = log.copy();
    if (allowed) history.allowFork();
    see("n1", log.add([put("a", 0, "t")]));
    return () => see("n2", other.term(1, "2"));
  };
  violates(fork(false), /n2#0: entry 3: epoch 1 forks: 1\.11111111-3 is there too/);
  fork(true)();
});

test("a log that goes back is told, with why; entries are given up for others only of a higher epoch", () => {
  const begun = () => {
    const rig = historyAt(), log = new FakeLog().begin().add([put("a", 0, "t")]);
    rig.see("n1", log);
    return { ...rig, log };
  };
  const back = begun();
  back.see("n1", back.log.copy(2));
  const wentBack = back.history.rollbacks.map(({ why, from, to }) => [why, from.seq, to.seq]);
  assert.deepEqual(wentBack, [["diverged", 3, 2]], "the entries have to be in a rescue file");

  const restored = begun();
  restored.history.rolledBack("n1", "restored");
  restored.see("n1", restored.log.copy(2));
  assert.deepEqual(restored.history.rollbacks.map(({ why, from, to }) => [why, from.seq, to.seq]), [[
    "restored",
    3,
    2,
  ]]);
  restored.see("n1", new FakeLog().term(1, "1"));
  assert.equal(restored.history.rollbacks.at(-1)?.why, "diverged", "once restored is not always restored");

  const same = begun(), other = same.log.copy(2).term(1, "2");
  same.history.allowFork();
  same.see("n2", other);
  violates(() => same.see("n1", other.copy()), /n1#0: it gave up 1\.11111111-3 for 1\.22222222-3/);

  // The same branch, but its leader is in a higher epoch already: a snapshot from before it is a step on the way there.
  const onTheWay = begun(), before = onTheWay.log.copy(2).term(1, "2");
  onTheWay.history.allowFork();
  onTheWay.see("n2", before.copy().term(2, "3"));
  onTheWay.see("n1", before);
  assert.equal(onTheWay.history.rollbacks.length, 1);

  const told = begun(), copied = told.log.copy(2).term(1, "2");
  told.history.allowFork();
  told.history.rolledBack("n1", "installed");
  told.see("n1", copied);
  assert.equal(told.history.rollbacks.length, 1);
});
