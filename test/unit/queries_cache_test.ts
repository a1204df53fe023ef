/** What is kept of texts is bounded, and what is used stays. */
import assert from "node:assert/strict";
import test from "node:test";
import { TextCache } from "../../src/engine/query_cache.ts";

test("what is asked for stays, the rest goes", () => {
  const cache = new TextCache<number>({ entriesMax: 10, charsMax: 1_000 });
  cache.set("used", -1);
  for (let i = 0; i < 500; i++) {
    cache.set(`text ${i}`, i);
    assert.equal(cache.get(`text ${i}`), i);
    if (i % 5 === 0) assert.equal(cache.get("used"), -1);
    assert.ok(cache.size <= 20, `${cache.size}`);
  }
  assert.equal(cache.get("text 0"), undefined);
  assert.equal(cache.get("used"), -1);
});

test("long texts are bounded by their characters, one that is too long is not kept", () => {
  const cache = new TextCache<number>({ entriesMax: 1_000, charsMax: 1_000 });
  for (let i = 0; i < 100; i++) cache.set(`${i} ${"x".repeat(100)}`, i);
  assert.ok(cache.size < 20, `${cache.size}`);
  assert.equal(cache.get(`99 ${"x".repeat(100)}`), 99);
  cache.set("y".repeat(126), 1);
  assert.equal(cache.get("y".repeat(126)), undefined);
});
