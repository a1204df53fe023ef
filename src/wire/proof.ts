import { concat, utf8 } from "../base/bytes.ts";
import type { DatabaseId, NodeId } from "../base/ids.ts";
import type { Crypto } from "../runtime/runtime.ts";

/** What both sides know at the end of the handshake; a proof is bound to all of it. */
export interface HandshakeFacts {
  readonly version: number;
  readonly followerNonce: Uint8Array;
  readonly leaderNonce: Uint8Array;
  readonly followerNodeId: NodeId;
  readonly leaderNodeId: NodeId;
  /** The leader's. */
  readonly databaseId: DatabaseId;
}

/**
 * Shows that `sender` holds `secret` without telling it: HMAC-SHA-256 over the sender's role and the facts. The role is in
 * it so that a proof cannot be sent back to whoever made it.
 */
export function proofOf(
  crypto: Crypto,
  secret: string,
  sender: "leader" | "follower",
  facts: HandshakeFacts,
): Uint8Array {
  return crypto.hmacSha256(utf8(secret), proofInput(sender, facts));
}

/** The bytes under the HMAC: each part after its length, so that no two lists of parts give the same bytes. */
export function proofInput(sender: "leader" | "follower", facts: HandshakeFacts): Uint8Array {
  const parts = [
    utf8(`dfdb ${sender} proof`),
    utf8(String(facts.version)),
    facts.followerNonce,
    facts.leaderNonce,
    utf8(facts.followerNodeId),
    utf8(facts.leaderNodeId),
    utf8(facts.databaseId),
  ];
  return concat(parts.flatMap((part) => [lengthOf(part), part]));
}

function lengthOf(part: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, part.length);
  return bytes;
}
