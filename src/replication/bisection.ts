import { DfdbError } from "../base/errors.ts";
import { type Seq, seqOf } from "../base/ids.ts";
import { type LogReader, samePosition } from "../storage/log.ts";
import type { Probed } from "../wire/message.ts";
import { sameTerm } from "./judge_position.ts";

/** The last entry in common is `common`; null: it is before everything that this node's log still holds. */
export interface Found {
  readonly common: Seq | null;
}

/**
 * Finds the last entry that this node and its leader have in common. Two nodes that agree at an entry agree on all before
 * it, so halving finds it: about log2 of the log's length in questions. The own log may be trimmed meanwhile, nothing else.
 */
export class Bisection {
  readonly #log: LogReader;
  /** The entry before the first one that was kept at the beginning. */
  readonly #before: number;
  /** The leader has this one; null until the first answer. */
  #same: number | null;
  /** The leader does not have this one. */
  #other: number;

  /** `last` is not in the leader's history, nor is anything after `leaderSeq`. */
  constructor(log: LogReader, leaderSeq: Seq) {
    this.#log = log;
    const before = this.#before = log.first - 1;
    this.#same = before === 0 ? 0 : null;
    this.#other = Math.max(before + 1, Math.min(log.last.seq, leaderSeq + 1));
  }

  /** What to ask next, or the end. */
  get next(): Seq | Found {
    if (this.#same === null) return seqOf(this.#before);
    if (this.#other - this.#same <= 1) {
      return { common: this.#same < this.#log.first - 1 ? null : seqOf(this.#same) };
    }
    return seqOf(this.#same + Math.floor((this.#other - this.#same) / 2));
  }

  /** Takes an answer to `next`. `corrupt`: one run, two contents; `bad_frame`: no answer to what was asked. */
  answered(probed: Probed): DfdbError | Found | null {
    const { seq, term, chain } = probed;
    if (seq !== this.next) {
      return new DfdbError("bad_frame", `the leader tells of entry ${seq}, which was not asked for`);
    }
    const here = this.#log.at(seq);
    // Trimmed since the question: what is in common may be before all that is still held.
    if (typeof here !== "object") return { common: null };
    const theirs = term === null ? null : { seq, ...term, chain: chain ?? here.chain };
    if (theirs !== null && samePosition(here, theirs)) this.#same = seq;
    else if (theirs !== null && sameTerm(here, theirs)) {
      return new DfdbError("corrupt", `entry ${seq} differs from the leader's inside one run`);
    } else if (this.#same === null) return { common: null };
    else this.#other = seq;
    return null;
  }
}
