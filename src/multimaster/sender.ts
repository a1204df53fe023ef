/**
 * Sends what a database writes to its destinations while it leads. What is done when is decided by the outgoing task (`outgoing.ts`); here its effects are carried
 * out: the database is read in slices, receivers are asked over HTTP, and what comes back is fed to it.
 */
import { assert } from "../base/assert.ts";
import { hex, utf8 } from "../base/bytes.ts";
import { crash, Driver } from "../base/driver.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, Seq, WallMs } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import type { Clock, Crypto, Runtime, Timer } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import type { Destination, DestinationProblem, Destinations } from "./destinations.ts";
import { readDestinations } from "./destinations.ts";
import { findCommon } from "./find_common.ts";
import type { OutgoingOptions } from "./outgoing.ts";
import { outgoing } from "./outgoing.ts";
import type { DestinationStatus, Outgoing, OutgoingEffect, OutgoingInput } from "./outgoing_events.ts";
import type { Address, Reply } from "./receiver_client.ts";
import { ReceiverClient } from "./receiver_client.ts";
import { sameReceiver } from "./receiver_memory.ts";
import type { ToldHistory } from "./receiver_history.ts";
import { relianceOf } from "./reliance.ts";
import { RunHeights } from "./run_heights.ts";
import type { Batch } from "./sender_link.ts";
import { Link } from "./sender_link.ts";
import { readVersions } from "./sender_reading.ts";
import { Slices } from "./sender_slices.ts";
import { sources } from "./sources.ts";
import { systemCollection } from "./system_documents.ts";

/** Failures as the node keeps them: they are its own, not the database's. */
export interface FailureNotes {
  /** Failures in a row, by URL. */
  read(): ReadonlyMap<string, number>;
  /** Each time that a failure counts. */
  note(destination: Destination, count: number, error: DfdbError, wallMs: WallMs): void;
  clear(url: string): void;
}

export interface SenderOptions extends Omit<OutgoingOptions, "databaseId"> {
  readonly storage: Storage;
  readonly committed: Signal<Position>;
  readonly clock: Clock;
  readonly fetch: Runtime["fetch"];
  readonly sha256: Crypto["sha256"];
  readonly logger: Logger;
  /** Base URL of this database, by which others know it; asked anew for each request. */
  readonly ownUrl: () => string;
  /** The key of this node's own, for destinations without one; null: none. Asked anew for each request. */
  readonly apiKey: () => string | null;
  readonly failures: FailureNotes;
  /** Called with each database that answers, each time. */
  readonly met?: (databaseId: DatabaseId, url: string) => void;
}

export interface SenderStatus {
  /** In the order of the document. */
  readonly destinations: readonly DestinationStatus[];
  readonly problems: readonly DestinationProblem[];
  /** Since the start. */
  readonly passes: number;
}

/** For one leadership. */
export interface Sender {
  readonly status: SenderStatus;
  /** This node leads now, and its database has the bundle. */
  start(): void;
  /** A node says that it has just started; `url`: of its database. */
  heartbeat(url: string, databaseId: DatabaseId): void;
  /** The leadership has ended: gives up all that is under way, at once. Resolves when nothing of it is left. */
  stop(): Promise<void>;
}

export function sender(options: SenderOptions): Sender {
  return new Shell(options);
}

const destinationsId = documentIdOf("Replication/Destinations");

type Effect<Type extends OutgoingEffect["type"]> = Extract<OutgoingEffect, { type: Type }>;

class Shell implements Sender {
  readonly #options: SenderOptions;
  readonly #machine: Outgoing;
  readonly #driver: Driver<OutgoingInput, OutgoingEffect>;
  readonly #client: ReceiverClient;
  readonly #slices: Slices;
  readonly #heights = new RunHeights();
  /** By what a cursor belongs to. */
  readonly #links = new Map<string, Link>();
  /** What receivers told with the answer that is being judged, by the same. */
  readonly #histories = new Map<string, ToldHistory>();
  /** Gives a request up, by its number. */
  readonly #open = new Map<number, () => void>();
  readonly #batches = new Map<number, Batch>();
  readonly #calls = new Set<Promise<void>>();
  readonly #aborts = new Set<AbortController>();
  #unsubscribe = (): void => {};
  #phase: "new" | "started" | "stopped" = "new";
  #looks = false;
  /** Something that was dropped is on its way into the table of versions, of which no commit tells. */
  #dropping: Timer | null = null;
  /** Last change of the document that says who is sent to; 0: there is none. */
  #listed: Seq = seqOf(0);

  constructor(options: SenderOptions) {
    this.#options = options;
    const { storage: { databaseId }, clock, fetch, ownUrl } = options;
    this.#machine = outgoing({ ...options, databaseId });
    this.#driver = new Driver(this.#machine, clock, (effect) => this.#perform(effect));
    this.#client = new ReceiverClient({ fetch, ownUrl, databaseId, reliance: relianceOf(options.storage) });
    this.#slices = new Slices(clock);
  }

  get status(): SenderStatus {
    const { status: destinations, problems, passes } = this.#machine;
    return { destinations, problems, passes };
  }

  start(): void {
    assert(this.#phase === "new", "a sender is started once");
    this.#phase = "started";
    const { storage, committed, failures } = this.#options;
    this.#unsubscribe = committed.subscribe(() => this.#committed());
    this.#listed = this.#listedNow() ?? this.#listed;
    const urls = new Set(storage.read(sources).map(({ url }) => url));
    this.#driver.feed({ type: "start", ...this.#list(), sources: [...urls], failures: failures.read() });
  }

  heartbeat(url: string, databaseId: DatabaseId): void {
    if (this.#phase === "started") this.#driver.feed({ type: "heartbeat", url, databaseId });
  }

  async stop(): Promise<void> {
    if (this.#phase === "started") {
      this.#driver.feed({ type: "stop" });
      this.#unsubscribe();
      this.#dropping?.cancel();
    }
    this.#phase = "stopped";
    for (const giveUp of [...this.#open.values()]) giveUp();
    for (const abort of this.#aborts) abort.abort(new Error("This node does not lead any more"));
    this.#open.clear();
    this.#batches.clear();
    while (this.#calls.size > 0) await Promise.all(this.#calls);
  }

  /** However much is committed until the next macrotask, it is looked at once. */
  #committed(): void {
    if (this.#looks) return;
    this.#looks = true;
    this.#options.clock.macrotask(() => {
      this.#looks = false;
      if (this.#phase !== "started") return;
      const listed = this.#listedNow();
      if (listed === null) return;
      if (listed === this.#listed) return this.#driver.feed({ type: "committed" });
      this.#listed = listed;
      this.#driver.feed({ type: "destinations", ...this.#list() });
    });
  }

  #lookAgain(): void {
    this.#dropping ??= this.#options.clock.timer(limits.masterDroppingMs, () => {
      this.#dropping = null;
      this.#committed();
    });
  }

  /** Null: the disk failed, and the node is about to end. */
  #listedNow(): Seq | null {
    try {
      return this.#options.storage.read((view) => {
        const system = view.collection(systemCollection);
        return system === null ? seqOf(0) : view.documentSeq(system.number, destinationsId);
      });
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      return null;
    }
  }

  #list(): Destinations {
    const list = readDestinations(
      this.#options.storage.read((view) => {
        const system = view.collection(systemCollection);
        return system === null ? null : view.document(system.number, destinationsId)?.body ?? null;
      }),
    );
    const keys = new Set(list.destinations.map(keyOf));
    for (const map of [this.#links, this.#histories]) {
      for (const key of map.keys()) if (!keys.has(key)) map.delete(key);
    }
    return list;
  }

  #perform(effect: OutgoingEffect): void {
    switch (effect.type) {
      case "askLastEtag":
        return this.#ask(effect, (to, signal) => this.#client.lastEtag(to, signal));
      case "putCursor": {
        const { receiver, cursor } = effect;
        return this.#ask(effect, (to, signal) => this.#client.putCursor(to, receiver, cursor, signal));
      }
      case "post":
        return this.#post(effect);
      case "findCommon":
        return this.#findCommon(effect);
      case "readBatch":
        return this.#readBatch(effect);
      case "release":
        return void this.#batches.delete(effect.batch);
      case "giveUp":
        this.#open.get(effect.request)?.();
        return void this.#open.delete(effect.request);
      case "noteFailure": {
        const { clock, failures } = this.#options, { destination, count, error } = effect;
        return failures.note(destination, count, error, clock.wall());
      }
      case "clearFailure":
        return this.#options.failures.clear(effect.destination.url);
      case "heartbeat":
        return this.#sayHello(effect);
      case "log":
        return this.#options.logger[effect.level](effect.message, effect.fields);
    }
  }

  /** `reply` is called with what was answered before it is fed; not for a request that was given up. */
  #ask(
    { request, destination, url }: Pick<Effect<"post">, "request" | "destination" | "url">,
    send: (to: Address, signal: AbortSignal) => Promise<Reply>,
    reply: (reply: Reply) => void = () => {},
  ): void {
    const abort = new AbortController(), filter = filterText(destination.filter, this.#options.sha256);
    const to = { url, filter, apiKey: destination.apiKey ?? this.#options.apiKey() };
    this.#open.set(request, () => abort.abort(new Error("Nobody waits for the answer any more")));
    this.#call(abort, async () => {
      const answered = await send(to, abort.signal);
      if (!this.#open.delete(request)) return;
      reply(answered);
      if ("error" in answered) return this.#driver.feed({ type: "failed", request, ...answered });
      this.#options.met?.(answered.answer.databaseId, destination.url);
      this.#histories.set(keyOf(destination), answered.history);
      this.#driver.feed({ type: "answered", request, answer: answered.answer });
    });
  }

  #post(effect: Effect<"post">): void {
    const { batch: number, receiver, destination } = effect, batch = this.#batches.get(number);
    assert(batch !== undefined, "a batch is kept until it is released");
    const link = this.#link(destination), { bytes, runs } = link.body(batch);
    this.#ask(
      effect,
      (to, signal) => this.#client.post(to, receiver, batch.upTo, bytes, signal),
      (reply) => {
        if ("error" in reply) return link.doubt();
        if (!sameReceiver(receiver, reply.answer)) return;
        link.knows(runs);
        link.passed(batch.upTo, batch.next);
      },
    );
  }

  #findCommon({ request, destination, cursor, receiver }: Effect<"findCommon">): void {
    const { storage } = this.#options, key = keyOf(destination);
    const link = new Link(receiver, this.#histories.get(key) ?? []);
    this.#links.set(key, link);
    this.#work(request, findCommon(storage, cursor, link.history, this.#heights), (after) => {
      this.#driver.feed({ type: "common", request, after });
    });
  }

  #readBatch({ request, destination, after, items, bytes }: Effect<"readBatch">): void {
    const { storage, sha256 } = this.#options, link = this.#link(destination);
    const sending = { own: storage.databaseId, destination, history: link.history };
    const reading = { sending, after: link.from(after), upTo: after.seq, items, bytes, sha256 };
    this.#work(request, readVersions(storage, reading), ({ keys, tree, skipped, upTo, next }) => {
      if (keys.length === 0) link.passed(upTo, next);
      else {
        assert(tree !== null, "versions that were read have their runs");
        this.#batches.set(request, { keys, tree, upTo, next });
      }
      const count = keys.length, more = next !== null;
      if (!more && upTo.seq < upTo.asOf.seq) this.#lookAgain();
      this.#driver.feed({ type: "read", request, count, skipped, upTo, more });
    });
  }

  /** Reads the database for the request. */
  #work<Result>(
    request: number,
    work: Generator<void, Result, void>,
    done: (result: Result) => void,
  ): void {
    const failed = (error: DfdbError): void => {
      this.#open.delete(request);
      this.#driver.feed({ type: "failed", request, error });
    };
    const cancel = this.#slices.add(work, (result) => {
      this.#open.delete(request);
      done(result);
    }, failed);
    this.#open.set(request, cancel);
  }

  #sayHello({ url, apiKey }: Effect<"heartbeat">): void {
    const { clock, logger, requestMs = limits.masterRequestMsDefault } = this.#options;
    const abort = new AbortController(), key = apiKey ?? this.#options.apiKey();
    const late = clock.timer(requestMs, () => abort.abort(new Error(`No answer within ${requestMs} ms`)));
    this.#call(abort, async () => {
      const error = await this.#client.heartbeat({ url, apiKey: key }, abort.signal);
      late.cancel();
      if (error === null) return;
      logger.debug("A master was not told of the start", { url, code: error.code, error: error.message });
    });
  }

  /** What nobody foresaw ends the process. */
  #call(abort: AbortController, run: () => Promise<void>): void {
    this.#aborts.add(abort);
    const call: Promise<void> = run().catch((thrown) => crash(this.#options.clock, thrown)).then(() => {
      this.#aborts.delete(abort);
      this.#calls.delete(call);
    });
    this.#calls.add(call);
  }

  #link(destination: Destination): Link {
    const link = this.#links.get(keyOf(destination));
    assert(link !== undefined, "where the receiver stands was found out before");
    return link;
  }
}

function keyOf({ url, filter }: Destination): string {
  return `${filter} ${url}`;
}

/** Above which the names of many collections are told as their hash: they travel in a URL. */
const filterCharsMax = 1_000;

function filterText(filter: string, sha256: SenderOptions["sha256"]): string {
  return filter.length <= filterCharsMax ? filter : `sha256=${hex(sha256(utf8(filter)))}`;
}
