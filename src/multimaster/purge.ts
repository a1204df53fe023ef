/** Removes tombstones that every peer ever met has confirmed. For one leadership. */
import type { DatabaseId, WallMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import { DfdbError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { ReadView, Storage } from "../storage/storage.ts";
import type { KeyPlace } from "../storage/versions.ts";
import { admitPeer } from "./admit_peer.ts";
import { cursorText, termText } from "./batch_text.ts";
import type { Confirmation } from "./confirmations.ts";
import { joinConfirmations } from "./confirmations.ts";
import type { Peer, Told } from "./confirmations_kept.ts";
import { forgetPeer, keepPeers, peer, peers } from "./confirmations_kept.ts";
import { isInHistory } from "./find_common.ts";
import type { Sender } from "./incoming_types.ts";
import type { DestinationStatus } from "./outgoing_events.ts";
import { sameReceiver } from "./receiver_memory.ts";
import type { Judging } from "./purge_plan.ts";
import { purge, purgePage } from "./purge_plan.ts";
import { isWitness, witnesses } from "./witnesses.ts";

export interface PurgerOptions {
  readonly storage: Pick<Storage, "read" | "databaseId" | "log">;
  readonly engine: Pick<Engine, "submit">;
  readonly clock: Pick<Clock, "monotonic" | "timer">;
  readonly logger: Logger;
  /** Null: it is not trusted with deleting something for its age. */
  readonly wall: () => WallMs | null;
  /** As the outgoing task tells it. */
  readonly destinations: () => readonly DestinationStatus[];
  /** What a peer says of itself; null: it cannot be asked now. Does not reject. */
  readonly ask: (
    peer: { readonly databaseId: DatabaseId; readonly url: string },
  ) => Promise<Confirmation | null>;
}

export interface PurgeStatus {
  /** At the last pass; null: there was none. */
  readonly tombstones: number | null;
  /** Old ones that a peer has not confirmed. */
  readonly heldBack: readonly {
    readonly databaseId: DatabaseId;
    readonly url: string;
    readonly tombstones: number;
  }[];
}

export interface Purged {
  readonly purged: number;
  /** Too young, or not confirmed by every peer. */
  readonly kept: number;
}

export class Purger {
  readonly #options: PurgerOptions;
  readonly #met = new Set<DatabaseId>();
  #told = new Map<DatabaseId, Confirmation>();
  #status: PurgeStatus = { tombstones: null, heldBack: [] };
  #running: Promise<Purged> | null = null;
  #timer: Timer | null = null;
  /** A pause between two pages. */
  #pause: { readonly timer: Timer; readonly over: () => void } | null = null;
  #stopped = false;
  #warned = false;

  constructor(options: PurgerOptions) {
    this.#options = options;
  }

  get status(): PurgeStatus {
    return this.#status;
  }

  /** A pass now and then, from now on. */
  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.timer(limits.purgeEveryMs, () => {
      this.#timer = null;
      this.run().catch((thrown: unknown) => {
        if (!(thrown instanceof DfdbError)) throw thrown;
        this.#options.logger.debug("tombstones were not purged", {
          code: thrown.code,
          error: thrown.message,
        });
      }).finally(() => this.start());
    });
  }

  /** The leadership has ended. What is under way ends before its next page. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#pause?.timer.cancel();
    this.#pause?.over();
  }

  /** For `IncomingOptions.admit`. */
  admit(view: ReadView, sender: Sender): void {
    admitPeer(view, this.#options.storage, sender);
    this.met(sender.databaseId, sender.url);
  }

  /** A receiver or a sender. The first time it is written down at once: it may never be heard of again. */
  met(databaseId: DatabaseId, url: string): void {
    const { storage, engine, logger } = this.#options;
    if (this.#met.has(databaseId) || databaseId === storage.databaseId || this.#stopped) return;
    this.#met.add(databaseId);
    engine.submit(keepPeers([{ databaseId, url, confirmation: null }])).catch((thrown: unknown) => {
      this.#met.delete(databaseId);
      if (!(thrown instanceof DfdbError)) throw thrown;
      logger.debug("a peer was not written down", { databaseId, code: thrown.code, error: thrown.message });
    });
  }

  /** Rejects with `not_found`, `bad_request`, and as `Engine.submit`. */
  async forget(databaseId: DatabaseId): Promise<Position> {
    const { engine, storage } = this.#options;
    const { position } = await engine.submit(forgetPeer(databaseId, storage.databaseId));
    this.#told.delete(databaseId);
    this.#met.delete(databaseId);
    return position;
  }

  /** A pass now, or the one that is under way. `now`: an operator trusts the clock. Rejects as `Engine.submit`. */
  run(now: WallMs | null = this.#options.wall()): Promise<Purged> {
    return this.#running ??= this.#pass(now).finally(() => this.#running = null);
  }

  async #pass(now: WallMs | null): Promise<Purged> {
    const first = now === null ? null : purgePage(this.#judging([], now), null);
    if (now === null || first === null || first.found === 0) {
      if (first !== null) this.#tell(0, new Map(), []);
      return { purged: 0, kept: this.#status.tombstones ?? 0 };
    }
    const known = await this.#hear(now), judging = this.#judging(known, now);
    const heldBack = new Map<DatabaseId, number>();
    let found = 0, purged = 0, after: KeyPlace | null = null;
    for (let more = true; more && !this.#stopped;) {
      const begunMs = this.#options.clock.monotonic(), page = purgePage(judging, after);
      found += page.found;
      for (const [peer, count] of page.heldBack) heldBack.set(peer, (heldBack.get(peer) ?? 0) + count);
      if (page.due.length > 0) {
        const { value } = await this.#options.engine.submit(purge(judging, page.due));
        // A peer was met meanwhile: the next pass asks it.
        if (value === null) return { purged, kept: found - purged };
        purged += value;
      }
      after = page.next;
      more = after !== null;
      if (more) await this.#rest(this.#options.clock.monotonic() - begunMs);
    }
    this.#tell(found - purged, heldBack, known);
    return { purged, kept: found - purged };
  }

  #judging(known: readonly Peer[], now: WallMs): Judging {
    const of = known.filter(({ forgotten }) => !forgotten).map(({ databaseId, earlier, confirmation }) =>
      [databaseId, witnesses(earlier, confirmation)] as const
    );
    return { storage: this.#options.storage, peers: new Map(of), now };
  }

  /** All peers with the best that is known of them: asks those that can be asked, and writes down what is new, seldom. */
  async #hear(now: WallMs): Promise<readonly Peer[]> {
    const { storage, engine, destinations, ask } = this.#options;
    const list = destinations().filter(({ receiver }) => receiver !== null);
    const places = new Map(
      list.map(({ receiver, url, leaderUrl }) => [receiver?.databaseId as DatabaseId, leaderUrl ?? url]),
    );
    const known = storage.read(peers), asked = new Map(known.map(({ databaseId, url }) => [databaseId, url]));
    for (const [databaseId, url] of places) asked.set(databaseId, url);
    const forgotten = new Set(known.filter((peer) => peer.forgotten).map(({ databaseId }) => databaseId));
    // Before the answers: it was told in a term that may be over.
    for (const status of list) this.#hears(confirmationOf(status, storage.databaseId));
    await Promise.all(
      [...asked].filter(([databaseId, url]) => url !== "" && !forgotten.has(databaseId)).map(
        async ([databaseId, url]) => {
          const told = await ask({ databaseId, url });
          if (told?.databaseId === databaseId) this.#hears(told);
        },
      ),
    );
    for (const { receiver, state } of destinations()) {
      const heard = receiver === null ? undefined : this.#told.get(receiver.databaseId);
      // Which of the two came later is not known.
      const differ = heard !== undefined && receiver !== null && !sameReceiver(heard, receiver);
      if (differ && state !== "disabled") this.#told.delete(receiver.databaseId);
    }
    const told = [...asked].flatMap(([databaseId, url]): Told[] => {
      const kept = storage.read((view) => peer(view, databaseId));
      const heard = this.#told.get(databaseId) ?? null;
      const due = heard !== null && now - (kept?.writtenMs ?? 0) >= limits.confirmationsEveryMs;
      const isNew = kept === null;
      if (kept?.forgotten === true || (!due && !isNew)) return [];
      const confirmation = heard === null
        ? null
        : joinConfirmations(this.#options.storage, kept?.confirmation ?? null, heard);
      const moved = confirmation !== null && this.#isNews(kept?.confirmation ?? null, confirmation);
      return moved || isNew ? [{ databaseId, url, confirmation }] : [];
    });
    if (told.length > 0) await engine.submit(keepPeers(told));
    return storage.read(peers).map((peer) => {
      const heard = this.#told.get(peer.databaseId);
      if (heard === undefined) return peer;
      const { confirmation, earlier, writtenMs } = peer;
      const kept = isWitness(confirmation) ? [...earlier, { ...confirmation, writtenMs }] : earlier;
      return {
        ...peer,
        earlier: kept,
        confirmation: joinConfirmations(this.#options.storage, confirmation, heard),
      };
    });
  }

  /** What is written down is an entry, too: a cursor that only passed such ones confirms nothing new. */
  #isNews(kept: Confirmation | null, heard: Confirmation): boolean {
    const { storage } = this.#options, { databaseId: own, log } = storage;
    if (kept === null || termText(kept.term) !== termText(heard.term)) return true;
    if (kept.seq === null && heard.seq !== null) return true;
    if (kept.history.at(-1)?.run !== heard.history.at(-1)?.run) return true;
    return heard.holds.some(({ sender, filter, cursor }) => {
      const before = kept.holds.find((one) => one.sender === sender && one.filter === filter)?.cursor;
      if (before === undefined) return true;
      if (sender !== own || !isInHistory(log, before) || !isInHistory(log, before.asOf)) {
        return cursorText(before) !== cursorText(cursor);
      }
      const changed = storage.read(({ versions }) =>
        versions?.changedSince(before.seq, { keysMax: 1, bytesMax: 1 })
      );
      return cursor.seq > before.seq && (changed?.keys.length ?? 0) > 0;
    });
  }

  #hears(told: Confirmation | null): void {
    if (told !== null) {
      this.#told.set(
        told.databaseId,
        joinConfirmations(this.#options.storage, this.#told.get(told.databaseId) ?? null, told),
      );
    }
  }

  #tell(tombstones: number, heldBack: ReadonlyMap<DatabaseId, number>, known: readonly Peer[]): void {
    this.#status = {
      tombstones,
      heldBack: [...heldBack].map(([databaseId, count]) => ({
        databaseId,
        url: known.find((peer) => peer.databaseId === databaseId)?.url ?? "",
        tombstones: count,
      })),
    };
    const many = tombstones >= limits.tombstonesWarn;
    if (many && !this.#warned) {
      const peersBehind = this.#status.heldBack.map(({ databaseId }) => databaseId).join(", ");
      this.#options.logger.warn("there are many tombstones", { tombstones, notConfirmedBy: peersBehind });
    }
    this.#warned = many;
  }

  /** Others have their turn: three quarters of the time. */
  #rest(tookMs: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const over = (): void => {
        this.#pause = null;
        resolve();
      };
      const ms = Math.max(limits.purgePauseMs, 3 * tookMs);
      this.#pause = { timer: this.#options.clock.timer(ms, over), over };
    });
  }
}

/** What the outgoing task knows of a receiver: all up to there was sent to it in that term, or needs no sending. */
function confirmationOf(
  { receiver, lastReplicated: cursor, filter }: DestinationStatus,
  own: DatabaseId,
): Confirmation | null {
  if (receiver === null || cursor === null) return null;
  return { ...receiver, seq: null, history: [], holds: [{ sender: own, filter, cursor }] };
}
