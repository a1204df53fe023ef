/** What memory holds of the versions of a database that has the bundle. */
import { assert } from "../../base/assert.ts";
import { DfdbError } from "../../base/errors.ts";
import type { RunId, Seq, WallMs } from "../../base/ids.ts";
import type { RunNode } from "../../document/run_tree.ts";
import { RunTree } from "../../document/run_tree.ts";
import type { TermRecord } from "../log.ts";
import { foldName } from "./fold_name.ts";
import type { OwnIds } from "./former_ids.ts";
import { ownerOf } from "./former_ids.ts";
import type { VersionStatements } from "./version_statements.ts";

/** The name of a collection, whether there is one now or was one. */
export interface Space {
  readonly number: number;
  /** Folded. */
  readonly name: string;
  /** Keys that are deleted or in conflict; both kept, never counted. */
  readonly tombstones: number;
  readonly conflicts: number;
}

/** A dropped collection whose rows are not all written as tombstones yet. */
export interface PendingDrop {
  /** Seq of the entry that dropped it. */
  readonly change: Seq;
  readonly space: number;
  /** Number of its term. */
  readonly run: number;
  readonly wallMs: WallMs;
  /** Keys up to this one are written. */
  readonly after: string;
}

/** All runs that rows name, by numbers: an own one by its term's, from 1; others, and lost ones of this database, from -1 downwards. */
export class KnownRuns {
  readonly ids: OwnIds;
  readonly tree = new RunTree();
  readonly #terms: TermRecord[] = [];
  readonly #others: RunId[] = [];
  readonly #numbers = new Map<RunId, number>();

  /** Throws as `RunTree.add`. */
  constructor(ids: OwnIds, terms: Iterable<TermRecord>, others: Iterable<RunNode>) {
    this.ids = ids;
    for (const term of terms) this.begin(term);
    for (const node of others) this.learn(node);
  }

  copy(): KnownRuns {
    return new KnownRuns(this.ids, this.#terms, this.others());
  }

  *others(): IterableIterator<RunNode> {
    for (const run of this.#others) yield this.tree.get(run) as RunNode;
  }

  /** An own term, the next one; nobody can know it yet. */
  begin(term: TermRecord): void {
    const { epoch, run, firstSeq } = term, number = this.#terms.length + 1;
    const database = ownerOf(this.ids, number), before = this.#terms.at(-1);
    const parent = before === undefined || ownerOf(this.ids, number - 1) !== database ? null : before.run;
    if (!this.tree.add({ database, run, epoch, firstSeq, parent })) {
      throw new DfdbError("data_corrupt", `run ${run} begins, but is known already`);
    }
    this.#numbers.set(run, this.#terms.push(term));
  }

  /** Its number; null: it was known. */
  learn(node: RunNode): number | null {
    if (!this.tree.add(node)) return null;
    const number = -this.#others.push(node.run);
    this.#numbers.set(node.run, number);
    return number;
  }

  numberOf(run: RunId): number | undefined {
    return this.#numbers.get(run);
  }

  runOf(number: number): RunId {
    const run = number > 0 ? this.#terms[number - 1]?.run : this.#others[-number - 1];
    assert(run !== undefined, `run ${number} of a version is known`);
    return run;
  }

  /** True when entry `seq` of run `number` is in the history of the own term `own`, told from the terms alone; false: the tree tells. */
  isBefore(own: number, number: number, seq: number): boolean {
    if (number === own) return true;
    if (number < 1 || number > own || seq >= (this.#terms[number] as TermRecord).firstSeq) return false;
    return ownerOf(this.ids, number) === ownerOf(this.ids, own);
  }
}

/** What a read may ask of the committed or uncommitted state of versions. */
export interface BundleCatalog {
  /** Not to be changed. */
  readonly runs: KnownRuns;
  /** Oldest first. */
  readonly drops: readonly PendingDrop[];
  space(name: string): Space | undefined;
  numbered(number: number): Space | undefined;
}

/** The committed state: changes only after a COMMIT. */
export class Bundle implements BundleCatalog {
  runs: KnownRuns;
  drops: readonly PendingDrop[] = [];
  readonly #spaces = new Map<number, Space>();
  readonly #names = new Map<string, number>();

  constructor(runs: KnownRuns, spaces: Iterable<Space> = []) {
    this.runs = runs;
    for (const space of spaces) this.set(space);
  }

  get spaces(): Iterable<Space> {
    return this.#spaces.values();
  }

  get count(): number {
    return this.#spaces.size;
  }

  space(name: string): Space | undefined {
    const number = this.#names.get(foldName(name));
    return number === undefined ? undefined : this.#spaces.get(number);
  }

  numbered(number: number): Space | undefined {
    return this.#spaces.get(number);
  }

  set(space: Space): void {
    this.#spaces.set(space.number, space);
    this.#names.set(space.name, space.number);
  }
}

type SpaceDraft = { -readonly [Key in keyof Space]: Space[Key] };

/** The state as the running transaction sees it. */
export class BundleDraft implements BundleCatalog {
  readonly #base: Bundle;
  readonly #changed = new Map<number, SpaceDraft>();
  #runs: KnownRuns | null = null;
  drops: readonly PendingDrop[];

  constructor(base: Bundle) {
    this.#base = base;
    this.drops = base.drops;
  }

  get runs(): KnownRuns {
    return this.#runs ?? this.#base.runs;
  }

  /** To be added to. */
  growing(): KnownRuns {
    return this.#runs ??= this.#base.runs.copy();
  }

  space(name: string): Space | undefined {
    const known = this.#base.space(name);
    if (known !== undefined) return this.#changed.get(known.number) ?? known;
    if (this.#changed.size === 0) return undefined;
    const folded = foldName(name);
    for (const space of this.#changed.values()) if (space.name === folded) return space;
    return undefined;
  }

  numbered(number: number): Space | undefined {
    return this.#changed.get(number) ?? this.#base.numbered(number);
  }

  /** The space of `name`, which is made where there is none. */
  spaceOf(name: string): Space {
    const known = this.space(name);
    if (known !== undefined) return known;
    let number = this.#base.count + 1;
    while (this.#changed.has(number)) number++;
    const space = { number, name: foldName(name), tombstones: 0, conflicts: 0 };
    this.#changed.set(number, space);
    return space;
  }

  count({ number }: Space, tombstones: number, conflicts: number): void {
    if (tombstones === 0 && conflicts === 0) return;
    let space = this.#changed.get(number);
    if (space === undefined) {
      space = { ...(this.#base.numbered(number) as Space) };
      this.#changed.set(number, space);
    }
    space.tombstones += tombstones;
    space.conflicts += conflicts;
  }

  /** Once before COMMIT. */
  flush(statements: VersionStatements): void {
    for (const { number, name, tombstones, conflicts } of this.#changed.values()) {
      statements.get("space").run(number, name, tombstones, conflicts);
    }
  }

  /** Makes this the committed state; cannot fail. */
  commit(): Bundle {
    const base = this.#base;
    for (const space of this.#changed.values()) base.set(space);
    base.runs = this.runs;
    base.drops = this.drops;
    return base;
  }
}
