/**
 * Everything that any node ever committed, kept although logs are trimmed, and what each machine had of it when. Knows the
 * format of entries and nothing else of the program.
 */
import { Buffer } from "node:buffer";
import { crc32 } from "../../src/base/crc32.ts";
import { messageOf } from "../../src/base/errors.ts";
import { seqOf } from "../../src/base/ids.ts";
import type { Operation } from "../../src/document/operation.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import type { LogEntry, LogReader, Position } from "../../src/storage/log.ts";
import type { Entry, Run } from "./history_tree.ts";
import { commonOf, contains, parentOf, rootEntry, tokenOf } from "./history_tree.ts";
import { MachineTimes } from "./machine_times.ts";
import { Violation } from "./types.ts";

/** A node, as far as its log tells of it. */
export interface Seen {
  readonly machine: string;
  /** Name of the process. */
  readonly process: string;
  readonly storage: { readonly log: LogReader };
}

/** A machine gave up entries: `from` was its last one, `to` is now; they have `common` in common. */
export interface Rollback {
  readonly machine: string;
  readonly process: string;
  /** Virtual ms. */
  readonly at: number;
  readonly from: Entry;
  readonly to: Entry;
  readonly common: Entry;
  /** `restored`: its disk was made older from outside. `diverged`: it took over another history by itself. */
  readonly why: "restored" | "diverged";
}

/** One read of a log. */
const bounds = { bytesMax: 2 ** 30, entriesMax: 1_000 };

interface MachineState {
  tip: Entry;
  /** What the log told when it was read last; of the same identity until it changes. */
  last: Position | null;
  log: LogReader | null;
  told: "restored" | "installed" | null;
  readonly times: MachineTimes;
}

export class History {
  readonly root: Entry = rootEntry();
  readonly rollbacks: Rollback[] = [];
  readonly #now: () => number;
  readonly #runs = new Map<string, Run>();
  readonly #tokens = new Map<string, Entry>();
  /** First entry of an epoch and seq, and the writer of each epoch. */
  readonly #places = new Map<string, Entry>();
  readonly #writers = new Map<number, string>();
  /** The process that writes a run, by the run's id. */
  readonly #processes = new Map<string, Pick<Seen, "machine" | "process">>();
  readonly #machines = new Map<string, MachineState>();
  readonly #onEntry: ((entry: Entry) => void)[] = [];
  readonly #onRollback: ((rollback: Rollback) => void)[] = [];
  #forks = false;
  #collisions = false;

  /** `now`: virtual ms. */
  constructor(now: () => number) {
    this.#now = now;
    this.#runs.set(this.root.run.id, this.root.run);
    this.#tokens.set(tokenOf(this.root), this.root);
  }

  /** `listener` is called with each new entry, parents first; what it throws ends `observe`. */
  onEntry(listener: (entry: Entry) => void): void {
    this.#onEntry.push(listener);
  }

  onRollback(listener: (rollback: Rollback) => void): void {
    this.#onRollback.push(listener);
  }

  /** One epoch may fork from now on: an older leader was restored with everything that could have told it. */
  allowFork(): void {
    this.#forks = true;
  }

  /** One epoch may have two writers, each of which began it: who may do so is for others to judge. */
  allowCollisions(): void {
    this.#collisions = true;
  }

  /**
   * `restored`: the machine's disk was replaced by an older one, or another one: at its next observation it may be anywhere.
   * `installed`: an operator made it take a new copy: it may change to another history of the same epoch.
   */
  rolledBack(machine: string, why: "restored" | "installed"): void {
    const state = this.#machine(machine);
    if (state.told !== "restored") state.told = why;
    state.last = null;
  }

  /** Reads what is new in the node's log and checks it. Cheap when nothing is. */
  observe(node: Seen): void {
    const { log } = node.storage, { last } = log, state = this.#machine(node.machine);
    if (state.last === last && state.log === log) return;
    const before = state.tip, tip = this.#follow(node, before);
    if (!samePlace(tip, last)) {
      throw violated(node, `the log ends at ${placeOf(last)}, its entries at ${told(tip)}`);
    }
    if (!contains(tip, before)) this.#rollBack(node, state, tip);
    state.told = null;
    Object.assign(state, { tip, last, log });
    const now = this.#now();
    for (
      let entry: Entry | null = tip;
      entry !== null && !entry.heldAt.has(node.machine);
      entry = parentOf(entry)
    ) {
      entry.heldAt.set(node.machine, now);
    }
    if (tip !== before) state.times.add(now, tip);
  }

  /** Where the machine's log ended when it was observed last; the root before. */
  tip(machine: string): Entry {
    return this.#machine(machine).tip;
  }

  /** Where the machine's log ended at any time from `from` to `to`, virtual ms; oldest first, at least one. */
  tipsBetween(machine: string, from: number, to: number): readonly Entry[] {
    return this.#machine(machine).times.between(from, to);
  }

  /** Machines that were ever observed. */
  get machines(): readonly string[] {
    return [...this.#machines.keys()];
  }

  /** The entry of a position or etag as clients are told them; null: nobody ever had it. */
  byToken(token: string): Entry | null {
    return this.#tokens.get(token) ?? null;
  }

  /** The first run of a node in an epoch; null: it never led in it. */
  runOf(epoch: number, nodeId: string): Run | null {
    return [...this.#runs.values()].find((run) => run.epoch === epoch && run.nodeId === nodeId) ?? null;
  }

  /** Name of the machine that writes a run; null: not known. */
  writerOf({ id }: Run): string | null {
    return this.#processes.get(id)?.machine ?? null;
  }

  /** The entry right after which `position` is; null: nobody ever had it, or with another chain. */
  byPosition({ epoch, run, seq, chain }: Pick<Position, "epoch" | "run" | "seq" | "chain">): Entry | null {
    const known = this.#runs.get(run), entry = known?.entries[seq - known.first];
    return entry !== undefined && entry.run.epoch === epoch && entry.chain === chain ? entry : null;
  }

  #machine(name: string): MachineState {
    let state = this.#machines.get(name);
    if (state === undefined) {
      const times = new MachineTimes(this.root);
      this.#machines.set(name, state = { tip: this.root, last: null, log: null, told: null, times });
    }
    return state;
  }

  /** The entry at the end of the node's log; those after `from` are read, or all where `from` is not in it. */
  #follow(node: Seen, from: Entry): Entry {
    const { log } = node.storage, here = from.seq + 1 < log.first ? null : log.at(seqOf(from.seq));
    let tip = here !== null && typeof here === "object" && samePlace(from, here) ? from : this.#base(node);
    for (;;) {
      const entries = log.entries(seqOf(tip.seq), bounds);
      if (entries === "compacted") {
        throw violated(node, `the log does not hold what comes after ${told(tip)}`);
      }
      if (entries.length === 0) return tip;
      for (const entry of entries) tip = this.#add(node, tip, entry);
    }
  }

  /** The entry before the first one of the log, which somebody must have had. */
  #base(node: Seen): Entry {
    const { log } = node.storage, before = log.at(seqOf(log.first - 1));
    const base = typeof before === "object" ? this.byPosition(before) : null;
    if (base !== null) return base;
    const where = typeof before === "object" ? placeOf(before) : `${log.first - 1}, which is ${before}`;
    throw violated(node, `the log begins after ${where}, and nobody ever had that`);
  }

  #add(node: Seen, parent: Entry, entry: LogEntry): Entry {
    const { seq, term, chain } = entry, wrong = (what: string) => violated(node, `entry ${seq}: ${what}`);
    if (seq !== parent.seq + 1) throw wrong(`it comes after entry ${parent.seq}`);
    if (chain !== chainAfter(parent.chain, entry)) {
      throw wrong("its chain is not that of what is before it and in it");
    }
    const run = this.#runs.get(term.run), known = run?.entries[seq - run.first];
    if (known !== undefined) {
      const same = known.chain === chain && known.run.epoch === term.epoch && parentOf(known) === parent &&
        equalBytes(known.payload, entry.payload);
      if (!same) throw wrong(`run ${term.run.slice(0, 8)} has another entry of this seq elsewhere`);
      return known;
    }
    return this.#new(node, parent, entry, wrong);
  }

  #new(node: Seen, parent: Entry, logged: LogEntry, wrong: (what: string) => Violation): Entry {
    const payload = logged.payload.slice(), { seq, chain, wallMs } = logged;
    const operations = decoded(payload, wrong);
    const entry: Entry = {
      run: this.#runOf(parent, logged, operations, wrong),
      seq,
      chain,
      wallMs,
      payload,
      operations,
      endBytes: parent.endBytes + payload.length,
      seenAt: this.#now(),
      heldAt: new Map(),
    };
    const place = `${entry.run.epoch}-${seq}`, other = this.#places.get(place);
    const collides = this.#collisions && other !== undefined && other.run.nodeId !== entry.run.nodeId;
    if (other !== undefined && !this.#forks && !collides) {
      throw wrong(`epoch ${entry.run.epoch} forks: ${told(other)} is there too`);
    }
    this.#places.set(place, entry);
    this.#checkProcess(node, entry, wrong);
    entry.run.entries.push(entry);
    this.#tokens.set(tokenOf(entry), entry);
    for (const listener of this.#onEntry) listener(entry);
    return entry;
  }

  /** A run is of one process: after a restart the next one begins its own. What was in the log at the start may be of the last one. */
  #checkProcess(node: Seen, { run }: Entry, wrong: (what: string) => Violation): void {
    const { machine, process, storage: { log } } = node, writer = this.#processes.get(run.id);
    if (this.#machine(machine).log !== log) return;
    if (writer === undefined) this.#processes.set(run.id, { machine, process });
    else if (writer.machine === machine && writer.process !== process) {
      throw wrong(`run ${run.id.slice(0, 8)} is written by ${process}, after ${writer.process}`);
    }
  }

  #runOf(
    parent: Entry,
    { term, seq }: LogEntry,
    operations: readonly Operation[],
    wrong: (what: string) => Violation,
  ): Run {
    const begin = operations.find((operation) => operation.kind === "term");
    if (begin === undefined) {
      const { run } = parent;
      if (run.id === term.run && run.epoch === term.epoch && run.parent !== null) return run;
      throw wrong(`its run ${term.epoch}.${term.run.slice(0, 8)} was not begun by a term entry`);
    }
    const { epoch, run: id, nodeId } = begin;
    if (operations.length !== 1) throw wrong("a term is not alone in its entry");
    if (id !== term.run || epoch !== term.epoch) throw wrong("the term that it begins is not its own");
    if (this.#runs.has(id)) throw wrong(`run ${id.slice(0, 8)} begins a second time`);
    if (epoch < parent.run.epoch) throw wrong(`epoch ${epoch} begins after epoch ${parent.run.epoch}`);
    const begins = parent.run.epoch < epoch;
    const writer = begins ? this.#writers.get(epoch) ?? nodeId : parent.run.nodeId;
    if (writer !== nodeId && !(begins && (this.#forks || this.#collisions))) {
      throw wrong(`epoch ${epoch} has two writers: ${writer.slice(0, 8)} and ${nodeId.slice(0, 8)}`);
    }
    this.#writers.set(epoch, writer);
    const run: Run = { id, epoch, nodeId, parent, first: seq, entries: [] };
    this.#runs.set(id, run);
    return run;
  }

  /** True when some machine has a history through `entry` that has reached an epoch above. */
  #goesOnAbove(epoch: number, entry: Entry): boolean {
    return [...this.#machines.values()].some(({ tip }) => tip.run.epoch > epoch && contains(tip, entry));
  }

  #rollBack(node: Seen, state: MachineState, to: Entry): void {
    const { machine, process } = node, { tip: from, told: why } = state, common = commonOf(from, to);
    // A snapshot that ends at the point in common with its leader, or before the leader's epoch begins, is on the way to that.
    const onTheWay = common === to || to.run.epoch > from.run.epoch || this.#goesOnAbove(from.run.epoch, to);
    if (!onTheWay && why === null) {
      throw violated(node, `it gave up ${told(from)} for ${told(to)}, which is of no higher epoch`);
    }
    const rollback: Rollback = {
      machine,
      process,
      at: this.#now(),
      from,
      to,
      common,
      why: why === "restored" ? why : "diverged",
    };
    this.rollbacks.push(rollback);
    for (const listener of this.#onRollback) listener(rollback);
  }
}

function violated({ process }: Seen, what: string): Violation {
  return new Violation("history", `${process}: ${what}`);
}

function told(entry: Entry): string {
  return tokenOf(entry);
}

function placeOf({ epoch, run, seq, chain }: Position): string {
  return `${epoch}.${run.slice(0, 8)}-${seq} (chain ${chain})`;
}

function samePlace({ run, seq, chain }: Entry, position: Position): boolean {
  return seq === position.seq && chain === position.chain && run.id === position.run &&
    run.epoch === position.epoch;
}

function decoded(payload: Uint8Array, wrong: (what: string) => Violation): readonly Operation[] {
  try {
    return decodeEntry(payload);
  } catch (thrown) {
    throw wrong(`it cannot be read: ${messageOf(thrown)}`);
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** CRC-32 over chain before u32, epoch u64, run 16 bytes, seq u64, wall ms u64, all little-endian, and the payload. */
function chainAfter(before: number, { term, seq, wallMs, payload }: LogEntry): number {
  const head = new DataView(new ArrayBuffer(44));
  head.setUint32(0, before, true);
  head.setBigUint64(4, BigInt(term.epoch), true);
  for (let i = 0; i < 16; i++) head.setUint8(12 + i, Number.parseInt(term.run.slice(2 * i, 2 * i + 2), 16));
  head.setBigUint64(28, BigInt(seq), true);
  head.setBigUint64(36, BigInt(wallMs), true);
  return crc32(payload, crc32(new Uint8Array(head.buffer)));
}
