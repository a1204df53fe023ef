/**
 * The other nodes of this node's database, as far as it knows: where they are, and who of them may promote itself. In memory, and kept in
 * `node.dfdb` so that a restarted node finds its cluster and asks its candidates before it leads.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, NodeId } from "../base/ids.ts";
import { wallMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { KnownPeer, NodeContact, NodeStore } from "../storage/storage.ts";
import { type KnownNode, knownNodesMax } from "../wire/message.ts";

export interface KnownNodes {
  /** This node itself said so, having proved the secret. */
  met(node: NodeContact): void;
  /** Others say so; what a node said itself in this run of the process counts more. */
  heardOf(nodes: readonly NodeContact[]): void;
  /** Those that were accepted, whether they are connected or not. */
  candidates(): readonly KnownPeer[];
  /**
   * A follower wants auto-failover. Null: accepted, and kept durably. `second_candidate`: another one has it and `severalAllowed` is
   * false; else why it could not be kept.
   */
  accept(
    nodeId: NodeId,
    nodeName: string,
    silenceMs: number | null,
    severalAllowed: boolean,
  ): DfdbError | null;
  /** It says that it has auto-failover off. */
  withdrew(nodeId: NodeId): void;
  /** False: it is not known. Throws when that cannot be kept; nothing is forgotten then. */
  forget(nodeId: NodeId): boolean;
  /** Null: it is not known. */
  get(nodeId: NodeId): KnownPeer | null;
  /** All, seen latest first. */
  all(): readonly KnownPeer[];
  /** What `except` is told, at most as many as a message holds: the leader, then candidates, then those seen latest. */
  told(except: NodeId | null, leader?: NodeId | null): KnownNode[];
  /** Where a leader may be looked for, without repeats: candidates first. */
  addresses(): readonly string[];
}

export interface KnownNodesOptions {
  /** A list belongs to a database: with another id it is another list. */
  readonly databaseId: () => DatabaseId;
  readonly store: NodeStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Throws `data_corrupt` when what is kept cannot be read. */
export function knownNodes(options: KnownNodesOptions): KnownNodes {
  return new Nodes(options);
}

class Nodes implements KnownNodes {
  readonly #options: KnownNodesOptions;
  #databaseId: DatabaseId;
  /** What counts now. */
  #peers = new Map<NodeId, KnownPeer>();
  /** What the disk has. */
  #kept = new Map<NodeId, KnownPeer>();
  /** Said something themselves in this run of the process. */
  readonly #met = new Set<NodeId>();
  /** The last one for whom there was no room: it may want to be a candidate. */
  #turnedAway: KnownPeer | null = null;
  #failed = false;

  constructor(options: KnownNodesOptions) {
    this.#options = options;
    this.#databaseId = options.databaseId();
    this.#load();
  }

  met(node: NodeContact): void {
    const peers = this.#current();
    if (node.nodeId === this.#options.store.nodeId) return;
    this.#met.add(node.nodeId);
    const before = peers.get(node.nodeId) ?? stranger(node);
    this.#note({ ...before, ...contactOf(node), seenMs: this.#options.clock.wall() });
  }

  heardOf(nodes: readonly NodeContact[]): void {
    const peers = this.#current();
    for (const node of nodes) {
      if (node.nodeId === this.#options.store.nodeId || this.#met.has(node.nodeId)) continue;
      this.#note({ ...peers.get(node.nodeId) ?? stranger(node), ...contactOf(node) });
    }
  }

  candidates(): readonly KnownPeer[] {
    return this.all().filter(({ candidate }) => candidate);
  }

  accept(
    nodeId: NodeId,
    nodeName: string,
    silenceMs: number | null,
    severalAllowed: boolean,
  ): DfdbError | null {
    const others = this.candidates().filter((other) => other.nodeId !== nodeId);
    const [other] = others;
    if (other !== undefined && !severalAllowed) return secondCandidate(other);
    if (others.length >= limits.knownPeersMax) {
      return new DfdbError("too_many_followers", `${others.length} nodes have auto-failover on already`);
    }
    const turnedAway = this.#turnedAway?.nodeId === nodeId ? this.#turnedAway : null;
    const before = this.#current().get(nodeId) ?? turnedAway ??
      stranger({ nodeId, nodeName, httpUrl: null, wireAddress: null });
    const peer = { ...before, nodeName, candidate: true, silenceMs };
    const error = differs(peer, this.#kept.get(nodeId)) ? this.#write(peer) : null;
    if (error !== null) return error;
    if (!this.#peers.has(nodeId)) this.#makeRoom(peer);
    this.#peers.set(nodeId, peer);
    return null;
  }

  withdrew(nodeId: NodeId): void {
    const peer = this.#current().get(nodeId);
    if (peer !== undefined) this.#note({ ...peer, candidate: false, silenceMs: null });
  }

  forget(nodeId: NodeId): boolean {
    const peers = this.#current();
    const kept = this.#options.store.forgetPeer(this.#databaseId, nodeId);
    this.#kept.delete(nodeId);
    this.#met.delete(nodeId);
    return peers.delete(nodeId) || kept;
  }

  get(nodeId: NodeId): KnownPeer | null {
    return this.#current().get(nodeId) ?? null;
  }

  all(): readonly KnownPeer[] {
    return [...this.#current().values()].sort((a, b) => b.seenMs - a.seenMs);
  }

  told(except: NodeId | null, leader: NodeId | null = null): KnownNode[] {
    const rank = ({ nodeId, candidate }: KnownPeer): number => nodeId === leader ? 0 : candidate ? 1 : 2;
    const reachable = this.all().filter(({ nodeId, httpUrl, wireAddress }) =>
      nodeId !== except && (httpUrl !== null || wireAddress !== null)
    );
    return reachable.sort((a, b) => rank(a) - rank(b)).slice(0, knownNodesMax).map(contactOf);
  }

  addresses(): readonly string[] {
    const all = this.all(), known = [...all.filter(({ candidate }) => candidate), ...all];
    return [...new Set(known.map(({ wireAddress }) => wireAddress).filter((address) => address !== null))];
  }

  /** The list of the database that this node has now. */
  #current(): Map<NodeId, KnownPeer> {
    if (this.#options.databaseId() !== this.#databaseId) {
      this.#databaseId = this.#options.databaseId();
      this.#load();
    }
    return this.#peers;
  }

  #load(): void {
    this.#kept = new Map(
      this.#options.store.peers(this.#databaseId).map((peer) => [peer.nodeId, peer]),
    );
    this.#peers = new Map(this.#kept);
    this.#met.clear();
  }

  /** Counts at once; what matters of it is written. A write that fails is told once, and tried again when the node is met again. */
  #note(peer: KnownPeer): void {
    const kept = this.#kept.get(peer.nodeId);
    if (!this.#peers.has(peer.nodeId) && !this.#makeRoom(peer)) return void (this.#turnedAway = peer);
    this.#peers.set(peer.nodeId, peer);
    const stale = Math.abs(peer.seenMs - (kept?.seenMs ?? 0)) >= limits.peerSeenEveryMs;
    if (!stale && !differs(peer, kept)) return;
    const error = this.#write(peer);
    if (error === null) return void (this.#failed = false);
    if (!this.#failed) {
      this.#options.logger.warn("a known node could not be kept", {
        nodeName: peer.nodeName,
        error: error.message,
      });
    }
    this.#failed = true;
  }

  /** Whoever was seen longest ago goes; false: all are of use, and the new one, which is no candidate, is not taken. */
  #makeRoom({ seenMs, candidate: needed }: KnownPeer): boolean {
    if (this.#peers.size < limits.knownPeersMax) return true;
    const oldest = this.all().findLast(({ candidate }) => !candidate);
    // Where more nodes are alive than are kept, each that comes would be written, and push out another one.
    const alive = oldest === undefined || seenMs - oldest.seenMs < limits.peerSeenEveryMs;
    if (oldest === undefined || (alive && !needed)) return false;
    this.#peers.delete(oldest.nodeId);
    this.#kept.delete(oldest.nodeId); // the store has let the one go that it saw longest ago
    return true;
  }

  #write(peer: KnownPeer): DfdbError | null {
    try {
      this.#options.store.keepPeer(this.#databaseId, peer);
    } catch (error) {
      if (error instanceof DfdbError) return error;
      throw error;
    }
    this.#kept.set(peer.nodeId, peer);
    return null;
  }
}

function stranger(node: NodeContact): KnownPeer {
  return { ...contactOf(node), candidate: false, silenceMs: null, seenMs: wallMsOf(0) };
}

function contactOf({ nodeId, nodeName, httpUrl, wireAddress }: NodeContact): KnownNode {
  return { nodeId, nodeName, httpUrl, wireAddress };
}

/** In anything but the time at which it was seen. */
function differs(peer: KnownPeer, kept: KnownPeer | undefined): boolean {
  return kept === undefined || kept.nodeName !== peer.nodeName || kept.httpUrl !== peer.httpUrl ||
    kept.wireAddress !== peer.wireAddress || kept.candidate !== peer.candidate ||
    kept.silenceMs !== peer.silenceMs;
}

function secondCandidate({ nodeId, nodeName }: KnownPeer): DfdbError {
  const sentence = `auto-failover is already on at "${nodeName}", and one follower may have it; ` +
    `if that node is gone for good: DELETE /replication/nodes/${nodeId}`;
  return new DfdbError("second_candidate", sentence, { details: { nodeId, nodeName } });
}
