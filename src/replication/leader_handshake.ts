import { equalConstantTime } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, Epoch, NodeId, WallMs } from "../base/ids.ts";
import type { Crypto } from "../runtime/runtime.ts";
import type { LogReader } from "../storage/log.ts";
import {
  type Challenge,
  type GoingAway,
  type Hello,
  type KnownNode,
  knownNodesMax,
  type Proof,
  protocolVersions,
  type State,
  termsTail,
  type Welcome,
} from "../wire/message.ts";
import { type HandshakeFacts, proofOf } from "../wire/proof.ts";
import { judgeFollow, type Verdict } from "./judge_position.ts";
import { notLeader } from "./refusal.ts";
import type { Identity, StandingBy, StateFields, StreamTuning, Successor } from "./types.ts";

/** What the listening side of a connection needs to know of its node. */
export interface LeaderContext {
  readonly identity: () => Identity;
  readonly databaseId: () => DatabaseId;
  readonly secret: string | null;
  readonly crypto: Crypto;
  readonly log: LogReader;
  readonly tuning: StreamTuning;
  readonly readOnly: () => boolean;
  readonly wall: () => WallMs;
  /** Under which this node leads. */
  readonly epoch: () => Epoch;
  /** Null: this node leads. */
  readonly standing: () => StandingBy | null;
  /** Other nodes that a follower may try when this one is gone, the most useful last. */
  readonly knownNodes: () => readonly KnownNode[];
  /** Number of the newest wish for signs of life, 0 before the first. */
  readonly asked: () => number;
}

/** The answer to a hello, or why there is none. Checks only what needs no proof. */
export function challengeFor(context: LeaderContext, hello: Hello, nonce: Uint8Array): Challenge | DfdbError {
  const version = protocolVersions.find((ours) => hello.versions.includes(ours));
  if (version === undefined) {
    const sentence = `the peer speaks versions ${hello.versions.join(", ")}, this node ${
      protocolVersions.join(", ")
    }`;
    return new DfdbError("version", sentence);
  }
  const { nodeId } = context.identity(), { secret } = context, databaseId = context.databaseId();
  if (hello.nodeId === nodeId) return new DfdbError("self", "a node cannot follow itself");
  if (hello.secret !== (secret !== null)) {
    return new DfdbError(
      "bad_secret",
      hello.secret
        ? "the follower has a replication secret and the leader has none"
        : "the leader has a replication secret and the follower has none",
    );
  }
  const plain: Challenge = { type: "challenge", version, nodeId, databaseId, nonce };
  if (secret === null) return plain;
  return { ...plain, proof: proofOf(context.crypto, secret, "leader", factsOf(hello, plain)) };
}

/** `bad_secret` when the proof is not the one that the challenge asks for, else null. */
export function checkProof(
  context: LeaderContext,
  hello: Hello,
  challenge: Challenge,
  proof: Proof,
): DfdbError | null {
  if (context.secret === null) return null;
  const expected = proofOf(context.crypto, context.secret, "follower", factsOf(hello, challenge));
  if (proof.proof !== undefined && equalConstantTime(proof.proof, expected)) return null;
  return new DfdbError("bad_secret", "the follower's replication secret is not the leader's");
}

/** Null when a peer that has proved the secret is of this database, and asks for what there is. */
export function judgePeer(context: LeaderContext, hello: Hello): DfdbError | null {
  const databaseId = context.databaseId();
  if (hello.database !== context.identity().database) {
    return new DfdbError("wrong_database", `this node does not serve a database "${hello.database}"`);
  }
  if (hello.databaseId !== null && hello.databaseId !== databaseId) {
    return new DfdbError("wrong_database", "the peer's data belongs to another database", {
      details: { databaseId },
    });
  }
  if (hello.mode !== "logical" && hello.mode !== "control") {
    return new DfdbError("not_built", `replication mode "${hello.mode}" is not built`);
  }
  if (hello.databaseId === null && hello.position.seq !== 0) {
    return new DfdbError("bad_frame", "a follower with entries must name its database id");
  }
  return null;
}

/** How a follower of this database goes on, or why it is refused. */
export function judgeFollower(context: LeaderContext, hello: Hello): Verdict | DfdbError {
  const standing = context.standing();
  if (standing !== null) return notLeader(standing);
  const { log, tuning } = context, { nodeId } = context.identity();
  return judgeFollow(log, { nodeId, epoch: context.epoch() }, hello, tuning.snapshotAboveEntries);
}

/** Other nodes, as one of them is told: at most so many as may travel. */
export function nodesFor(
  context: LeaderContext,
  receiver: NodeId,
  nodes = context.knownNodes(),
): KnownNode[] {
  return nodes.filter(({ nodeId }) => nodeId !== receiver).slice(-knownNodesMax);
}

export function welcomeOf(context: LeaderContext, hello: Hello, follow: Welcome["follow"]): Welcome {
  const { log, tuning } = context, identity = context.identity();
  return {
    type: "welcome",
    nodeName: identity.nodeName,
    term: log.terms.at(-1) ?? null,
    terms: termsTail(log.terms),
    position: log.last,
    httpUrl: identity.httpUrl,
    wireAddress: identity.wireAddress,
    readOnly: context.readOnly(),
    heartbeatMs: tuning.heartbeatMs,
    wallMs: context.wall(),
    knownNodes: nodesFor(context, hello.nodeId),
    follow,
    candidate: hello.autoFailover,
  };
}

export function stateOf(context: LeaderContext, hello: Hello, fields: StateFields): State {
  const { terms, knownNodes, ...rest } = fields;
  return {
    type: "state",
    ...rest,
    terms: termsTail(terms),
    knownNodes: nodesFor(context, hello.nodeId, knownNodes),
  };
}

export function goingAwayOf(
  context: LeaderContext,
  knownNodes: KnownNode[],
  successor: Successor | null,
): GoingAway {
  const { httpUrl, wireAddress } = context.identity(), { leader = null, term = null } = successor ?? {};
  const message = leader === null ? "the leader is stopping" : `"${leader.nodeName}" leads now`;
  return { type: "goingAway", message, httpUrl, wireAddress, knownNodes, leader, term };
}

/** The same nodes, told in the same order. */
export function sameNodes(a: readonly KnownNode[], b: readonly KnownNode[]): boolean {
  return a.length === b.length && a.every((node, i) => {
    const other = b[i];
    return other !== undefined && node.nodeId === other.nodeId && node.nodeName === other.nodeName &&
      node.httpUrl === other.httpUrl && node.wireAddress === other.wireAddress;
  });
}

function factsOf(hello: Hello, challenge: Challenge): HandshakeFacts {
  return {
    version: challenge.version,
    followerNonce: hello.nonce,
    leaderNonce: challenge.nonce,
    followerNodeId: hello.nodeId,
    leaderNodeId: challenge.nodeId,
    databaseId: challenge.databaseId,
  };
}
