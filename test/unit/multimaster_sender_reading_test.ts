/** What a sender reads in several slices while others write. */
import assert from "node:assert/strict";
import test from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { writeBatch } from "../../src/multimaster/batch.ts";
import { ReceiverHistory } from "../../src/multimaster/receiver_history.ts";
import type { ReadVersions } from "../../src/multimaster/sender_reading.ts";
import { readVersions } from "../../src/multimaster/sender_reading.ts";
import { inFolder, patient } from "../suites/storage_fixture.ts";
import { Master, sha256 } from "../tool/incoming_rig.ts";

/** More than one slice reads, and so few more that the last page has room for one more key. */
const many = limits.masterSliceKeys + 15;

interface Asked {
  readonly after?: ReadVersions["next"];
  readonly transitive?: boolean;
  readonly items?: number;
  /** Runs after the first slice. */
  readonly between?: () => Promise<void>;
}

async function read(
  from: Master,
  to: Master,
  { after = null, transitive = true, items = 10_000, between }: Asked = {},
): Promise<ReadVersions> {
  const { epoch, run } = to.storage.log.last, { databaseId } = to.storage;
  const history = new ReceiverHistory({ databaseId, term: { epoch, run } }, [{ run, firstSeq: seqOf(1) }]);
  const sending = { own: from.storage.databaseId, destination: { collections: null, transitive }, history };
  const bounds = { upTo: seqOf(0), items, bytes: 2 ** 30, sha256 };
  const slices = readVersions(from.storage, { sending, after: after ?? seqOf(0), ...bounds });
  for (let number = 1;; number++) {
    const slice = slices.next();
    if (slice.done === true) {
      assert.ok(between === undefined || number > 1, "one slice is not enough");
      return slice.value;
    }
    if (number === 1) await between?.();
  }
}

async function send(from: Master, to: Master, { keys, tree, upTo }: ReadVersions): Promise<void> {
  assert.ok(tree !== null);
  const dots = keys.flatMap(({ versions }) => versions.flatMap(({ vector }) => vector));
  const runs = tree.lineage(dots.map(({ run }) => run), () => false);
  await to.incoming.replicate(from.sender, from.target(to, upTo), writeBatch(tree, { runs, keys }));
}

/** Numbers of versions of document 1, each time that the batch has it. */
const counts = ({ keys }: ReadVersions): number[] =>
  keys.filter(({ name }) => name === "orders").map(({ versions }) => versions.length);

/** The same versions, shown alike. */
function agree(one: Master, other: Master): void {
  const [mine, theirs] = [one, other].map((master) => master.key("orders", "1"));
  assert.deepEqual(mine?.versions, theirs?.versions);
  assert.deepEqual(mine?.shown, theirs?.shown);
  assert.equal(one.body("orders", "1"), other.body("orders", "1"));
  assert.deepEqual([...one.lines, ...other.lines], []);
}

/** Masters that take the latest. At `a` document 1 has two versions, and all others come after it; `c` has written a third one, `d` has nothing. */
const withMasters = (
  run: (a: Master, b: Master, c: Master, d: Master) => Promise<void>,
): Promise<void> =>
  inFolder(async (folder) => {
    const [a, b, c, d] = [
      await Master.open(folder, "a"),
      await Master.open(folder, "b"),
      await Master.open(folder, "c"),
      await Master.open(folder, "d"),
    ];
    for (const master of [a, b, c, d]) master.policy = { kind: "latest" };
    await a.put("orders", "1", '{"n":1}');
    b.wallMs += 1_000_000;
    await b.put("orders", "1", '{"n":2}');
    c.wallMs += 2_000_000;
    await c.put("orders", "1", '{"n":3}');
    await b.tell(a);
    await a.insert("items", many, () => "{}");
    await run(a, b, c, d);
    for (const master of [a, b, c, d]) await master.close();
  });

test(
  "a key that changes between two slices is sent as it is then, once, and is no disagreement",
  patient,
  () =>
    withMasters(async (a, _b, c, d) => {
      // So many as there are: it does not count twice.
      const batch = await read(a, d, { items: many + 1, between: () => c.tell(a) });
      assert.deepEqual(counts(batch), [3]);
      assert.deepEqual([batch.keys.length, batch.next], [many + 1, null]);
      const changes = batch.keys.map(({ change }) => change.seq);
      assert.deepEqual(changes, [...changes].sort((one, other) => one - other));
      await send(a, d, batch);
      assert.equal(d.body("orders", "1"), '{"n":3}');
      agree(a, d);
    }),
);

test(
  "what has no room any more beside the others comes with the next batch",
  patient,
  () =>
    withMasters(async (a, _b, c, d) => {
      const first = await read(a, d, { items: many, between: () => c.tell(a) });
      assert.deepEqual(counts(first), [2]);
      await send(a, d, first);
      assert.equal(d.body("orders", "1"), '{"n":2}');
      const second = await read(a, d, { after: first.next });
      assert.deepEqual(counts(second), [3]);
      await send(a, d, second);
      agree(a, d);
    }),
);

test(
  "what is not to be sent any more in a later slice is not sent",
  patient,
  () =>
    withMasters(async (a, b) => {
      await a.tell(b, a.keys().filter(({ name }) => name === "orders"));
      const batch = await read(a, b, {
        transitive: false,
        between: async () => {
          await b.put("orders", "1", '{"n":4}');
          await b.tell(a);
        },
      });
      assert.deepEqual([counts(batch), batch.keys.length, batch.skipped], [[], many, 1]);
      await send(a, b, batch);
      assert.equal(b.body("orders", "1"), '{"n":4}');
      agree(a, b);
    }),
);

test(
  "a sender that tells both states of a key in one batch is not taken to disagree",
  patient,
  () =>
    withMasters(async (a, _b, c, d) => {
      const before = a.keys();
      await c.tell(a);
      await a.tell(d, [...before, ...a.keys().filter(({ name }) => name === "orders")]);
      assert.equal(d.body("orders", "1"), '{"n":3}');
      agree(a, d);
    }),
);
