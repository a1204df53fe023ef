/** Is what a node has stored what its log says? Nothing missing, nothing more, nothing twice, nothing of a later state. */
import { Buffer } from "node:buffer";
import type { CollectionInfo, ReadView, StoredDocument } from "../../src/storage/storage.ts";
import { seqOf } from "../../src/base/ids.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { ancestorAt, tokenOf } from "./history_tree.ts";
import type { Replay, ReplayedCollection, Value } from "./replay.ts";
import { type Observed, Violation } from "./types.ts";

export interface ContentCheckOptions {
  readonly history: History;
  readonly replay: Replay;
}

const pageMax = { documentsMax: 1_000, bytesMax: 2 ** 30 };

/** Compares every collection and document of the node, its terms and the log that it keeps with what was committed. */
export function checkContent(node: Observed, { history, replay }: ContentCheckOptions): void {
  history.observe(node);
  const tip = history.tip(node.machine), expected = replay.documentsAt(tip);
  node.storage.read((view) => {
    const { position } = view;
    if (position.seq !== tip.seq || position.chain !== tip.chain) {
      throw wrong(node, tip, `its documents are of entry ${position.seq}`);
    }
    const found = view.collections();
    if (found.length !== expected.size) {
      const names = (all: Iterable<{ name: string }>): string => [...all].map(({ name }) => name).join(", ");
      throw wrong(node, tip, `its collections are ${names(found)}, not ${names(expected.values())}`);
    }
    for (const info of found) {
      const collection = expected.get(info.name);
      if (collection === undefined || collection.number !== info.number) {
        throw wrong(node, tip, `there is no collection ${info.name} of number ${info.number}`);
      }
      checkCollection(node, tip, { view, info, collection });
    }
  });
  checkTerms(node, tip);
  checkLog(node, tip);
}

/** Checks that the nodes, after all is healed, have come to the same end and hold what it says. */
export function checkConverged(nodes: readonly Observed[], options: ContentCheckOptions): void {
  const [first] = nodes;
  for (const node of nodes) {
    checkContent(node, options);
    const tip = options.history.tip(node.machine), other = options.history.tip((first as Observed).machine);
    if (tip !== other) {
      throw new Violation(
        "convergence",
        `${first?.process} is at ${tokenOf(other)}, ${node.process} at ${tokenOf(tip)}`,
      );
    }
  }
}

interface Compared {
  readonly view: ReadView;
  readonly info: CollectionInfo;
  readonly collection: ReplayedCollection;
}

function checkCollection(node: Observed, tip: Entry, { view, info, collection }: Compared): void {
  const { name, documents: expected } = collection, seen = new Set<string>();
  if (info.documents !== expected.size) {
    throw wrong(node, tip, `${name} counts ${info.documents} documents, not ${expected.size}`);
  }
  for (let after: number | null = 0; after !== null;) {
    const { documents, next } = view.page(info.number, after, pageMax);
    for (const document of documents) {
      if (seen.has(document.id)) throw wrong(node, tip, `${name}/${document.id} is there twice`);
      seen.add(document.id);
      const difference = differenceOf(document, expected.get(document.id));
      if (difference !== null) throw wrong(node, tip, `${name}/${document.id} ${difference}`);
    }
    after = next;
  }
  for (const id of expected.keys()) if (!seen.has(id)) throw wrong(node, tip, `${name}/${id} is missing`);
}

/** What a stored document has that it should not have; null: nothing. */
export function differenceOf(
  stored: Pick<StoredDocument, "body"> & {
    readonly seq: number;
    readonly createdMs: number;
    readonly modifiedMs: number;
  },
  expected: Value | undefined,
): string | null {
  if (expected === undefined) return `should not be there; it is of entry ${stored.seq}`;
  for (const name of ["seq", "createdMs", "modifiedMs", "body"] as const) {
    if (stored[name] !== expected[name]) {
      return `has ${name} ${brief(stored[name])}, not ${brief(expected[name])}`;
    }
  }
  return null;
}

function brief(value: string | number): string {
  return `${value}`.slice(0, 200);
}

/** The terms are remembered for ever, also those whose entries were trimmed. */
function checkTerms(node: Observed, tip: Entry): void {
  const expected: string[] = [];
  for (let { run } = tip; run.parent !== null; run = run.parent.run) {
    expected.unshift(`${run.epoch} ${run.id} ${run.nodeId} ${run.first}`);
  }
  const found = node.storage.log.terms.map(({ epoch, run, nodeId, firstSeq }) =>
    `${epoch} ${run} ${nodeId} ${firstSeq}`
  );
  if (found.join() !== expected.join()) {
    throw wrong(node, tip, `its terms are ${found.join()}, not ${expected.join()}`);
  }
}

/** The log keeps what it had, to the byte. */
function checkLog(node: Observed, tip: Entry): void {
  const { log } = node.storage;
  for (let after = log.first - 1; after < tip.seq;) {
    const entries = log.entries(seqOf(after), { bytesMax: 2 ** 30, entriesMax: 1_000 });
    if (entries === "compacted" || entries.length === 0) {
      throw wrong(node, tip, `its log ends after entry ${after}`);
    }
    for (const { seq, chain, payload, wallMs } of entries) {
      const known = ancestorAt(tip, seq);
      const same = known !== null && known.chain === chain && known.wallMs === wallMs &&
        Buffer.compare(known.payload, payload) === 0;
      if (!same || seq !== after + 1) throw wrong(node, tip, `entry ${seq} of its log is not what it was`);
      after = seq;
    }
  }
}

function wrong({ process }: Observed, tip: Entry, what: string): Violation {
  return new Violation("content", `${process} at ${tokenOf(tip)}: ${what}`);
}
