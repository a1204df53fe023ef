/** The leader's side of the sync set: changes it one at a time, and knows who must be waited for. */
import { messageOf } from "../../base/errors.ts";
import type { NodeId } from "../../base/ids.ts";
import type { Logger } from "../../base/logger.ts";
import type { SyncSet } from "../authority.ts";
import type { EtcdKeys } from "./keys.ts";
import { syncOf, type SyncRecord, syncText } from "./records.ts";

export interface SyncKeeperOptions {
  readonly keys: EtcdKeys;
  readonly logger: Logger;
  /** The lease under which this node leads now; null: it does not. */
  readonly lease: () => string | null;
}

export class SyncKeeper implements SyncSet {
  readonly #options: SyncKeeperOptions;
  /** As it was last seen or written; null: this node does not lead. */
  #record: SyncRecord | null = null;
  #leader: NodeId | null = null;
  /** They asked to come in, with the number of the change: no later one says yet whether they did. */
  readonly #entering = new Map<NodeId, number>();
  #changes = 0;
  #running = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: SyncKeeperOptions) {
    this.#options = options;
  }

  /** This node leads from now on, with this set. */
  begin(leader: NodeId, record: SyncRecord): void {
    this.#leader = leader;
    this.#record = record;
    this.#entering.clear();
  }

  end(): void {
    this.#record = null;
    this.#entering.clear();
  }

  members(): readonly NodeId[] | null {
    if (this.#record === null) return null;
    return [...new Set([...this.#record.members, ...this.#entering.keys()])];
  }

  enter(nodeId: NodeId): Promise<boolean> {
    if (this.#lease() === null || this.#record?.required === 0) return Promise.resolve(false);
    const number = ++this.#changes;
    // It counts at once: whoever answers from now on waits for it, so that it holds all that was answered when it is in.
    this.#entering.set(nodeId, number);
    return this.#change(number, (now) => withAll(now, [nodeId]));
  }

  leave(nodeId: NodeId): Promise<boolean> {
    return this.#change(++this.#changes, ({ required, members }) => {
      const others = members.filter((member) => member !== nodeId);
      const followers = others.filter((member) => member !== this.#leader).length;
      // One of which nobody knows whether it came in is written away, so that no older transaction can bring it in.
      if (!members.includes(nodeId)) return this.#entering.has(nodeId) ? { required, members } : "done";
      return nodeId === this.#leader || followers < required ? "not now" : { required, members: others };
    });
  }

  /** To be called now and then: asks again for those of whom it is not known whether they came in. */
  settle(): void {
    const waiting = [...this.#entering.keys()];
    if (waiting.length > 0 && this.#running === 0) {
      void this.#change(this.#changes, (now) => withAll(now, waiting));
    }
  }

  #lease(): string | null {
    return this.#record === null ? null : this.#options.lease();
  }

  /** After the changes that were asked for before. */
  #change(number: number, next: Next): Promise<boolean> {
    const lease = this.#lease();
    if (lease === null) return Promise.resolve(false);
    this.#running++;
    const change = this.#last.then(() => this.#carryOut(lease, number, next)).catch((thrown) => {
      this.#options.logger.debug("the sync set was not changed", { reason: messageOf(thrown) });
      return false;
    }).finally(() => this.#running--);
    this.#last = change;
    return change;
  }

  async #carryOut(lease: string, number: number, next: Next): Promise<boolean> {
    const { keys, logger } = this.#options;
    const state = await keys.read("sync"), seen = state === null ? null : syncOf(state.text ?? "");
    if (seen === null || this.#lease() !== lease) return false;
    this.#record = seen;
    this.#entered(number, (nodeId) => seen.members.includes(nodeId));
    const wanted = next(seen);
    if (typeof wanted === "string") return wanted === "done";
    const compares = [{ key: "leader", lease }, { key: "sync", unchanged: state }] as const;
    const done = await keys.transact(compares, [{ key: "sync", text: syncText(wanted) }]);
    // A comparison that fails is no answer: the same transaction may have been carried out at another endpoint before.
    if (!done || this.#lease() !== lease) return false;
    this.#record = wanted;
    // What an older transaction compared with is gone: it cannot be carried out any more.
    this.#entered(number, () => true);
    logger.info("the sync set was changed", { members: wanted.members.join(" ") });
    return true;
  }

  /** Of those who asked up to `number`, it is known now what became of whom `which` says. */
  #entered(number: number, which: (nodeId: NodeId) => boolean): void {
    for (const [nodeId, entered] of this.#entering) {
      if (entered <= number && which(nodeId)) this.#entering.delete(nodeId);
    }
  }
}

/** What to write in the place of what stands there; "done": nothing is to do; "not now": it may not be. */
type Next = (now: SyncRecord) => SyncRecord | "done" | "not now";

function withAll({ required, members }: SyncRecord, more: readonly NodeId[]): SyncRecord | "done" {
  const all = [...new Set([...members, ...more])];
  return all.length === members.length ? "done" : { required, members: all };
}
