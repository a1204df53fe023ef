/** A client that follows feeds of changes: of one node or another, over breaks, going on from where it was. */
import { limits } from "../../src/base/limits.ts";
import type { Chance } from "./chance.ts";
import type { FeedAsk, FeedCheck, FollowedFeed } from "./feed_check.ts";
import { type FeedForm, FeedLines } from "./feed_lines.ts";
import type { Stream, StreamEnd, StreamTaker } from "./feed_stream.ts";
import type { Ask } from "./types.ts";

/** What it has around it. */
export interface FeedWorld {
  /** Virtual ms. */
  readonly now: number;
  chance(name: string): Chance;
  /** Resolves in `ms` of virtual time. */
  after(ms: number): Promise<void>;
  machines(): readonly string[];
  /** Without a slash at its end. */
  url(machine: string): string;
  follow(from: string, url: string, ask: Ask, taker: StreamTaker): Stream;
  /** `thrown` ends the world. */
  fail(thrown: unknown): void;
}

export interface FeedClientOptions {
  readonly name: string;
  /** Machine from which it asks. */
  readonly host: string;
  readonly collections: readonly string[];
}

/** Time without a word after which a feed is taken for dead. */
const silentMs = (): number => 2 * limits.feedWordMs + 1_000;

/** A feed that began this long ago at a node that rests has told everything. */
const restMs = 1_000;

/** Positions that it remembers. */
const rememberedMax = 20;

export class FeedClient {
  readonly #world: FeedWorld;
  readonly #check: FeedCheck;
  readonly #options: FeedClientOptions;
  readonly #draw: Chance;
  /** Positions that were told, the newest last. */
  readonly #positions: string[] = [];
  #machine: string | null = null;
  #feed: FollowedFeed | null = null;
  #stream: Stream | null = null;
  #heardAt = 0;
  #peace = false;
  #stopped = false;

  constructor(world: FeedWorld, check: FeedCheck, options: FeedClientOptions) {
    this.#world = world;
    this.#check = check;
    this.#options = options;
    this.#draw = world.chance(`feed ${options.name}`);
  }

  /** Resolves after `stop`, when no feed is open any more. */
  async run(): Promise<void> {
    const world = this.#world, draw = this.#draw;
    await world.after(draw.between(0, 1_000));
    while (!this.#stopped) {
      const taken = await this.#follow(this.#asked());
      await world.after(taken ? draw.between(0, 500) : draw.between(100, 1_500));
    }
  }

  /** From now on it stays where it is, and takes what comes at once. */
  peace(): void {
    this.#peace = true;
  }

  /** No feed is asked for any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** The nodes rest: throws where its feed does not know everything. Of a node that ended without a word it may not have heard so yet. */
  rests(): void {
    const feed = this.#feed;
    if (feed === null || this.#stream?.connected !== true) return;
    if (this.#world.now - feed.begunAt >= restMs) feed.rests(restMs);
  }

  #asked(): FeedAsk {
    const draw = this.#draw, { name: client, collections } = this.#options, { length } = this.#positions;
    if (this.#machine === null || draw.flip(0.4)) this.#machine = draw.pick(this.#world.machines());
    const which = draw.float(), last = this.#positions[length - 1], old = draw.below(Math.max(1, length));
    const since = last === undefined
      ? draw.pick([null, "start"])
      : which < 0.85
      ? last
      : which < 0.95
      ? this.#positions[old] as string
      : "start";
    const named = draw.pick(collections), small = draw.flip(0.3) ? named.toUpperCase() : named;
    const kind = draw.float(), limit = draw.pick([1, 2, 5]);
    return {
      client,
      machine: this.#machine,
      since,
      collection: draw.flip(0.35) ? small : null,
      once: !this.#peace && kind < 0.1,
      limit: !this.#peace && kind > 0.85 ? limit : null,
    };
  }

  /** From the request to the end; true: something was told. */
  async #follow(ask: FeedAsk): Promise<boolean> {
    const world = this.#world, draw = this.#draw, form: FeedForm = draw.pick(["ndjson", "events"]);
    const feed = this.#feed = this.#check.begin(ask), lines = new FeedLines(form), { host } = this.#options;
    const slowMs = draw.flip(0.5) ? 0 : draw.pick([50, 500, 3_000]);
    const leavesAt = draw.flip(0.5) ? world.now + draw.between(0, 8_000) : Infinity;
    const byHeader = form === "events" && draw.flip(0.5);
    let over = false, refusal: number | null = null, text = "";
    const safely = (run: () => void): void => {
      try {
        run();
      } catch (thrown) {
        world.fail(thrown);
      }
    };
    const ended = (end: StreamEnd, at: number): void => {
      over = true;
      safely(() => {
        if (refusal === null) feed.ended(end, at);
        else if (end === "whole") feed.refused(refusal, text, at);
      });
    };
    this.#heardAt = world.now;
    const stream = this.#stream = world.follow(host, world.url(ask.machine), request(ask, form, byHeader), {
      answered: (status) => {
        this.#heardAt = world.now;
        if (status !== 200) refusal = status;
      },
      piece: (piece, at) => {
        this.#heardAt = world.now;
        if (refusal !== null) text += piece;
        else safely(() => lines.add(piece).forEach((line) => feed.line(line, at)));
        return this.#peace ? 0 : slowMs;
      },
      over: ended,
    });
    while (!over) {
      await world.after(500);
      const leaves = !this.#peace && world.now >= leavesAt;
      if (over || !(leaves || world.now - this.#heardAt > silentMs())) continue;
      stream.hangUp();
      ended("lost", world.now);
    }
    this.#feed = null;
    this.#learn(feed);
    return refusal === null && feed.position !== null;
  }

  #learn(feed: FollowedFeed): void {
    const { position, ask: { since } } = feed, known = this.#positions;
    if (feed.isLost) known.splice(0);
    else if (position !== null && position !== since) known.push(position);
    if (known.length > rememberedMax) known.shift();
  }
}

function request({ since, collection, once, limit }: FeedAsk, form: FeedForm, byHeader: boolean): Ask {
  const query = new URLSearchParams(), headers: Record<string, string> = {};
  if (since !== null) {
    if (byHeader && since !== "start") {
      headers["last-event-id"] = since;
      query.set("since", "0"); // the header is newer
    } else query.set("since", since);
  }
  if (collection !== null) query.set("collection", collection);
  if (once) query.set("once", "true");
  if (limit !== null) query.set("limit", `${limit}`);
  if (form === "events") headers["accept"] = "text/event-stream";
  return { method: "GET", path: `/changes?${query}`, headers };
}
