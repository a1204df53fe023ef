import assert from "node:assert/strict";
import { test } from "node:test";
import { wallMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import { collectionKey, collectionName, documentId } from "../../src/document/names.ts";
import { newDocumentIds } from "../../src/document/new_id.ts";

test("collection names are letters, digits, _, - and ., a letter first", () => {
  for (const name of ["orders", "A", "a.b-c_d9", "Orders.2024", "a".repeat(128)]) {
    assert.equal(collectionName(name), name);
  }
  for (const name of ["", "1a", "-a", ".a", "a b", "a/b", "é", "aé", "a\n", "\na", "a\u0000", "ａ", 'a"']) {
    assert.throws(() => collectionName(name), { code: "bad_request", message: /begins with a letter/ });
  }
  assert.throws(() => collectionName("a".repeat(129)), {
    code: "bad_request",
    message: /128 characters, not 129/,
  });
  for (const name of ["_docs", "_Docs", "Ravens"]) assert.equal(collectionName(name), name);
  for (const name of ["_", "_x", "_users", "_docs_", "Raven", "raven"]) {
    assert.throws(() => collectionName(name), { code: "bad_request", message: /reserved/ });
  }
});

test("two spellings of one collection name have the same key", () => {
  assert.equal(collectionKey("Orders.A-b_C"), "orders.a-b_c");
  assert.equal(collectionKey("ORDERS"), collectionKey("orders"));
});

test("a document id has 1 to 512 bytes", () => {
  for (const id of ["a", "a/b", "a b", "é", "😀", "日本語", "__proto__", "TTL", "bulk2", "\u00a0"]) {
    assert.equal(documentId(id), id);
  }
  for (const [char, bytes] of [["a", 1], ["é", 2], ["日", 3], ["😀", 4]] as const) {
    const most = Math.floor(512 / bytes);
    assert.equal(documentId(char.repeat(most)).length, char.length * most);
    assert.throws(() => documentId(char.repeat(most + 1)), {
      code: "bad_request",
      message: `a document id may have 512 bytes, not ${(most + 1) * bytes}`,
    });
  }
  assert.throws(() => documentId(""), { code: "bad_request", message: /empty/ });
});

test("a document id has no control characters and no lone surrogates", () => {
  for (const code of [0x00, 0x09, 0x0a, 0x1f, 0x7f, 0x80, 0x85, 0x9f]) {
    const id = `a${String.fromCharCode(code)}b`;
    assert.throws(() => documentId(id), {
      code: "bad_request",
      message: /control character U\+00[0-9A-F]{2}$/,
    });
  }
  for (const id of ["\ud800", "a\ud800b", "\udc00", "😀\udc00", "\ud800\ud800", "\udc00\ud800", "\ud800é"]) {
    assert.throws(() => documentId(id), { code: "bad_request", message: /lone surrogate U\+D[8-F]00$/ });
  }
});

test("the names of routes are reserved ids", () => {
  for (const id of ["ttl", "schema", "bulk", ".", ".."]) {
    assert.throws(() => documentId(id), { code: "reserved_id" });
  }
});

/** A factory over a seeded generator and a wall clock that `set` moves. */
function factory(ms: number): { next: () => string; set: (ms: number) => void } {
  const random = prng(7);
  const next = newDocumentIds(random, { wall: () => wallMsOf(ms) });
  return { next, set: (value) => ms = value };
}

test("a new id is a UUIDv7 without dashes that begins with the wall time", () => {
  const { next, set } = factory(0x0198_c0ff_ee01);
  for (let i = 0; i < 500; i++) assert.match(next(), /^0198c0ffee017[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  set(0x0198_c0ff_ee02 + 0.75);
  const id = next();
  assert.match(id, /^0198c0ffee027/);
  assert.equal(documentId(id), id);
});

test("new ids rise strictly, also when the wall clock stands or goes back", () => {
  const { next, set } = factory(1_000_000);
  let last = next();
  for (let i = 0; i < 20_000; i++) {
    if (i === 5_000) set(900_000);
    if (i === 10_000) set(1_000_001);
    if (i === 15_000) set(2_000_000);
    if (i === 16_000) set(-5);
    const id = next();
    assert.ok(id > last, `${id} after ${last}`);
    assert.equal(id.length, 32);
    last = id;
  }
  assert.match(last, /^0000001e848/);
});

test("two factories do not make the same ids", () => {
  const wall = { wall: () => wallMsOf(5) };
  const a = newDocumentIds(prng(1), wall), b = newDocumentIds(prng(2), wall);
  const ids = new Set(Array.from({ length: 5_000 }, (_, i) => i % 2 === 0 ? a() : b()));
  assert.equal(ids.size, 5_000);
});
