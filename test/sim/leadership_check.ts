/** Who led when, and by what right: one writer at a time where both sides agreed on it, no loss where none is allowed, no failover without a reason. */
import type { History } from "./history.ts";
import type { Entry, Run } from "./history_tree.ts";
import { commonOf, contains, parentOf, tokenOf } from "./history_tree.ts";
import type { Begin, Cause } from "./transitions_watch.ts";
import { Violation } from "./types.ts";

export interface LeadershipCheckOptions {
  readonly history: History;
  /** Name of the machine that a node id belongs to; null: not known yet. */
  readonly machineOf: (nodeId: string) => string | null;
  /** Somebody outside gives the epochs. Default: no. */
  readonly given?: boolean;
}

/** What may leave something behind that was answered; what is lost must be rescued then. */
const lossy: ReadonlySet<Cause> = new Set<Cause>(["failover", "promoted", "acceptLoss", "forced"]);
/** The same where only those may lead that hold all that was answered. */
const lossyOfAll: ReadonlySet<Cause> = new Set<Cause>(["acceptLoss"]);

interface Pending {
  readonly begin: Begin;
  /** Why the leader that agreed leads, where it has not begun a run by that yet; null: it has, or nobody agreed. */
  readonly giver: Cause | null;
}

export class LeadershipCheck {
  readonly #options: LeadershipCheckOptions;
  /** By machine: why its next run begins. */
  readonly #pending = new Map<string, Pending>();
  readonly #causes = new Map<Run, Cause>();
  /** Where a run was begun by agreement with a leader that had none of its own: why that one led. */
  readonly #givers = new Map<Run, Cause>();
  /** What comes right after an entry; several: the history forks there. */
  readonly #children = new Map<Entry, Entry[]>();
  /** By machine: the highest epoch that its log ever had. */
  readonly #highest = new Map<string, number>();
  readonly #restored = new Set<string>();
  /** The first run of each node that began an epoch. */
  readonly #beginners = new Map<number, Run[]>();
  /** How often each cause began a run. */
  readonly counts: Record<string, number> = {};

  constructor(options: LeadershipCheckOptions) {
    this.#options = options;
    options.history.onEntry((entry) => this.#entry(entry));
  }

  /** A node of `machine` is about to begin a run. */
  begins(machine: string, begin: Begin): void {
    const before = this.#pending.get(machine);
    // What a crash cut off, or was not written yet, is still why.
    if (begin.cause === "raise" && before !== undefined && !before.begin.over) return;
    this.#pending.set(machine, { begin, giver: this.#giverOf(begin) });
  }

  /** Its disk was made older from outside. */
  restored(machine: string): void {
    this.#restored.add(machine);
    this.#highest.delete(machine);
  }

  /** The machine's log ends there now. */
  holds(machine: string, { run: { epoch } }: Entry): void {
    this.#highest.set(machine, Math.max(this.#highest.get(machine) ?? 0, epoch));
  }

  /**
   * True when `entry`, which `tip` lacks, was left behind by something that may do so. `heldByAll`: it was answered, and an authority sees
   * to it that only those may lead who held it then.
   */
  mayLack(tip: Entry, entry: Entry, heldByAll = false): boolean {
    const common = commonOf(tip, entry), { rollbacks } = this.#options.history;
    const wasRestored = rollbacks.some(({ why, from, to }) =>
      why === "restored" && contains(from, entry) && !contains(to, entry)
    );
    return wasRestored ||
      (common !== tip && this.#isExcused(this.#children.get(common) ?? [], heldByAll ? lossyOfAll : lossy));
  }

  /** Why a run began. */
  causeOf(run: Run): Cause {
    return this.#causes.get(run) ?? "start";
  }

  #entry(entry: Entry): void {
    const { run, seq } = entry,
      parent = parentOf(entry) as Entry,
      machine = this.#options.machineOf(run.nodeId);
    if (seq === run.first) this.#begun(run, parent, machine);
    const siblings = this.#children.get(parent) ?? [];
    siblings.push(entry);
    this.#children.set(parent, siblings);
    const highest = machine === null ? 0 : this.#highest.get(machine) ?? 0;
    if (run.epoch < highest) {
      throw new Violation(
        "leadership",
        `${machine} wrote ${tokenOf(entry)}, and it had entries of epoch ${highest} before`,
      );
    }
    this.#checkHandedOver(parent, siblings);
    if (siblings.length > 1 && !this.#isExcused(siblings)) {
      const all = siblings.map((each) => `${tokenOf(each)} (${this.causeOf(each.run)})`).join(" and ");
      throw new Violation("leadership", `after ${tokenOf(parent)} come ${all}, and nothing allows both`);
    }
  }

  /** What it gives it may have taken from somebody who was not asked. */
  #giverOf({ from }: Begin): Cause | null {
    const machine = from === undefined ? null : this.#options.machineOf(from);
    const pending = machine === null ? undefined : this.#pending.get(machine);
    return pending === undefined || pending.begin.over ? null : pending.giver ?? pending.begin.cause;
  }

  #begun(run: Run, before: Entry, machine: string | null): void {
    const pending = machine === null ? undefined : this.#pending.get(machine);
    const { begin, giver } = pending?.begin.over === false ? pending : { begin: null, giver: null };
    const cause = begin?.cause ?? "start";
    this.#causes.set(run, cause);
    // Whoever wrote the run before agrees to its end, whatever it was about to begin.
    if (giver !== null && before.run.nodeId !== begin?.from) this.#givers.set(run, giver);
    this.counts[cause] = (this.counts[cause] ?? 0) + 1;
    if (machine !== null) this.#pending.delete(machine);
    const { epoch, parent } = run;
    if (parent === null || parent.run.epoch === epoch) return;
    const others = this.#beginners.get(epoch) ?? [];
    this.#beginners.set(epoch, [...others, run]);
    for (const other of others) if (other.nodeId !== run.nodeId) this.#checkCollision(run, other);
  }

  /** Two can begin the same epoch only when one of them asked nobody. */
  #checkCollision(...runs: readonly Run[]): void {
    const alone = runs.some((run) =>
      this.#isBy(run, lossy) || this.causeOf(run) === "raise" ||
      this.#restored.has(this.#options.machineOf(run.nodeId) ?? "")
    );
    if (alone) return;
    const all = runs.map((run) => `${run.nodeId.slice(0, 8)} (${this.causeOf(run)})`).join(" and ");
    throw new Violation("leadership", `epoch ${runs[0]?.epoch} has two writers: ${all}`);
  }

  /** A run that its writer ended by agreement has no entry after that, whatever happens. */
  #checkHandedOver(parent: Entry, siblings: readonly Entry[]): void {
    const taken = siblings.find(({ run, seq }) =>
      seq === run.first && run.nodeId !== parent.run.nodeId && this.causeOf(run) === "handover" &&
      !this.#isBy(run, lossy)
    );
    const more = siblings.find(({ run }) => run === parent.run);
    if (taken === undefined || more === undefined) return;
    throw new Violation(
      "leadership",
      `${tokenOf(taken)} took over after ${tokenOf(parent)} by agreement, and ${tokenOf(more)} was written`,
    );
  }

  #isExcused(children: readonly Entry[], causes = lossy): boolean {
    if (causes === lossy && this.#options.given === true && this.#isBack(children)) return true;
    return children.some(({ run, seq }) => {
      if (seq !== run.first) return false;
      return this.#isBy(run, causes) || this.#restored.has(this.#options.machineOf(run.nodeId) ?? "");
    });
  }

  #isBy(run: Run, causes: ReadonlySet<Cause>): boolean {
    const giver = this.#givers.get(run);
    return causes.has(this.causeOf(run)) || (giver !== undefined && causes.has(giver));
  }

  /** An old leader never heard that its target took over, and was given its place again when the target had lost it. */
  #isBack(children: readonly Entry[]): boolean {
    const begun = children.filter(({ run, seq }) => seq === run.first).map(({ run }) => run);
    const taken = begun.find((run) => this.causeOf(run) === "handover");
    return taken !== undefined &&
      begun.some(({ nodeId, epoch, parent }) =>
        epoch > taken.epoch && nodeId !== taken.nodeId && nodeId === parent?.run.nodeId
      );
  }
}
