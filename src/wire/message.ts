/** The messages of the wire: `PROTOCOL.md` is normative; these are its types and the checks at the door. */
import * as v from "valibot";
import type { DatabaseId, Epoch, NodeId, RunId, Seq, WallMs } from "../base/ids.ts";
import { isHexId } from "../base/ids.ts";
import type { LogEntry, Position, TermRecord } from "../storage/log.ts";

/** Versions that this node speaks, best first. */
export const protocolVersions: readonly number[] = [2];

/** Bytes of a nonce and of a proof. */
export const nonceBytes = 32;
export const proofBytes = 32;

/** At most so many terms and known nodes travel in one message. */
export const termsTailMax = 16;
export const knownNodesMax = 8;

const isUnsigned = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isUint32 = (value: unknown): boolean => isUnsigned(value) && (value as number) < 2 ** 32;
const isBytes = (length: number) => (value: unknown): boolean =>
  value instanceof Uint8Array && value.length === length;

const unsigned = v.custom<number>(isUnsigned);
const seq = v.custom<Seq>(isUnsigned);
const epoch = v.custom<Epoch>(isUnsigned);
const wallMs = v.custom<WallMs>(isUnsigned);
const run = v.custom<RunId>(isHexId);
const nodeId = v.custom<NodeId>(isHexId);
const databaseId = v.custom<DatabaseId>(isHexId);
const instance = v.custom<string>(isHexId);
const nonce = v.custom<Uint8Array>(isBytes(nonceBytes));
const proof = v.custom<Uint8Array>(isBytes(proofBytes));
const name = v.pipe(v.string(), v.maxLength(128));
const httpUrl = v.nullable(v.pipe(v.string(), v.maxLength(512)));
const wireAddress = v.nullable(v.pipe(v.string(), v.maxLength(300)));

const binary = v.custom<Uint8Array>((value) => value instanceof Uint8Array);
const uint32 = v.custom<number>(isUint32);
/** Id of a snapshot: 32 hex digits. */
const snapshotId = v.custom<string>(isHexId);
const positionFields = { seq, epoch, run, chain: uint32 };
const position = v.object(positionFields);
const term = v.object({ epoch, run, nodeId, firstSeq: seq });
const terms = v.pipe(v.array(term), v.maxLength(termsTailMax));
const knownNode = v.object({ nodeId, nodeName: name, httpUrl, wireAddress });
const knownNodes = v.pipe(v.array(knownNode), v.maxLength(knownNodesMax));
/** Silence after which a candidate promotes itself; null: auto-failover is off. */
const silenceMs = v.nullable(unsigned);
const handoverId = v.custom<string>(isHexId);
const code = v.pipe(v.string(), v.maxLength(64));
const sentence = v.pipe(v.string(), v.maxLength(1000));

const hello = v.object({
  type: v.literal("hello"),
  versions: v.pipe(v.array(unsigned), v.maxLength(16)),
  nodeId,
  instance,
  nodeName: name,
  database: name,
  databaseId: v.nullable(databaseId),
  mode: v.string(),
  position,
  terms,
  httpUrl,
  wireAddress,
  autoFailover: v.boolean(),
  silenceMs,
  leads: v.nullable(term),
  leader: v.nullable(knownNode),
  handover: v.nullable(handoverId),
  nonce,
  secret: v.boolean(),
  resync: v.boolean(),
});

const challenge = v.object({
  type: v.literal("challenge"),
  version: unsigned,
  nodeId,
  databaseId,
  nonce,
  proof: v.exactOptional(proof),
});

const proofMessage = v.object({ type: v.literal("proof"), proof: v.exactOptional(proof) });

const welcome = v.object({
  type: v.literal("welcome"),
  nodeName: name,
  term: v.nullable(term),
  terms,
  position,
  httpUrl,
  wireAddress,
  readOnly: v.boolean(),
  heartbeatMs: unsigned,
  wallMs,
  knownNodes,
  follow: v.picklist(["stream", "snapshot", "rescue"]),
  candidate: v.boolean(),
});

const state = v.object({
  type: v.literal("state"),
  nodeName: name,
  role: v.picklist(["none", "leader", "follower"]),
  leads: v.nullable(term),
  terms,
  position,
  readOnly: v.boolean(),
  reason: v.nullable(code),
  leader: v.nullable(knownNode),
  httpUrl,
  wireAddress,
  silenceMs,
  knownNodes,
  handover: v.nullable(
    v.object({ id: handoverId, outcome: v.picklist(["promoted", "not_promoted", "unknown"]) }),
  ),
});

const heartbeat = v.object({
  type: v.literal("heartbeat"),
  position,
  term: v.nullable(term),
  readOnly: v.boolean(),
  wallMs,
  knownNodes: v.exactOptional(knownNodes),
  ask: v.exactOptional(unsigned),
});

const ack = v.object({ type: v.literal("ack"), ...positionFields, answers: v.exactOptional(unsigned) });

const probe = v.object({ type: v.literal("probe"), seq });

const probed = v.object({
  type: v.literal("probed"),
  seq,
  term: v.nullable(v.object({ epoch, run })),
  chain: v.nullable(uint32),
});

const wantSnapshot = v.object({
  type: v.literal("wantSnapshot"),
  resume: v.nullable(v.object({ id: snapshotId, offset: unsigned })),
});

const snapshot = v.object({
  type: v.literal("snapshot"),
  id: snapshotId,
  bytes: unsigned,
  position,
  offset: unsigned,
});

const snapshotChunk = v.object({
  type: v.literal("snapshotChunk"),
  offset: unsigned,
  bytes: binary,
});

const snapshotEnd = v.object({ type: v.literal("snapshotEnd"), checksum: uint32 });

const snapshotAck = v.object({
  type: v.literal("snapshotAck"),
  offset: unsigned,
  answers: v.exactOptional(unsigned),
});

const part = v.object({
  type: v.literal("part"),
  previous: position,
  epoch,
  run,
  wallMs,
  chain: uint32,
  length: unsigned,
  offset: unsigned,
  bytes: binary,
});

const goingAway = v.object({
  type: v.literal("goingAway"),
  message: v.string(),
  httpUrl,
  wireAddress,
  knownNodes,
  leader: v.nullable(knownNode),
  term: v.nullable(term),
});

const candidate = v.object({ nodeId, nodeName: name, httpUrl, wireAddress, silenceMs });
const prepare = v.object({
  type: v.literal("prepare"),
  id: handoverId,
  position,
  candidates: v.optional(v.pipe(v.array(candidate), v.maxLength(knownNodesMax))),
  epoch: v.exactOptional(epoch),
});
const prepared = v.object({ type: v.literal("prepared"), id: handoverId, wireAddress });
const commit = v.object({ type: v.literal("commit"), id: handoverId });
const promoted = v.object({ type: v.literal("promoted"), id: handoverId, term });
const abort = v.object({ type: v.literal("abort"), id: handoverId, message: sentence });
const declined = v.object({ type: v.literal("declined"), id: handoverId, code, message: sentence });
const takeOver = v.object({ type: v.literal("takeOver"), id: handoverId });

const detail = v.nullable(v.union([v.string(), v.number(), v.boolean()]));
const refused = v.object({
  type: v.literal("refused"),
  code,
  message: sentence,
  details: v.record(v.string(), detail),
  knownNodes: v.exactOptional(knownNodes),
});

/** Checks of every message but `append`; `snapshotChunk` and `part` are read by hand (see `pieces.ts`), these give their types. */
export const messageSchemas = {
  hello,
  challenge,
  proof: proofMessage,
  welcome,
  state,
  heartbeat,
  ack,
  probe,
  probed,
  wantSnapshot,
  snapshot,
  snapshotChunk,
  snapshotEnd,
  snapshotAck,
  part,
  prepare,
  prepared,
  commit,
  promoted,
  abort,
  declined,
  takeOver,
  goingAway,
  refused,
} as const;

export type Hello = v.InferOutput<typeof hello>;
export type Challenge = v.InferOutput<typeof challenge>;
export type Proof = v.InferOutput<typeof proofMessage>;
export type Welcome = v.InferOutput<typeof welcome>;
/** Listener, to a peer whose connection does not stream: what this node is. The last message of its connection. */
export type State = v.InferOutput<typeof state>;
export type Heartbeat = v.InferOutput<typeof heartbeat>;
export type Ack = v.InferOutput<typeof ack>;
/** Follower, before a rescue: which entry has the leader at this seq? */
export type Probe = v.InferOutput<typeof probe>;
/** Leader: `term` null: the log ends before `seq`; `chain` null: trimmed away, only its term is known. */
export type Probed = v.InferOutput<typeof probed>;
/** Follower: send me a snapshot; `resume`: what is here of one. */
export type WantSnapshot = v.InferOutput<typeof wantSnapshot>;
/** Leader: chunks of this snapshot follow, from `offset` on (0, or what the follower asked to resume at). */
export type SnapshotOffer = v.InferOutput<typeof snapshot>;
export type SnapshotChunk = v.InferOutput<typeof snapshotChunk>;
/** Leader, after the last chunk: the checksum of the whole (see PROTOCOL.md). */
export type SnapshotEnd = v.InferOutput<typeof snapshotEnd>;
/** Follower: received up to `offset`; also its answer to heartbeats until it streams. */
export type SnapshotAck = v.InferOutput<typeof snapshotAck>;
/** Leader: a piece of one entry that is too large for an append. */
export type Part = v.InferOutput<typeof part>;
/** Leader: get ready to lead from `position` on, which is the last entry; nothing has changed yet. */
export type Prepare = v.InferOutput<typeof prepare>;
/** Follower: ready; where it will lead. */
export type Prepared = v.InferOutput<typeof prepared>;
/** Leader: lead. What comes of it is in doubt from here on. */
export type Commit = v.InferOutput<typeof commit>;
/** Follower: it leads, under this term. */
export type Promoted = v.InferOutput<typeof promoted>;
/** Leader, before the commit: the handover is off. */
export type Abort = v.InferOutput<typeof abort>;
/** Follower, before it committed; or leader, as the answer to a wish to take over. */
export type Declined = v.InferOutput<typeof declined>;
/** Follower: an operator wants it to lead in the place of this leader, which takes no writes. */
export type TakeOver = v.InferOutput<typeof takeOver>;
export type GoingAway = v.InferOutput<typeof goingAway>;
export type Refused = v.InferOutput<typeof refused>;
/** A node as the leader tells others of it. */
export type KnownNode = v.InferOutput<typeof knownNode>;

/** Entries that continue `previous` without a hole; at least one. */
export interface Append {
  readonly type: "append";
  readonly previous: Position;
  readonly entries: readonly LogEntry[];
}

/** Every message except {@linkcode Append}. */
export type ControlMessage =
  | Hello
  | Challenge
  | Proof
  | Welcome
  | State
  | Heartbeat
  | Ack
  | Probe
  | Probed
  | WantSnapshot
  | SnapshotOffer
  | SnapshotChunk
  | SnapshotEnd
  | SnapshotAck
  | Part
  | Prepare
  | Prepared
  | Commit
  | Promoted
  | Abort
  | Declined
  | TakeOver
  | GoingAway
  | Refused;

/** Everything that travels. Told apart by `type`. */
export type Message = ControlMessage | Append;

/** The newest terms that a hello or welcome has room for. */
export function termsTail(all: readonly TermRecord[]): TermRecord[] {
  return all.slice(-termsTailMax);
}
