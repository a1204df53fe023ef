/**
 * Replication between masters, of one database: who sends to it, and to whom it sends while it leads. Nothing of it runs in a database without
 * the bundle, nor on a follower.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import { databaseIdOf, isHexId } from "../base/ids.ts";
import type { ReadOnlyCause } from "../cluster/role.ts";
import { hasReplicationBundle } from "../engine/activate_bundle.ts";
import type { DestinationFailure, Masters, MasterSender, MasterTarget } from "../http/master_types.ts";
import { defaultDatabase } from "../http/needed_scope.ts";
import { answerText, parseCursor, parseTerm } from "../multimaster/batch.ts";
import type { Incoming, IncomingCounts, Sender, Target } from "../multimaster/incoming.ts";
import { withReceived } from "../multimaster/confirmations_kept.ts";
import { failureKey } from "../multimaster/destinations.ts";
import { incoming } from "../multimaster/incoming.ts";
import type { ReceiverAnswer } from "../multimaster/outgoing_events.ts";
import type { Purger } from "../multimaster/purge.ts";
import { copiedFrom } from "../multimaster/reliance.ts";
import { resolve } from "../multimaster/resolve.ts";
import type { Sender as SenderTask } from "../multimaster/sender.ts";
import { sources } from "../multimaster/sources.ts";
import type { Timer } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { FailureNotes } from "./failure_notes.ts";
import { failureNotes } from "./failure_notes.ts";
import type { MasterPolicy } from "./master_policy.ts";
import type { MastersOptions } from "./master_parts.ts";
import { masterPolicy } from "./master_policy.ts";
import { startPurger } from "./master_purger.ts";
import { startSender } from "./master_sender.ts";
import type { MastersSources } from "./masters_info.ts";
import { infoOf, mastersBlock } from "./masters_info.ts";

export interface NodeMasters extends Masters {
  /** The member `masters` of the status; null without the bundle. */
  status(): Readonly<Record<string, unknown>> | null;
  /** The bundle was switched on. */
  activated(): void;
  /** From now on the database can be reached at its URL: nothing is sent before, since who is sent something answers with what it has. */
  served(): void;
  close(): Promise<void>;
}

export function nodeMasters(options: MastersOptions): NodeMasters {
  return new NodeMastersOf(options);
}

/** Why a node that leads may not be the one who leads: what it has is not sent before that is known. */
const uncertain: readonly ReadOnlyCause[] = ["unconfirmed", "fenced", "in_doubt", "handover", "no_lease"];
/** How often a node that leads and does not send yet looks whether it may. */
const lookEveryMs = 250;

/** What ends with a leadership. */
interface Leading {
  readonly signal: AbortSignal;
  readonly incoming: Incoming;
  readonly purger: Purger;
  sender: SenderTask | null;
}

class NodeMastersOf implements NodeMasters {
  readonly #options: MastersOptions;
  readonly #policy: () => MasterPolicy;
  readonly #unsubscribe: () => void;
  #notes: FailureNotes | null = null;
  #leading: Leading | null = null;
  /** Of leaderships that are over. */
  #counts: IncomingCounts = { batches: 0, stored: 0, rejected: 0, ignored: 0, disagreements: 0 };
  #run: string;
  #timer: Timer | null = null;
  #stopping: Promise<unknown> = Promise.resolve();
  #served: boolean;
  #closed = false;

  constructor(options: MastersOptions) {
    const { engine: { committed }, httpUrl } = options;
    this.#options = options;
    this.#served = httpUrl === null;
    this.#policy = masterPolicy(options);
    this.#run = committed.value.run;
    // The first entry of a run tells who leads now.
    this.#unsubscribe = committed.subscribe(({ run }) => {
      if (run === this.#run) return;
      this.#run = run;
      this.#look();
    });
    this.#look();
  }

  get active(): boolean {
    return this.#options.storage.read(hasReplicationBundle);
  }

  activated(): void {
    this.#look();
  }

  served(): void {
    this.#served = true;
    this.#look();
  }

  async lastEtag(from: MasterSender): Promise<string> {
    const answer = await this.#incoming().lastEtag(senderOf(from)), text = this.#text(from, answer);
    const { storage } = this.#options;
    return storage.read((view) => withReceived(text, view, answer.term, copiedFrom(storage, view)));
  }

  async replicate(from: MasterSender, target: MasterTarget, batch: Uint8Array): Promise<string> {
    return this.#text(from, await this.#incoming().replicate(senderOf(from), targetOf(target), batch));
  }

  async putCursor(from: MasterSender, target: MasterTarget): Promise<string> {
    return this.#text(from, await this.#incoming().putCursor(senderOf(from), targetOf(target)));
  }

  heartbeat({ from, databaseId }: MasterSender): void {
    this.#look();
    this.#leading?.sender?.heartbeat(from, databaseId);
  }

  async resolve() {
    return await resolve(this.#options.engine, this.#policy().policy);
  }

  async purgeTombstones() {
    const { runtime: { clock }, storage } = this.#options;
    const purged = await this.#leadership().purger.run(clock.wall());
    return { ...purged, position: storage.log.last };
  }

  forgetPeer(databaseId: DatabaseId): Promise<Position> {
    return this.#leadership().purger.forget(databaseId);
  }

  info(): Readonly<Record<string, unknown>> {
    return infoOf(this.#sources());
  }

  failure(key: string): DestinationFailure | null {
    return this.#failures().all().find(({ url }) => failureKey(url) === key) ?? null;
  }

  status(): Readonly<Record<string, unknown>> | null {
    return this.active ? mastersBlock(this.#sources()) : null;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    this.#timer?.cancel();
    this.#end();
    await this.#stopping;
    this.#notes?.close();
  }

  /** Where this node leads, sends from now on, or looks again when it does not know whether it may. */
  #look(): void {
    const { role, runtime: { clock } } = this.#options;
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed || !this.#served || role.leadership === null) return;
    if (this.#leading?.sender != null || !this.active) return;
    if (!uncertain.some((cause) => role.readOnlyCauses.has(cause))) this.#lead();
    else this.#timer = clock.timer(lookEveryMs, () => this.#look());
  }

  #lead(): void {
    const leading = this.#leadership();
    leading.sender = startSender(
      this.#options,
      this.#failures(),
      ownUrl(this.#options),
      (databaseId, url) => leading.purger.met(databaseId, url),
    );
    leading.purger.start();
  }

  /** The leadership that is now. Throws `not_leader`. */
  #leadership(): Leading {
    const { role: { leadership }, engine, storage, runtime: { clock, crypto }, logger, settings } =
      this.#options;
    if (leadership === null) throw new DfdbError("not_leader", "This node follows a leader");
    const { signal } = leadership;
    if (this.#leading !== null && this.#leading.signal === signal) return this.#leading;
    this.#end();
    const { documentBytesMax: bytesMax, nestingMax } = settings;
    const receiving = incoming({
      engine,
      storage,
      clock,
      logger,
      sha256: (bytes) => crypto.sha256(bytes),
      policy: () => this.#policy().policy,
      documents: { bytesMax, nestingMax },
      admit: (view, sender) => purger.admit(view, sender),
    });
    const purger = startPurger(
      this.#options,
      ownUrl(this.#options),
      () => this.#leading?.sender?.status.destinations ?? [],
    );
    const leading: Leading = { signal, incoming: receiving, purger, sender: null };
    signal.addEventListener("abort", () => this.#ended(leading), { once: true });
    return this.#leading = leading;
  }

  #ended(leading: Leading): void {
    if (this.#leading !== leading) return;
    this.#end();
    // It may lead on, in a higher epoch, and write nothing.
    if (!this.#closed) this.#timer = this.#options.runtime.clock.timer(lookEveryMs, () => this.#look());
  }

  #end(): void {
    const leading = this.#leading;
    if (leading === null) return;
    this.#leading = null;
    this.#counts = sum(this.#counts, leading.incoming.counts);
    const { sender, purger } = leading;
    purger.stop();
    if (sender !== null) this.#stopping = Promise.all([this.#stopping, sender.stop()]);
  }

  #incoming(): Incoming {
    return this.#leadership().incoming;
  }

  #failures(): FailureNotes {
    const { storage, nodeStore, runtime: { clock }, logger } = this.#options;
    return this.#notes ??= failureNotes({
      databaseId: () => storage.databaseId,
      store: nodeStore,
      clock,
      logger,
    });
  }

  #text({ from }: MasterSender, answer: ReceiverAnswer): string {
    const { terms } = this.#options.storage.log, { run } = answer.term;
    return answerText(answer, from, terms.slice(0, terms.findLastIndex((term) => term.run === run) + 1));
  }

  #sources(): MastersSources {
    const { storage, runtime: { clock } } = this.#options;
    const leading = this.#leading, sender = leading?.sender ?? null;
    const counted = storage.read((view) => {
      let conflicts = 0, tombstones = 0;
      for (const { name } of view.versions === null ? [] : view.collections()) {
        const counts = view.versions?.counts(name);
        conflicts += counts?.conflicts ?? 0;
        tombstones += counts?.tombstones ?? 0;
      }
      return { conflicts, tombstones, sources: sources(view) };
    });
    return {
      ...counted,
      self: ownUrl(this.#options),
      storage,
      clock,
      policy: this.#policy(),
      incoming: leading === null ? this.#counts : sum(this.#counts, leading.incoming.counts),
      heldBack: leading?.purger.status.heldBack ?? [],
      outgoing: sender?.status ?? null,
      failures: this.#failures().all(),
    };
  }
}

/** Of the database, whatever its node means with flat paths. One without an API has a name by which its cursor is kept. */
function ownUrl({ name, httpUrl, storage }: MastersOptions): string {
  if (httpUrl === null) return `dfdb:${storage.databaseId}`;
  return name === defaultDatabase ? `${httpUrl}/db/${name}` : httpUrl;
}

function senderOf({ from: url, ...sender }: MasterSender): Sender {
  return { url, ...sender };
}

/** Throws `bad_request`. */
function targetOf({ to, term, docEtag }: MasterTarget): Target {
  if (to !== null && !isHexId(to)) {
    throw new DfdbError("bad_request", "The parameter to is the id of a database, 32 hex digits", {
      details: { parameter: "to" },
    });
  }
  return {
    databaseId: to === null ? null : databaseIdOf(to),
    term: term === null ? null : parseTerm(term),
    cursor: docEtag === null ? null : parseCursor(docEtag),
  };
}

function sum(a: IncomingCounts, b: IncomingCounts): IncomingCounts {
  return {
    batches: a.batches + b.batches,
    stored: a.stored + b.stored,
    rejected: a.rejected + b.rejected,
    ignored: a.ignored + b.ignored,
    disagreements: a.disagreements + b.disagreements,
  };
}
