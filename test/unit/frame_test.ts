import assert from "node:assert/strict";
import test from "node:test";
import { concat, utf8 } from "../../src/base/bytes.ts";
import { encodeFrame, frameDecoder, frameHeaderBytes } from "../../src/wire/frame.ts";
import { promisingHeader } from "../tool/promising_header.ts";

const body = utf8("hello, frame");

function decodeAll(chunks: readonly Uint8Array[], bodyBytesMax = 1_000): Uint8Array[] {
  const decoder = frameDecoder(bodyBytesMax), bodies: Uint8Array[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let next = decoder.next(); next !== null; next = decoder.next()) bodies.push(next.slice());
  }
  return bodies;
}

function refusal(bytes: Uint8Array, bodyBytesMax = 1_000): { code: string; message: string } {
  try {
    decodeAll([bytes], bodyBytesMax);
  } catch (thrown) {
    return thrown as { code: string; message: string };
  }
  throw new Error("accepted");
}

test("a frame comes back whole, byte by byte, and with its neighbours", () => {
  const frame = encodeFrame(body), three = concat([frame, encodeFrame(Uint8Array.of(1)), frame]);
  assert.deepEqual(decodeAll([frame]), [body]);
  assert.deepEqual(decodeAll(Array.from(three, (byte) => Uint8Array.of(byte))), [
    body,
    Uint8Array.of(1),
    body,
  ]);
  assert.deepEqual(decodeAll([three]), [body, Uint8Array.of(1), body]);
});

test("a whole body is not copied", () => {
  const frame = encodeFrame(body), decoder = frameDecoder(1_000);
  decoder.push(frame);
  assert.equal(decoder.next()?.buffer, frame.buffer);
});

test("what is wrong is refused by its header, with its code", () => {
  const changed = (at: number, to: number): Uint8Array => {
    const frame = encodeFrame(body);
    frame[at] = to;
    return frame;
  };
  assert.equal(refusal(changed(0, 0)).code, "bad_frame");
  assert.equal(refusal(changed(4, 1)).code, "version");
  for (let at = 5; at < frameHeaderBytes; at++) {
    assert.match(refusal(changed(at, 0xa5)).message, /checksum of a frame's header/);
  }
  assert.equal(refusal(changed(frameHeaderBytes, 1)).code, "bad_frame");
  assert.match(refusal(encodeFrame(body), 11).message, /12 bytes; 1 to 11/);
  assert.equal(refusal(encodeFrame(new Uint8Array(0))).code, "bad_frame");
});

test("a header that promises too much is refused before a byte of the body came", () => {
  const refused = refusal(promisingHeader(0xffffffff), 65 * 1024 * 1024);
  assert.deepEqual([refused.code, refused.message], [
    "bad_frame",
    "a frame of 4294967295 bytes; 1 to 68157440 are allowed here",
  ]);
});

test("a peer that speaks HTTP is recognised at its first bytes", () => {
  assert.match(refusal(utf8("GET / HTTP/1.1\r\n")).message, /replication port; the HTTP API is on another/);
  assert.match(
    refusal(utf8("HTTP/1.1 400 Bad Request")).message,
    /HTTP port; the replication port is another/,
  );
  assert.match(refusal(utf8("x")).message, /does not speak the replication protocol/);
});

test("after a bad frame nothing more is accepted", () => {
  const decoder = frameDecoder(1_000);
  decoder.push(utf8("nonsense"));
  assert.throws(() => decoder.next(), { code: "bad_frame" });
  decoder.push(encodeFrame(body));
  assert.throws(() => decoder.next(), { code: "bad_frame" });
});

test("the limit may be raised between two frames of one chunk", () => {
  const large = new Uint8Array(5_000), decoder = frameDecoder(100);
  decoder.push(concat([encodeFrame(body), encodeFrame(large)]));
  assert.deepEqual(decoder.next(), body);
  decoder.bodyBytesMax = 5_000;
  assert.equal(decoder.next()?.length, 5_000);
});

test("a large body that trickles in is put together in linear time and only as it arrives", () => {
  const large = new Uint8Array(8 * 1024 * 1024).fill(7), frame = encodeFrame(large);
  const decoder = frameDecoder(65 * 1024 * 1024);
  for (let at = 0; at < frame.length; at += 1_000) {
    decoder.push(frame.subarray(at, at + 1_000));
    const next = decoder.next();
    assert.equal(decoder.unfinished, next === null);
    if (next !== null) assert.equal(next.length, large.length);
  }
});
