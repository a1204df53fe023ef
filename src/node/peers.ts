/** What this node says of itself to others, and how it asks them. */
import type { Epoch } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { type Claim, claimOf } from "../cluster/claim.ts";
import type { HandoverOutcome } from "../cluster/handover_events.ts";
import { DfdbError } from "../base/errors.ts";
import { askPeer, type PeerState } from "../replication/control_peer.ts";
import type { Identity, PeerClaim, StandingBy, StateFields } from "../replication/types.ts";
import { parseWireAddress } from "../replication/wire_address.ts";
import type { TermRecord } from "../storage/log.ts";
import type { KnownNode } from "../wire/message.ts";
import { epochNote } from "./kept_state.ts";
import type { ReplicationParts } from "./replication.ts";
import { publicAddress } from "./replication.ts";
import type { Stand } from "./stand.ts";

/** What of this node others see and other parts decide. */
export interface PeerFacts {
  /** The term under which this node leads, once it has an entry. */
  readonly leads: TermRecord | null;
  /** Silence after which this node would take over, null without auto-failover. */
  readonly silenceMs: number | null;
  /** Port on which it leads or would lead. */
  readonly leadPort: number;
}

export interface Question {
  readonly handover?: string;
  readonly timeoutMs?: number;
  /** At the first byte. */
  readonly onContact?: () => void;
}

export class Peers {
  readonly #parts: ReplicationParts;
  readonly #stand: Stand;
  readonly #facts: () => PeerFacts;
  readonly #noteEpoch: (epoch: Epoch) => void;

  constructor(parts: ReplicationParts, stand: Stand, facts: () => PeerFacts) {
    this.#parts = parts;
    this.#stand = stand;
    this.#facts = facts;
    this.#noteEpoch = epochNote(parts.kept, parts.logger);
  }

  identity(): Identity {
    const { name, nodeStore, settings, httpUrl } = this.#parts, { silenceMs } = this.#facts();
    return {
      nodeId: nodeStore.nodeId,
      nodeName: settings.nodeName,
      database: name,
      httpUrl,
      wireAddress: this.#address(),
      autoFailover: silenceMs !== null,
      silenceMs,
    };
  }

  /** As others find this node who hear of it elsewhere than on a connection: with a host in its address. */
  contact(): KnownNode {
    const { nodeId, nodeName, httpUrl, wireAddress } = this.identity();
    if (wireAddress?.startsWith(":") !== true) return { nodeId, nodeName, httpUrl, wireAddress };
    const { runtime } = this.#parts, bound = this.#stand.server?.hostname ?? "127.0.0.1";
    const anywhere = bound === "0.0.0.0" || bound === "::";
    const host = anywhere ? runtime.process.hostname : bound;
    return { nodeId, nodeName, httpUrl, wireAddress: `${host}${wireAddress}` };
  }

  /** Null: this node leads. */
  standing(): StandingBy | null {
    const { role, storage } = this.#parts;
    if (role.leadership !== null && !this.#stand.standingBy) return null;
    return { leader: this.#stand.leader, epoch: storage.log.last.seq === 0 ? null : storage.log.last.epoch };
  }

  statement(handover: { readonly id: string; readonly outcome: HandoverOutcome } | null): StateFields {
    const { role, storage, known } = this.#parts,
      { nodeName, httpUrl, wireAddress, silenceMs } = this
        .identity();
    const { on, reason } = role.readOnly;
    return {
      nodeName,
      role: role.kind,
      leads: this.#leads(),
      terms: storage.log.terms,
      position: storage.log.last,
      readOnly: on,
      reason,
      leader: this.#stand.leader,
      httpUrl,
      wireAddress,
      silenceMs,
      knownNodes: known.told(null),
      handover,
    };
  }

  /** Rejects with `unreachable`, also where nobody knows an address of it, `timeout`, or what the peer refuses with. */
  async ask(peer: KnownNode, question: Question = {}): Promise<Claim & { readonly state: PeerState }> {
    const address = peer.wireAddress === null ? null : parseWireAddress(peer.wireAddress);
    if (address === null || address.hostname === "") {
      throw new DfdbError("unreachable", `nobody knows where "${peer.nodeName}" can be reached`);
    }
    const state = await this.askAt(address, question);
    const claim = claimOf(state, state);
    this.met(claim);
    return { ...claim, state };
  }

  askAt(
    address: { readonly hostname: string; readonly port: number },
    { handover, timeoutMs = limits.claimAskMs, onContact }: Question,
  ): Promise<PeerState> {
    const { runtime, storage, tls } = this.#parts;
    return askPeer({
      runtime,
      peer: address,
      tls: tls.client,
      timeoutMs,
      identity: this.identity(),
      databaseId: storage.databaseId,
      log: storage.log,
      leads: this.#leads(),
      leader: this.#stand.leader,
      handover: handover ?? null,
      secret: this.#stand.secret,
      ...(onContact === undefined ? {} : { onContact }),
    });
  }

  /** Keeps what a proved peer says of itself. */
  met({ peer, leads, newest }: PeerClaim): void {
    this.#parts.known.met(peer);
    const epoch = leads?.epoch ?? newest?.epoch;
    if (epoch !== undefined) this.#noteEpoch(epoch);
  }

  /** Null, too, while it is in doubt whether the target of a handover leads: back with its promotion unfinished, that would follow this node. */
  #leads(): TermRecord | null {
    return this.#parts.role.readOnlyCauses.has("in_doubt") ? null : this.#facts().leads;
  }

  #address(): string | null {
    const { role } = this.#parts, { server } = this.#stand;
    if (role.kind === "none" && server === null) return null;
    return publicAddress(this.#parts, server?.port ?? this.#facts().leadPort);
  }
}
