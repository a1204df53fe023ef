import { hex } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, NodeId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { TlsClient } from "../runtime/net.ts";
import type { LogReader, TermRecord } from "../storage/log.ts";
import { type Channel, channel } from "../wire/channel.ts";
import type { Hello, KnownNode, Message } from "../wire/message.ts";
import { asUnreachable, farewell } from "./farewell.ts";
import { type FollowerContext, helloOf, proofFor } from "./follower_handshake.ts";
import { errorOfRefusal, refusedMessage } from "./refusal.ts";
import type { Identity, ReplicationRuntime, StateFields } from "./types.ts";
import { reachableAddress, type WireAddress } from "./wire_address.ts";

export interface AskPeerOptions {
  readonly runtime: ReplicationRuntime;
  readonly peer: WireAddress;
  /** TLS of the wire, null for plain TCP. */
  readonly tls: TlsClient | null;
  readonly secret: string | null;
  readonly identity: Identity;
  readonly databaseId: DatabaseId;
  readonly log: LogReader;
  /** The term under which this node leads now. */
  readonly leads: TermRecord | null;
  /** Whom this node follows, or followed last. */
  readonly leader: KnownNode | null;
  /** Id of the handover whose outcome is asked for. */
  readonly handover: string | null;
  /** For all of it, from connecting to the answer, ms. */
  readonly timeoutMs: number;
  /** Gives up when it aborts. */
  readonly signal?: AbortSignal;
  /** Called once, at the first byte from the peer: whatever it says, somebody is there. */
  readonly onContact?: () => void;
}

/** What a peer that proved the secret says it is; `wireAddress` with the host that was dialled, where it named none. */
export interface PeerState extends StateFields {
  readonly nodeId: NodeId;
  readonly databaseId: DatabaseId;
}

/**
 * Asks a node what it is, and tells it what this one is, on a connection of its own. Rejects with the refusal of either side,
 * `unreachable` (nobody there, or the connection broke) or `timeout`.
 */
export async function askPeer(options: AskPeerOptions): Promise<PeerState> {
  const { runtime, timeoutMs, signal } = options, attempt = new AbortController();
  const giveUp = (error: DfdbError): void => attempt.abort(error);
  const late = new DfdbError("timeout", `the peer did not answer within ${timeoutMs} ms`);
  const timer = runtime.clock.timer(timeoutMs, () => giveUp(late));
  const onAbort = (): void => giveUp(new DfdbError("going_away", "the question was given up"));
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  try {
    return await ask(options, attempt.signal);
  } catch (thrown) {
    // What broke because of it is not the reason.
    throw asUnreachable(attempt.signal.aborted ? attempt.signal.reason : thrown);
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}

async function ask(options: AskPeerOptions, signal: AbortSignal): Promise<PeerState> {
  const { runtime, peer, tls, onContact } = options;
  signal.throwIfAborted();
  const connection = await runtime.net.connect({ ...peer, tls, signal });
  let contact = onContact;
  const onBytes = (): void => {
    contact?.();
    contact = undefined;
  };
  const wire = channel({ connection, bodyBytesMax: limits.helloBytesMax, onBytes });
  const cut = (): void => wire.abort(signal.reason);
  signal.addEventListener("abort", cut);
  try {
    if (signal.aborted) cut();
    return await exchange(options, wire);
  } finally {
    signal.removeEventListener("abort", cut);
    await farewell(wire, runtime.clock, null, Promise.resolve());
  }
}

async function exchange(options: AskPeerOptions, wire: Channel): Promise<PeerState> {
  const { runtime: { random, crypto }, peer, identity, databaseId, leads, leader, handover } = options;
  const context: FollowerContext = {
    ...options,
    identity: () => identity,
    databaseId: () => databaseId,
    instance: hex(random.bytes(16)),
    random,
    crypto,
  };
  const hello: Hello = { ...helloOf(context, false, leader), mode: "control", leads, handover };
  await wire.send(hello);
  const challenge = await next(options, wire, "challenge"), proof = proofFor(context, hello, challenge);
  if (proof instanceof DfdbError) return refuse(options, wire, proof);
  await wire.send(proof);
  const { type: _, ...fields } = await next(options, wire, "state");
  const wireAddress = reachableAddress(fields.wireAddress, peer.hostname);
  return { ...fields, nodeId: challenge.nodeId, databaseId: challenge.databaseId, wireAddress };
}

/** The next message, which must be a `type`. Throws the peer's refusal. */
async function next<Type extends "challenge" | "state">(
  options: AskPeerOptions,
  wire: Channel,
  type: Type,
): Promise<Message & { readonly type: Type }> {
  const message = await wire.receive();
  if (message === null) throw new DfdbError("unreachable", "the peer closed the connection");
  if (message.type === type) return message as Message & { readonly type: Type };
  if (message.type === "refused") throw errorOfRefusal(message);
  return refuse(options, wire, new DfdbError("bad_frame", `the peer must not send "${message.type}" now`));
}

/** Tells the peer why this node hangs up, and throws it. */
async function refuse({ runtime }: AskPeerOptions, wire: Channel, error: DfdbError): Promise<never> {
  await farewell(wire, runtime.clock, refusedMessage(error), wire.drain());
  throw error;
}
