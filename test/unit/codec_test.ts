import assert from "node:assert/strict";
import test from "node:test";
import { Encoder } from "cbor-x/encode";
import { unhex } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { decodeMessage, encodeMessage } from "../../src/wire/codec.ts";
import { frameHeaderBytes } from "../../src/wire/frame.ts";
import type { Append, Heartbeat, Hello, Message, Part, SnapshotChunk } from "../../src/wire/message.ts";
import { sampleMessages } from "../tool/sample_messages.ts";

const encoder = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false });
const bodyOf = (message: Message): Uint8Array => encodeMessage(message).slice(frameHeaderBytes);
const plain = (value: unknown): Uint8Array => new Uint8Array(encoder.encode(value));
const sample = <Type extends Message["type"]>(type: Type): Message & { type: Type } => {
  const found = sampleMessages.find((message) => message.type === type);
  return found as Message & { type: Type };
};

test("every message comes back as it was", () => {
  for (const message of sampleMessages) {
    assert.deepEqual(decodeMessage(bodyOf(message)), message, message.type);
  }
});

test("an append written by a general encoder reads the same", () => {
  const { previous, entries } = sample("append") as Append;
  const terms = [...new Map(entries.map(({ term }) => [term.run, term])).values()];
  const runs = terms.map(({ epoch, run }) => [
    epoch,
    run,
    entries.filter((entry) => entry.term.run === run).map((e) => [e.wallMs, e.chain, e.payload]),
  ]);
  const body = plain({
    type: "append",
    later: { x: [1] },
    previous: { ...previous, more: 1 },
    runs,
    also: "new",
  });
  assert.deepEqual(decodeMessage(body), sample("append"));
});

test("pieces written by a general encoder read the same, and share the body's memory", () => {
  for (const message of [sample("snapshotChunk"), sample("part")] as const) {
    const { type, ...rest } = message, body = plain({ type, later: { x: [1] }, ...rest, also: "new" });
    const read = decodeMessage(body) as Part | SnapshotChunk;
    assert.deepEqual(read, message);
    assert.equal(read.bytes.buffer, body.buffer);
  }
});

test("fields that are not known are ignored", () => {
  const body = plain({
    ...sample("heartbeat"),
    future: [1, { a: null }],
    position: { ...sample("ack"), x: 1 },
  });
  const message = decodeMessage(body);
  assert.equal(message.type, "heartbeat");
  assert.ok(!("future" in message));
});

test("an unknown type is version, a wrong field is bad_frame and named", () => {
  assert.throws(() => decodeMessage(plain({ type: "lease" })), { code: "version", message: /"lease"/ });
  const wrong = [
    { ...sample("hello"), nodeId: "short" },
    { ...sample("hello"), nonce: new Uint8Array(31) },
    { ...sample("hello"), versions: [1.5] },
    { ...sample("ack"), seq: -1 },
    { ...sample("ack"), chain: 2 ** 32 },
    { ...sample("ack"), seq: 2 ** 53 },
    { ...sample("welcome"), readOnly: 1 },
    { ...sample("welcome"), follow: "walk" },
    { ...sample("hello"), resync: undefined },
    { ...sample("probed"), chain: "x" },
    { ...sample("wantSnapshot"), resume: { id: "x", offset: 0 } },
    { ...sample("snapshot"), bytes: -1 },
    { ...sample("snapshotChunk"), offset: -1 },
    { ...sample("snapshotChunk"), bytes: "text" },
    { type: "snapshotChunk", offset: 0 },
    { ...sample("snapshotEnd"), checksum: 2 ** 32 },
    { ...sample("part"), chain: 2 ** 32 },
    { ...sample("part"), run: "" },
    { ...sample("part"), length: 1.5 },
    { ...sample("part"), previous: {} },
    { type: "part", previous: (sample("part") as Part).previous },
  ];
  for (const message of wrong) assert.throws(() => decodeMessage(plain(message)), { code: "bad_frame" });
  assert.throws(() => decodeMessage(plain({ ...sample("ack"), run: "" })), { code: "bad_frame" });
  const position = { ...(sample("heartbeat") as Heartbeat).position, run: "" };
  const beat = plain({ ...sample("heartbeat"), position });
  assert.throws(() => decodeMessage(beat), { message: /heartbeat\.position\.run/ });
});

test("bodies that are not the allowed CBOR are refused", () => {
  const bodies = {
    "an array": "80",
    "an empty map": "a0",
    "no type first": "a1616101",
    "a tag": "c1a1647479706563616b6b",
    "indefinite": "bf6474797065ff",
    "a huge array": "a264747970656361636b61789a7fffffff",
    "a huge map": "ba7fffffff6474797065",
    "a long text": "a164747970657a7fffffff",
    "bytes after the end": "a16474797065657072" + "6f6f6600",
    "not UTF-8": "a1647479706561ff",
  };
  for (const [what, hex] of Object.entries(bodies)) {
    assert.throws(() => decodeMessage(unhex(hex)), { code: "bad_frame" }, what);
  }
  const deep = unhex("a264747970656361636b6178" + "81".repeat(3_000) + "01");
  assert.throws(() => decodeMessage(deep), { code: "bad_frame", message: /too deep/ });
});

test("an append without entries or with holes in its form is refused", () => {
  const { previous } = sample("append") as Append, run = "1".repeat(32), payload = Uint8Array.of(1);
  const wrong = [
    { type: "append" },
    { type: "append", previous },
    { type: "append", previous, runs: [] },
    { type: "append", previous, runs: [[1, run, []]] },
    { type: "append", runs: [[1, run, [[1, 2, payload]]]], previous },
    { type: "append", previous, runs: [[1, "x", [[1, 2, payload]]]] },
    { type: "append", previous, runs: [[1, run, [[1, 2 ** 32, payload]]]] },
    { type: "append", previous, runs: [[1, run, [[1, 2]]]] },
    { type: "append", previous, runs: [[1, run, [[1, 2, "text"]]]] },
    { type: "append", previous: { ...previous, seq: 2 ** 53 - 1 }, runs: [[1, run, [[1, 2, payload]]]] },
  ];
  for (const message of wrong) assert.throws(() => decodeMessage(plain(message)), { code: "bad_frame" });
});

test("a hello and a welcome drop old terms and nodes until they fit the handshake", () => {
  const term = sample("welcome").term;
  assert.ok(term !== null);
  const terms = Array.from({ length: 16 }, (_, i) => ({ ...term, epoch: (i + 1) as never }));
  const long = "x".repeat(500),
    node = { nodeId: term.nodeId, nodeName: "n".repeat(128), httpUrl: long, wireAddress: null };
  const welcome = bodyOf({ ...sample("welcome"), terms, httpUrl: long, knownNodes: Array(8).fill(node) });
  const hello = bodyOf({ ...sample("hello"), terms, httpUrl: long });
  for (const body of [welcome, hello]) {
    assert.ok(body.length <= limits.helloBytesMax);
    const message = decodeMessage(body) as Hello;
    assert.equal(message.terms.at(-1)?.epoch, 16, "the newest stay");
  }
});
