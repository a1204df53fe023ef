import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf, epochOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { insertDocument } from "../../src/engine/commands.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { engine as makeEngine } from "../../src/engine/engine.ts";
import type { Committed, Plan, SlicedPlan } from "../../src/engine/plan.ts";
import type { MakeAnswer, Remembered } from "../../src/engine/remembered.ts";
import { remembered } from "../../src/engine/remembered.ts";
import { transaction } from "../../src/engine/transaction.ts";
import { rememberedSweeper } from "../../src/node/remembered_sweeper.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import { positionText } from "../../src/storage/position_text.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, patient, testOptions } from "../suites/storage_fixture.ts";
import { ManualClock } from "../tool/manual_clock.ts";

const day = limits.rememberedMs;

interface Node {
  readonly storage: Storage;
  readonly engine: Engine;
  /** Null: another node leads. */
  run: string | null;
  readOnly: boolean;
  /** What the next commits wait for. */
  replicated: Promise<void> | null;
  /** Submits under the key; resolves when all that can happen without time passing has happened. */
  once<Value>(
    key: string,
    plan: Plan<Value> | SlicedPlan<Value>,
    request?: string,
  ): Promise<Committed<Remembered>>;
  /** Documents of a collection. */
  count(collection: string): number;
}

/** Real databases in virtual time. */
function rig(name: string, run: (open: (file: string) => Promise<Node>, time: ManualClock) => Promise<void>) {
  test(`remembered: ${name}`, patient, () =>
    inFolder(async (folder) => {
      const time = new ManualClock(), closing: (() => Promise<void>)[] = [];
      const open = async (file: string): Promise<Node> => {
        const storage = await openStorage(testOptions(`${folder}/${file}.dfdb`));
        const engine = makeEngine({
          storage,
          clock: time,
          gate() {
            if (node.run === null) throw new DfdbError("not_leader", "another one leads");
            if (node.readOnly) throw new DfdbError("read_only", "not now");
            const epoch = epochOf(node.run.charCodeAt(0) - 96);
            return { epoch, run: runIdOf(node.run.repeat(32)), nodeId: nodeIdOf("e".repeat(32)) };
          },
          replicated: () => node.replicated,
          onFatal: (error) => assert.fail(error),
          onDiskFull: (error) => assert.fail(error),
        });
        const node: Node = {
          storage,
          engine,
          run: "a",
          readOnly: false,
          replicated: null,
          async once(key, plan, request = "r") {
            const asked = { key: documentIdOf(key), request };
            const done = engine.submit(remembered(plan, asked, tell));
            done.catch(() => {});
            await time.settle();
            return await done;
          },
          count: (collection) => storage.read((view) => view.collection(collection)?.documents ?? 0),
        };
        closing.push(async () => {
          const closed = engine.close();
          await time.settle();
          await closed;
          storage.close();
        });
        return node;
      };
      try {
        await run(open, time);
      } finally {
        for (const close of closing) await close();
      }
    }));
}

const tell: MakeAnswer<unknown> = (value, at) => ({
  status: 201,
  headers: { etag: positionText(at, at.seq) },
  body: JSON.stringify(value),
});

const insert = (id: string) => insertDocument("orders", { id: documentIdOf(id), body: utf8("{}") });
const many = (count: number) =>
  transaction(
    Array.from({ length: count }, (_, i) => ({
      op: "insert" as const,
      collection: "many",
      id: documentIdOf(`d${i}`),
      body: utf8("{}"),
    })),
  );

const failsWith = (promise: Promise<unknown>, code: ErrorCode): Promise<void> =>
  assert.rejects(promise, (error) => error instanceof DfdbError && error.code === code);

/** What each entry does: kinds and ids. */
function entries({ storage: { log } }: Node): string[][] {
  const all = log.entries(seqOf(0), { bytesMax: 1 << 26, entriesMax: 1_000 });
  assert.ok(all !== "compacted");
  return all.map(({ payload }) =>
    decodeEntry(payload).map((operation) =>
      "id" in operation ? `${operation.kind} ${operation.id}` : operation.kind
    )
  );
}

rig("the answer is in the write's own entry, and says where that is", async (open) => {
  const node = await open("a");
  const { value, position } = await node.once("k", insert("x"));
  assert.deepEqual(entries(node), [["term"], ["createCollection", "put x", "createCollection", "put k"]]);
  assert.deepEqual(value, {
    status: 201,
    headers: { etag: "1.aaaaaaaa-2" },
    body: '{"id":"x","seq":2,"created":true}',
    seq: 2,
  });
  assert.equal(position.seq, 2);
  assert.deepEqual((await node.once("k", insert("x"))).value, value);
  await failsWith(node.once("k", insert("x"), "other"), "conflict");
  await failsWith(node.once("k2", insert("x")), "duplicate_key");
  assert.equal(node.storage.log.last.seq, 2);
  await node.once("k2", insert("y"));
  assert.deepEqual(entries(node)[2], ["put y", "put k2"]);
});

rig("large writes are remembered in the entry that is made in slices", async (open) => {
  const node = await open("a"), count = 2 * limits.sliceOperations;
  const first = await node.once("k", many(count));
  assert.equal(entries(node)[1]?.length, count + 3);
  assert.deepEqual(entries(node)[1]?.slice(-2), ["createCollection", "put k"]);
  assert.deepEqual((await node.once("k", many(count))).value, first.value);
  assert.deepEqual([node.count("many"), node.storage.log.last.seq], [count, 2]);
});

rig("a group whose plans run again one by one remembers each once", async (open, time) => {
  const node = await open("a");
  await node.once("before", insert("before"));
  const broken: Plan<void> = {
    bytes: 0,
    run(tx, wallMs) {
      tx.append([{
        kind: "put",
        collection: 1 as never,
        id: documentIdOf("z"),
        previous: seqOf(0),
        body: utf8("{}"),
      }], wallMs);
      throw new DfdbError("conflict", "too late");
    },
  };
  const all = [
    node.once("k", insert("x")),
    node.engine.submit(broken),
    node.once("k", insert("x")),
  ];
  const ends = await Promise.allSettled([...all, time.settle()]);
  assert.deepEqual(ends.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  assert.deepEqual(entries(node).slice(2), [["put x", "put k"]]);
  assert.deepEqual(await all[0], await all[2]);
});

rig("a plan that makes two entries, or other operations the second time, writes nothing", async (open) => {
  const node = await open("a");
  let made = 0;
  const put = (id: string) => ({
    kind: "put" as const,
    id: documentIdOf(id),
    previous: seqOf(0),
    body: utf8("{}"),
  });
  await node.once("first", insert("first"));
  const { seq } = node.storage.log.last;
  const plan = (run: Plan<unknown>["run"]): Plan<unknown> => ({ bytes: 0, run });
  await failsWith(
    node.once(
      "k",
      plan((tx, wallMs) => {
        const collection = tx.collection("orders")!.number;
        tx.append([{ ...put("a"), collection }], wallMs);
        tx.append([{ ...put("b"), collection }], wallMs);
      }),
    ),
    "bad_request",
  );
  await failsWith(
    node.once(
      "k",
      plan((tx, wallMs) => {
        tx.append([{ ...put(`n${made++}`), collection: tx.collection("orders")!.number }], wallMs);
      }),
    ),
    "internal",
  );
  assert.deepEqual([made, node.storage.log.last.seq, node.count("orders")], [2, seq, 1]);
});

rig("a repeat is answered when what it found is as safe as the first answer", async (open, time) => {
  const node = await open("a");
  const gates = [0, 1].map(() => Promise.withResolvers<void>());
  const told: string[] = [];
  const ask = (name: string): void =>
    void node.once("k", insert("x")).then(
      () => told.push(name),
      (error: DfdbError) => told.push(`${name} ${error.code}`),
    );
  node.replicated = gates[0]!.promise;
  ask("first");
  await time.settle();
  assert.equal(node.storage.log.last.seq, 2, "it is durable here");
  node.replicated = gates[1]!.promise;
  ask("repeat");
  await time.settle();
  assert.deepEqual(told, []);
  gates[0]!.reject(new DfdbError("replication_timeout", "nobody confirmed"));
  await time.settle();
  assert.deepEqual(told, ["first replication_timeout"]);
  gates[1]!.resolve();
  await time.settle();
  assert.deepEqual(told, ["first replication_timeout", "repeat"]);
  node.replicated = Promise.reject(new DfdbError("replication_timeout", "nobody confirmed"));
  node.replicated.catch(() => {});
  ask("again");
  await time.settle();
  await time.settle();
  assert.equal(told[2], "again replication_timeout");
  assert.equal(node.storage.log.last.seq, 2);
});

rig("whoever has the write has the answer: after a failover too", async (open) => {
  const old = await open("old"), next = await open("next");
  const { value } = await old.once("k", insert("x"));
  const lost = await old.once("lost", insert("y"));
  const all = old.storage.log.entries(seqOf(0), { bytesMax: 1 << 20, entriesMax: 2 });
  assert.ok(all !== "compacted");
  next.storage.write((tx) => all.forEach((entry) => tx.apply(entry)));
  next.run = "b";
  assert.deepEqual((await next.once("k", insert("x"))).value, value);
  assert.equal(value.headers["etag"], "1.aaaaaaaa-2");
  // What the new leader never had is not remembered there either: it is made.
  const again = await next.once("lost", insert("y"));
  assert.notDeepEqual(again.value, lost.value);
  assert.equal(again.value.headers["etag"], "2.bbbbbbbb-4");
  assert.equal(next.count("orders"), 2);
});

rig("after a day a key means nothing any more", async (open, time) => {
  const node = await open("a");
  await node.once("k", insert("x"));
  await time.advance(day - 1);
  assert.equal((await node.once("k", insert("x"))).value.seq, 2);
  await time.advance(1);
  await failsWith(node.once("k", insert("x")), "duplicate_key");
  const { value } = await node.once("k", insert("y"), "other");
  assert.equal(value.seq, 3);
  assert.deepEqual((await node.once("k", insert("y"), "other")).value, value);
  assert.equal(node.count("_remembered"), 1);
});

rig("the leader deletes what has expired through the log, oldest first, in slices", async (open, time) => {
  const node = await open("a");
  const role = {
    get leadership() {
      return node.run === null ? null : {};
    },
    get readOnly() {
      return { on: node.readOnly };
    },
  };
  const stop = rememberedSweeper({ ...node, clock: time, logger: silentLogger, role });
  const old = limits.sliceOperations + 5;
  for (let n = 0; n < old; n++) {
    const done = node.engine.submit(
      remembered(insert(`d${n}`), { key: documentIdOf(`k${n}`), request: "r" }, tell),
    );
    if (n === old - 1) await Promise.all([time.settle(), done]);
  }
  await time.advance(day / 2);
  await node.once("young", insert("young"));
  const { seq } = node.storage.log.last;
  node.readOnly = true;
  await time.advance(day / 2);
  // The oldest row is that of a key that was used again.
  node.readOnly = false;
  const fresh = node.once("k0", insert("again"));
  await fresh;
  node.run = null;
  await time.advance(3 * limits.forgetEveryMs);
  assert.equal(node.count("_remembered"), old + 1, "a follower deletes nothing");
  node.run = "a";
  await time.advance(2 * limits.forgetEveryMs);
  assert.equal(node.count("_remembered"), 2);
  const made = entries(node).slice(seq + 1);
  assert.ok(made.length >= 2 && made.every((entry) => entry.length <= limits.sliceOperations));
  assert.ok(made.flat().every((text) => /^delete k[1-9]/.test(text)), "only those");
  assert.equal((await node.once("k0", insert("again"))).value.seq, (await fresh).value.seq);
  const last = node.storage.log.last.seq;
  await time.advance(10 * limits.forgetEveryMs);
  assert.equal(node.storage.log.last.seq, last, "a look that finds nothing writes nothing");
  stop();
  assert.equal(time.timers, 0);
});

rig("the answer is kept as a document of its own collection", async (open) => {
  const node = await open("a");
  await node.once("k", insert("x"));
  const kept = node.storage.read((view) =>
    view.document(view.collection("_remembered")!.number, documentIdOf("k"))
  );
  assert.deepEqual(JSON.parse(kept?.body ?? ""), {
    request: "r",
    status: 201,
    headers: { etag: "1.aaaaaaaa-2" },
    body: '{"id":"x","seq":2,"created":true}',
  });
});
