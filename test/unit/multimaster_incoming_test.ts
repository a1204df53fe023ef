/** What a master makes of the batches of another one. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import test from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { databaseIdOf, epochOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { setSetting } from "../../src/engine/collection_settings.ts";
import { cursorText } from "../../src/multimaster/batch.ts";
import { cursorOf, sources } from "../../src/multimaster/sources.ts";
import { coded, inFolder, patient } from "../suites/storage_fixture.ts";
import { elements, Master, sha256 } from "../tool/incoming_rig.ts";

/** Masters `a`, `b`, ... */
function withMasters(
  digits: string,
  run: (masters: readonly Master[], folder: string) => Promise<void>,
): Promise<void> {
  return inFolder(async (folder) => {
    const masters: Master[] = [];
    for (const digit of digits) masters.push(await Master.open(folder, digit));
    try {
      await run(masters, folder);
    } finally {
      for (const master of masters) await master.close();
    }
  });
}

const two = (run: (a: Master, b: Master, folder: string) => Promise<void>) =>
  withMasters("ab", ([a, b], folder) => run(a as Master, b as Master, folder));

const json = (text: string | null): Record<string, unknown> =>
  JSON.parse(text ?? "null") as Record<string, unknown>;
const rejected = (master: Master, key: string) => master.body("Raven", `Replication/Rejected/${key}`);
const cursorAt = (receiver: Master, sender: Master) =>
  receiver.storage.read((view) => cursorOf(view, sender.sender, sha256));
const shownAt = (master: Master, id: string): string | undefined => master.key("orders", id)?.shown.kind;

/** Sends elements of a hand-made batch; `change` makes one of what `from` would send. */
async function forge(
  from: Master,
  to: Master,
  change: (element: Record<string, unknown>, metadata: Record<string, unknown>) => void,
): Promise<void> {
  const list = elements(from.batch());
  for (const one of list) change(one, one["@metadata"] as Record<string, unknown>);
  await to.incoming.replicate(from.sender, from.target(to), utf8(JSON.stringify(list)));
}

test(
  "versions come in, with their runs and the cursor; a repeat writes nothing",
  patient,
  () =>
    two(async (a, b) => {
      const text = '{"total":1.50,"_note":"to the letter"}';
      await a.put("orders", "1", text);
      await a.put("_docs", "plain", "{}");
      await a.put("orders", "gone", "{}");
      await a.delete("orders", "gone");
      assert.equal((await b.incoming.lastEtag(a.sender)).cursor, null);
      const begun = b.last, batch = a.batch(), target = a.target(b);
      const answer = await b.incoming.replicate(a.sender, target, batch);
      assert.deepEqual(answer, {
        databaseId: b.storage.databaseId,
        term: { epoch: 1, run: b.run },
        cursor: a.cursor,
      });
      assert.deepEqual([b.body("orders", "1"), b.body("_docs", "plain"), b.body("orders", "gone")], [
        text,
        "{}",
        null,
      ]);
      assert.equal(shownAt(b, "gone"), "deleted");
      assert.deepEqual(b.key("orders", "1")?.versions, a.key("orders", "1")?.versions);
      assert.equal(b.last, begun + 2, "the runs, and all else");
      assert.deepEqual(await b.incoming.replicate(a.sender, target, batch), answer);
      await a.put("other", "x", "{}");
      const later = { ...target, cursor: a.cursor };
      assert.deepEqual(
        await b.incoming.replicate(a.sender, later, batch),
        answer,
        "nothing new moves no cursor",
      );
      assert.equal(b.last, begun + 2);
      await a.tell(b);
      assert.equal(b.last, begun + 3, "no run is new");
      assert.deepEqual((await b.incoming.lastEtag(a.sender)).cursor, a.cursor);
      assert.deepEqual(b.incoming.counts, {
        batches: 4,
        stored: 4,
        rejected: 0,
        ignored: 0,
        disagreements: 0,
      });
      assert.deepEqual(b.lines, []);
    }),
);

test(
  "cursors are documents of each sender and filter, and may be removed",
  patient,
  () =>
    two(async (a, b) => {
      const filtered = { ...a.sender, filter: `only=${"x".repeat(2_000)}` }, { cursor } = a;
      const target = a.target(b, cursor), begun = b.last;
      await b.incoming.putCursor(a.sender, target);
      assert.equal(b.last, begun + 1);
      await b.incoming.putCursor(a.sender, target);
      assert.equal(b.last, begun + 1, "as it is");
      await b.incoming.putCursor({ ...a.sender, url: "http://moved" }, target);
      assert.equal(b.last, begun + 2, "it says something else");
      assert.equal((await b.incoming.lastEtag(filtered)).cursor, null);
      await b.incoming.putCursor(filtered, target);
      assert.deepEqual(json(b.body("Raven", `Replication/Sources/${a.sender.databaseId}`)), {
        Source: "http://moved",
        ServerInstanceId: a.sender.databaseId,
        Filter: "",
        LastDocumentEtag: cursorText(cursor),
      });
      assert.deepEqual(b.storage.read(sources), [
        { databaseId: a.sender.databaseId, url: "http://moved", filter: "", cursor },
        { ...filtered, cursor },
      ]);
      await b.incoming.putCursor(a.sender, { ...target, cursor: null });
      assert.equal(b.last, begun + 3);
      await b.put("Raven", `Replication/Sources/${a.sender.databaseId}`, '{"LastDocumentEtag":"nonsense"}');
      assert.equal((await b.incoming.lastEtag(a.sender)).cursor, null);
      await b.incoming.putCursor(a.sender, target);
      await b.delete("Raven", `Replication/Sources/${a.sender.databaseId}`);
      assert.equal((await b.incoming.lastEtag(a.sender)).cursor, null);
      assert.equal(b.storage.read(sources).length, 1);
      const { keys } = b.versions((versions) =>
        versions.changedSince(seqOf(0), { keysMax: 10, bytesMax: 1e6 })
      );
      assert.deepEqual(keys, [], "they are of this database alone");
    }),
);

test(
  "a batch for another database or another term stores nothing, and the answer says how it stands",
  patient,
  () =>
    two(async (a, b) => {
      await a.put("orders", "1", "{}");
      const target = a.target(b), begun = b.last, other = runIdOf("9".repeat(32));
      const wrong = [
        { ...target, databaseId: databaseIdOf("9".repeat(32)) },
        { ...target, term: { epoch: epochOf(1), run: other } },
        { ...target, term: { epoch: epochOf(2), run: b.run } },
      ];
      for (const one of wrong) {
        const answer = await b.incoming.replicate(a.sender, one, a.batch());
        assert.deepEqual([answer.cursor, answer.term.run], [null, b.run]);
        assert.equal((await b.incoming.putCursor(a.sender, one)).cursor, null);
      }
      assert.equal(b.last, begun);
      await b.incoming.replicate(a.sender, { databaseId: null, term: null, cursor: null }, a.batch());
      assert.deepEqual([b.body("orders", "1"), cursorAt(b, a)], ["{}", null], "who names none is not asked");
      await assert.rejects(b.incoming.replicate(b.sender, target, a.batch()), coded("same_database"));
      await assert.rejects(b.incoming.lastEtag(b.sender), coded("same_database"));
      await assert.rejects(b.incoming.replicate(a.sender, target, utf8("[{}]")), coded("bad_request"));
    }),
);

test(
  "a batch for the term before one that has written nothing yet begins that term",
  patient,
  () =>
    two(async (a, b) => {
      await a.put("orders", "1", "{}");
      const target = a.target(b);
      b.run = runIdOf("c".repeat(32)); // restarted: as the log stands, the old term is the last one
      const answer = await b.incoming.replicate(a.sender, target, a.batch());
      assert.deepEqual([answer.term.run, answer.cursor, b.body("orders", "1")], [b.run, null, null]);
      await a.tell(b);
      assert.equal(b.body("orders", "1"), "{}");
    }),
);

test("where there is no bundle there is nothing to be sent to", patient, () =>
  two(async (a, b, folder) => {
    assert.ok(existsSync(folder));
    const { incoming } = await import("../../src/multimaster/incoming.ts");
    const storage = {
      ...{ databaseId: b.storage.databaseId, log: b.storage.log },
      read: <Result>(run: (view: never) => Result) =>
        b.storage.read((view) => run({ ...view, versions: null } as never)),
    };
    const none = incoming({
      ...{ storage, engine: b.engine, sha256, policy: () => b.policy, clock: { macrotask: (run) => run() } },
      ...{
        logger: { debug() {}, info() {}, warn() {}, error() {} },
        documents: { bytesMax: 1, nestingMax: 1 },
      },
    });
    await assert.rejects(none.lastEtag(a.sender), coded("bundle_not_active"));
    await assert.rejects(none.replicate(a.sender, a.target(b), a.batch()), coded("bundle_not_active"));
  }));

test("neither unique indexes nor schemas hold back what a peer wrote", patient, () =>
  two(async (a, b) => {
    await b.put("orders", "mine", '{"n":1}');
    const orders = b.storage.read((view) => view.collection("orders")?.number) as never;
    b.storage.prepareIndex(orders, { name: "n", unique: true, time: false, paths: [["n"]] });
    while (b.storage.buildSlice());
    const index = {
      kind: "createIndex",
      collection: orders,
      name: "n",
      unique: true,
      time: false,
      paths: [["n"]],
    } as const;
    await b.engine.submit({ bytes: 0, run: (tx, wallMs) => void tx.append([index], wallMs) });
    await b.engine.submit(
      setSetting("orders", "schema", '{"required":["m"]}'),
    );
    await a.put("orders", "theirs", '{"n":1}');
    await a.put("orders", "none", '{"n":"text"}');
    await a.tell(b);
    assert.deepEqual([b.body("orders", "theirs"), b.body("orders", "none")], ['{"n":1}', '{"n":"text"}']);
    assert.equal(b.incoming.counts.rejected, 0);
    await assert.rejects(b.put("orders", "another", '{"m":1,"n":1}'), coded("duplicate_key"));
    await assert.rejects(b.put("orders", "none", '{"n":"other"}'), coded("schema_violation"));
  }));

test(
  "what cannot be kept is put aside to the letter, and the cursor goes on",
  patient,
  () =>
    two(async (a, b) => {
      await a.put("orders", "small", '{"ok":true}');
      await a.put("orders", "large", `{"a":"${"x".repeat(100_001)}"}`);
      const { cursor } = a, begun = b.last, batch = a.batch();
      await b.incoming.replicate(a.sender, a.target(b, cursor), batch);
      assert.deepEqual([b.body("orders", "small"), b.body("orders", "large")], ['{"ok":true}', null]);
      assert.deepEqual(cursorAt(b, a), cursor);
      const found = json(rejected(b, "orders/large")), sent = utf8Text(batch);
      assert.match(String(found["Reason"]), /100000 bytes/);
      assert.deepEqual([found["Key"], found["ServerInstanceId"], found["Source"]], [
        ...["orders/large", a.sender.databaseId, a.sender.url],
      ]);
      const [version] = found["Versions"] as string[];
      assert.ok(sent.includes(version as string) && (version as string).includes("orders/large"));
      assert.equal(typeof found["RejectedAt"], "string");
      assert.deepEqual(b.lines.map(({ fields }) => fields["key"]), ["orders/large"]);
      const written = b.last;
      assert.ok(written > begun);
      await b.incoming.replicate(a.sender, a.target(b, cursor), batch);
      assert.deepEqual([b.last, b.lines.length, b.incoming.counts.rejected], [written, 1, 1], "once");
      // What it has now can be kept.
      await a.put("orders", "large", "{}");
      await a.tell(b);
      assert.deepEqual([b.body("orders", "large"), rejected(b, "orders/large")], ["{}", null]);
    }),
);

test("what cannot be true is put aside, key by key", patient, () =>
  withMasters("abc", async ([a, b, c]) => {
    if (a === undefined || b === undefined || c === undefined) throw new Error("three");
    const reasons = async (
      id: string,
      change: (metadata: Record<string, unknown>, element: Record<string, unknown>) => void,
    ): Promise<string> => {
      await a.put("orders", id, '{"a":1}');
      await a.put("orders", `${id}-fine`, "{}");
      await forge(a, b, (element, metadata) => {
        if (metadata["@id"] === `orders/${id}`) change(metadata, element);
      });
      assert.equal(b.key("orders", id), null, id);
      assert.equal(b.body("orders", `${id}-fine`), "{}");
      assert.deepEqual(cursorAt(b, a), a.cursor);
      const { Reason } = json(rejected(b, `orders/${id}`));
      await a.delete("orders", id);
      await a.tell(b);
      assert.equal(rejected(b, `orders/${id}`), null);
      return String(Reason);
    };
    const own = b.storage.databaseId, mine = a.storage.databaseId, unknown = "9".repeat(32);
    const vector = (...dots: (readonly [string, string, number])[]) => ({
      "Raven-Replication-Vector": dots.map((dot) => dot.join(":")).join(", "),
    });
    const as = (more: Record<string, unknown>) => (metadata: Record<string, unknown>) =>
      void Object.assign(metadata, more);
    const seq = (metadata: Record<string, unknown>) => Number(metadata["Raven-Replication-Version"]);
    assert.match(
      await reasons("u", (m) => as({ ...vector([mine, unknown, 5]), "Raven-Replication-Run": unknown })(m)),
      /not known/,
    );
    assert.match(await reasons("v", (m) => as(vector([mine, a.run, seq(m) - 1]))(m)), /holds the entry/);
    assert.match(await reasons("d", (m) => as(vector([own, a.run, seq(m)]))(m)), /database/);
    assert.match(await reasons("s", as({ "Raven-Replication-Source": own })), /none of database/);
    const ahead = b.last + 1_000;
    assert.match(
      await reasons("n", (m) => as(vector([mine, a.run, seq(m)], [own, b.run, ahead]))(m)),
      /not written yet/,
    );
    // A run that would continue this one far ahead: whoever has seen it would have seen all that comes here.
    const next = { database: own, run: "d".repeat(32), epoch: 1, firstSeq: 1e9, parent: b.run };
    assert.match(
      await reasons("r", (m) => {
        m["Raven-Replication-Runs"] = [next];
        as(vector([mine, a.run, seq(m)], [own, next.run, 1e9 + 5]))(m);
      }),
      /not written yet/,
    );
    const orphan = { ...next, run: "f".repeat(32), parent: unknown };
    assert.match(
      await reasons("o", (m) => {
        m["Raven-Replication-Runs"] = [orphan];
        as(vector([mine, a.run, seq(m)], [own, orphan.run, 1e9]))(m);
      }),
      /otherwise|not known/,
    );
    assert.match(await reasons("f", as({ "Last-Modified": "+010000-01-01T00:00:00.000Z" })), /not a time/);
    // A run that is known to be another: nothing of it can be told apart.
    const lied = { database: mine, run: a.run, epoch: 7, firstSeq: 1, parent: null };
    await a.put("orders", "l", "{}");
    await forge(a, b, (_element, metadata) => void (metadata["Raven-Replication-Runs"] = [lied]));
    assert.match(String(json(rejected(b, "orders/l"))["Reason"]), /otherwise/);
    assert.ok(b.lines.some(({ message }) => message.includes("runs that cannot be")));
    await a.tell(b);
    assert.equal(b.body("orders", "l"), "{}");
    // One entry with two contents.
    await a.put("orders", "two", '{"n":1}');
    await a.tell(b);
    await forge(a, b, (element, metadata) => void (metadata["@id"] === "orders/two" && (element["n"] = 2)));
    assert.equal(b.body("orders", "two"), '{"n":1}');
    assert.match(String(json(rejected(b, "orders/two"))["Reason"]), /two contents/);
    // Two versions that have seen each other.
    await a.put("orders", "x", '{"n":1}');
    await c.put("orders", "x", '{"n":2}');
    await c.tell(a);
    await forge(a, b, (_element, metadata) => {
      if (metadata["@id"] !== "orders/x") return;
      const dots = a.key("orders", "x")?.versions.map(({ dot }) => dot) ?? [];
      const of = (run: string) => run === a.run ? mine : c.storage.databaseId;
      as(vector(...dots.map(({ run, seq }) => [of(run), run, seq] as const)))(metadata);
    });
    assert.equal(b.key("orders", "x"), null);
    assert.match(String(json(rejected(b, "orders/x"))["Reason"]), /seen each other/);
  }));

test("a change vector has room for one entry more", patient, () =>
  two(async (a, b) => {
    const [own, run] = [a.storage.databaseId, a.run];
    await a.put("orders", "1", "{}");
    const others = (count: number) =>
      Array.from({ length: count }, (_, i) => {
        const digits = (0x1000 + i).toString(16);
        return {
          database: digits.repeat(8),
          run: `0${digits.repeat(8).slice(1)}`,
          epoch: 1,
          firstSeq: 1,
          parent: null,
        };
      });
    const wide = async (count: number): Promise<void> => {
      const runs = others(count), seen = [...runs.map((one) => [one.database, one.run, 3] as const)];
      await forge(a, b, (_element, metadata) => {
        const dots = [...seen, [own, run, Number(metadata["Raven-Replication-Version"])] as const];
        dots.sort((x, y) => x[1] < y[1] ? -1 : 1);
        metadata["Raven-Replication-Vector"] = dots.map((dot) => dot.join(":")).join(", ");
        metadata["Raven-Replication-Runs"] = [...runs, {
          database: own,
          run,
          epoch: 1,
          firstSeq: 1,
          parent: null,
        }];
      });
    };
    await wide(limits.vectorEntriesMax - 1);
    assert.equal(b.key("orders", "1"), null);
    assert.match(String(json(rejected(b, "orders/1"))["Reason"]), /512 entries/);
    await wide(limits.vectorEntriesMax - 2);
    assert.equal(b.body("orders", "1"), "{}");
    await b.put("orders", "1", '{"n":1}');
    assert.equal(b.key("orders", "1")?.versions[0]?.vector.length, limits.vectorEntriesMax);
  }));

test(
  "keys that no document can have are put aside, too, and system documents are left out",
  patient,
  () =>
    two(async (a, b) => {
      await a.put("orders", "1", "{}");
      const ids = ["a b/1", "orders/", `orders/${"x".repeat(600)}`, "Raven/Replication/Config", "orders/ok"];
      const list = ids.map((id, i) => {
        const [element] = elements(a.batch()) as [Record<string, Record<string, unknown>>];
        return { ...element, "@metadata": { ...element["@metadata"], "@id": id }, n: i };
      });
      await b.incoming.replicate(a.sender, a.target(b), utf8(JSON.stringify(list)));
      assert.equal(b.body("orders", "ok"), '{"n":4}');
      assert.equal(b.body("Raven", "Replication/Config"), null);
      const long = [
        ...b.storage.read((view) =>
          view.page(view.collection("Raven")?.number as never, 0, { documentsMax: 100, bytesMax: 1e6 })
        ).documents,
      ]
        .filter(({ id }) => id.startsWith("Replication/Rejected/#"));
      assert.deepEqual(long.map(({ body }) => json(body)["Key"]), [ids[2]]);
      assert.ok(rejected(b, "a b/1") !== null && rejected(b, "orders/") !== null);
      assert.deepEqual([b.incoming.counts.rejected, b.incoming.counts.ignored], [3, 1]);
    }),
);

test(
  "a conflict is what the policy says; a person's write ends it everywhere",
  patient,
  () =>
    two(async (a, b) => {
      await a.put("orders", "1", '{"n":1}');
      await b.put("Orders", "1", '{"n":2}');
      await a.tell(b);
      assert.deepEqual([shownAt(b, "1"), b.body("orders", "1")], ["conflict", null]);
      await b.tell(a);
      assert.equal(shownAt(a, "1"), "conflict");
      await a.put("orders", "1", '{"n":3}');
      await a.tell(b);
      assert.deepEqual([b.body("orders", "1"), b.key("orders", "1")?.versions.length], ['{"n":3}', 1]);
      a.policy = b.policy = { kind: "latest" };
      await a.put("orders", "1", '{"n":4}');
      b.wallMs += 1_000_000;
      await b.put("orders", "1", '{"n":5}');
      await b.delete("orders", "2").catch(() => {});
      await a.tell(b);
      await b.tell(a);
      assert.deepEqual([a.body("orders", "1"), b.body("orders", "1")], ['{"n":5}', '{"n":5}']);
      assert.deepEqual(a.key("orders", "1")?.versions, b.key("orders", "1")?.versions);
      assert.deepEqual([...a.lines, ...b.lines], []);
    }),
);

test(
  "two policies make a conflict on both, until a version comes that has seen it",
  patient,
  () =>
    two(async (a, b) => {
      a.policy = { kind: "prefer", databases: [a.storage.databaseId] };
      b.policy = { kind: "prefer", databases: [b.storage.databaseId] };
      await a.put("orders", "1", '{"n":1}');
      await b.put("orders", "1", '{"n":2}');
      const first = a.keys();
      await a.tell(b, first);
      assert.equal(b.body("orders", "1"), '{"n":2}');
      await b.tell(a);
      assert.deepEqual([shownAt(a, "1"), a.body("orders", "1")], ["conflict", null]);
      assert.deepEqual(a.lines.map(({ fields }) => fields["code"]), ["policy_disagreement"]);
      await a.tell(b);
      assert.equal(shownAt(b, "1"), "conflict");
      const ends = [a.last, b.last];
      for (let i = 0; i < 3; i++) {
        await a.tell(b, first);
        await a.tell(b);
        await b.tell(a);
      }
      assert.deepEqual([a.last, b.last], ends, "and stays so");
      assert.deepEqual([a.incoming.counts.disagreements, b.incoming.counts.disagreements], [1, 1]);
      await b.put("orders", "1", '{"n":3}');
      await b.tell(a);
      assert.equal(a.body("orders", "1"), '{"n":3}');
    }),
);

test("whoever shows nothing disagrees with whoever shows something", patient, () =>
  two(async (a, b) => {
    a.policy = { kind: "latest" };
    await a.put("orders", "1", '{"n":1}');
    await b.put("orders", "1", '{"n":2}');
    await a.tell(b);
    await b.tell(a);
    assert.deepEqual([shownAt(a, "1"), shownAt(b, "1")], ["conflict", "conflict"]);
    assert.equal(a.lines[0]?.fields["code"], "policy_disagreement");
    // One that does not say what it shows is taken as it comes.
    await a.put("orders", "2", '{"n":1}');
    await b.put("orders", "2", '{"n":2}');
    await a.tell(b);
    await forge(b, a, (_element, metadata) => void delete metadata["Raven-Replication-Shown"]);
    assert.equal(shownAt(a, "2"), "version");
  }));

test("a function that fails leaves it to people, and says so", patient, () =>
  two(async (a, b) => {
    b.policy = {
      kind: "function",
      documents: { bytesMax: 1_000, nestingMax: 5 },
      resolve: () => {
        throw new Error("not today");
      },
    };
    await a.put("orders", "1", '{"n":1}');
    await b.put("orders", "1", '{"n":2}');
    await a.tell(b);
    assert.equal(shownAt(b, "1"), "conflict");
    assert.match(String(b.lines[0]?.fields["reason"]), /not today/);
  }));

test("a large batch is one transaction in slices, with one cursor", patient, () =>
  two(async (a, b) => {
    const count = 700;
    await a.insert("many", count, (i) => `{"n":${i},"pad":"${"x".repeat(1_000)}"}`);
    const ends: number[] = [];
    b.engine.committed.subscribe(() => void ends.push(b.last));
    const begun = b.last, told = a.tell(b), local = b.put("mine", "1", "{}");
    await Promise.all([told, local]);
    assert.equal(
      b.versions((versions) => versions.changedSince(seqOf(0), { keysMax: 1e6, bytesMax: 2 ** 30 })).keys
        .length,
      count + 1,
    );
    assert.deepEqual(cursorAt(b, a), a.cursor);
    assert.equal(ends.length, 2, "two commits");
    assert.ok(b.last - begun > 3, "of several entries");
    const last = b.last;
    await a.tell(b);
    assert.equal(b.last, last);
  }));

for (const label of ["apply:operation", "apply:entry", "commit:before", "commit:after"]) {
  test(
    `a batch that is cut off at ${label} is there with its cursor or not at all`,
    patient,
    () =>
      inFolder(async (folder) => {
        let armed = 0;
        const crashPoint = (at: string): void => {
          if (armed > 0 && at === label && --armed === 0) throw new Error("cut off");
        };
        const a = await Master.open(folder, "a"),
          cuts = { "apply:operation": 6, "apply:entry": 2 }[label] ?? 1;
        for (let i = 0; i < 5; i++) await a.put("orders", `${i}`, "{}");
        for (let cut = 1; cut <= cuts; cut++) {
          const b = await Master.open(folder, `${cut}`, { crashPoint });
          armed = cut;
          await assert.rejects(a.tell(b));
          assert.equal(armed, 0, "it was cut off");
          armed = 0;
          const whole = label === "commit:after";
          assert.deepEqual([b.body("orders", "0") !== null, cursorAt(b, a) !== null], [whole, whole]);
          await a.tell(b);
          assert.deepEqual([b.keys().length, cursorAt(b, a)], [5, a.cursor]);
          await b.close();
        }
        await a.close();
      }),
  );
}
