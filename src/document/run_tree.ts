import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, Epoch, RunId, Seq } from "../base/ids.ts";
import { isHexId, noRun } from "../base/ids.ts";

/** The entry that made a version: its number in the history of the run that wrote it. */
export interface Dot {
  readonly run: RunId;
  /** At least 1. */
  readonly seq: Seq;
}

/** One leadership of one database, and where it left the one that it continues. */
export interface RunNode {
  readonly database: DatabaseId;
  readonly run: RunId;
  readonly epoch: Epoch;
  /** Seq of its `term` entry: the run that it continues is in its history up to the entry before. */
  readonly firstSeq: Seq;
  /** Null: the history begins with this run; after seq 1 where a copied database went on under an id of its own. */
  readonly parent: RunId | null;
}

/** Two jumps of one length are made one of both and the step to the parent, so that any ancestor is a logarithmic number of steps away. */
interface Linked {
  readonly node: RunNode;
  readonly firstSeq: Seq;
  readonly depth: number;
  readonly root: Linked | null;
  readonly parent: Linked | null;
  /** Some ancestor; null at the root. */
  readonly jump: Linked | null;
}

/**
 * The runs of all databases that are known here, each with the one that it continues. It only grows, and who knows a run knows all that it
 * continues, so every two nodes that know the runs of two dots say the same of them.
 */
export class RunTree {
  readonly #runs = new Map<RunId, Linked>();

  get size(): number {
    return this.#runs.size;
  }

  get(run: RunId): RunNode | undefined {
    return this.#runs.get(run)?.node;
  }

  /** In the order in which they were added, so parents come first. */
  *nodes(): IterableIterator<RunNode> {
    for (const { node } of this.#runs.values()) yield node;
  }

  /**
   * True when `node` was new. Throws `bad_request` for what no run can be and for one whose parent is not known, `data_corrupt` for one that is
   * known to be another or cannot continue its parent; nothing is added then.
   */
  add(node: RunNode): boolean {
    const { database, run, epoch, firstSeq, parent } = node;
    const known = this.#runs.get(run)?.node;
    if (known !== undefined) {
      if (sameNode(known, node)) return false;
      throw corrupt(node, "is known with another database, epoch, first seq or parent");
    }
    const fault = malformed(node);
    if (fault !== null) throw new DfdbError("bad_request", `a run of a database: ${fault}`);
    const own: RunNode = { database, run, epoch, firstSeq, parent };
    if (parent === null) {
      this.#runs.set(run, { node: own, firstSeq, depth: 0, root: null, parent: null, jump: null });
      return true;
    }
    const before = this.#runs.get(parent);
    if (before === undefined) {
      throw new DfdbError("bad_request", `run ${run} continues ${parent}, which is not known`);
    }
    if (before.node.database !== database) throw corrupt(node, `continues ${parent} of another database`);
    if (before.firstSeq >= firstSeq) throw corrupt(node, `begins at ${firstSeq}, before ${parent}`);
    if (before.node.epoch > epoch) throw corrupt(node, `has a lower epoch than ${parent}`);
    const middle = before.jump, far = middle?.jump ?? null;
    const even = middle !== null && far !== null && before.depth - middle.depth === middle.depth - far.depth;
    const depth = before.depth + 1, root = before.root ?? before, jump = even ? far : before;
    this.#runs.set(run, { node: own, firstSeq, depth, root, parent: before, jump });
    return true;
  }

  /** True when entry `dot` is in the history that ends with `by`. The run of `by` must be known. */
  covers(by: Dot, dot: Dot): boolean {
    const { run, seq } = dot;
    if (by.run === run) return seq <= by.seq;
    const from = this.#runs.get(by.run), owner = this.#runs.get(run);
    assert(from !== undefined, `run ${by.run} of a vector is not known`);
    if (owner === undefined || seq > by.seq || owner.depth >= from.depth || seq < owner.firstSeq) {
      return false;
    }
    if (from.root !== (owner.root ?? owner)) return false;
    // Up to the run that wrote entry `seq` of this history.
    let at = from;
    while (at.firstSeq > seq) {
      const next = at.jump !== null && at.jump.firstSeq > seq ? at.jump : at.parent;
      if (next === null) return false;
      at = next;
    }
    return at === owner;
  }

  /**
   * What somebody must be told to understand `runs`: they and all that they continue, parents first. `told` is true for what was told before;
   * that is taken to have been told with all that it continues.
   */
  lineage(runs: Iterable<RunId>, told: (run: RunId) => boolean): RunNode[] {
    const listed: RunNode[] = [], seen = new Set<Linked>();
    for (const run of runs) {
      const way: Linked[] = [];
      let at: Linked | null | undefined = this.#runs.get(run);
      assert(at !== undefined, `run ${run} of a vector is not known`);
      for (; at !== null && !seen.has(at) && !told(at.node.run); at = at.parent) {
        seen.add(at);
        way.push(at);
      }
      for (let i = way.length - 1; i >= 0; i--) listed.push((way[i] as Linked).node);
    }
    return listed;
  }
}

function sameNode(a: RunNode, b: RunNode): boolean {
  return a.database === b.database && a.run === b.run && a.epoch === b.epoch && a.firstSeq === b.firstSeq &&
    a.parent === b.parent;
}

function malformed({ database, run, epoch, firstSeq, parent }: RunNode): string | null {
  if (!isHexId(run) || run === noRun) return "its id is not one";
  if (!isHexId(database)) return "the id of its database is not one";
  if (parent !== null && (!isHexId(parent) || parent === noRun)) {
    return "the id of the run that it continues is not one";
  }
  if (!Number.isSafeInteger(epoch) || epoch < 1) return "its epoch is not a whole number from 1";
  if (!Number.isSafeInteger(firstSeq) || firstSeq < 1) return "its first seq is not a whole number from 1";
  return null;
}

function corrupt({ run, database }: RunNode, what: string): DfdbError {
  return new DfdbError("data_corrupt", `run ${run} ${what}`, { details: { run, database } });
}
