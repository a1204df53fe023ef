import assert from "node:assert/strict";
import test from "node:test";
import { Encoder } from "cbor-x/encode";
import { unhex } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { decodeMessage, encodeMessage } from "../../src/wire/codec.ts";
import { frameHeaderBytes } from "../../src/wire/frame.ts";
import type {
  Append,
  Heartbeat,
  Hello,
  Message,
  Part,
  Refused,
  SnapshotChunk,
  State,
} from "../../src/wire/message.ts";
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
    { ...sample("ack"), answers: -1 },
    { ...sample("hello"), silenceMs: undefined },
    { ...sample("hello"), leads: {} },
    { ...sample("hello"), leader: { nodeId: "x" } },
    { ...sample("hello"), handover: "x" },
    { ...sample("welcome"), candidate: undefined },
    { ...sample("state"), role: "king" },
    { ...sample("state"), handover: { id: "6".repeat(32), outcome: "perhaps" } },
    { ...sample("heartbeat"), ask: 1.5 },
    { ...sample("heartbeat"), knownNodes: Array(9).fill(sample("welcome").knownNodes[0]) },
    { ...sample("goingAway"), term: undefined },
    { ...sample("refused"), knownNodes: [{}] },
    { ...sample("prepare"), id: "x" },
    { ...sample("promoted"), term: null },
    { ...sample("declined"), code: "x".repeat(65) },
    { ...sample("abort"), message: "x".repeat(1_001) },
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

test("a control hello, a state and a refusal fit the handshake, too, with their longest names", () => {
  const term = sample("welcome").term, long = "x".repeat(500), name = "n".repeat(128);
  assert.ok(term !== null);
  const node = { nodeId: term.nodeId, nodeName: name, httpUrl: long, wireAddress: "w".repeat(300) };
  const terms = Array(16).fill(term), knownNodes = Array(8).fill(node);
  const own = {
    nodeName: name,
    httpUrl: long,
    wireAddress: "w".repeat(300),
    terms,
    leader: node,
    leads: term,
  };
  const hello = bodyOf({ ...sample("hello"), ...own, database: name });
  const state = bodyOf({ ...sample("state"), ...own, knownNodes });
  const details = { leaderName: name, leaderHttpUrl: long, leaderWireAddress: "w".repeat(300), epoch: 1 };
  const refused = bodyOf({ ...sample("refused"), message: "m".repeat(1_000), details, knownNodes });
  for (const body of [hello, state, refused]) assert.ok(body.length <= limits.helloBytesMax);
  const read = { state: decodeMessage(state) as State, refused: decodeMessage(refused) as Refused };
  assert.deepEqual([read.state.leader, read.refused.details], [node, details]);
  assert.ok((read.refused.knownNodes?.length ?? 0) > 0, "as many as have room");
  const huge = decodeMessage(
    bodyOf({
      ...sample("refused"),
      message: "€".repeat(1_000),
      details: { ...details, leaderName: "€".repeat(500) },
    }),
  ) as Refused;
  assert.deepEqual([huge.message.length, huge.details], [1_000, {}], "the sentence is what must be told");
});
