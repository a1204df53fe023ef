/** Databases that are all masters, with stores of a few lines and a net that loses, delays and repeats; in virtual time. */
import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import { monotonicMsOf } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { outgoing } from "../../src/multimaster/outgoing.ts";
import type {
  Cursor,
  Outgoing,
  OutgoingEffect,
  OutgoingInput,
} from "../../src/multimaster/outgoing_events.ts";
import type { Version } from "./master_store.ts";
import { MasterStore } from "./master_store.ts";
import { databaseOf, destinationOf, termOf, urlOf } from "./outgoing_rig.ts";

type ToReceiver = Extract<OutgoingEffect, { type: "askLastEtag" | "post" | "putCursor" }>;

/** One database with the task of its present leadership. */
class Master {
  readonly store: MasterStore;
  machine: Outgoing;
  up = true;
  /** Numbers of leaderships: what comes for an earlier one is not for this one. */
  leadership = 0;
  readonly batches = new Map<number, { readonly versions: readonly Version[]; readonly upTo: Cursor }>();
  /** The one request of each destination that is under way. */
  readonly asked = new Map<string, number>();
  committed = false;

  constructor(digit: string) {
    this.store = new MasterStore(digit);
    this.machine = made(digit);
  }
}

const made = (digit: string): Outgoing =>
  outgoing({ databaseId: databaseOf(digit), batchItems: 8, cursorVersions: 10 });

export interface WorldOptions {
  readonly random: Prng;
  /** To whom each one sends, by its digit. */
  readonly links: Readonly<Record<string, readonly string[]>>;
  readonly transitive: boolean;
}

export class MastersWorld {
  readonly masters = new Map<string, Master>();
  now = 0;
  /** Requests are lost, late and repeated, and nobody answers for them. */
  faults = true;
  /** Batches and cursors that receivers were given. */
  sent = 0;
  asks = 0;
  readonly #options: WorldOptions;
  readonly #events: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  #order = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    for (const digit of Object.keys(options.links)) this.masters.set(digit, new Master(digit));
    for (const master of this.masters.values()) this.#start(master);
  }

  master(digit: string): Master {
    const master = this.masters.get(digit);
    assert.ok(master !== undefined, `no master ${digit}`);
    return master;
  }

  write(digit: string, key: string): void {
    const master = this.master(digit);
    if (!master.up) return;
    master.store.write(key);
    this.#committed(master);
  }

  /** Another node leads; what came after `seq` was lost with the old one. */
  failOver(digit: string, lost: number): void {
    const master = this.master(digit);
    this.#feed(master, { type: "stop" });
    master.store.failOver(Math.max(0, master.store.last - lost));
    this.#start(master);
  }

  stop(digit: string): void {
    const master = this.master(digit);
    this.#feed(master, { type: "stop" });
    master.up = false;
  }

  restart(digit: string): void {
    const master = this.master(digit);
    if (master.up) return;
    master.up = true;
    this.#start(master);
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const event = this.#events[0];
      let at = event?.at ?? Infinity, due: Master | null = null;
      for (const master of this.masters.values()) {
        const deadline = master.machine.deadline ?? Infinity;
        if (deadline < at) [at, due] = [deadline, master];
      }
      if (at > end) break;
      this.now = Math.max(this.now, at);
      if (due !== null) this.#feed(due, { type: "tick" });
      else this.#events.shift()?.run();
    }
    this.now = end;
  }

  #at(delayMs: number, run: () => void): void {
    const event = { at: this.now + delayMs, order: this.#order++, run };
    let place = this.#events.length;
    while (place > 0 && (this.#events[place - 1]?.at ?? 0) > event.at) place--;
    this.#events.splice(place, 0, event);
  }

  #start(master: Master): void {
    const { digit } = master.store;
    master.machine = made(digit);
    master.leadership++;
    master.batches.clear();
    master.asked.clear();
    const behavior = this.#options.transitive ? "Replicate" : "None";
    const destinations = (this.#options.links[digit] ?? []).map((to) =>
      // The address of a follower, of whom there is one for some.
      destinationOf({ Url: urlOf(to === "b" ? "b-follower" : to), TransitiveReplicationBehavior: behavior })
    );
    const sources = master.store.senders.map(urlOf);
    this.#feed(master, { type: "start", destinations, problems: [], sources, failures: new Map() });
  }

  #committed(master: Master): void {
    if (master.committed) return;
    master.committed = true;
    this.#at(0, () => {
      master.committed = false;
      if (master.up) this.#feed(master, { type: "committed" });
    });
  }

  #feed(master: Master, input: OutgoingInput): void {
    if (!master.up && input.type !== "stop") return;
    for (const effect of master.machine.step(input, monotonicMsOf(this.now))) this.#perform(master, effect);
  }

  /** Answers this leadership of `master`, if it is still there. */
  #answer(master: Master, delayMs: number, input: () => OutgoingInput): void {
    const { leadership } = master;
    this.#at(delayMs, () => {
      if (master.leadership === leadership) this.#feed(master, input());
    });
  }

  #perform(master: Master, effect: OutgoingEffect): void {
    const { random } = this.#options;
    if ("request" in effect && "destination" in effect) {
      const before = master.asked.get(effect.destination.url);
      assert.equal(before, undefined, "one request of a destination at a time");
      master.asked.set(effect.destination.url, effect.request);
    }
    switch (effect.type) {
      case "giveUp":
        return this.#settled(master, effect.request);
      case "release":
        master.batches.delete(effect.batch);
        return;
      case "findCommon": {
        const { request, cursor, receiver } = effect;
        const theirs = this.master(receiver.databaseId.slice(0, 1)).store;
        return this.#answer(master, random.below(3), () => {
          this.#settled(master, request);
          return { type: "common", request, after: master.store.common(cursor, theirs) };
        });
      }
      case "readBatch": {
        const { request, receiver, after, items, destination } = effect;
        const theirs = this.master(receiver.databaseId.slice(0, 1)).store;
        return this.#answer(master, random.below(3), () => {
          this.#settled(master, request);
          const { versions, skipped, upTo, more } = master.store.read(
            after,
            items,
            theirs,
            destination.transitive,
          );
          master.batches.set(request, { versions, upTo });
          return { type: "read", request, count: versions.length, skipped, upTo, more };
        });
      }
      case "askLastEtag":
      case "post":
      case "putCursor":
        return this.#send(master, effect);
      case "heartbeat": {
        const to = digitOf(effect.url), url = urlOf(master.store.digit), { databaseId } = this.#me(master);
        return this.#at(random.below(20), () => {
          if (this.masters.has(to)) this.#feed(this.master(to), { type: "heartbeat", url, databaseId });
        });
      }
    }
  }

  #me({ store }: Master) {
    return { databaseId: databaseOf(store.digit), term: termOf(store.digit, store.epoch) };
  }

  #settled(master: Master, request: number): void {
    for (const [url, number] of master.asked) if (number === request) master.asked.delete(url);
  }

  #send(master: Master, effect: ToReceiver): void {
    const { random } = this.#options, { request } = effect, to = this.master(digitOf(effect.url));
    const batch = effect.type === "post" ? master.batches.get(effect.batch) : undefined;
    assert.equal(effect.type === "post", batch !== undefined, "a batch is kept until it is released");
    const trouble = this.faults ? random.below(20) : 20;
    // Each way: lost, so slow that nobody waits for it any more, or a few milliseconds.
    const delay = (): number => trouble === 1 ? 400 + random.below(5_000) : 1 + random.below(20);
    const answer = (input: () => OutgoingInput): void => {
      if (trouble !== 2) {
        this.#answer(master, delay(), () => (this.#settled(master, request), input()));
      }
    };
    if (trouble === 0) return;
    this.#at(delay(), () => {
      if (!to.up || trouble === 3) {
        return answer(() => ({ type: "failed", request, error: new DfdbError("unreachable", "refused") }));
      }
      if (effect.url.includes("-follower")) {
        const leader = { url: urlOf(to.store.digit), databaseId: databaseOf(to.store.digit) };
        return answer(() => ({ type: "failed", request, error: new DfdbError("not_leader", "no"), leader }));
      }
      this.#take(master, to, effect, batch);
      const cursor = to.store.cursorOf(master.store.digit), me = this.#me(to);
      answer(() => ({ type: "answered", request, answer: { ...me, cursor } }));
    });
  }

  /** What the receiver stores, if anything; then nothing before its cursor may be missing there. */
  #take(
    from: Master,
    to: Master,
    effect: ToReceiver,
    batch: { readonly versions: readonly Version[]; readonly upTo: Cursor } | undefined,
  ): void {
    if (effect.type === "askLastEtag") return void this.asks++;
    this.sent++;
    if (effect.receiver.term.run !== this.#me(to).term.run) return;
    const { digit } = from.store;
    const changed = batch === undefined
      ? effect.type === "putCursor" && to.store.putCursor(digit, effect.cursor)
      : to.store.receive(digit, batch.versions, batch.upTo);
    if (changed) this.#committed(to);
    const missing = from.store.missingAt(to.store, effect.destination.transitive);
    assert.deepEqual(missing, [], `${to.store.digit} lacks what is before its cursor for ${digit}`);
  }
}

function digitOf(url: string): string {
  return new URL(url).hostname.slice(0, 1);
}
