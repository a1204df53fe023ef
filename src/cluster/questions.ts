/** Peers that are asked again and again until somebody has heard enough. */
import type { MonotonicMs, NodeId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { KnownNode } from "../wire/message.ts";

/** A peer is asked no more often. */
export const askAgainMs = 1_000;

/** One question at a time to each peer; when it was answered, or nobody was there, the next one a second after the one before. */
export class Questions {
  readonly #peers = new Map<NodeId, { readonly peer: KnownNode; open: boolean; askAt: number }>();

  /** When the next question is due; null: none is. */
  get deadline(): number | null {
    const due = [...this.#peers.values()].filter(({ open }) => !open).map(({ askAt }) => askAt);
    return due.length === 0 ? null : Math.min(...due);
  }

  /** From now on `peer` is asked; who has no address cannot be. */
  add(peer: KnownNode, now: MonotonicMs): void {
    if (peer.wireAddress === null) return;
    const here = this.#peers.get(peer.nodeId);
    if (here === undefined && this.#peers.size >= limits.knownPeersMax) return;
    this.#peers.set(peer.nodeId, { peer, open: here?.open ?? false, askAt: here?.askAt ?? now });
  }

  /** Who is not needed any more is not asked again. */
  keepOnly(needed: (nodeId: NodeId) => boolean): void {
    for (const [nodeId, { open }] of this.#peers) {
      if (!open && !needed(nodeId)) this.#peers.delete(nodeId);
    }
  }

  /** The question to `nodeId` came back, with an answer or without. */
  back(nodeId: NodeId): void {
    const asked = this.#peers.get(nodeId);
    if (asked !== undefined) asked.open = false;
  }

  /** Whom to ask now. */
  due(now: MonotonicMs): readonly KnownNode[] {
    const due: KnownNode[] = [];
    for (const asked of this.#peers.values()) {
      if (asked.open || asked.askAt > now) continue;
      asked.open = true;
      asked.askAt = now + askAgainMs;
      due.push(asked.peer);
    }
    return due;
  }
}
