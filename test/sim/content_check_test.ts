import assert from "node:assert/strict";
import { test } from "node:test";
import { seqOf, wallMsOf } from "../../src/base/ids.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { LogReader } from "../../src/storage/log.ts";
import type { ReadView, Storage } from "../../src/storage/storage.ts";
import {
  beginTerm,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "../suites/storage_fixture.ts";
import { checkContent, checkConverged } from "./content_check.ts";
import { History } from "./history.ts";
import { Replay } from "./replay.ts";
import { RetentionCheck } from "./retention_check.ts";
import { watchStorages } from "./storage_watch.ts";
import { type Observed, Violation } from "./types.ts";

function observed(storage: Storage, machine = "n1"): Observed {
  return { machine, process: `${machine}#0`, nodeId: "a".repeat(32), storage, followers: () => [] };
}

/** Entries 1 to 9; three documents are left. */
function fill(storage: Storage): void {
  const orders = start(storage);
  storage.write((tx) => {
    tx.append([put(orders, "a", 0), put(orders, "ü😀", 0, '{"x":"\u2028"}')], wall);
    tx.append([put(orders, "a", 3, '{"n":1.50}')], wallMsOf(wall + 5));
    tx.append([put(orders, "b", 0)], wall);
    tx.append([remove(orders, "b", 5)], wall);
    const other = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection: other, name: "Other" }, put(other, "c", 0)], wall);
    tx.append([beginTerm(2, "2")], wall);
    tx.append([put(other, "c", 7)], wall);
  });
}

function copyOf(storage: Storage, to: Storage): void {
  const entries = storage.log.entries(to.log.last.seq, { bytesMax: 2 ** 30, entriesMax: 1e6 });
  assert.ok(entries !== "compacted");
  to.write((tx) => entries.forEach((entry) => tx.apply(entry)));
}

function rigAt(clock = { now: 0 }) {
  const history = new History(() => clock.now), replay = new Replay(history);
  return { history, replay, check: (node: Observed): void => checkContent(node, { history, replay }) };
}

function withStorage(run: (storage: Storage, folder: string) => Promise<void> | void): Promise<void> {
  return inFolder(async (folder) => {
    const storage = await openStorage(testOptions(`${folder}/data.dfdb`));
    try {
      await run(storage, folder);
    } finally {
      storage.close();
    }
  });
}

function violates(run: () => void, message: RegExp, checker = "content"): void {
  assert.throws(run, (thrown) => {
    assert.ok(thrown instanceof Violation, `${thrown}`);
    assert.equal(thrown.checker, checker);
    assert.match(thrown.message, message);
    return true;
  });
}

/** The same storage, of which what is read is not what is there. */
function lying(
  storage: Storage,
  lies: { view?: (view: ReadView) => object; log?: (log: LogReader) => object },
): Observed {
  const over = <Real extends object>(real: Real, lie: object): Real =>
    new Proxy(real, {
      get(target, name) {
        const from = Object.hasOwn(lie, name) ? lie : target, value = Reflect.get(from, name, from);
        return typeof value === "function" ? value.bind(from) : value;
      },
    });
  return observed(over(storage, {
    read: <Result>(run: (view: ReadView) => Result) =>
      storage.read((view) => run(over(view, lies.view?.(view) ?? {}))),
    log: over(storage.log, lies.log?.(storage.log) ?? {}),
  }));
}

test(
  "a node holds what its log says: new, trimmed, copied, opened again",
  patient,
  () =>
    withStorage(async (storage, folder) => {
      const { history, replay, check } = rigAt(), node = observed(storage);
      check(node);
      fill(storage);
      check(node);
      const path = `${folder}/copy.dfdb`, copy = await openStorage(testOptions(path));
      copyOf(storage, copy);
      const follower = observed(copy, "n2");
      checkConverged([node, follower], { history, replay });
      copy.write((tx) => tx.append([put(1 as never, "late", 0)], wall));
      check(follower);
      violates(
        () => checkConverged([node, follower], { history, replay }),
        /n1#0 is at 2\.22222222-9, n2#0 at 2\.22222222-10/,
        "convergence",
      );
      while (copy.trimLog({ bytesMax: 50, age: null }));
      assert.ok(copy.log.first > 3);
      check(follower);
      copy.close();
      const again = await openStorage(testOptions(path));
      check(observed(again, "n2"));
      again.close();
    }),
);

test("a node that holds something else", patient, () =>
  withStorage((storage) => {
    fill(storage);
    const bad = (message: RegExp, lies: Parameters<typeof lying>[1]): void =>
      violates(() => rigAt().check(lying(storage, lies)), message);
    const page = (change: (page: ReturnType<ReadView["page"]>) => object) => ({
      view: (view: ReadView) => ({
        page: (...args: Parameters<ReadView["page"]>) => change(view.page(...args)),
      }),
    });
    const first = (more: object) =>
      page(({ documents: [one, ...rest] }) => ({ documents: [{ ...one, ...more }, ...rest], next: null }));
    rigAt().check(lying(storage, {}));
    bad(/n1#0 at 2\.22222222-9: orders\/a has body \{\}, not \{"n":1\.50\}/, first({ body: "{}" }));
    bad(/orders\/a has seq 3, not 4/, first({ seq: 3 }));
    bad(/orders\/a has modifiedMs 1750000000000, not 1750000000005/, first({ modifiedMs: wall }));
    bad(/orders\/a has createdMs 1, not/, first({ createdMs: 1 }));
    bad(/orders\/x should not be there/, first({ id: "x" }));
    bad(/orders\/a is missing/, page(({ documents }) => ({ documents: documents.slice(1), next: null })));
    bad(
      /orders\/a is there twice/,
      page(({ documents }) => ({ documents: [...documents, documents[0]], next: null })),
    );
    const collections = (change: (all: object[]) => object[]) => ({
      view: (view: ReadView) => ({ collections: () => change([...view.collections()]) }),
    });
    bad(/its collections are orders, not orders, Other/, collections((all) => all.slice(0, 1)));
    bad(/no collection orders of number 7/, collections((all) => all.map((one) => ({ ...one, number: 7 }))));
    bad(
      /orders counts 9 documents, not 2/,
      collections((all) => all.map((one) => ({ ...one, documents: 9 }))),
    );
    bad(/its documents are of entry 3/, { view: (view) => ({ position: { ...view.position, seq: 3 } }) });
    bad(/its terms are .*, not /, { log: ({ terms }) => ({ terms: terms.slice(1) }) });
  }));

test("a log that changed after it was read", patient, () =>
  withStorage((storage) => {
    fill(storage);
    const { check } = rigAt();
    check(observed(storage));
    const later = (change: (entries: readonly object[]) => readonly object[]) =>
      lying(storage, {
        log: (log) => ({
          last: log.last,
          entries: (...args: Parameters<LogReader["entries"]>) => {
            const found = log.entries(...args);
            return found === "compacted" || args[0] !== 0 ? found : change(found);
          },
        }),
      });
    violates(
      () => check(later(([one, ...rest]) => [{ ...one, wallMs: 1 }, ...rest])),
      /entry 1 of its log is not what/,
    );
    violates(() => check(later(() => [])), /its log ends after entry 0/);
  }));

test("a log is trimmed as late as it is to be", patient, () =>
  withStorage((storage) => {
    const { history } = rigAt(), node = observed(storage), trims = new RetentionCheck(history);
    const orders = start(storage), bytesMax = 2_000, ageMs = 10_000;
    const look = (wallMs = wall as number): void => {
      history.observe(node);
      trims.check(node, { logBytesMax: bytesMax, logAgeMs: ageMs, wallMs });
    };
    const trim = (bytes: number, now = wall as number, msMax = ageMs): void => {
      const before = storage.log.first;
      while (storage.trimLog({ bytesMax: bytes, age: { msMax, now: wallMsOf(now) } }));
      assert.ok(storage.log.first > before);
    };
    const write = (count: number, wallMs = wall as number): void => {
      for (let i = 0; i < count; i++) {
        const id = `d${storage.log.last.seq}`;
        storage.write((tx) => tx.append([put(orders, id, 0, `{"p":"${"p".repeat(90)}"}`)], wallMsOf(wallMs)));
        look(wallMs);
      }
    };
    look();
    write(20);
    trim(bytesMax);
    look();
    write(1, wall + 20_000);
    trim(bytesMax, wall + 20_000);
    assert.equal(storage.log.first, storage.log.last.seq);
    look(wall + 20_000);
    write(5, wall + 20_000);
    trim(400, wall + 20_000);
    violates(() => look(wall + 20_000), /n1#0 trimmed 1\.11111111-\d+ too early/, "retention");
    write(5, wall + 25_000);
    trim(bytesMax, wall + 25_000, 1_000);
    violates(() => look(wall + 25_000), /it is 5000 ms old, 10000 ms are to be kept/, "retention");
  }));

test(
  "a watch tells of every commit, and of a log before it is trimmed",
  patient,
  () =>
    withStorage((storage) => {
      const seen: string[] = [];
      const stop = watchStorages(({ log }) => void seen.push(`${log.first}-${log.last.seq}`));
      try {
        const orders = start(storage), open = storage.begin();
        open.slice((tx) => tx.append([put(orders, "a", 0)], wall));
        assert.deepEqual(seen, ["1-2"]);
        open.commit();
        assert.throws(() =>
          storage.write((tx) => {
            tx.append([put(orders, "b", 0)], wall);
            throw new Error("not kept");
          }), /not kept/);
        storage.trimLog({ bytesMax: 1, age: null });
        assert.deepEqual(seen, ["1-2", "1-3", "1-3"]);
        assert.equal(storage.log.first, 3);
      } finally {
        stop();
      }
      storage.write((tx) => tx.append([put(1 as never, "c", 0)], wall));
      assert.equal(seen.length, 3);
      assert.equal(storage.log.last.seq, seqOf(4));
    }),
);
