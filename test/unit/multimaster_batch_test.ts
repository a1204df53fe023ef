/** The batches that masters send each other: bytes survive, and nothing that is no batch gets through. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf, epochOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { prng } from "../../src/base/prng.ts";
import type { Prng } from "../../src/base/prng.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import type { Version } from "../../src/document/version_set.ts";
import type { SentBatch, SentKey } from "../../src/multimaster/batch.ts";
import {
  answerText,
  cursorText,
  keyText,
  parseCursor,
  parseTerm,
  readAnswer,
  termText,
  writeBatch,
} from "../../src/multimaster/batch.ts";
import type { ReceivedBatch } from "../../src/multimaster/batch_read.ts";
import { readBatch } from "../../src/multimaster/batch_read.ts";
import { parseKey } from "../../src/multimaster/batch_text.ts";
import type { Cursor, Place } from "../../src/multimaster/outgoing_events.ts";
import { databaseId, dotOf, node, runId } from "../tool/version_world.ts";

const documents = { bytesMax: 10_000, nestingMax: 20 };

/** Also how many macrotasks it would take. */
function read(bytes: Uint8Array, slices = { count: 0 }): ReceivedBatch {
  const steps = readBatch(bytes, documents);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    slices.count++;
  }
}

const readText = (text: string): ReceivedBatch => read(utf8(text));
const refused = (text: string | Uint8Array, says: RegExp): void => {
  assert.throws(() => read(typeof text === "string" ? utf8(text) : text), (thrown) => {
    assert.ok(thrown instanceof DfdbError && thrown.code === "bad_request", String(thrown));
    assert.match(thrown.message, says);
    return true;
  });
};

const [runA, runB] = [runId(1), runId(2)];
const tree = new RunTree();
tree.add(node(runA, 1, null, databaseId(1)));
tree.add(node(runB, 1, null, databaseId(2), 7));
const place: Place = { epoch: epochOf(3), run: runA, seq: seqOf(12) };
const version = (run: typeof runA, seq: number, body: string | null): Version => ({
  dot: dotOf(run, seq),
  vector: [dotOf(run, seq)],
  modifiedMs: wallMsOf(1_700_000_000_123),
  body: body === null ? null : utf8(body),
});
const sent = (
  name: string,
  id: string,
  versions: readonly Version[],
  shown: Uint8Array | null = null,
): SentKey => ({
  ...{ name, id: documentIdOf(id), change: place, versions, shown },
});
const write = (...keys: SentKey[]): Uint8Array => writeBatch(tree, { runs: [], keys });

/** `@metadata` of a version that may be stored, with some members otherwise; undefined: left out. */
function metadata(more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    "@id": "orders/1",
    "@etag": "3:" + runA + ":12",
    "Last-Modified": "2023-11-14T22:13:20.123Z",
    "Raven-Replication-Source": databaseId(1),
    "Raven-Replication-Version": 5,
    "Raven-Replication-Run": runA,
    "Raven-Replication-Vector": `${databaseId(1)}:${runA}:5`,
    ...more,
  });
}
const element = (more: Readonly<Record<string, unknown>> = {}, rest = ""): string =>
  `{"@metadata":${metadata(more)}${rest}}`;
const only = (batch: ReceivedBatch) => {
  assert.equal(batch.keys.length, 1);
  return batch.keys[0] as ReceivedBatch["keys"][number];
};

test("a batch is a JSON array that anybody can read", () => {
  const key = sent(
    "orders",
    "1",
    [version(runA, 5, '{"a":1}'), version(runB, 9, null)],
    new Uint8Array(32).fill(171),
  );
  const runs = [...tree.nodes()];
  const written = JSON.parse(
    utf8Text(writeBatch(tree, { runs, keys: [key, sent("_docs", "x", [version(runA, 6, "{}")])] })),
  );
  const common = { "@etag": `3:${runA}:12`, "Last-Modified": "2023-11-14T22:13:20.123Z" };
  assert.deepEqual(written, [
    {
      "@metadata": {
        ...{
          "@id": "orders/1",
          ...common,
          "Raven-Replication-Source": databaseId(1),
          "Raven-Replication-Version": 5,
        },
        ...{ "Raven-Replication-Run": runA, "Raven-Replication-Vector": `${databaseId(1)}:${runA}:5` },
        ...{ "Raven-Replication-Shown": "ab".repeat(32), "Raven-Replication-Runs": runs },
      },
      a: 1,
    },
    {
      "@metadata": {
        ...{
          "@id": "orders/1",
          ...common,
          "Raven-Replication-Source": databaseId(2),
          "Raven-Replication-Version": 9,
        },
        ...{ "Raven-Replication-Run": runB, "Raven-Replication-Vector": `${databaseId(2)}:${runB}:9` },
        ...{ "Raven-Delete-Marker": true },
      },
    },
    {
      "@metadata": {
        ...{
          "@id": "x",
          ...common,
          "Raven-Replication-Source": databaseId(1),
          "Raven-Replication-Version": 6,
        },
        ...{ "Raven-Replication-Run": runA, "Raven-Replication-Vector": `${databaseId(1)}:${runA}:6` },
      },
    },
  ]);
  assert.equal(utf8Text(write()), "[]");
});

/** Texts that a parser would not give back as they are, too. */
const bodies = [
  "{}",
  '{"a":1}',
  '{"@metadata":{"@id":"other"},"@metadata":1}',
  '{"_id":"x","a":1.0,"b":1e400,"c":12345678901234567890}',
  '{"a":1,"a":2}',
  '{"\\u0040metadata":[]}',
  '{"ü":"\\ud800 \\u0000 \u2028 \u{1f600}"}',
  '{ "a" : [ 1 , {} ] }',
  '{"deep":[[[[[[[[{"]":"}"}]]]]]]]]}',
];

test("what is written is read again, each body byte by byte", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = prng(seed), batch = randomBatch(random), slices = { count: 0 };
    const { runs, keys, ignored } = read(writeBatch(tree, batch), slices);
    assert.deepEqual(runs, batch.runs);
    assert.equal(ignored, 0);
    assert.deepEqual(
      keys.map(({ name, id, fault, versions, shown }) => ({
        name,
        id,
        fault,
        versions: versions.map(plain),
        shown,
      })),
      batch.keys.map(({ name, id, versions, shown }) => ({
        ...{ name, id, fault: null, versions },
        shown: versions.length > 1 ? shown : undefined,
      })),
    );
  }
});

function plain({ dot, vector, modifiedMs, body }: Version): Version {
  return { dot, vector, modifiedMs, body: body === null ? null : new Uint8Array(body) };
}

function randomBatch(random: Prng): SentBatch {
  const keys = Array.from({ length: 1 + random.below(30) }, (_, i): SentKey => {
    const both = random.below(3) === 0;
    const versions = (both ? [runA, runB] : [random.below(2) === 0 ? runA : runB]).sort().map((run, at) => ({
      ...version(run, 1 + random.below(1e9), bodies[random.below(bodies.length + 1)] ?? null),
      modifiedMs: wallMsOf([0, 1_700_000_000_123 + at, 253_402_300_799_999][random.below(3)] as number),
    }));
    const name = ["orders", "_docs", "a.b-c", "A"][random.below(4)] as string;
    return sent(
      name,
      `${i}${["", "/x", " é", "%2F"][name === "_docs" ? 0 : random.below(4)]}`,
      versions,
      random.below(2) === 0 ? null : random.bytes(32),
    );
  });
  return { runs: random.below(2) === 0 ? [] : [...tree.nodes()], keys };
}

test("@metadata may stand anywhere, once; what is around it stays as it is", () => {
  const of = (text: string): string => utf8Text(only(readText(`[${text}]`)).versions[0]?.body as Uint8Array);
  const m = metadata();
  assert.equal(of(`{"@metadata":${m}}`), "{}");
  assert.equal(of(` { "@metadata" : ${m} , "a" : 1 } `), '{ "a" : 1 }');
  assert.equal(of(`{"a":1,"@metadata":${m}}`), '{"a":1}');
  assert.equal(of(`{"a":1,"@metadata":${m},"b":[2]}`), '{"a":1,"b":[2]}');
  assert.equal(of(`{"a":{"@metadata":1},"\\u0040metadata":${m}}`), '{"a":{"@metadata":1}}');
  assert.equal(of(`{"@metadata":${m},"@metadata":{}}`), '{"@metadata":{}}', "a body's own");
  refused(`[{"a":1,"@metadata":${m},"@metadata":${m}}]`, /element 0 .*twice/);
  refused(`[${element()},{"a":1}]`, /element 1 .*@metadata is missing/);
  refused(`[{"@metadata":[]}]`, /element 0 .*not an object/);
  refused("[5]", /element 0 .*not an object/);
});

test("versions of one key are one key, wherever they stand and however its collection is written", () => {
  const batch = readText(
    `[${[
      element(),
      element({ "@id": "orders/2" }),
      element({ "@id": "Orders/1", "Raven-Replication-Version": 6 }),
    ]}]`,
  );
  assert.deepEqual(
    batch.keys.map(({ text, versions, elements }) => [text, versions.length, elements.length]),
    [
      ["orders/1", 2, 2],
      ["orders/2", 1, 1],
    ],
  );
});

test("of a set that is sent anew, what is shown of it is what was said last", () => {
  const a = version(runA, 5, '{"a":1}'), b = version(runB, 9, '{"b":1}'), later = version(runB, 10, "{}");
  const one = new Uint8Array(32).fill(1), two = new Uint8Array(32).fill(2);
  const shown = (...sets: SentKey[]) => only(read(write(...sets))).shown;
  const before = sent("orders", "1", [a, b], one);
  assert.deepEqual(shown(before, sent("Orders", "1", [a, later], two)), two);
  assert.equal(shown(before, sent("orders", "1", [a, later], null)), null);
  assert.deepEqual(shown(before, sent("orders", "1", [later])), one, "of one version nothing is said");
  assert.deepEqual(shown(sent("orders", "1", [a]), before), one);
});

test("the cursor of a hand-made batch is the @etag of its last element", () => {
  const cursor = cursorText({ ...place, asOf: place });
  const etag = (...etags: unknown[]) =>
    readText(`[${etags.map((one, i) => element({ "@id": `o/${i}`, "@etag": one }))}]`).cursor;
  assert.equal(cursorText(etag(undefined, cursor) as Cursor), cursor);
  assert.equal(etag(cursor, "3:" + runA + ":12"), null);
  assert.equal(etag(cursor, undefined), null);
  assert.equal(readText("[]").cursor, null);
});

test("system documents are not taken", () => {
  const { keys, ignored } = readText(
    `[${[element({ "@id": "Raven/ApiKeys/x" }), element({ "@id": "rAVEN/y" }), element()]}]`,
  );
  assert.deepEqual([keys.length, ignored], [1, 2]);
});

test("what is no batch is refused, with the element", () => {
  for (
    const text of [
      "",
      "{}",
      "[",
      "null",
      `[${element()}`,
      `[${element()}]]`,
      `[${element()},]`,
      `[${element()} 5]`,
    ]
  ) {
    refused(text, /array|element/);
  }
  const whole = `[${element({ "Raven-Replication-Runs": [...tree.nodes()] }, ',"a":"x"')}]`;
  for (let end = 0; end < whole.length; end++) refused(whole.slice(0, end), /./);
  const wrong: Readonly<Record<string, readonly unknown[]>> = {
    "@id": [undefined, null, 5, ["orders/1"]],
    "@etag": [5, null],
    "Last-Modified": [undefined, 5, null],
    "Raven-Replication-Source": [undefined, 5],
    "Raven-Replication-Version": [undefined, "5", null],
    "Raven-Replication-Run": [undefined, 5],
    "Raven-Replication-Vector": [undefined, 5, {}],
    "Raven-Delete-Marker": ["true", 1],
    "Raven-Replication-Shown": [5, "abc", "A".repeat(64)],
    "Raven-Replication-Runs": [{}, [5], [null], [{}], [{ ...node(runA, 1, null), epoch: "1" }], [{
      ...node(runA, 1, null),
      parent: 1,
    }]],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      refused(`[${element({ "@id": "o/0" })},${element({ [name]: value })}]`, /element 1 /);
    }
  }
  refused(`[{"@metadata":{"@id":"a/b","@id":"a/c"}}]`, /element 0 .*twice/);
  refused(`[{"@metadata":{"@id":"a/b","x":[}]}}]`, /element 0 /);
  const bytes = utf8(`[${element({ "@etag": "?" })}]`);
  bytes[bytes.indexOf(0x3f)] = 0xff;
  refused(bytes, /element 0 .*UTF-8/);
});

test("what another master may well send and this one cannot keep is the fault of its key alone", () => {
  const long = Array.from(
    { length: 513 },
    (_, i) => `${databaseId(1)}:${i.toString(16).padStart(32, "0")}:1`,
  );
  const faults: readonly (readonly [string, Readonly<Record<string, unknown>>, string, RegExp])[] = [
    ["too large", {}, `,"a":"${"x".repeat(documents.bytesMax)}"`, /10000 bytes/],
    ["too deep", {}, `,"a":${"[".repeat(20)}${"]".repeat(20)}`, /nests deeper/],
    ["a trailing comma", {}, ",", /not JSON/],
    ["not JSON", {}, ',"a":tru', /not JSON/],
    ["mixed brackets", {}, ',"a":[}', /not JSON/],
    ["a name", { "@id": "a b/1" }, "", /collection name/],
    ["a reserved name", { "@id": "_settings/1" }, "", /not replicated/],
    ["an id", { "@id": "orders/" }, "", /empty/],
    ["a reserved id", { "@id": "orders/bulk" }, "", /reserved/],
    ["a long id", { "@id": `orders/${"x".repeat(513)}` }, "", /512/],
    ["a lone surrogate", { "@id": "orders/\ud800" }, "", /surrogate/],
    ["a database", { "Raven-Replication-Source": "x" }, "", /id/],
    ["a run", { "Raven-Replication-Run": runA.toUpperCase() }, "", /id/],
    ["a number", { "Raven-Replication-Version": 1.5 }, "", /1.5/],
    ["a number of none", { "Raven-Replication-Version": 0 }, "", /number of an entry/],
    ["a time", { "Last-Modified": "2023-11-14" }, "", /Last-Modified/],
    ["no time", { "Last-Modified": "2023-02-31T00:00:00.000Z" }, "", /Last-Modified/],
    ["a vector", { "Raven-Replication-Vector": "x:y:z" }, "", /vector/],
    ["a long vector", { "Raven-Replication-Vector": long.join(", ") }, "", /too many entries/],
    [
      "a vector in no order",
      { "Raven-Replication-Vector": [...long.slice(0, 2)].reverse().join(", ") },
      "",
      /ascend/,
    ],
    ["a deletion with a body", { "Raven-Delete-Marker": true }, ',"a":1', /deletion/],
  ];
  for (const [what, more, rest, says] of faults) {
    const text = element(more, rest), { keys } = readText(`[${text},${element({ "@id": "fine/1" })}]`);
    assert.match(keys[0]?.fault ?? "", says, what);
    assert.deepEqual([keys[0]?.versions.length, keys[0]?.elements.map(utf8Text)], [0, [text]], what);
    assert.equal(keys[1]?.fault, null, what);
  }
  const huge = `[${element().replace(":5,", ":1e999,")}]`;
  assert.match(only(readText(huge)).fault ?? "", /Infinity/);
  const bytes = utf8(`[${element({}, ',"a":"?"')}]`);
  bytes[bytes.lastIndexOf(0x3f)] = 0xff;
  assert.match(only(read(bytes)).fault ?? "", /UTF-8/);
  const two = only(readText(`[${element()},${element({ "Raven-Replication-Vector": "" + long })}]`));
  assert.deepEqual([two.versions.length, two.elements.length], [0, 2], "all of a key, or nothing");
});

test("many runs and many elements are read a slice at a time", () => {
  const runs = Array.from(
    { length: 20_000 },
    (_, i) => node(runId(i), 1 + i, i === 0 ? null : runId(i - 1)),
  );
  const slices = { count: 0 }, batch = read(utf8(`[${element({ "Raven-Replication-Runs": runs })}]`), slices);
  assert.equal(batch.runs.length, 20_000);
  assert.deepEqual(batch.runs.at(-1), runs.at(-1));
  assert.ok(slices.count >= 42, `${slices.count} slices`);
  slices.count = 0;
  read(utf8(`[${Array.from({ length: 5_000 }, (_, i) => element({ "@id": `o/${i}` }))}]`), slices);
  assert.ok(slices.count >= 9, `${slices.count} slices`);
  const many = utf8(`[${"5,".repeat(limits.bulkDocumentsMaxDefault)}5]`);
  refused(many, /element 0/);
});

test("places, terms, keys and answers are read as they were written, and nothing else", () => {
  const cursor: Cursor = { ...place, asOf: { ...place, seq: seqOf(Number.MAX_SAFE_INTEGER) } };
  assert.deepEqual(parseCursor(cursorText(cursor)), cursor);
  assert.deepEqual(parseTerm(termText(place)), { epoch: 3, run: runA });
  const zero = "0".repeat(32), origin = `0:${zero}:0`;
  assert.equal(cursorText(parseCursor(`${origin}@${origin}`)), `${origin}@${origin}`);
  for (
    const text of [
      "",
      "@",
      origin,
      `${origin}@`,
      `${origin}@${origin}@${origin}`,
      ` ${origin}@${origin}`,
      `00:${zero}:0@${origin}`,
      `0:${zero}:-1@${origin}`,
      `0:${zero}:9007199254740992@${origin}`,
      `0:${"A".repeat(32)}:0@${origin}`,
      `0:${zero}:1e3@${origin}`,
    ]
  ) assert.throws(() => parseCursor(text), { code: "bad_request" }, text);
  for (const text of ["", "3", `3:${runA}:1`, `03:${runA}`, `-3:${runA}`, `3:${runA}\n`]) {
    assert.throws(() => parseTerm(text), { code: "bad_request" }, text);
  }
  for (
    const [name, id, text] of [["orders", "1", "orders/1"], ["orders", "a/b", "orders/a/b"], [
      "_docs",
      "x",
      "x",
    ], ["_docs", "a/b", "_docs/a/b"]] as const
  ) {
    assert.equal(keyText(name, id), text);
    assert.deepEqual(parseKey(text), { name, id });
  }
  const receiver = { databaseId: databaseId(1), term: { epoch: epochOf(3), run: runA } };
  for (const answer of [{ ...receiver, cursor }, { ...receiver, cursor: null }]) {
    assert.deepEqual(readAnswer(utf8(answerText(answer, "http://a"))), answer);
  }
  const told = JSON.parse(answerText({ ...receiver, cursor }, "http://a")) as Record<string, unknown>;
  assert.deepEqual(Object.keys(told), ["LastDocumentEtag", "ServerInstanceId", "Source", "Term"]);
  for (
    const more of [{ LastDocumentEtag: undefined }, { LastDocumentEtag: "x" }, { ServerInstanceId: "x" }, {
      Term: undefined,
    }, { Term: "1:2" }]
  ) assert.throws(() => readAnswer(utf8(JSON.stringify({ ...told, ...more }))), { code: "bad_request" });
  for (const text of ["", "null", "[]", "<html>"]) {
    assert.throws(() => readAnswer(utf8(text)), { code: "bad_request" });
  }
});
