/** Which keys are sent, and after which place a receiver may lack something. */
import assert from "node:assert/strict";
import test from "node:test";
import { databaseIdOf, epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { DatabaseId, RunId } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import type { Dot } from "../../src/document/run_tree.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import type { VersionSet } from "../../src/document/version_set.ts";
import { findCommon } from "../../src/multimaster/find_common.ts";
import type { Cursor } from "../../src/multimaster/outgoing_events.ts";
import { ReceiverHistory } from "../../src/multimaster/receiver_history.ts";
import { RunHeights } from "../../src/multimaster/run_heights.ts";
import { isToSend } from "../../src/multimaster/to_send.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { DotPlace } from "../../src/storage/versions.ts";
import type { Master } from "../tool/version_world.ts";
import { VersionWorld } from "../tool/version_world.ts";
import { destinationOf } from "../tool/outgoing_rig.ts";

const database = (digit: string): DatabaseId => databaseIdOf(digit.repeat(32));
const run = (name: string): RunId => runIdOf(name.padEnd(32, "0"));

/**
 * Database a: a1. Database b: b1, continued by b2 at entry 10, by b4 at 30; b3, of which nothing is left, left b1 at 5. Database c: c1.
 */
function tree(...without: string[]): RunTree {
  const made = new RunTree();
  const rows: readonly (readonly [string, string, number, string | null])[] = [
    ["a", "a1", 1, null],
    ["b", "b1", 1, null],
    ["b", "b2", 10, "b1"],
    ["b", "b3", 5, "b1"],
    ["b", "b4", 30, "b2"],
    ["c", "c1", 1, null],
  ];
  for (const [of, name, first, parent] of rows) {
    if (without.includes(name)) continue;
    made.add({
      database: database(of),
      run: run(name),
      epoch: epochOf(first),
      firstSeq: seqOf(first),
      parent: parent === null ? null : run(parent),
    });
  }
  return made;
}

const dot = (text: string): Dot => {
  const [name = "", seq] = text.split("@");
  return { run: run(name), seq: seqOf(Number(seq)) };
};
const set = (...dots: readonly string[]): VersionSet =>
  dots.map((text) => ({ dot: dot(text), vector: [dot(text)], modifiedMs: wallMsOf(1), body: null }));
const receiver = (name: string) => ({
  databaseId: database("b"),
  term: { epoch: epochOf(1), run: run(name) },
});

test("a receiver's history is known from versions that came here, or from what it tells", () => {
  const known = tree(), history = new ReceiverHistory(receiver("b4"));
  const of = (own: ReceiverHistory, runs: RunTree, dots: readonly string[]): boolean[] =>
    dots.map((text) => own.has(runs, dot(text)));
  assert.deepEqual(of(history, known, ["b1@9", "b2@10", "b2@29", "b4@30", "b4@9999"]), Array(5).fill(true));
  // Lost in failovers; another database's; a run that is not known.
  assert.deepEqual(
    of(history, known, ["b1@10", "b2@30", "b3@5", "b3@3", "a1@1", "b9@1"]),
    Array(6).fill(false),
  );

  const unheard = tree("b4");
  assert.deepEqual(
    of(history, unheard, ["b1@9", "b2@10"]),
    [false, false],
    "nobody has said what b4 continues",
  );
  const told = ["b2@10", "b4@30"].map((text) => ({ run: run(text.slice(0, 2)), firstSeq: dot(text).seq }));
  const knows = new ReceiverHistory(receiver("b4"), told);
  assert.deepEqual(of(knows, unheard, ["b2@10", "b2@29", "b2@30", "b3@12"]), [true, true, false, false]);
  // Before what is told the tree goes on.
  assert.deepEqual(of(knows, unheard, ["b1@9", "b3@7", "a1@1"]), [true, false, false]);
  assert.deepEqual(of(new ReceiverHistory(receiver("b4"), told.slice(1)), unheard, ["b2@29", "b1@3"]), [
    false,
    false,
  ]);
  // What was told of another leadership says nothing.
  assert.deepEqual(of(new ReceiverHistory(receiver("b3"), told), known, ["b1@4", "b2@10"]), [true, false]);
});

test("what the tree and the told runs say of a history is what the history holds", () => {
  const random = prng(7), world = new VersionWorld(1), [master] = world.masters as readonly [Master];
  let held = 0, lost = 0;
  for (let i = 0; i < 60; i++) {
    for (let n = random.below(4); n > 0; n--) master.write("k", "{}");
    const what = random.below(9);
    if (what < 3) master.restart();
    else if (what < 5) master.backTo(Math.max(0, master.seq - random.below(6)));
  }
  const runs = [...world.histories.keys()], present = [...world.histories].at(-1)?.[1] ?? [];
  const path: { run: RunId; firstSeq: ReturnType<typeof seqOf> }[] = [];
  present.forEach((one, seq) => {
    if (one !== null && path.at(-1)?.run !== one) path.push({ run: one, firstSeq: seqOf(seq) });
  });
  const databaseId = master.database, term = { epoch: epochOf(1), run: runs.at(-1) as RunId };
  for (const told of [[], path.slice(-3), path]) {
    const history = new ReceiverHistory({ databaseId, term }, told);
    for (const [of, entries] of world.histories) {
      entries.forEach((one, seq) => {
        if (one !== of) return;
        const expected = present[seq] === of;
        expected ? held++ : lost++;
        assert.equal(history.has(master.tree, { run: of, seq: seqOf(seq) }), expected, `${of}@${seq}`);
      });
    }
  }
  assert.ok(held > 100 && lost > 50, `${held} held, ${lost} lost`);
});

test("a key is sent when one of its versions has to be", () => {
  const known = tree(), history = new ReceiverHistory(receiver("b4"));
  const sent = (versions: VersionSet, more: object = {}, name = "Orders"): boolean =>
    isToSend(known, { name, versions }, {
      own: database("a"),
      destination: destinationOf({ Url: "http://b", ...more }),
      history,
    });
  const transitive = { TransitiveReplicationBehavior: "Replicate" };
  for (const more of [{}, transitive]) {
    assert.equal(sent(set("a1@5"), more), true, "written here");
    assert.equal(sent(set("b4@40"), more), false, "written there");
    assert.equal(sent(set("b2@30"), more), true, "written there, and lost");
    assert.equal(sent(set("c1@3"), more), more === transitive, "written elsewhere");
    // Conflicts: of whom nobody can say that he wrote them last.
    assert.equal(sent(set("a1@5", "b4@40"), more), true);
    assert.equal(sent(set("a1@5", "c1@3"), more), true);
    assert.equal(sent(set("b4@40", "c1@3"), more), more === transitive);
    assert.equal(sent(set("b2@30", "c1@3"), more), true);
  }
  assert.equal(sent(set("a1@5"), { SpecifiedCollections: ["ORDERS", "x"] }), true);
  assert.equal(sent(set("a1@5"), { SpecifiedCollections: ["items"] }), false);
  assert.equal(sent(set("b2@30"), { SpecifiedCollections: ["items"] }), false);
});

/** Versions of a log of 100 entries, of which `a0` wrote up to 50; by the entry that brought them. */
function storageOf(dots: ReadonlyMap<number, string>, pages = 3): Storage {
  const terms = [["a0", 1, 1], ["a1", 2, 51]].map(([name, epoch, firstSeq]) => ({
    run: run(String(name)),
    epoch: epochOf(Number(epoch)),
    firstSeq: seqOf(Number(firstSeq)),
  }));
  const rows = [...dots].sort(([a], [b]) => a - b).map(([change, text]) => ({
    change: seqOf(change),
    dot: dot(text),
  }));
  const versions = {
    tree: tree(),
    dotsSince(after: number | DotPlace) {
      const from = typeof after === "number" ? after : after.change;
      const rest = rows.filter(({ change }) => change > from),
        page = rest.slice(0, pages),
        last = page.at(-1);
      const next = rest.length > page.length && last !== undefined
        ? { change: last.change, space: 1, id: "", run: 1 }
        : null;
      return { dots: page, next };
    },
  };
  const view = { versions };
  return {
    log: { last: { seq: 100, epoch: 2, run: run("a1") }, terms },
    read: (look: (view: unknown) => unknown) => look(view),
  } as unknown as Storage;
}

const place = (name: string, epoch: number, seq: number) => ({
  epoch: epochOf(epoch),
  run: run(name),
  seq: seqOf(seq),
});
const cursor = (at: ReturnType<typeof place>, asOf = at): Cursor => ({ ...at, asOf });

function common(
  storage: Storage,
  given: Cursor | null,
  history: ReceiverHistory,
  heights = new RunHeights(),
): Cursor {
  const steps = findCommon(storage, given, history, heights);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

test("the place in common: the cursor, where all of it is in this history", () => {
  const storage = storageOf(new Map([[3, "b1@2"], [60, "b4@31"]])),
    history = new ReceiverHistory(receiver("b4"));
  const asOf = place("a1", 2, 100), start = { ...place("0", 0, 0), asOf };
  const found = (given: Cursor | null): Cursor => common(storage, given, history);
  assert.deepEqual(found(cursor(place("a1", 2, 70))), { ...place("a1", 2, 70), asOf });
  assert.deepEqual(found(cursor(place("a0", 1, 20), place("a0", 1, 50))), { ...place("a0", 1, 20), asOf });
  assert.deepEqual(found(null), start);
  for (
    const lost of [
      cursor(place("a0", 1, 60)),
      cursor(place("a1", 2, 101)),
      cursor(place("a9", 1, 20)),
      // Read when there were entries that are lost.
      cursor(place("a0", 1, 20), place("a0", 1, 51)),
      cursor(place("a1", 2, 60), place("a1", 2, 59)),
    ]
  ) assert.deepEqual(found(lost), start, JSON.stringify(lost));
});

test("the place in common is before what the receiver wrote and lost", () => {
  const dots = new Map([[3, "b1@2"], [9, "a1@9"], [20, "c1@4"], [40, "b2@30"], [45, "b3@6"], [80, "b4@30"]]);
  const history = new ReceiverHistory(receiver("b4")), storage = storageOf(dots);
  const seqs = [100, 80, 40, 39, 3].map((seq) =>
    common(storage, cursor(place(seq > 50 ? "a1" : "a0", seq > 50 ? 2 : 1, seq)), history).seq
  );
  assert.deepEqual(seqs, [39, 39, 39, 39, 3]);
  // Everything it wrote, where nobody knows what it continues.
  const unheard = new ReceiverHistory({ ...receiver("b9") });
  assert.equal(common(storage, cursor(place("a1", 2, 100)), unheard).seq, 2);
});

test("an older entry of a run that came here later hides nothing", () => {
  const storage = storageOf(new Map([[60, "b2@33"], [70, "b2@12"]])),
    history = new ReceiverHistory(receiver("b4"));
  assert.equal(common(storage, cursor(place("a1", 2, 100)), history).seq, 59);
});

test("what came here since the last look counts", () => {
  const dots = new Map([[3, "b1@2"], [60, "b4@31"]]), history = new ReceiverHistory(receiver("b4"));
  const heights = new RunHeights(), at = cursor(place("a1", 2, 100));
  assert.equal(common(storageOf(dots), at, history, heights).seq, 100);
  assert.equal(common(storageOf(new Map([...dots, [70, "b2@33"]])), at, history, heights).seq, 69);
});
