import { equalConstantTime } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, WallMs } from "../base/ids.ts";
import type { Crypto } from "../runtime/runtime.ts";
import type { LogReader } from "../storage/log.ts";
import {
  type Challenge,
  type Hello,
  type KnownNode,
  type Proof,
  protocolVersions,
  termsTail,
  type Welcome,
} from "../wire/message.ts";
import { type HandshakeFacts, proofOf } from "../wire/proof.ts";
import { judgeFollow, type Verdict } from "./judge_position.ts";
import type { Identity, StreamTuning } from "./types.ts";

/** What a leader's side of a connection needs to know of its node. */
export interface LeaderContext {
  readonly identity: Identity;
  readonly databaseId: DatabaseId;
  readonly secret: string | null;
  readonly crypto: Crypto;
  readonly log: LogReader;
  readonly tuning: StreamTuning;
  readonly readOnly: () => boolean;
  readonly wall: () => WallMs;
  /** Other nodes that a follower may try when this one is gone. */
  readonly knownNodes: () => KnownNode[];
}

/** The answer to a hello, or why there is none. Checks only what needs no proof. */
export function challengeFor(context: LeaderContext, hello: Hello, nonce: Uint8Array): Challenge | DfdbError {
  const version = protocolVersions.find((ours) => hello.versions.includes(ours));
  if (version === undefined) {
    const sentence = `the follower speaks versions ${hello.versions.join(", ")}, this leader ${
      protocolVersions.join(", ")
    }`;
    return new DfdbError("version", sentence);
  }
  if (hello.nodeId === context.identity.nodeId) return new DfdbError("self", "a node cannot follow itself");
  if (hello.secret !== (context.secret !== null)) {
    return new DfdbError(
      "bad_secret",
      hello.secret
        ? "the follower has a replication secret and the leader has none"
        : "the leader has a replication secret and the follower has none",
    );
  }
  const { nodeId } = context.identity, { databaseId, secret } = context;
  const plain: Challenge = { type: "challenge", version, nodeId, databaseId, nonce };
  if (secret === null) return plain;
  return { ...plain, proof: proofOf(context.crypto, secret, "leader", factsOf(context, hello, plain)) };
}

/** `bad_secret` when the proof is not the one that the challenge asks for, else null. */
export function checkProof(
  context: LeaderContext,
  hello: Hello,
  challenge: Challenge,
  proof: Proof,
): DfdbError | null {
  if (context.secret === null) return null;
  const expected = proofOf(context.crypto, context.secret, "follower", factsOf(context, hello, challenge));
  if (proof.proof !== undefined && equalConstantTime(proof.proof, expected)) return null;
  return new DfdbError("bad_secret", "the follower's replication secret is not the leader's");
}

/** How a follower that has proved the secret goes on, or why it is refused. */
export function judgeFollower(context: LeaderContext, hello: Hello): Verdict | DfdbError {
  if (hello.database !== context.identity.database) {
    return new DfdbError("wrong_database", `this node does not serve a database "${hello.database}"`);
  }
  if (hello.databaseId !== null && hello.databaseId !== context.databaseId) {
    return new DfdbError("wrong_database", "the follower's data belongs to another database", {
      details: { databaseId: context.databaseId },
    });
  }
  if (hello.mode !== "logical") {
    return new DfdbError("not_built", `replication mode "${hello.mode}" is not built`);
  }
  if (hello.databaseId === null && hello.position.seq !== 0) {
    return new DfdbError("bad_frame", "a follower with entries must name its database id");
  }
  return judgeFollow(context.log, hello, context.tuning.snapshotAboveEntries);
}

export function welcomeOf(context: LeaderContext, follow: Welcome["follow"]): Welcome {
  const { identity, log, tuning } = context;
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
    knownNodes: context.knownNodes(),
    follow,
  };
}

function factsOf(context: LeaderContext, hello: Hello, challenge: Challenge): HandshakeFacts {
  return {
    version: challenge.version,
    followerNonce: hello.nonce,
    leaderNonce: challenge.nonce,
    followerNodeId: hello.nodeId,
    leaderNodeId: context.identity.nodeId,
    databaseId: context.databaseId,
  };
}
