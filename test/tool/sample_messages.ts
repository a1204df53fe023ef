/** One of each message, with fixed content. */
import type { Message } from "../../src/wire/message.ts";
import { FakeDatabase, runOf } from "./fake_database.ts";
import { identityOf, theDatabase } from "./replication_rig.ts";

const database = new FakeDatabase();
database.lead(1, runOf("1"));
database.write(2, 4, 1_760_000_000_123);
database.lead(2, runOf("2"));
const { nodeId, nodeName, httpUrl, wireAddress } = identityOf("a");
const position = database.last, terms = database.terms, term = terms[1] ?? null;
const bytes = (from: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => from + i);
const wallMs = 1_760_000_000_456 as never;
const knownNodes = [{
  nodeId: identityOf("c").nodeId,
  nodeName: "node-c",
  httpUrl: null,
  wireAddress: "node-c:5500",
}];

export const sampleMessages: readonly Message[] = [
  {
    type: "hello",
    versions: [1],
    nodeId: identityOf("b").nodeId,
    instance: "1".repeat(32),
    nodeName: "node-b",
    database: "default",
    databaseId: theDatabase,
    mode: "logical",
    position,
    terms,
    httpUrl: "http://node-b:5000",
    wireAddress: null,
    autoFailover: true,
    nonce: bytes(0),
    secret: true,
    resync: false,
  },
  { type: "challenge", version: 1, nodeId, databaseId: theDatabase, nonce: bytes(32), proof: bytes(64) },
  { type: "challenge", version: 1, nodeId, databaseId: theDatabase, nonce: bytes(32) },
  { type: "proof", proof: bytes(96) },
  { type: "proof" },
  {
    type: "welcome",
    nodeName,
    term,
    terms,
    position,
    httpUrl,
    wireAddress,
    readOnly: false,
    heartbeatMs: 2_000,
    wallMs,
    knownNodes,
    follow: "stream",
  },
  { type: "append", previous: database.at(1 as never) as never, entries: database.kept.slice(1) },
  { type: "heartbeat", position, term, readOnly: true, wallMs },
  { type: "ack", ...position },
  { type: "goingAway", message: "the leader is stopping", httpUrl, wireAddress, knownNodes },
  {
    type: "refused",
    code: "ahead",
    message: "a sentence",
    details: { seq: 12, epoch: 3, run: "1".repeat(32), none: null },
  },
  { type: "probe", seq: position.seq },
  {
    type: "probed",
    seq: position.seq,
    term: { epoch: position.epoch, run: position.run },
    chain: position.chain,
  },
  { type: "probed", seq: position.seq, term: null, chain: null },
  { type: "wantSnapshot", resume: { id: "5".repeat(32), offset: 3 * 1024 * 1024 } },
  { type: "wantSnapshot", resume: null },
  { type: "snapshot", id: "5".repeat(32), bytes: 2 ** 33 + 5, position, offset: 3 * 1024 * 1024 },
  { type: "snapshotChunk", offset: 3 * 1024 * 1024, bytes: bytes(128) },
  { type: "snapshotEnd", checksum: 0xfedc_ba98 },
  { type: "snapshotAck", offset: 2 ** 33 + 5 },
  {
    type: "part",
    previous: position,
    epoch: position.epoch,
    run: position.run,
    wallMs,
    chain: 0x1234_5678,
    length: 5 * 1024 * 1024,
    offset: 1024 * 1024,
    bytes: bytes(160),
  },
];
