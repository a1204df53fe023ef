import assert from "node:assert/strict";
import test from "node:test";
import { concat, hex } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { type Prng, prng } from "../../src/base/prng.ts";
import { encodeFrame, frameDecoder } from "../../src/wire/frame.ts";
import { promisingHeader } from "../tool/promising_header.ts";

const bodyBytesMax = 100_000;

function split(bytes: Uint8Array, random: Prng): Uint8Array[] {
  const chunks: Uint8Array[] = [], longest = 1 + random.below(200);
  for (let at = 0; at < bytes.length;) {
    const length = random.below(longest + 1);
    chunks.push(bytes.slice(at, at + length));
    at += length;
  }
  return chunks;
}

/** Bodies up to the end or the first refusal. */
function decode(chunks: readonly Uint8Array[]): { bodies: string[]; refusal: string | null } {
  const decoder = frameDecoder(bodyBytesMax), bodies: string[] = [];
  try {
    for (const chunk of chunks) {
      decoder.push(chunk);
      for (let body = decoder.next(); body !== null; body = decoder.next()) bodies.push(hex(body));
    }
    return { bodies, refusal: null };
  } catch (thrown) {
    assert.ok(thrown instanceof DfdbError, String(thrown));
    return { bodies, refusal: thrown.code };
  }
}

const frames = (random: Prng): Uint8Array[] =>
  Array.from({ length: 1 + random.below(6) }, () => random.bytes(1 + random.below(300)));

test("any division of the stream gives the same bodies", () => {
  for (let seed = 1; seed <= 1_000; seed++) {
    const random = prng(seed), bodies = frames(random);
    const decoded = decode(split(concat(bodies.map(encodeFrame)), random));
    assert.deepEqual(decoded, { bodies: bodies.map(hex), refusal: null }, `seed ${seed}`);
  }
});

test("any flipped bit is refused, or leaves the stream waiting: never another body", () => {
  for (let seed = 1; seed <= 1_500; seed++) {
    const random = prng(seed), bodies = frames(random).map(hex);
    const stream = concat(
      bodies.map((body) => encodeFrame(Uint8Array.from(body.match(/../g) ?? [], (h) => parseInt(h, 16)))),
    );
    const at = random.below(stream.length);
    stream[at] = (stream[at] ?? 0) ^ (1 << random.below(8));
    const { bodies: decoded } = decode(split(stream, random));
    assert.ok(decoded.length < bodies.length, `seed ${seed}: all ${bodies.length} accepted`);
    assert.deepEqual(decoded, bodies.slice(0, decoded.length), `seed ${seed}`);
  }
});

test("a truncated stream gives what was whole and waits for the rest", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = prng(seed), bodies = frames(random), stream = concat(bodies.map(encodeFrame));
    const { bodies: decoded, refusal } = decode([stream.slice(0, random.below(stream.length))]);
    assert.equal(refusal, null);
    assert.deepEqual(decoded, bodies.map(hex).slice(0, decoded.length));
  }
});

test("garbage is refused at once; promises of a header are not believed", () => {
  for (let seed = 1; seed <= 2_000; seed++) {
    const random = prng(seed), garbage = random.bytes(1 + random.below(64));
    const { bodies, refusal } = decode([garbage]);
    assert.deepEqual(bodies, []);
    if (garbage[0] !== 0xdf) assert.equal(refusal, "bad_frame");
  }
  for (let seed = 1; seed <= 500; seed++) {
    const bytes = bodyBytesMax + 1 + prng(seed).below(2 ** 32 - bodyBytesMax - 1);
    assert.equal(decode([promisingHeader(bytes)]).refusal, "bad_frame");
  }
});
