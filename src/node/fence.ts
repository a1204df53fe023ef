/** Carries out what the fencing machine decides: bars and lifts writes, asks peers, lets this node follow another leader or raise its epoch. */
import type { Epoch, NodeId, RunId, Seq } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Claim } from "../cluster/claim.ts";
import type { FencingEffect, FencingInput, Leads } from "../cluster/fencing.ts";
import { fencing } from "../cluster/fencing.ts";
import { Driver } from "../base/driver.ts";
import type { TermRecord } from "../storage/log.ts";
import type { KnownNode } from "../wire/message.ts";
import type { Peers } from "./peers.ts";
import type { ReplicationParts } from "./replication.ts";
import type { Stand } from "./stand.ts";

export interface FenceActions {
  /** To be answered with `follow`. */
  stepDown(leader: KnownNode | null): void;
  /** To be answered with `lead`. */
  raise(above: Epoch): void;
  /** Writes are not held up by fencing any more. */
  confirmed(): void;
}

/** What of {@linkcode Leads} depends on how the leadership began. */
export type LeadQuestion = Pick<Leads, "term" | "ask" | "waitMs" | "knowsHigher"> & {
  readonly unfinished?: boolean;
};

export class Fence {
  readonly #parts: ReplicationParts;
  readonly #stand: Stand;
  readonly #peers: Peers;
  readonly #actions: FenceActions;
  readonly #machine;
  readonly #driver: Driver<FencingInput, FencingEffect>;
  /** The run whose first entry the machine knows of. */
  #begun: RunId | null = null;

  constructor(parts: ReplicationParts, stand: Stand, peers: Peers, actions: FenceActions) {
    const { authority, known } = parts;
    this.#parts = parts;
    this.#stand = stand;
    this.#peers = peers;
    this.#actions = actions;
    this.#machine = fencing({
      counts: authority.kind === "silence",
      known: (nodeId) => known.get(nodeId),
    });
    this.#driver = new Driver(this.#machine, parts.runtime.clock, (effect) => this.#perform(effect));
  }

  get leads(): TermRecord | null {
    return this.#machine.leads;
  }

  lead({ unfinished = false, ...question }: LeadQuestion): void {
    const { nodeStore, storage } = this.#parts;
    const { last, terms } = storage.log, { epoch, run } = question.term, firstSeq = this.#firstSeq(run);
    const newest = terms.at(-1), own = newest?.nodeId === nodeStore.nodeId && newest.epoch === epoch;
    this.#begun = firstSeq === null ? null : run;
    const logEpoch = last.epoch;
    this.#driver.feed({
      type: "lead",
      ...question,
      firstSeq,
      before: firstSeq === null && own ? newest : null,
      nodeId: nodeStore.nodeId,
      unfinished,
      logEpoch,
    });
  }

  /** The log has grown: by the first entry of this leadership, perhaps. */
  committed(): void {
    const { role, storage } = this.#parts;
    const run = role.leadership?.run ?? null;
    if (run === null || this.#begun === run || storage.log.last.run !== run) return;
    const firstSeq = this.#firstSeq(run);
    if (firstSeq === null) return;
    this.#begun = run;
    this.#driver.feed({ type: "begun", firstSeq });
  }

  follow(): void {
    this.#driver.feed({ type: "follow" });
  }

  met(claim: Claim): void {
    this.#driver.feed({ type: "met", claim });
  }

  sign(nodeId: NodeId): void {
    this.#driver.feed({ type: "heardFollower", nodeId });
  }

  /** This node stood still for so long: candidates that wait for less may lead by now, and nobody was heard meanwhile. */
  late(ms: number): void {
    if (this.#parts.role.leadership === null) return;
    // What it heard last may be as old as a heartbeat.
    const stoodMs = ms + this.#parts.settings.heartbeatMs;
    const ask = this.#parts.known.candidates().filter(({ silenceMs }) =>
      silenceMs !== null && silenceMs <= stoodMs
    );
    this.#driver.feed({ type: "late", ask, waitMs: limits.lateAskMs });
    if (ask.length > 0) this.#stand.server?.ask(ask.map(({ nodeId }) => nodeId));
  }

  #firstSeq(run: string): Seq | null {
    const last = this.#parts.storage.log.terms.at(-1);
    return last?.run === run ? last.firstSeq : null;
  }

  #perform(effect: FencingEffect): void {
    const { role, logger } = this.#parts;
    switch (effect.type) {
      case "bar": {
        role.setReadOnly(effect.cause, effect.on);
        if (effect.on) logger.warn("writes wait until it is known who leads", { cause: effect.cause });
        else if (role.leadership !== null && !role.readOnly.on) this.#actions.confirmed();
        return;
      }
      case "ask":
        return void this.#ask(effect.peer);
      case "follow":
        logger.warn("another node leads", {
          leader: effect.leader.nodeName,
          epoch: effect.epoch,
          why: effect.why,
        });
        return this.#actions.stepDown(effect.leader);
      case "raise":
        return this.#actions.raise(effect.above);
      case "resign":
        return this.#actions.stepDown(null);
      case "unconfirmed":
        logger.warn("leads without having heard from all that may lead", { nodes: effect.nodes.join(", ") });
        return;
    }
  }

  async #ask(peer: KnownNode): Promise<void> {
    const claim = await this.#peers.ask(peer).catch(() => null);
    this.#driver.feed({ type: "asked", nodeId: peer.nodeId, claim });
  }
}
