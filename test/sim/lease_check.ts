/**
 * With etcd: who writes holds the lease. Of two nodes never both write in one instant, whatever clocks and threads do; epochs come
 * from etcd alone, and each has one writer. Clocks of the worlds drift by 2 % at most; a lease is relied on for 0.8 of its
 * time, so that this is promised in all of them.
 */
import type { History } from "./history.ts";
import type { Entry, Run } from "./history_tree.ts";
import { tokenOf } from "./history_tree.ts";
import type { Cause } from "./transitions_watch.ts";
import { Violation } from "./types.ts";

/** A process in the middle of a COMMIT. */
export interface Writing {
  readonly machine: string;
  readonly nodeId: string;
  /** Of its leadership; null: it does not lead. */
  readonly run: string | null;
  /** Virtual ms: when its event began, and now, on its own thread. */
  readonly from: number;
  readonly now: number;
}

export interface LeaseCheckOptions {
  readonly history: History;
  /** Who commits now; null: nobody knows. */
  readonly writing: () => Writing | null;
  readonly causeOf: (run: Run) => Cause;
}

/** When somebody wrote in an epoch, virtual ms. */
interface Span {
  readonly epoch: number;
  readonly nodeId: string;
  readonly machine: string;
  first: number;
  last: number;
}

interface Holder {
  readonly nodeId: string;
  readonly epoch: number;
}

/** How the leader key came to a node. */
interface Taken extends Holder {
  /** Another node's that was in force then; null: the place was vacant, or the node's own. */
  readonly from: Holder | null;
}

export class LeaseCheck {
  readonly #options: LeaseCheckOptions;
  readonly #taken = new Map<number, Taken>();
  readonly #spans = new Map<number, Span>();
  /** Until when the thread that committed an entry was busy with it. */
  readonly #committedAt = new Map<Entry, number>();
  #holder: Holder | null = null;
  /** How the place was taken. */
  readonly counts: Record<string, number> = {};

  constructor(options: LeaseCheckOptions) {
    this.#options = options;
    options.history.onEntry((entry) => this.#entry(entry));
  }

  /** A key of etcd has changed, both as they travel; `value` null: it is gone. */
  changed(key: string, value: string | null): void {
    if (!/\/leader$/.test(atob(key))) return;
    const before = this.#holder;
    if (value === null) {
      this.#holder = null;
      return this.#count("vacated");
    }
    const { nodeId, epoch } = JSON.parse(new TextDecoder().decode(bytesOf(value))) as Holder;
    const from = before === null || before.nodeId === nodeId ? null : before;
    this.#count(from !== null ? "handedOver" : before === null ? "taken" : "takenAnew");
    const newest = Math.max(0, ...this.#taken.keys());
    if (epoch <= newest) {
      throw new Violation("lease", `etcd gave epoch ${epoch} to ${nodeId}, after epoch ${newest}`);
    }
    this.#holder = { nodeId, epoch };
    this.#taken.set(epoch, { nodeId, epoch, from });
  }

  /** A client was told that `position` is there. */
  promised(position: string | null): void {
    const entry = position === null ? null : this.#options.history.byToken(position);
    const at = entry === null ? undefined : this.#committedAt.get(entry);
    const span = entry === null ? undefined : this.#spans.get(entry.run.epoch);
    if (at === undefined || span === undefined || at <= span.last) return;
    // The lease held after the COMMIT, too.
    span.last = at;
    this.#compare(span);
  }

  #entry(entry: Entry): void {
    const { run, seq } = entry, writing = this.#options.writing();
    // What another process wrote, or an earlier one, is only found here.
    if (writing === null || run.id !== writing.run || run.nodeId !== writing.nodeId) return;
    this.#count("entries");
    this.#given(entry, writing);
    if (seq === run.first) this.#begun(entry, writing);
    this.#committedAt.set(entry, writing.now);
    let span = this.#spans.get(run.epoch);
    if (span === undefined) {
      const { nodeId, machine, from } = writing;
      this.#spans.set(run.epoch, span = { epoch: run.epoch, nodeId, machine, first: from, last: from });
    }
    // Between the beginning of the event and the COMMIT this node was asked whether it may write.
    span.last = Math.max(span.last, writing.from);
    this.#compare(span);
  }

  #given(entry: Entry, { machine, nodeId }: Writing): void {
    const taken = this.#taken.get(entry.run.epoch);
    if (taken?.nodeId === nodeId) return;
    const whose = taken === undefined ? "nobody" : taken.nodeId;
    throw new Violation("lease", `${machine} wrote ${tokenOf(entry)}, and etcd gave that epoch to ${whose}`);
  }

  /** Who takes the place of a leader that has it does so by agreement. */
  #begun({ run }: Entry, { machine }: Writing): void {
    const from = this.#taken.get(run.epoch)?.from ?? null, cause = this.#options.causeOf(run);
    if (from === null || cause === "handover") return;
    throw new Violation(
      "lease",
      `${machine} took epoch ${run.epoch} (${cause}) while ${from.nodeId} held epoch ${from.epoch}`,
    );
  }

  #compare(span: Span): void {
    for (const other of this.#spans.values()) {
      if (other === span) continue;
      const [older, newer] = other.epoch < span.epoch ? [other, span] : [span, other];
      if (older.last <= newer.first) continue;
      throw new Violation(
        "lease",
        `two write at once: ${older.machine} in epoch ${older.epoch} until ${older.last.toFixed(2)}, ` +
          `${newer.machine} in epoch ${newer.epoch} from ${newer.first.toFixed(2)} on`,
      );
    }
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
}

function bytesOf(encoded: string): Uint8Array {
  return Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
}
