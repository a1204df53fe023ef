import { equalConstantTime } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import type { Crypto } from "../runtime/runtime.ts";
import type { LogReader } from "../storage/log.ts";
import {
  type Challenge,
  type Hello,
  type KnownNode,
  nonceBytes,
  type Proof,
  protocolVersions,
  termsTail,
} from "../wire/message.ts";
import { type HandshakeFacts, proofOf } from "../wire/proof.ts";
import type { Identity } from "./types.ts";

/** What a follower's side of a connection needs to know of its node. */
export interface FollowerContext {
  readonly identity: () => Identity;
  /** 32 hex digits, drawn once for this following; tells a reconnect from a second node with the same id. */
  readonly instance: string;
  readonly databaseId: () => DatabaseId;
  readonly secret: string | null;
  readonly crypto: Crypto;
  readonly random: { bytes(length: number): Uint8Array; float(): number };
  readonly log: LogReader;
}

/**
 * The first message of a connection; `resync`: wants a snapshot whatever its position; `leader`: whom this node followed
 * last.
 */
export function helloOf(context: FollowerContext, resync = false, leader: KnownNode | null = null): Hello {
  const { instance, databaseId, log, random, secret } = context, identity = context.identity();
  return {
    type: "hello",
    versions: [...protocolVersions],
    nodeId: identity.nodeId,
    instance,
    nodeName: identity.nodeName,
    database: identity.database,
    databaseId: log.last.seq === 0 ? null : databaseId(),
    mode: "logical",
    position: log.last,
    terms: termsTail(log.terms),
    httpUrl: identity.httpUrl,
    wireAddress: identity.wireAddress,
    autoFailover: identity.autoFailover,
    silenceMs: identity.silenceMs,
    leads: null,
    leader,
    handover: null,
    nonce: random.bytes(nonceBytes),
    secret: secret !== null,
    resync,
  };
}

/** The answer to a challenge, or why the leader is refused. */
export function proofFor(context: FollowerContext, hello: Hello, challenge: Challenge): Proof | DfdbError {
  if (!protocolVersions.includes(challenge.version)) {
    return new DfdbError(
      "version",
      `the leader chose version ${challenge.version}, which this node does not speak`,
    );
  }
  if (challenge.nodeId === hello.nodeId) return new DfdbError("self", "a node cannot follow itself");
  const wrong = judgeProof(context, hello, challenge);
  if (wrong !== null) return wrong;
  if (hello.databaseId !== null && hello.databaseId !== challenge.databaseId) {
    return new DfdbError("wrong_database", "this node's data belongs to another database than the leader's", {
      details: { databaseId: challenge.databaseId },
    });
  }
  if (context.secret === null) return { type: "proof" };
  const facts = factsOf(hello, challenge);
  return { type: "proof", proof: proofOf(context.crypto, context.secret, "follower", facts) };
}

function judgeProof(context: FollowerContext, hello: Hello, challenge: Challenge): DfdbError | null {
  if (context.secret === null) {
    if (challenge.proof === undefined) return null;
    return new DfdbError("bad_secret", "the leader has a replication secret and this node has none");
  }
  if (challenge.proof === undefined) {
    return new DfdbError("bad_secret", "this node has a replication secret and the leader has none");
  }
  const expected = proofOf(context.crypto, context.secret, "leader", factsOf(hello, challenge));
  if (equalConstantTime(challenge.proof, expected)) return null;
  return new DfdbError("bad_secret", "the leader's replication secret is not this node's");
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
