import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { type Prng, prng } from "../../src/base/prng.ts";
import { decodeMessage, encodeMessage } from "../../src/wire/codec.ts";
import { frameHeaderBytes } from "../../src/wire/frame.ts";
import type { Append, Message } from "../../src/wire/message.ts";
import { sampleMessages } from "../tool/sample_messages.ts";

const bodyOf = (message: Message): Uint8Array => encodeMessage(message).slice(frameHeaderBytes);

/** A message or a refusal with the right code; anything else is a bug. */
function tryDecode(body: Uint8Array): Message | null {
  try {
    return decodeMessage(body);
  } catch (thrown) {
    assert.ok(thrown instanceof DfdbError, `not a refusal: ${thrown}`);
    assert.ok(thrown.code === "bad_frame" || thrown.code === "version", thrown.code);
    return null;
  }
}

function randomAppend(random: Prng): Append {
  const runs = ["1", "2", "3"].map((digit) => runIdOf(digit.repeat(32)));
  const first = 1 + random.below(2 ** 40), epoch = epochOf(random.below(2 ** 35));
  const uint32 = (): number => random.uint32() >>> random.below(32);
  const entries = Array.from({ length: 1 + random.below(20) }, (_, i) => ({
    seq: seqOf(first + i),
    term: { epoch, run: runs[Math.floor(i / 7)] ?? runIdOf("0".repeat(32)) },
    chain: uint32(),
    wallMs: wallMsOf(random.below(2 ** (1 + random.below(53)))),
    payload: random.bytes(random.below(random.below(20) === 0 ? 70_000 : 300)),
  }));
  const run = runIdOf("9".repeat(32));
  return { type: "append", previous: { seq: seqOf(first - 1), epoch, run, chain: uint32() }, entries };
}

test("every append comes back as it was", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const append = randomAppend(prng(seed));
    assert.deepEqual(decodeMessage(bodyOf(append)), append, `seed ${seed}`);
  }
});

test("a changed body is read as a message or refused, and never breaks the reader", () => {
  for (let seed = 1; seed <= 10_000; seed++) {
    const random = prng(seed);
    const body = bodyOf(sampleMessages[random.below(sampleMessages.length)] as Message);
    for (let changes = 1 + random.below(4); changes > 0; changes--) {
      body[random.below(body.length)] = random.below(256);
    }
    tryDecode(body);
  }
});

test("a body that ends too early or goes on is refused", () => {
  for (const message of sampleMessages) {
    const body = bodyOf(message);
    for (let length = 0; length < body.length; length++) {
      assert.equal(tryDecode(body.slice(0, length)), null, `${message.type}, ${length} bytes`);
    }
    const longer = new Uint8Array(body.length + 1);
    longer.set(body);
    assert.equal(tryDecode(longer), null);
  }
});

test("garbage is refused", () => {
  for (let seed = 1; seed <= 10_000; seed++) {
    const random = prng(seed);
    assert.equal(tryDecode(random.bytes(random.below(80))), null);
  }
});
