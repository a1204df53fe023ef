/** Change vectors: what somebody had seen of one document, as the newest entry of each history. */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, RunId, Seq } from "../base/ids.ts";
import { databaseIdOf, noRun, runIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Dot, RunTree } from "./run_tree.ts";

/**
 * Ascending by run, none covered by another: so one for each database, and one more for each history that a failover or an older backup
 * left behind. Two vectors that say the same are equal byte by byte.
 */
export type ChangeVector = readonly Dot[];

export const emptyVector: ChangeVector = [];

/** How two vectors stand to each other: `before`: the second covers the first. */
export type VectorOrder = "equal" | "before" | "after" | "concurrent";

/** The least vector that covers all of `dots`; their runs must be known. */
export function vectorOf(tree: RunTree, dots: readonly Dot[]): ChangeVector {
  const highest: Dot[] = [];
  for (const dot of [...dots].sort((a, b) => compareRuns(a.run, b.run) || b.seq - a.seq)) {
    if (highest.at(-1)?.run !== dot.run) highest.push({ run: dot.run, seq: dot.seq });
  }
  if (highest.length < 2) return highest;
  return highest.filter((dot) => !highest.some((by) => by !== dot && tree.covers(by, dot)));
}

/** The least vector that covers both; `a` itself where it covers `b`. */
export function joinVectors(tree: RunTree, a: ChangeVector, b: ChangeVector): ChangeVector {
  const more = b.filter((dot) => !vectorCovers(tree, a, dot));
  return more.length === 0 ? a : vectorOf(tree, [...a, ...more]);
}

/** True when whoever has seen `vector` has seen the version that entry `dot` made. */
export function vectorCovers(tree: RunTree, vector: ChangeVector, dot: Dot): boolean {
  for (const by of vector) if (tree.covers(by, dot)) return true;
  return false;
}

export function compareVectors(tree: RunTree, a: ChangeVector, b: ChangeVector): VectorOrder {
  if (equalVectors(a, b)) return "equal";
  if (a.every((dot) => vectorCovers(tree, b, dot))) return "before";
  return b.every((dot) => vectorCovers(tree, a, dot)) ? "after" : "concurrent";
}

export function equalVectors(a: ChangeVector, b: ChangeVector): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every(({ run, seq }, i) => run === b[i]?.run && seq === b[i]?.seq);
}

/** Throws `bad_request` unless each run is known here, each entry is one of its run, and no entry is covered by another. */
export function checkVector(tree: RunTree, vector: ChangeVector): void {
  for (const { run, seq } of vector) {
    const node = tree.get(run);
    if (node === undefined) throw badVector(`run ${run} is not known here`);
    if (seq < node.firstSeq) throw badVector(`run ${run} begins at ${node.firstSeq}, after ${seq}`);
  }
  if (!equalVectors(vector, vectorOf(tree, vector))) throw badVector("it is not in canonical form");
}

// Bytes: for each entry the run, 16 bytes, then the seq, u64 little-endian. Part of the format.
const entryBytes = 24;

export function encodeVector(vector: ChangeVector): Uint8Array {
  assert(vector.length <= limits.vectorEntriesMax, `a vector of ${vector.length} entries`);
  const bytes = new Uint8Array(vector.length * entryBytes), view = new DataView(bytes.buffer);
  vector.forEach(({ run, seq }, i) => {
    const at = i * entryBytes;
    for (let word = 0; word < 4; word++) {
      view.setUint32(at + 4 * word, Number.parseInt(run.slice(8 * word, 8 * word + 8), 16));
    }
    view.setUint32(at + 16, seq >>> 0, true);
    view.setUint32(at + 20, seq / 2 ** 32, true);
  });
  return bytes;
}

/** Throws `corrupt` for all that {@linkcode encodeVector} does not write. Whether it is normalised only a tree can tell: {@linkcode checkVector}. */
export function decodeVector(bytes: Uint8Array): ChangeVector {
  const entries = bytes.length / entryBytes;
  if (!Number.isInteger(entries) || entries > limits.vectorEntriesMax) {
    throw corruptVector(`${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return ascending(
    Array.from({ length: entries }, (_, i): Dot => {
      const at = i * entryBytes;
      let run = "";
      for (let word = 0; word < 4; word++) run += view.getUint32(at + 4 * word).toString(16).padStart(8, "0");
      const seq = view.getUint32(at + 16, true) + view.getUint32(at + 20, true) * 2 ** 32;
      return { run: runIdOf(run), seq: seqOf(seq) };
    }),
    corruptVector,
  );
}

/** An entry as people and peers read it: with the database whose run it is. */
export interface NamedVector {
  readonly vector: ChangeVector;
  /** Of each entry, in its order. */
  readonly databases: readonly DatabaseId[];
}

const separator = ", ";
/** Of one entry: two ids, 16 digits, two colons. */
const entryCharsMax = 82;

/** `<database>:<run>:<seq>` for each entry, joined by `, `; the empty text for the empty vector. */
export function vectorText(tree: RunTree, vector: ChangeVector): string {
  return vector.map(({ run, seq }) => {
    const node = tree.get(run);
    assert(node !== undefined, `run ${run} of a vector is not known`);
    return `${node.database}:${run}:${seq}`;
  }).join(separator);
}

/** Reads what {@linkcode vectorText} wrote, here or elsewhere; throws `bad_request` for all else. */
export function parseVector(text: string): NamedVector {
  if (text === "") return { vector: emptyVector, databases: [] };
  if (text.length > limits.vectorEntriesMax * (entryCharsMax + separator.length)) {
    throw badVector("it is too long");
  }
  const databases: DatabaseId[] = [];
  const dots = text.split(separator).map((entry): Dot => {
    const match = /^([0-9a-f]{32}):([0-9a-f]{32}):([1-9]\d{0,15})$/.exec(entry);
    if (match === null) {
      throw badVector(`"${entry.slice(0, entryCharsMax)}" is not <database id>:<run>:<seq>`);
    }
    databases.push(databaseIdOf(match[1] as string));
    return { run: runIdOf(match[2] as string), seq: seqOf(Number(match[3])) };
  });
  if (dots.length > limits.vectorEntriesMax) throw badVector("it has too many entries");
  return { vector: ascending(dots, badVector), databases };
}

/** Throws `bad_request` where a run is known here as one of another database than `named` says. */
export function checkDatabases(tree: RunTree, { vector, databases }: NamedVector): void {
  vector.forEach(({ run }, i) => {
    const known = tree.get(run)?.database;
    if (known !== undefined && known !== databases[i]) {
      throw badVector(`run ${run} is one of database ${known}`);
    }
  });
}

/** -1, 0 or 1; code units, so the same on every runtime and in every language. */
export function compareRuns(a: RunId, b: RunId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function ascending(dots: readonly Dot[], error: (what: string) => DfdbError): ChangeVector {
  let before: RunId = noRun;
  for (const { run, seq } of dots) {
    if (run <= before) throw error("its runs do not ascend");
    if (!isSeq(seq)) throw error(`${seq} is not a seq`);
    before = run;
  }
  return dots;
}

function isSeq(value: Seq): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

function badVector(what: string): DfdbError {
  return new DfdbError("bad_request", `change vector: ${what}`);
}

function corruptVector(what: string): DfdbError {
  return new DfdbError("corrupt", `change vector: ${what}`);
}
