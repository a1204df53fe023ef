import assert from "node:assert/strict";
import test from "node:test";
import { unhex } from "../../src/base/bytes.ts";
import type { CborRules } from "../../src/base/cbor_reader.ts";
import { CborReader } from "../../src/base/cbor_reader.ts";
import { CborWriter } from "../../src/base/cbor_writer.ts";
import { DfdbError } from "../../src/base/errors.ts";

const error: CborRules["error"] = (what, offset) => new DfdbError("corrupt", what, { details: { offset } });
const lenient = (bytes: string): CborReader => new CborReader(unhex(bytes), 0, { canonical: false, error });
const canonical = (bytes: string): CborReader => new CborReader(unhex(bytes), 0, { canonical: true, error });
const refused = (run: () => unknown): void => assert.throws(run, { code: "corrupt" });

test("cbor: numbers come back from every width that holds them, where heads may be of any width", () => {
  for (const bytes of ["07", "1807", "190007", "1a00000007", "1b0000000000000007", "fb401c000000000000"]) {
    assert.equal(lenient(bytes).number(), 7, bytes);
  }
  assert.equal(lenient("1b001fffffffffffff").number(), Number.MAX_SAFE_INTEGER);
  for (
    const bytes of [
      "1b0020000000000000",
      "fb3ff8000000000000",
      "fbbff0000000000000",
      "20",
      "1c",
      "1f",
      "19ff",
      "",
    ]
  ) {
    refused(() => lenient(bytes).number());
  }
});

test("cbor: where the rules are canonical only the shortest head is taken, and floats from 2^32 on", () => {
  assert.equal(canonical("07").number(), 7);
  assert.equal(canonical("fb41f0000000000000").number(), 2 ** 32);
  for (const bytes of ["1807", "190007", "1a00000007", "1b0000000000000007", "fb401c000000000000"]) {
    refused(() => canonical(bytes).number());
  }
});

test("cbor: a count or length that reaches beyond the bytes is refused before it is used", () => {
  refused(() => lenient("9affffffff").array());
  refused(() => lenient("baffffffff00").map());
  refused(() => lenient("5affffffff00").binary());
  refused(() => lenient("7affffffff00").text());
  assert.equal(lenient("a1").bytes.length, 1);
  refused(() => lenient("a1").map());
  assert.equal(lenient("a10102").map(), 1);
});

test("cbor: a text is UTF-8, a skipped item is of an allowed form and not too deep", () => {
  refused(() => lenient("61ff").text());
  assert.equal(lenient("62c3a9").text(), "é");
  for (const bytes of ["c100", "9f01ff", "5f4101ff", "f8ff", "a10101"]) refused(() => lenient(bytes).skip());
  for (const bytes of ["f6", "f4", "fb3ff8000000000000", "a1616101", "8301820203f5", "20"]) {
    const reader = lenient(bytes);
    reader.skip();
    reader.end();
  }
  refused(() => lenient("81".repeat(20) + "01").skip());
});

test("cbor: what is written is read again, numbers in both byte forms", () => {
  const numbers = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  const writer = new CborWriter(new Uint8Array(1_000), 3);
  writer.array(2 * numbers.length);
  for (const value of numbers) {
    writer.number(value);
    writer.unsigned(value);
  }
  const end = writer.end();
  const reader = new CborReader(writer.bytes.subarray(0, end), 3, { canonical: false, error });
  assert.equal(reader.array(), 2 * numbers.length);
  for (const value of numbers) assert.deepEqual([reader.number(), reader.number()], [value, value]);
  reader.end();
});
