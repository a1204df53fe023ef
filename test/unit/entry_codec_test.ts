import assert from "node:assert/strict";
import { test } from "node:test";
import { Decoder } from "cbor-x/decode";
import { Encoder } from "cbor-x/encode";
import { unhex, utf8 } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { prng } from "../../src/base/prng.ts";
import type { Operation } from "../../src/document/operation.ts";
import {
  decodeEntry,
  decodeEntryInSlices,
  encodeEntry,
  encodeEntryInSlices,
  isLarge,
} from "../../src/storage/entry_codec.ts";
import { coded } from "../suites/storage_fixture.ts";
import { entrySamples } from "../golden/entry_samples.ts";

const cbor = { useRecords: false, variableMapSize: true, tagUint8Array: false };
const encoder = new Encoder(cbor), decoder = new Decoder(cbor);

/** The arrays that the format prescribes, for cbor-x. */
function plain(operation: Operation): unknown[] {
  switch (operation.kind) {
    case "put":
      return [1, operation.collection, operation.id, operation.previous, operation.body];
    case "delete":
      return [2, operation.collection, operation.id, operation.previous];
    case "createCollection":
      return [3, operation.collection, operation.name];
    case "dropCollection":
      return [4, operation.collection];
    case "term":
      return [5, operation.epoch, unhex(operation.run), unhex(operation.nodeId)];
    case "createIndex": {
      const { collection, name, unique, time, paths } = operation;
      const steps = paths.map((path) => path.map((step) => step === "*each" ? [] : step));
      return [6, collection, name, +unique, +time, steps];
    }
    case "dropIndex":
      return [7, operation.collection, operation.name];
    case "activateBundle":
      return operation.adoptExisting === true ? [8, operation.bundle, 1] : [8, operation.bundle];
    case "learnRuns": {
      const runs = operation.runs.map(({ database, run, epoch, firstSeq, parent }) => [
        ...[unhex(database), unhex(run), epoch, firstSeq],
        parent === null ? bytes() : unhex(parent),
      ]);
      return [9, runs];
    }
    case "setVersions": {
      const { name, id, previous, kept, added, shown } = operation;
      const dots = kept.map(({ run, seq }) => [unhex(run), seq]);
      const versions = added.map(({ dot: { run, seq }, vector, modifiedMs, body }) => {
        // u64 little-endian, of numbers below 2^32.
        const entries = vector.flatMap((
          dot,
        ) => [...unhex(dot.run), ...new Uint8Array(Uint32Array.of(dot.seq, 0).buffer)]);
        return [unhex(run), seq, bytes(...entries), modifiedMs, body ?? bytes()];
      });
      const all = [...kept, ...added.map(({ dot }) => dot)];
      const place = shown.kind === "version"
        ? 3 + all.findIndex(({ run, seq }) => run === shown.dot.run && seq === shown.dot.seq)
        : { deleted: 0, conflict: 1, made: 2 }[shown.kind];
      const body = shown.kind === "version" || shown.kind === "made" ? shown.body : null;
      return [10, name, id, previous, dots, versions, place, body ?? bytes()];
    }
    case "purgeTombstones":
      return [11, operation.name, operation.ids];
  }
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const createIndex = (...values: number[]): number[] => [0x01, 0x81, 0x86, 6, 1, ...values];
const decode = (...values: number[]) => () => decodeEntry(bytes(...values));

test("entry codec: what was written is read back", () => {
  for (const { operations } of entrySamples) {
    const payload = encodeEntry(operations);
    assert.deepEqual(decodeEntry(payload), operations);
    // At any place inside a larger buffer.
    const larger = new Uint8Array(payload.length + 20).fill(0xff);
    larger.set(payload, 7);
    assert.deepEqual(decodeEntry(larger.subarray(7, 7 + payload.length)), operations);
  }
});

test("entry codec: the bytes are those of cbor-x, and cbor-x reads them", () => {
  for (const { operations } of entrySamples) {
    const payload = encodeEntry(operations);
    assert.equal(payload[0], 1);
    const theirs = encoder.encode(operations.map(plain));
    assert.deepEqual(Array.from(payload.subarray(1)), Array.from(theirs));
    const read = decoder.decode(payload.subarray(1)) as unknown[][];
    assert.deepEqual(read.map((o) => o[0]), operations.map((o) => plain(o)[0]));
  }
});

test("entry codec: payloads do not share bytes that change", () => {
  const one = encodeEntry(entrySamples[0]?.operations ?? []), copy = one.slice();
  for (let i = 0; i < 5000; i++) encodeEntry(entrySamples[i % entrySamples.length]?.operations ?? []);
  assert.deepEqual(one, copy);
});

test("entry codec: every prefix and every lengthening is refused", () => {
  for (const { operations } of entrySamples) {
    const payload = encodeEntry(operations);
    if (payload.length > 2000) continue;
    for (let length = 0; length < payload.length; length++) {
      assert.throws(() => decodeEntry(payload.subarray(0, length)), coded("corrupt"));
    }
    assert.throws(() => decodeEntry(bytes(...payload, 0)), coded("corrupt"));
  }
});

test("entry codec: whatever is read is written again as the same bytes", () => {
  const random = prng(42);
  let accepted = 0;
  for (let i = 0; i < 60_000; i++) {
    const sample = entrySamples[random.below(entrySamples.length)] as (typeof entrySamples)[number];
    const payload = encodeEntry(sample.operations).slice(0, 2000);
    for (let n = random.below(3); n >= 0; n--) payload[random.below(payload.length)] = random.below(256);
    try {
      assert.deepEqual(encodeEntry(decodeEntry(payload)), payload);
      accepted++;
    } catch (thrown) {
      const { code } = thrown as { code?: string };
      if (code !== "corrupt" && code !== "version") throw thrown;
    }
  }
  assert.ok(accepted > 1000);
});

test("entry codec: what only a newer version can have written is version", () => {
  assert.throws(decode(0x02, 0x81, 0x82, 4, 1), coded("version"));
  assert.throws(decode(0x00), coded("version"));
  assert.throws(decode(0x01, 0x81, 0x82, 12, 1), coded("version"));
  const bundle = [0x6b, ...utf8("replication")];
  assert.throws(decode(0x01, 0x81, 0x83, 8, ...bundle, 2), coded("version"));
  assert.throws(decode(0x01, 0x81, 0x84, 8, ...bundle, 1, 1), coded("version"));
  assert.throws(decode(0x01, 0x81, 0x84, 7, 1, 0x61, 0x61, 0), coded("version"));
  assert.throws(decode(0x01, 0x81, 0x84, 0x19, 1, 0, 0xff, 0xff, 0xff), coded("version"));
  assert.throws(decode(0x01, 0x81, 0x83, 4, 1, 0xf6), coded("version"));
  assert.throws(decode(0x01, 0x82, 0x82, 4, 1, 0x82, 12, 1), coded("version"));
});

test("entry codec: what nobody writes is corrupt", () => {
  const wrong: readonly number[][] = [
    [],
    [0x01],
    [0x01, 0x80],
    [0x01, 0x81, 0x80],
    [0x01, 0x81, 0x82, 0, 1],
    // too few elements; not an array; a negative kind; text as kind
    [0x01, 0x81, 0x81, 4],
    [0x01, 0x82, 4, 1],
    [0x01, 0x81, 0x82, 0x23, 1],
    [0x01, 0x81, 0x82, 0x61, 0x34],
    // collection 0; a head longer than needed; indefinite lengths; a tag; null; a float below 2^32
    [0x01, 0x81, 0x82, 4, 0],
    [0x01, 0x81, 0x82, 4, 0x18, 1],
    [0x01, 0x81, 0x82, 4, 0x19, 0, 200],
    [0x01, 0x9f, 0x82, 4, 1, 0xff],
    [0x01, 0x81, 0x9f, 4, 1, 0xff],
    [0x01, 0xc1, 0x81, 0x82, 4, 1],
    [0x01, 0x81, 0x82, 4, 0xf6],
    [0x01, 0x81, 0x82, 4, 0xfb, 0x40, 0x45, 0, 0, 0, 0, 0, 0],
    // 64-bit heads, NaN, more than 2^53
    [0x01, 0x81, 0x82, 4, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
    [0x01, 0x81, 0x82, 4, 0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    [0x01, 0x81, 0x82, 4, 0xfb, 0x43, 0x50, 0, 0, 0, 0, 0, 0],
    // an empty id; text that is not UTF-8; a surrogate; a name that is too long by its own word
    [0x01, 0x81, 0x84, 2, 1, 0x60, 1],
    [0x01, 0x81, 0x84, 2, 1, 0x61, 0xff, 1],
    [0x01, 0x81, 0x84, 2, 1, 0x63, 0xed, 0xa0, 0x80, 1],
    [0x01, 0x81, 0x83, 3, 1, 0x7a, 0xff, 0xff, 0xff, 0xff, 0x61],
    // an adoption of nothing, and one beside another operation
    [0x01, 0x81, 0x83, 8, 0x6b, ...utf8("replication"), 0],
    [0x01, 0x82, 0x83, 8, 0x6b, ...utf8("replication"), 1, 0x82, 4, 1],
    // a delete in no collection; a run of 15 bytes; a term beside another operation
    [0x01, 0x81, 0x84, 2, 0, 0x61, 0x61, 1],
    [0x01, 0x81, 0x84, 5, 1, 0x4f, ...Array(15).fill(7), 0x50, ...Array(16).fill(7)],
    [0x01, 0x82, 0x84, 5, 1, 0x50, ...Array(16).fill(7), 0x50, ...Array(16).fill(7), 0x82, 4, 1],
    // an index: no name; neither unique nor not; no path; one without steps; `[*]` by another name; a step that is none; a place
    // beyond the last; two paths with [*]; the same path twice; moments that are unique, or of two paths
    createIndex(0x60, 0, 0, 0x81, 0x81, 0x61, 0x61),
    createIndex(0x61, 0x69, 2, 0, 0x81, 0x81, 0x61, 0x61),
    createIndex(0x61, 0x69, 0, 0, 0x80),
    createIndex(0x61, 0x69, 0, 0, 0x81, 0x80),
    createIndex(0x61, 0x69, 0, 0, 0x81, 0x82, 0x61, 0x61, 0x65, ...utf8("*each")),
    createIndex(0x61, 0x69, 0, 0, 0x81, 0x82, 0x61, 0x61, 0x81, 1),
    createIndex(0x61, 0x69, 0, 0, 0x81, 0x81, 0x1a, 0x80, 0, 0, 0),
    createIndex(0x61, 0x69, 0, 0, 0x81, 0x81, 0x61, 0),
    createIndex(0x61, 0x69, 0, 0, 0x82, 0x82, 0x61, 0x61, 0x80, 0x82, 0x61, 0x62, 0x80),
    createIndex(0x61, 0x69, 0, 0, 0x82, 0x81, 0x61, 0x61, 0x81, 0x61, 0x61),
    createIndex(0x61, 0x69, 1, 1, 0x81, 0x81, 0x61, 0x61),
    createIndex(0x61, 0x69, 0, 1, 0x82, 0x81, 0x61, 0x61, 0x81, 0x61, 0x62),
    createIndex(0x61, 0x69, 0, 0, 0x89, ...Array(9).fill([0x81, 0x61, 0x61]).flat()),
  ];
  for (const values of wrong) assert.throws(decode(...values), coded("corrupt"), values.join());
});

test("entry codec: a declared length costs nothing", () => {
  // 2^32 - 1 operations, 2^32 - 1 elements, 4 GiB of text and of body.
  for (
    const at of [[0x9a], [0x81, 0x9a], [0x81, 0x84, 2, 1, 0x7a], [0x81, 0x85, 1, 1, 0x61, 0x61, 0, 0x5a]]
  ) {
    assert.throws(decode(0x01, ...at, 0xff, 0xff, 0xff, 0xff, 0, 0), coded("corrupt"));
  }
  assert.throws(() => decodeEntry(new Uint8Array(limits.entryBytesMax + 1)), coded("corrupt"));
});

test("entry codec: ids at their limits, and with any character", () => {
  const op = (id: string): Operation => ({ kind: "delete", collection: 1, id, previous: 1 }) as never;
  const ids = [
    "a\0b",
    "\0",
    "\u007f",
    "é".repeat(256),
    "日".repeat(170),
    "a".repeat(512),
    "😀",
    "\ufeffbom",
    "x".repeat(65),
  ];
  for (const id of ids) assert.deepEqual(decodeEntry(encodeEntry([op(id)])), [op(id)]);
  for (const id of ["", "\ud800", "a\udc00", "a".repeat(513), "é".repeat(257)]) {
    assert.throws(() => encodeEntry([op(id)]), { name: "InvariantError" });
  }
  const long = [0x01, 0x81, 0x84, 2, 1, 0x79, 2, 1, ...utf8("a".repeat(513)), 1];
  assert.throws(decode(...long), coded("corrupt"));
});

test("entry codec: what cannot be read back is not written", () => {
  const term: Operation = { kind: "term", epoch: 1, run: "1".repeat(32), nodeId: "2".repeat(32) } as never;
  const drop = (collection: number): Operation => ({ kind: "dropCollection", collection }) as never;
  const wrong: Operation[][] = [[], [term, drop(1)], [drop(0)], [drop(1.5)], [drop(2 ** 53)], [drop(-1)]];
  for (const operations of wrong) assert.throws(() => encodeEntry(operations), { name: "InvariantError" });
});

test("entry codec: in slices it is the same, and it is known without reading it which entry is large", () => {
  const taken = <Value>(steps: Generator<void, Value, void>): { slices: number; value: Value } => {
    for (let slices = 1;; slices++) {
      const step = steps.next();
      if (step.done === true) return { slices, value: step.value };
    }
  };
  const adopting: Operation = { kind: "activateBundle", bundle: "replication", adoptExisting: true };
  const samples = entrySamples.flatMap(({ operations }) => operations)
    .filter((one) => one.kind !== "term" && !("adoptExisting" in one));
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => samples[i % samples.length] as Operation);
  const size = limits.sliceOperations;
  // Short as it is, it may touch every document.
  assert.equal(isLarge(encodeEntry([adopting])), true);
  assert.throws(() => encodeEntry([adopting, ...many(1)]), /alone/);
  assert.throws(() => taken(encodeEntryInSlices([adopting, ...many(1)], 1_000)), /alone/);
  for (const count of [1, size - 1, size, size + 1, 4 * size]) {
    const operations = many(count), payload = encodeEntry(operations);
    const written = taken(encodeEntryInSlices(operations, payload.length));
    assert.deepEqual(written.value, payload);
    const read = taken(decodeEntryInSlices(payload));
    assert.deepEqual(read.value, operations);
    assert.ok(
      Math.min(written.slices, read.slices) > count / size,
      `${written.slices} and ${read.slices} slices`,
    );
    assert.equal(isLarge(payload), count > size || payload.length > limits.sliceBytes);
    assert.equal(taken(encodeEntryInSlices(operations, payload.length - 1)).value, null);
    assert.throws(() => taken(decodeEntryInSlices(payload.subarray(0, -1))), coded("corrupt"));
  }
  const removes = Array.from(
    { length: size + 1 },
    () => ({ kind: "dropCollection", collection: 1 }) as Operation,
  );
  assert.equal(isLarge(encodeEntry(removes)), true, "small operations count too");
  assert.equal(isLarge(new Uint8Array(2 * 1024 * 1024)), true);
  assert.equal(isLarge(new Uint8Array(0)), false);
  assert.equal(isLarge(new Uint8Array(9_000).fill(0xff)), false);
});
