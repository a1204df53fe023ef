/** What feeds tell must be what the node's history says: every change after the beginning once, in order, and nothing else. */
import type { Operation } from "../../src/document/operation.ts";
import { isObject, parsed } from "./answers.ts";
import type { FeedLine, ToldChange } from "./feed_lines.ts";
import { LogStarts } from "./feed_log_starts.ts";
import type { History, Seen } from "./history.ts";
import { ancestorAt, commonOf, contains, entriesAfter, type Entry, tokenOf } from "./history_tree.ts";
import type { Replay } from "./replay.ts";
import type { StreamEnd } from "./feed_stream.ts";
import { Violation } from "./types.ts";

export interface FeedCheckOptions {
  readonly history: History;
  readonly replay: Replay;
  /** Virtual ms. */
  readonly now: () => number;
  /** Disks fail: a node may say so. */
  readonly failures: boolean;
}

/** How a feed was asked for. */
export interface FeedAsk {
  readonly client: string;
  readonly machine: string;
  /** A position that was told before, where the log begins, or, null, from now on. */
  readonly since: string | "start" | null;
  /** Null: of all. */
  readonly collection: string | null;
  readonly once: boolean;
  readonly limit: number | null;
}

export class FeedCheck {
  readonly counts: Record<string, number> = {};
  readonly options: FeedCheckOptions;
  readonly starts = new LogStarts();

  constructor(options: FeedCheckOptions) {
    this.options = options;
  }

  /** After each event of a node. */
  look(node: Seen): void {
    this.starts.look(node, this.options.now());
  }

  /** A feed that is asked for now. */
  begin(ask: FeedAsk): FollowedFeed {
    return new FollowedFeed(this, ask);
  }

  count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
  }
}

/** One feed from its request to its end. What it does not throw, is as it should be. `at`: when the node said it, virtual ms. */
export class FollowedFeed {
  readonly ask: FeedAsk;
  readonly #check: FeedCheck;
  readonly #askedAt: number;
  /** Everything up to here was told; null: nothing was said yet. */
  #cursor: Entry | null = null;
  /** Changes of an entry whose last one is still to come. */
  #inside: ToldChange[] = [];
  #begunAt = Infinity;
  #told = 0;
  /** So many before the last entry of which something was told. */
  #toldBefore = 0;
  #over: "end" | "failure" | null = null;
  #isLost = false;

  constructor(check: FeedCheck, ask: FeedAsk) {
    this.#check = check;
    this.ask = ask;
    this.#askedAt = check.options.now();
  }

  /** Where to go on; null: nothing was said. */
  get position(): string | null {
    return this.#cursor === null ? null : tokenOf(this.#cursor);
  }

  /** It was said that this history cannot be gone on with. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** The first line was taken at this time. */
  get begunAt(): number {
    return this.#begunAt;
  }

  /** It was not let in. */
  refused(status: number, text: string, at: number): void {
    const body = parsed(text), { options: { failures } } = this.#check;
    if (!isObject(body)) throw this.#wrong(`it was answered ${status} ${text.slice(0, 300)}`);
    const { code } = body, { since } = this.ask;
    this.#isLost = code === "position_lost";
    this.#check.count(`refused ${code === "position_lost" && "firstSeq" in body ? "compacted" : code}`);
    if (status === 503 && (code === "busy" || code === "closing" || code === "not_ready")) return;
    if (status === 500 && failures) return;
    const entry = since === null ? null : this.#check.options.history.byToken(since);
    const expected = status === 410 && code === "position_lost" || status === 503 && code === "not_caught_up";
    if (!expected || entry === null) throw this.#wrong(`it was answered ${status} ${text.slice(0, 300)}`);
    const tips = this.#tips(at);
    if (code === "not_caught_up") {
      if (tips.every((tip) => contains(tip, entry))) {
        throw this.#wrong(`not_caught_up, and it held ${since} all the time`);
      }
    } else if ("firstSeq" in body) this.#compacted(entry, body["firstSeq"], at);
    else {
      const lost = tips.filter((tip) => !contains(tip, entry) && !contains(entry, tip));
      if (lost.length === 0) throw this.#wrong(`position_lost, and ${since} never was in another history`);
      if (!lost.some((tip) => isLastInCommon(body["lastInCommon"], tip, entry))) {
        throw this.#wrong(`position_lost, and ${body["lastInCommon"]} is not what is in common`);
      }
    }
  }

  line(line: FeedLine, at: number): void {
    if (this.#over !== null) {
      throw this.#wrong(`it goes on after its end: ${JSON.stringify(line).slice(0, 300)}`);
    }
    if (line.kind === "failure") return this.#failed(line.code, line.body, at);
    if (line.kind === "word") return;
    if (this.#cursor === null) return this.#begins(line, at);
    if (line.kind === "change") return this.#changed(line.change, this.#cursor, at);
    if (this.#inside.length > 0) {
      throw this.#wrong(`an entry ends without its position before ${line.position}`);
    }
    this.#cursor = this.#upTo(line.position, this.#cursor, at);
    if (line.kind === "end") this.#ends(this.#cursor, at);
  }

  /** Nothing more comes. */
  ended(end: StreamEnd, at: number): void {
    this.#checkInside(at);
    this.#check.count(`ends ${this.#over ?? end}`);
    if (end === "whole" && this.#over === null && this.#cursor !== null) {
      throw this.#wrong("it ended without a word");
    }
  }

  /** The node rests: everything up to where its log ended `forMs` ago was told. */
  rests(forMs: number): void {
    const from = this.#cursor;
    if (from === null || this.#over !== null) return;
    const { history, now } = this.#check.options, at = now() - forMs;
    const [tip] = history.tipsBetween(this.ask.machine, at, at) as [Entry];
    if (contains(from, tip)) return void this.#check.count("at rest");
    if (!contains(tip, from)) {
      throw this.#wrong(`it stays at ${tokenOf(from)}, and the node is at ${tokenOf(tip)}`);
    }
    this.#nothingMissed(from, tip, `at rest, at ${tokenOf(tip)}`);
    this.#check.count("at rest");
  }

  #begins(line: Exclude<FeedLine, { kind: "failure" | "word" }>, at: number): void {
    if (line.kind !== "position") throw this.#wrong(`it begins with ${JSON.stringify(line).slice(0, 300)}`);
    const { position } = line, { since, machine } = this.ask, entry = this.#held(position, at);
    const fits = since === null
      ? this.#tips(at).includes(entry)
      : since === "start"
      ? this.#check.starts.between(machine, this.#askedAt, at).includes(entry.seq + 1)
      : position === since;
    if (!fits) throw this.#wrong(`it begins at ${position}`);
    this.#cursor = entry;
    this.#begunAt = this.#check.options.now();
    this.#check.count("followed");
  }

  #changed(change: ToldChange, from: Entry, at: number): void {
    const { position, seq } = change, [first] = this.#inside;
    if (first !== undefined && first.seq !== seq) {
      throw this.#wrong(`entry ${first.seq} ends without its position before ${seq}`);
    }
    this.#inside.push(change);
    if (position === null) return;
    const entry = this.#held(position, at), told = this.#inside;
    if (!contains(entry, from)) {
      throw this.#wrong(`after ${tokenOf(from)} it tells of ${position}, which does not come after it`);
    }
    if (entry === from) throw this.#wrong(`it tells of ${position} again`);
    if (entry.seq !== seq) throw this.#wrong(`entry ${seq} is told as ${position}`);
    this.#nothingMissed(
      from,
      entry.run.entries[entry.seq - 1 - entry.run.first] ?? entry.run.parent as Entry,
      position,
    );
    const wanted = this.#wanted(entry);
    this.#same(told, wanted, entry);
    if (told.length < wanted.length) throw this.#wrong(`it misses ${wanted[told.length]} of ${position}`);
    this.#inside = [];
    this.#cursor = entry;
    this.#toldBefore = this.#told;
    this.#told += told.length;
    this.#check.count("changes", told.length);
  }

  /** The entry of `position`, with nothing to tell on the way to it. */
  #upTo(position: string, from: Entry, at: number): Entry {
    const entry = this.#held(position, at);
    if (!contains(entry, from)) throw this.#wrong(`it goes from ${tokenOf(from)} to ${position}`);
    this.#nothingMissed(from, entry, position);
    return entry;
  }

  #ends(entry: Entry, at: number): void {
    const { once, limit } = this.ask;
    this.#over = "end";
    const fits = once
      ? this.#tips(at).some(({ seq }) => seq === entry.seq)
      : limit !== null && this.#told >= limit && this.#toldBefore < limit;
    if (!fits) throw this.#wrong(`it ends at ${tokenOf(entry)} after ${this.#told} changes`);
  }

  #failed(code: string, body: Readonly<Record<string, unknown>>, at: number): void {
    const from = this.#cursor, { failures } = this.#check.options;
    this.#checkInside(at);
    this.#inside = [];
    this.#over = "failure";
    this.#isLost = code === "position_lost";
    this.#check.count(`told ${code === "position_lost" && "firstSeq" in body ? "compacted" : code}`);
    if (code === "closing" || (code === "internal" && failures)) return;
    if (code !== "position_lost" || from === null) throw this.#wrong(`it fails: ${JSON.stringify(body)}`);
    if ("firstSeq" in body) return this.#compacted(from, body["firstSeq"], at);
    const tips = this.#tips(at);
    const left = tips.some((tip, i) => tips.slice(0, i).some((earlier) => !contains(tip, earlier)));
    if (!left && !this.#isNameLost(from, tips, at)) {
      throw this.#wrong(`position_lost after ${tokenOf(from)}, and the node has gone no other way`);
    }
  }

  #compacted({ seq }: Entry, first: unknown, at: number): void {
    const starts = this.#check.starts.between(this.ask.machine, this.#askedAt, at);
    const fits = starts.some((start) => start === first && seq + 1 < start);
    if (!fits) throw this.#wrong(`the log is said to begin at ${first}, it began at ${starts.join(" and ")}`);
  }

  /** A collection was dropped whose beginning is not in the log any more. */
  #isNameLost(from: Entry, tips: readonly Entry[], at: number): boolean {
    const { replay } = this.#check.options;
    const first = Math.max(...this.#check.starts.between(this.ask.machine, this.#askedAt, at));
    const isLost = (tip: Entry) => (operation: Operation): boolean => {
      if (!("collection" in operation) || operation.kind === "createCollection") return false;
      if (replay.nameAt(tip, operation.collection) !== null) return false;
      return beginningOf(tip, operation.collection) < first;
    };
    return tips.some((tip) =>
      contains(tip, from) && entriesAfter(tip, from).some(({ operations }) => operations.some(isLost(tip)))
    );
  }

  /** The entry of a position, which the machine held. */
  #held(position: string, at: number): Entry {
    const entry = this.#check.options.history.byToken(position);
    if (entry === null) throw this.#wrong(`nobody ever had ${position}`);
    if (!this.#tips(at).some((tip) => contains(tip, entry))) {
      throw this.#wrong(`${this.ask.machine} did not hold ${position}`);
    }
    return entry;
  }

  /** Nothing is to be told after `from`, up to and with `to`. */
  #nothingMissed(from: Entry, to: Entry, where: string): void {
    for (const entry of entriesAfter(to, from)) {
      const [missed] = this.#wanted(entry);
      if (missed !== undefined) {
        throw this.#wrong(`it misses ${missed} of ${tokenOf(entry)}, before ${where}`);
      }
    }
  }

  /** What is told inside an entry that broke off there begins some entry that comes next. */
  #checkInside(at: number): void {
    const [first] = this.#inside, from = this.#cursor;
    if (first === undefined || from === null) return;
    const thrown: unknown[] = [];
    for (const tip of this.#tips(at)) {
      const entry = ancestorAt(tip, first.seq), before = ancestorAt(tip, first.seq - 1);
      if (entry === null || before === null || !contains(before, from)) continue;
      try {
        this.#nothingMissed(from, before, tokenOf(entry));
        return this.#same(this.#inside, this.#wanted(entry), entry);
      } catch (violation) {
        thrown.push(violation);
      }
    }
    throw thrown[0] ??
      this.#wrong(`it tells of entry ${first.seq}, which does not come after ${tokenOf(from)}`);
  }

  /** Those told are the first ones of those wanted. */
  #same(told: readonly ToldChange[], wanted: readonly string[], entry: Entry): void {
    told.forEach(({ rest }, i) => {
      const text = JSON.stringify(rest);
      if (text === wanted[i]) return;
      throw this.#wrong(
        `of ${tokenOf(entry)} it tells ${text.slice(0, 500)} instead of ${wanted[i] ?? "nothing"}`,
      );
    });
  }

  /** What is to be told of an entry, as JSON. */
  #wanted(entry: Entry): readonly string[] {
    const { collection: only } = this.ask, { replay } = this.#check.options, found: string[] = [];
    for (const operation of entry.operations) {
      const { kind } = operation;
      if (!("collection" in operation)) continue;
      if (kind === "term" || kind === "createIndex" || kind === "dropIndex") continue;
      const name = replay.everNameAt(entry, operation.collection);
      if (name === null) throw this.#wrong(`${tokenOf(entry)} is of a collection that never began`);
      const wanted = only === null || only.toLowerCase() === name.toLowerCase();
      if (wanted && !name.startsWith("_")) found.push(textOf(operation, entry, name));
    }
    return found;
  }

  #tips(at: number): readonly Entry[] {
    return this.#check.options.history.tipsBetween(this.ask.machine, this.#askedAt, at);
  }

  #wrong(what: string): Violation {
    const { client, machine, since, collection, once, limit } = this.ask;
    const asked = JSON.stringify({ since, collection, once, limit });
    return new Violation(
      "feeds",
      `${client} followed ${machine} from ${this.#askedAt.toFixed(2)} on, ${asked}: ${what}`,
    );
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function textOf(operation: Operation, entry: Entry, collection: string): string {
  const { kind: op } = operation, time = new Date(entry.wallMs).toISOString(), etag = tokenOf(entry);
  if (op === "delete") return JSON.stringify({ op, collection, id: operation.id, time });
  if (op !== "put") return JSON.stringify({ op, collection, time });
  const { id, body } = operation, members = JSON.parse(decoder.decode(body)) as object;
  const document = { _id: id, _etag: etag, ...members };
  return JSON.stringify({ op, collection, id, etag, time, document });
}

/** Seq of the entry with which a collection began in the history of `tip`; Infinity: it did not. */
function beginningOf(tip: Entry, collection: number): number {
  for (let seq = tip.seq; seq > 0; seq--) {
    const begins = ancestorAt(tip, seq)?.operations.some((operation) =>
      operation.kind === "createCollection" && operation.collection === collection
    );
    if (begins === true) return seq;
  }
  return Infinity;
}

/** Null: nothing of that run is there. */
function isLastInCommon(told: unknown, tip: Entry, lost: Entry): boolean {
  const common = commonOf(tip, lost);
  return common.run === lost.run ? told === tokenOf(common) : told === null;
}
