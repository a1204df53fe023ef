/** What was ever committed, as a tree: runs, each a line of entries that continues an entry of another run. */
import type { Operation } from "../../src/document/operation.ts";

export interface Entry {
  readonly run: Run;
  readonly seq: number;
  readonly chain: number;
  readonly wallMs: number;
  /** A copy of its own. */
  readonly payload: Uint8Array;
  readonly operations: readonly Operation[];
  /** Payload bytes of all entries up to and with this one. */
  readonly endBytes: number;
  /** Virtual ms when it was first seen on any machine. */
  readonly seenAt: number;
  /** By machine: virtual ms when it was first seen durable there. */
  readonly heldAt: Map<string, number>;
}

export interface Run {
  /** 32 hex digits. */
  readonly id: string;
  readonly epoch: number;
  /** Node that writes it. */
  readonly nodeId: string;
  /** The entry that the run continues; null for the run before the first one. */
  readonly parent: Entry | null;
  /** Seq of its first entry. */
  readonly first: number;
  /** In order, without holes. */
  readonly entries: Entry[];
}

/** The one entry, of seq 0, before all others. */
export function rootEntry(): Entry {
  const run: Run = { id: "0".repeat(32), epoch: 0, nodeId: "", parent: null, first: 0, entries: [] };
  const root: Entry = {
    run,
    seq: 0,
    chain: 0,
    wallMs: 0,
    payload: new Uint8Array(),
    operations: [],
    endBytes: 0,
    seenAt: 0,
    heldAt: new Map(),
  };
  run.entries.push(root);
  return root;
}

/** Null for the root. */
export function parentOf({ run, seq }: Entry): Entry | null {
  return run.entries[seq - 1 - run.first] ?? run.parent;
}

/** The entry of `seq` on the way to `tip`; null when that ends before. */
export function ancestorAt(tip: Entry, seq: number): Entry | null {
  if (seq > tip.seq) return null;
  let { run } = tip;
  while (seq < run.first && run.parent !== null) run = run.parent.run;
  return run.entries[seq - run.first] ?? null;
}

/** True when `entry` is `tip` or comes before it. */
export function contains(tip: Entry, entry: Entry): boolean {
  return ancestorAt(tip, entry.seq) === entry;
}

/** The last entry that is in the history of both. */
export function commonOf(a: Entry, b: Entry): Entry {
  // Of two runs the one that begins later is in no history of the other.
  while (a.run !== b.run) {
    const { parent, first } = a.run;
    if (first >= b.run.first && parent !== null) a = parent;
    else b = b.run.parent as Entry;
  }
  return a.seq < b.seq ? a : b;
}

/** Entries after `after`, which `tip` contains, up to `tip`, in order. */
export function entriesAfter(tip: Entry, after: Entry): readonly Entry[] {
  const found: Entry[] = [];
  for (let seq = after.seq + 1; seq <= tip.seq; seq++) found.push(ancestorAt(tip, seq) as Entry);
  return found;
}

/** `<epoch>.<run, 8 hex>-<seq>`: what clients are told. */
export function tokenOf({ run, seq }: Entry): string {
  return `${run.epoch}.${run.id.slice(0, 8)}-${seq}`;
}
