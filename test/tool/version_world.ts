/** Masters that write, lose, restore and tell each other versions, beside a naive model that keeps whole histories. */
import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { databaseIdOf, epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { DatabaseId, RunId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { encodeVector } from "../../src/document/change_vector.ts";
import type { Dot, RunNode } from "../../src/document/run_tree.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import type { Version, VersionSet } from "../../src/document/version_set.ts";
import { joinSets, vectorOfSet, writeOver } from "../../src/document/version_set.ts";

/** Id number `n` of a test: 32 hex digits, spread so that their order tells nothing. */
export function hexId(n: number): string {
  const spread = (salt: number): string =>
    (Math.imul(n + salt, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0");
  return spread(1) + spread(7) + spread(77) + n.toString(16).padStart(8, "0");
}

export const databaseId = (n: number): DatabaseId => databaseIdOf(hexId(1_000_000 + n));
export const runId = (n: number): RunId => runIdOf(hexId(n + 1));
export const dotOf = (run: RunId, seq: number): Dot => ({ run, seq: seqOf(seq) });
export const dotText = ({ run, seq }: Dot): string => `${run}:${seq}`;

/** A run in a tree by hand: `parent` null at the root. */
export function node(
  run: RunId,
  firstSeq: number,
  parent: RunId | null,
  database = databaseId(0),
  epoch = 1,
): RunNode {
  return { database, run, epoch: epochOf(epoch), firstSeq: seqOf(firstSeq), parent };
}

/** All that counts in a set. */
export function setText(set: VersionSet): string {
  return JSON.stringify(
    set.map(({ dot, vector, modifiedMs, body }) => [
      dotText(dot),
      vector.map(dotText),
      modifiedMs,
      body === null ? null : Array.from(body),
    ]),
  );
}

/** The naive model: of each version all dots that its writer had seen, its own included. */
export type Naive = ReadonlyMap<string, ReadonlySet<string>>;

function naiveJoin(a: Naive, b: Naive): Naive {
  const all = new Map([...a, ...b]);
  const seen = (dot: string): boolean =>
    [...all].some(([other, history]) => other !== dot && history.has(dot));
  return new Map([...all].filter(([dot]) => !seen(dot)));
}

interface Held {
  readonly set: VersionSet;
  readonly naive: Naive;
}

const nothing: Held = { set: [], naive: new Map() };

/** What one master tells another of one key. */
export interface Message extends Held {
  readonly key: string;
  readonly runs: readonly RunNode[];
}

/** What a file holds after an entry. */
interface State {
  readonly seq: number;
  readonly keys: ReadonlyMap<string, Held>;
  /** Of all databases, parents first. */
  readonly known: readonly RunNode[];
  /** Run of each of its entries; index 0 is unused. */
  readonly log: readonly (RunId | null)[];
}

/** A database that leads, with every state that a backup or a follower may have kept. */
export class Master {
  readonly database: DatabaseId;
  readonly #world: VersionWorld;
  #tree = new RunTree();
  #epoch = 0;
  #state: State = { seq: 0, keys: new Map(), known: [], log: [null] };
  #states: State[] = [this.#state];
  #run: RunId | null = null;

  constructor(world: VersionWorld, database: DatabaseId) {
    this.#world = world;
    this.database = database;
    this.#begin();
  }

  get tree(): RunTree {
    return this.#tree;
  }

  get seq(): number {
    return this.#state.seq;
  }

  get keys(): readonly string[] {
    return [...this.#state.keys.keys()];
  }

  held(key: string): Held {
    return this.#state.keys.get(key) ?? nothing;
  }

  set(key: string): VersionSet {
    return this.held(key).set;
  }

  /** A person's PUT, or DELETE (null). */
  write(key: string, text: string | null, wallMs: number = this.#world.wallMs): Version {
    const { set, naive } = this.held(key), dot = dotOf(this.#run as RunId, this.seq + 1);
    const written = writeOver(this.#tree, set, dot, wallMsOf(wallMs), text === null ? null : utf8(text));
    const history = new Set([dotText(dot)]);
    for (const seen of naive.values()) for (const other of seen) history.add(other);
    this.#commit(key, { set: written, naive: new Map([[dotText(dot), history]]) });
    return written[0] as Version;
  }

  message(key: string): Message {
    const held = this.held(key);
    const runs = held.set.flatMap(({ vector }) => vector.map(({ run }) => run));
    return { key, ...held, runs: this.#tree.lineage(runs, () => false) };
  }

  /** True when it changed something here. */
  receive({ key, set, naive, runs }: Message): boolean {
    const held = this.held(key), news = runs.filter((run) => this.#tree.add(run));
    const joined = joinSets(this.#tree, held.set, set);
    if (joined === held.set && news.length === 0) return false;
    this.#commit(key, { set: joined, naive: naiveJoin(held.naive, naive) }, news);
    return joined !== held.set;
  }

  restart(): void {
    this.#begin();
  }

  /** The state after entry `seq` leads on: an asynchronous follower's, or a backup's. */
  backTo(seq: number): void {
    this.#state = this.#states[seq] as State;
    this.#states.length = seq + 1;
    this.#tree = new RunTree();
    for (const run of this.#state.known) this.#tree.add(run);
    this.#epoch++;
    this.#begin();
  }

  #begin(): void {
    const { seq, known, keys, log } = this.#state, parent = log.at(-1) ?? null;
    const run = runId(this.#world.runs++);
    this.#epoch = Math.max(1, this.#epoch);
    const begun = node(run, seq + 1, parent, this.database, this.#epoch);
    this.#run = run;
    this.#tree.add(begun);
    this.#world.histories.set(run, [...log]);
    this.#keep({ seq: seq + 1, keys, known: [...known, begun], log: [...log, run] });
  }

  #commit(key: string, held: Held, news: readonly RunNode[] = []): void {
    const { seq, keys, known, log } = this.#state;
    this.#keep({
      seq: seq + 1,
      keys: new Map([...keys, [key, held]]),
      known: news.length === 0 ? known : [...known, ...news],
      log: [...log, this.#run],
    });
    this.#world.checked(this, key);
  }

  #keep(state: State): void {
    this.#state = state;
    this.#states.push(state);
    this.#world.histories.get(this.#run as RunId)?.push(this.#run);
  }
}

/** Checks after each change of a set that it is what the naive model holds, and that equal vectors are equal sets. */
export class VersionWorld {
  readonly masters: readonly Master[];
  /** Of each run whose entries its history is made of, by seq. */
  readonly histories = new Map<RunId, (RunId | null)[]>();
  readonly #byVector = new Map<string, string>();
  runs = 0;
  wallMs = 1_700_000_000_000;
  /** Sets that were compared with the model. */
  compared = 0;

  constructor(databases: number) {
    this.masters = Array.from({ length: databases }, (_, i) => new Master(this, databaseId(i)));
  }

  master(i: number): Master {
    return this.masters[i] as Master;
  }

  /** What the tree must say, from whole histories. */
  covers(by: Dot, dot: Dot): boolean {
    return dot.seq <= by.seq && this.histories.get(by.run)?.[dot.seq] === dot.run;
  }

  checked(master: Master, key: string): void {
    const { set, naive } = master.held(key);
    assert.deepEqual(set.map(({ dot }) => dotText(dot)).sort(), [...naive.keys()].sort());
    const vector = `${key} ${encodeVector(vectorOfSet(master.tree, set))}`, text = setText(set);
    assert.equal(this.#byVector.get(vector) ?? text, text, "equal vector, equal set");
    this.#byVector.set(vector, text);
    this.compared++;
  }

  /** Everybody tells everybody all, in random order, until nothing changes. */
  settle(random: Prng): void {
    for (let changed = true; changed;) {
      changed = false;
      const messages = this.masters.flatMap((from) =>
        this.masters.flatMap((to) =>
          from === to ? [] : from.keys.map((key) => ({ to, message: from.message(key) }))
        )
      );
      for (const { to, message } of shuffled(messages, random)) changed = to.receive(message) || changed;
    }
  }
}

export function shuffled<Value>(list: readonly Value[], random: Prng): Value[] {
  const mixed = [...list];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [mixed[i], mixed[j]] = [mixed[j] as Value, mixed[i] as Value];
  }
  return mixed;
}

/** What a random history did. */
export interface Random {
  readonly world: VersionWorld;
  readonly messages: readonly Message[];
  /** Failovers and restores that lost something. */
  readonly losses: number;
  readonly restarts: number;
}

/** `steps` random events on 2 to 5 masters and 3 keys; messages come late, in any order, repeated, or never. */
export function randomHistory(random: Prng, steps: number): Random {
  const world = new VersionWorld(2 + random.below(4)), messages: Message[] = [], waiting: Message[] = [];
  let losses = 0, restarts = 0;
  for (let step = 0; step < steps; step++) {
    const master = world.master(random.below(world.masters.length)), key = "abc"[random.below(3)] as string;
    // Clocks differ by up to a minute and go backwards.
    const wallMs = world.wallMs + random.below(60_000);
    world.wallMs += random.below(10_000);
    const event = random.below(100);
    if (event < 38) master.write(key, `{"n":${random.below(4)}}`, wallMs);
    else if (event < 48) master.write(key, null, wallMs);
    else if (event < 68) waiting.push(master.message(key));
    else if (event < 92) {
      const at = random.below(waiting.length + 1), message = waiting[at];
      if (message === undefined) continue;
      if (random.below(3) > 0) waiting.splice(at, 1);
      messages.push(message);
      master.receive(message);
    } else if (event < 96) {
      master.restart();
      restarts++;
    } else {
      const lost = event < 99 ? random.below(6) : random.below(master.seq);
      if (lost > 0) losses++;
      master.backTo(Math.max(0, master.seq - lost));
    }
  }
  return { world, messages, losses, restarts };
}
