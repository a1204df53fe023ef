import type { LogReader } from "../storage/log.ts";
import type { GoingAway, KnownNode, Refused } from "../wire/message.ts";
import { saidByLeaders } from "./follower_failure.ts";
import type { FollowerEffect } from "./follower_events.ts";
import type { LeaderAddresses } from "./leader_addresses.ts";
import { leaderNamedIn } from "./refusal.ts";
import type { Identity } from "./types.ts";
import { reachableAddress } from "./wire_address.ts";

export interface FollowerHearsayOptions {
  readonly addresses: LeaderAddresses;
  readonly identity: () => Identity;
  readonly log: LogReader;
}

/** What a peer that proved itself tells of other nodes. */
export class FollowerHearsay {
  readonly #options: FollowerHearsayOptions;
  readonly #emit: (effect: FollowerEffect) => void;
  /** Another leader than the one that accepted this node is there; null once one has welcomed it. Completes "this node ...". */
  turnedAway: string | null = null;

  constructor(options: FollowerHearsayOptions, emit: (effect: FollowerEffect) => void) {
    this.#options = options;
    this.#emit = emit;
  }

  nodes(told: readonly KnownNode[]): void {
    if (told.length > 0) this.#emit({ type: "knownNodes", nodes: this.reachable(told) });
  }

  goingAway({ knownNodes, leader, term }: GoingAway): void {
    this.nodes(knownNodes);
    if (leader !== null && leader.nodeId !== this.#options.identity().nodeId) {
      this.turnedAway = `was told that "${leader.nodeName}" leads, and is not its follower yet`;
    }
    this.#leader(leader, term?.epoch, knownNodes);
  }

  refused(refused: Refused): void {
    const { code, details: { epoch }, knownNodes = [] } = refused;
    this.nodes(knownNodes);
    if (saidByLeaders.has(code)) this.turnedAway = `was turned away by a leader: ${code}`;
    if (code === "not_leader") this.#leader(leaderNamedIn(refused), epoch, knownNodes);
  }

  /** With the host where the peer was reached in the place of one that is missing. */
  reachable(nodes: readonly KnownNode[]): readonly KnownNode[] {
    const host = this.#options.addresses.current?.hostname ?? "";
    return nodes.map((node) => ({ ...node, wireAddress: reachableAddress(node.wireAddress, host) }));
  }

  /** `leader` is said to lead, under `epoch` if that is known. An epoch before the one of what is here is old news. */
  #leader(leader: KnownNode | null, epoch: unknown, told: readonly KnownNode[]): void {
    const { addresses, identity, log } = this.#options;
    if (leader === null || leader.nodeId === identity().nodeId) return;
    if (typeof epoch === "number" && epoch < log.last.epoch) return;
    const others = told.find(({ nodeId }) => nodeId === leader.nodeId)?.wireAddress;
    for (const node of this.reachable([{ ...leader, wireAddress: leader.wireAddress ?? others ?? null }])) {
      addresses.hint(node);
    }
    this.#emit({ type: "hint", httpUrl: leader.httpUrl });
  }
}
