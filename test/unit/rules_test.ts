import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { documentIdOf, epochOf, nodeIdOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { fieldSteps } from "../../src/document/field_path.ts";
import { readSchema } from "../../src/document/schema_definition.ts";
import { createIndex, dropIndex } from "../../src/engine/build_index.ts";
import { setSetting, settingOf, SettingsCache, settingsOf } from "../../src/engine/collection_settings.ts";
import {
  bulkInsert,
  deleteDocument,
  dropCollection,
  insertDocument,
  putDocument,
} from "../../src/engine/commands.ts";
import { patchDocument } from "../../src/engine/edits.ts";
import { readPatch } from "../../src/document/conditions.ts";
import { engine } from "../../src/engine/engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { removeSchema, schemaText, setSchema } from "../../src/engine/rules_setting.ts";
import type { TransactionOperation } from "../../src/engine/transaction.ts";
import { transaction } from "../../src/engine/transaction.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, patient, testOptions } from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { CheckedTransaction } from "../../src/engine/rules_transaction.ts";
import type { WriteTransaction } from "../../src/storage/storage.ts";

const { clock } = currentRuntime();

interface Leader {
  readonly storage: Storage;
  readonly engine: Engine;
  schema(collection: string, schema: object): Promise<unknown>;
  put(collection: string, id: string, body: object): Promise<unknown>;
  remove(collection: string, id: string): Promise<unknown>;
  index(collection: string, field: string): Promise<unknown>;
  /** Ids of a collection, in the order of their creation. */
  ids(collection: string): readonly string[];
  body(collection: string, id: string): string | null;
  /** Operations of the last entry, `kind id`. */
  last(): readonly string[];
}

const document = (id: string, body: object) => ({ id: documentIdOf(id), body: utf8(JSON.stringify(body)) });

function leaderOf(storage: Storage): Leader {
  const leadership = { epoch: epochOf(1), run: runIdOf("a".repeat(32)), nodeId: nodeIdOf("e".repeat(32)) };
  const writer = engine({
    storage,
    clock,
    gate: () => leadership,
    onFatal: (error) => assert.fail(error),
    onDiskFull: () => {},
  });
  return {
    storage,
    engine: writer,
    schema: (collection, schema) => writer.submit(setSchema(collection, readSchema(JSON.stringify(schema)))),
    put: (collection, id, body) => writer.submit(putDocument(collection, document(id, body), () => {})),
    remove: (collection, id) => writer.submit(deleteDocument(collection, documentIdOf(id), () => {})),
    index: (collection, field) =>
      createIndex(
        { engine: writer, storage, clock, logger: silentLogger },
        collection,
        { name: `by_${field.replace(/\W/g, "")}`, unique: false, time: false, paths: [fieldSteps(field)] },
        { createsCollection: true },
      ),
    ids: (collection) =>
      storage.read((view) => {
        const info = view.collection(collection);
        if (info === null) return [];
        const { documents } = view.page(info.number, 0, { documentsMax: 10_000, bytesMax: 1e9 });
        return documents.map(({ id }) => id);
      }),
    body: (collection, id) =>
      storage.read((view) => {
        const info = view.collection(collection);
        return info === null ? null : view.document(info.number, documentIdOf(id))?.body ?? null;
      }),
    last: () => {
      const [entry] = entriesOf(storage, storage.log.last.seq - 1);
      assert.ok(entry);
      return decodeEntry(entry.payload).map((operation) =>
        "id" in operation ? `${operation.kind} ${operation.id}` : operation.kind
      );
    },
  };
}

function entriesOf(storage: Storage, after: number): readonly LogEntry[] {
  const entries = storage.log.entries(seqOf(after), { entriesMax: 100, bytesMax: 1e9 });
  assert.ok(entries !== "compacted");
  return entries;
}

function leads(what: string, run: (leader: Leader) => Promise<void>): void {
  test(`rules: ${what}`, patient, () =>
    inFolder(async (folder) => {
      const storage = await openStorage(testOptions(`${folder}/data.dfdb`));
      const leader = leaderOf(storage);
      try {
        await run(leader);
      } finally {
        await leader.engine.close();
        storage.close();
      }
    }));
}

async function fails(promise: Promise<unknown>, code: ErrorCode, pattern = /./): Promise<DfdbError> {
  const error = await promise.then(() => assert.fail("it was written"), (error: unknown) => error);
  assert.ok(error instanceof DfdbError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, pattern);
  return error;
}

leads("every kind of write obeys the schema", async ({ engine, schema, put, body, ids }) => {
  await schema("Orders", { required: ["n"], types: { n: "int" }, checks: ["n >= 0"] });
  const { details } = await fails(put("orders", "a", {}), "schema_violation", /n is required/);
  assert.deepEqual(details, { field: "n", rule: "required", id: "a", operation: 1 });
  await put("orders", "a", { n: 1 });
  await fails(put("ORDERS", "a", { n: "x" }), "schema_violation");
  await fails(
    engine.submit(insertDocument("orders", document("b", { n: -1 }))),
    "schema_violation",
    /n >= 0/,
  );
  const patch = (text: string) =>
    engine.submit(patchDocument(
      {
        collection: "orders",
        id: documentIdOf("a"),
        conditions: [],
        patch: readPatch(utf8(text), 10),
        bytes: 10,
        documentBytes: 10,
      },
      () => {},
      { bytesMax: 1000, nestingMax: 10 },
    ));
  await fails(patch('{"n":null}'), "schema_violation", /missing/);
  await patch('{"n":2}');
  const bulk = await engine.submit(
    bulkInsert("orders", [document("b", { n: 1 }), document("c", {}), document("d", { n: 2 })]),
  );
  assert.deepEqual(bulk.value.map((one) => "error" in one ? one.error.code : one.id), [
    "b",
    "schema_violation",
    "d",
  ]);
  const insert = (id: string, n: unknown) =>
    ({ op: "insert", collection: "orders", ...document(id, { n }) }) as const;
  const second = await fails(
    engine.submit(transaction([insert("e", 1), insert("f", "x")])),
    "schema_violation",
  );
  assert.deepEqual(second.details, { field: "n", rule: "type", id: "f", failedOpIndex: 1 });
  const many = Array.from({ length: limits.sliceOperations + 10 }, (_, i) => insert(`m${i}`, i));
  const inSlices = await fails(engine.submit(transaction([...many, insert("z", -1)])), "schema_violation");
  assert.deepEqual([inSlices.details["id"], inSlices.details["failedOpIndex"]], ["z", many.length]);
  assert.deepEqual(ids("orders"), ["a", "b", "d"]);
  assert.equal(body("orders", "a"), '{"n":2}');
  await put("others", "a", {});
});

leads(
  "only what is written from now on; a removed schema asks nothing",
  async ({ engine, schema, put, storage }) => {
    await put("orders", "old", { n: "x" });
    await schema("orders", { types: { n: "int" } });
    await fails(put("orders", "old", { n: "y" }), "schema_violation");
    await schema("orders", { types: { n: "string" } });
    await put("orders", "old", { n: "y" });
    assert.match(storage.read((view) => schemaText(view, "ORDERS")) ?? "", /"n":"string"/);
    await engine.submit(removeSchema("Orders"));
    await put("orders", "old", { n: 1 });
    assert.equal(storage.read((view) => schemaText(view, "orders")), null);
    await fails(engine.submit(removeSchema("orders")), "not_found", /has no schema/);
  },
);

leads("a drop takes the settings along, in its entry", async ({ engine, schema, put, last, storage }) => {
  await schema("orders", { types: { n: "int" } });
  await engine.submit(setSetting("Orders", "ttl", '{"field":"due"}'));
  await engine.submit(setSetting("flights", "ttl", '{"field":"due"}'));
  assert.deepEqual(storage.read((view) => settingsOf(view, "ttl")), [
    { collection: "orders", text: '{"field":"due"}' },
    { collection: "flights", text: '{"field":"due"}' },
  ]);
  await put("Orders", "a", { n: 1 });
  await engine.submit(dropCollection("ORDERS"));
  assert.deepEqual(last(), ["dropCollection", "delete orders/schema", "delete orders/ttl"]);
  await put("orders", "a", { n: "x" });
  assert.equal(storage.read((view) => settingOf(view, "orders", "ttl")), null);
});

leads("settings are read when one has changed, and not otherwise", async ({ engine, put, storage }) => {
  let reads = 0;
  const cache = new SettingsCache("ttl", ({ text }) => {
    reads++;
    return text;
  });
  const cached = () => storage.read((view) => cache.of(view));
  assert.equal(cached().size, 0);
  await engine.submit(setSetting("a", "ttl", "{}"));
  assert.deepEqual([...cached()], [["a", "{}"]]);
  const first = cached();
  await put("orders", "a", {});
  assert.equal(cached(), first);
  assert.equal(reads, 1);
  await engine.submit(setSetting("A", "ttl", '{"n":1}'));
  assert.deepEqual([...cached()], [["a", '{"n":1}']]);
  await fails(
    engine.submit(setSetting("b", "ttl", `{"x":"${"x".repeat(limits.settingCharsMax)}"}`)),
    "payload_too_large",
  );
  assert.equal(storage.read((view) => view.collection("_settings")?.documents), 1);
});

leads("what was not committed leaves no rule behind", async ({ engine, schema, put }) => {
  await put("orders", "a", {});
  const given = setSchema("orders", readSchema('{"required":["n"]}'));
  await fails(
    engine.submit({
      bytes: 1,
      run(tx, wallMs) {
        given.run(tx, wallMs);
        throw new DfdbError("conflict", "after an append");
      },
    }),
    "conflict",
  );
  await put("orders", "a", {});
  const together = [
    schema("orders", { required: ["n"] }),
    put("orders", "a", {}),
    put("orders", "a", { n: 1 }),
  ];
  const settled = await Promise.allSettled(together);
  assert.deepEqual(settled.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
});

const references = (onDelete: string) => ({
  refs: [{ field: "customer", collection: "customers", onDelete }],
});

leads("a reference leads to a document that is there", async ({ engine, schema, put, index, ids }) => {
  await fails(schema("orders", references("restrict")), "conflict", /create one on "orders" \(customer\)/);
  await index("orders", "customer");
  await schema("orders", references("restrict"));
  await fails(put("orders", "o1", { customer: "c1" }), "schema_violation", /none with the string "c1"/);
  await put("orders", "o0", {});
  await put("orders", "o0", { customer: null });
  const pair = (customer: string): TransactionOperation[] => [
    { op: "insert", collection: "orders", ...document(`o-${customer}`, { customer }) },
    { op: "insert", collection: "customers", ...document("c1", {}) },
  ];
  const { details } = await fails(engine.submit(transaction(pair("c2"))), "schema_violation");
  assert.deepEqual(details, { field: "customer", rule: "reference", id: "o-c2", failedOpIndex: 0 });
  await engine.submit(transaction(pair("c1")));
  assert.deepEqual([ids("orders"), ids("Customers")], [["o0", "o-c1"], ["c1"]]);
  await fails(put("orders", "o2", { customer: 1 }), "schema_violation", /the number 1/);
  await fails(
    engine.submit(transaction([
      { op: "delete", collection: "customers", id: documentIdOf("c1") },
      { op: "replace", collection: "orders", ...document("o-c1", { customer: "c1", again: true }) },
    ])),
    "schema_violation",
  );
});

leads("restrict: what is referred to stays", async ({ engine, schema, put, remove, index, ids }) => {
  await index("orders", "customer");
  await schema("orders", references("restrict"));
  await put("customers", "c1", {});
  await put("customers", "c2", {});
  await put("orders", "o1", { customer: "c1" });
  const { details } = await fails(
    remove("customers", "c1"),
    "conflict",
    /"o1" of "orders" refers to it with customer/,
  );
  assert.deepEqual(details, {
    id: "c1",
    operation: 0,
    collection: "orders",
    referrer: "o1",
    field: "customer",
  });
  await remove("customers", "c2");
  await fails(engine.submit(dropCollection("customers")), "conflict", /drop "orders" first/);
  await engine.submit(transaction([
    { op: "delete", collection: "customers", id: documentIdOf("c1") },
    { op: "replace", collection: "orders", ...document("o1", {}) },
  ]));
  assert.deepEqual([ids("customers"), ids("orders")], [[], ["o1"]]);
  await engine.submit(dropCollection("orders"));
  await engine.submit(dropCollection("customers"));
});

leads(
  "cascade: what refers goes along, in the same entry, once",
  async ({ schema, put, remove, index, ids, last }) => {
    await index("orders", "customer");
    await index("lines", "order");
    await index("lines", "customer");
    await schema("orders", references("cascade"));
    await schema("lines", {
      refs: [
        { field: "order", collection: "orders", onDelete: "cascade" },
        { field: "customer", collection: "customers", onDelete: "cascade" },
      ],
    });
    await put("customers", "c1", {});
    await put("customers", "c2", {});
    for (const i of [1, 2, 3]) await put("orders", `o${i}`, { customer: i < 3 ? "c1" : "c2" });
    for (const i of [1, 2, 3, 4]) {
      await put("lines", `l${i}`, {
        order: `o${Math.ceil(i / 2)}`,
        customer: "c1",
      });
    }
    await put("lines", "l5", { order: "o3" });
    await remove("customers", "c1");
    assert.equal(last()[0], "delete c1");
    assert.deepEqual([...last()].sort(), [
      "delete c1",
      "delete l1",
      "delete l2",
      "delete l3",
      "delete l4",
      "delete o1",
      "delete o2",
    ]);
    assert.deepEqual([ids("customers"), ids("orders"), ids("lines")], [["c2"], ["o3"], ["l5"]]);
  },
);

leads("a cycle of references ends", async ({ schema, put, remove, index, ids }) => {
  await index("people", "boss");
  await put("people", "a", { boss: "c" });
  await put("people", "b", { boss: "a" });
  await put("people", "c", { boss: "b" });
  await put("people", "d", { boss: "d" });
  await schema("people", { refs: [{ field: "boss", collection: "people", onDelete: "cascade" }] });
  await remove("people", "a");
  assert.deepEqual(ids("people"), ["d"]);
  await schema("people", { refs: [{ field: "boss", collection: "people", onDelete: "restrict" }] });
  await remove("people", "d");
  assert.deepEqual(ids("people"), []);
});

leads("setNull: the reference becomes null, and the schema still holds", async (leader) => {
  const { schema, put, remove, index, body, ids, last } = leader;
  await index("orders", "customer");
  await index("orders", "payer.id");
  await schema("orders", {
    refs: [
      { field: "customer", collection: "customers", onDelete: "setNull" },
      { field: "payer.id", collection: "customers", onDelete: "setNull" },
    ],
    checks: ["keep = false OR customer IS NOT NULL"],
  });
  await put("customers", "c1", {});
  await put("orders", "o1", { customer: "c1", payer: { id: "c1", n: 1 }, keep: false });
  await put("orders", "o2", { payer: { id: "c1" }, keep: false });
  await remove("customers", "c1");
  assert.deepEqual(last(), ["delete c1", "put o1", "put o2"]);
  assert.equal(body("orders", "o1"), '{"customer":null,"payer":{"id":null,"n":1},"keep":false}');
  assert.equal(body("orders", "o2"), '{"payer":{"id":null},"keep":false}');
  await put("customers", "c2", {});
  await put("orders", "o3", { customer: "c2", keep: true });
  const { details } = await fails(remove("customers", "c2"), "schema_violation", /keep = false OR customer/);
  assert.equal(details["id"], "o3");
  assert.deepEqual(ids("customers"), ["c2"]);
});

leads("references from the elements of an array", async ({ schema, put, remove, index, ids }) => {
  await index("carts", "items[*].product");
  await schema("carts", {
    refs: [{ field: "items[*].product", collection: "products", onDelete: "cascade" }],
  });
  await put("products", "p1", {});
  await put("products", "p2", {});
  await put("carts", "a", { items: [{ product: "p1" }, { product: "p1" }, { product: "p2" }] });
  await put("carts", "b", { items: [{ product: "p2" }, {}] });
  await put("carts", "c", { items: [] });
  await fails(
    put("carts", "d", { items: [{ product: "p1" }, { product: "p3" }] }),
    "schema_violation",
    /"p3"/,
  );
  await remove("products", "p1");
  assert.deepEqual(ids("carts"), ["b", "c"]);
});

leads(
  "an id that looks like the text of an object is told from one",
  async ({ schema, put, remove, index, ids }) => {
    await index("orders", "customer");
    await put("customers", '{"a":1}', {});
    await put("orders", "object", { customer: { a: 1 } });
    await put("orders", "id", { customer: '{"a":1}' });
    await schema("orders", references("cascade"));
    await remove("customers", '{"a":1}');
    assert.deepEqual(ids("orders"), ["object"]);
  },
);

leads("too many that hang on one delete are refused, and nothing is half done", async (leader) => {
  const { engine, schema, put, remove, index, ids } = leader;
  await index("orders", "customer");
  await schema("orders", references("cascade"));
  await put("customers", "c1", {});
  const orders = Array.from(
    { length: limits.cascadeDocumentsMax + 1 },
    (_, i) => document(`o${i}`, { customer: "c1" }),
  );
  for (let at = 0; at < orders.length; at += 500) {
    await engine.submit(bulkInsert("orders", orders.slice(at, at + 500)));
  }
  await fails(remove("customers", "c1"), "payload_too_large", /More than 1000 documents/);
  assert.equal(ids("orders").length, orders.length);
  await remove("orders", "o0");
  await remove("customers", "c1");
  assert.deepEqual(ids("orders"), []);
});

leads(
  "the index of a reference stays as long as it is needed",
  async ({ engine, storage, schema, index }) => {
    const drop = (name: string) => dropIndex({ engine }, "orders", name);
    await index("orders", "customer");
    await schema("orders", references("restrict"));
    await fails(drop("BY_customer"), "conflict", /the reference customer of its schema needs it/);
    await createIndex(
      { engine, storage, clock, logger: silentLogger },
      "orders",
      { name: "both", unique: false, time: false, paths: [["customer"], ["n"]] },
    );
    await drop("by_customer");
    await fails(drop("both"), "conflict");
    await engine.submit(removeSchema("orders"));
    await drop("both");
  },
);

leads(
  "a follower applies what its leader wrote, whatever the schema says",
  async ({ schema, put, storage }) => {
    await schema("orders", { types: { n: "int" } });
    await put("orders", "a", { n: 1 });
    storage.write((tx) => {
      const { number } = tx.collection("orders")!, previous = tx.documentSeq(number, documentIdOf("a"));
      tx.append([{ kind: "put", collection: number, previous, ...document("a", { n: "x" }) }], wallMsOf(1));
    });
    await inFolder(async (folder) => {
      const copy = await openStorage(testOptions(`${folder}/data.dfdb`));
      const follower = leaderOf(copy);
      try {
        copy.adoptDatabaseId(storage.databaseId);
        await follower.engine.apply(entriesOf(storage, 0));
        assert.equal(follower.body("orders", "a"), '{"n":"x"}');
        // Once it leads, the rules that it has applied are in force.
        await fails(follower.put("orders", "a", { n: "y" }), "schema_violation", /whole number/);
      } finally {
        await follower.engine.close();
        copy.close();
      }
    });
  },
);

test("a transaction that is looked over passes on all that it is asked", () => {
  const asked: unknown[] = [];
  const note = (...given: readonly unknown[]): IterableIterator<never> => {
    asked.push(given);
    return [][Symbol.iterator]();
  };
  const tx = { select: note } as unknown as WriteTransaction;
  const checked = new CheckedTransaction(tx, { append: tx.append, appendInSlices: tx.appendInSlices });
  checked.select("SELECT 1", [2], true);
  checked.select("SELECT 3", []);
  assert.deepEqual(asked, [["SELECT 1", [2], true], ["SELECT 3", [], undefined]]);
});
