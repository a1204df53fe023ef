/** The bytes of the wire, framing version 2: they never change. New messages get new lines (`DFDB_REWRITE=1`, read the diff). */
import assert from "node:assert/strict";
import test from "node:test";
import { hex, unhex } from "../../src/base/bytes.ts";
import { decodeMessage, encodeMessage } from "../../src/wire/codec.ts";
import { frameDecoder } from "../../src/wire/frame.ts";
import { readBeside, rewriting, writeBeside } from "../tool/rewrite.ts";
import { sampleMessages } from "../tool/sample_messages.ts";

const file = "frames_v2.txt";

test("frames have the bytes that they always had", () => {
  const now = sampleMessages.map((message) => `${message.type} ${hex(encodeMessage(message))}\n`).join("");
  if (rewriting) writeBeside(import.meta.url, file, now);
  assert.equal(now, readBeside(import.meta.url, file));
});

test("yesterday's frames are read", () => {
  const lines = readBeside(import.meta.url, file).trim().split("\n");
  lines.forEach((line, i) => {
    const decoder = frameDecoder(4096);
    decoder.push(unhex(line.split(" ")[1] ?? ""));
    const body = decoder.next();
    assert.ok(body !== null);
    assert.deepEqual(decodeMessage(body), sampleMessages[i]);
  });
});
