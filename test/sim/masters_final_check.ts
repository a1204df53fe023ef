/** What holds when masters have come to rest: all that a destination is to be sent is there, nothing answered is lost, nothing deleted is back. */
import { seqOf } from "../../src/base/ids.ts";
import { termAt } from "../../src/storage/position_text.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { placeOf } from "./answers.ts";
import type { Acknowledged } from "./masters_client.ts";
import type { KeySeen, PolicySeen, VersionSeen } from "./masters_keys.ts";
import {
  conflict,
  counted,
  describeKey,
  dotsText,
  gone,
  keySeen,
  mayBePurged,
  naiveShown,
} from "./masters_keys.ts";
import { type DotSeen, textOf } from "./masters_runs.ts";
import type { Master } from "./masters_site.ts";
import { collections, type Edge } from "./masters_swarm.ts";
import { allKeys, type VersionsCheck } from "./masters_versions_check.ts";
import { Violation } from "./types.ts";

export interface FinalCheckOptions {
  readonly masters: readonly Master[];
  readonly check: VersionsCheck;
  readonly edges: readonly Edge[];
  readonly policy: PolicySeen;
  readonly purges: boolean;
  /** The highest wall clock, ms. */
  readonly wallMs: number;
  readonly acknowledged: readonly Acknowledged[];
  /** Sites at which something was done that may lose answered writes. */
  readonly mayLose: ReadonlySet<string>;
}

type Held = ReadonlyMap<string, KeySeen>;

/** How many answered writes were lost with somebody's leadership or older disk. */
export function finalCheck(
  options: FinalCheckOptions,
): { readonly lost: number; readonly conflicts: number } {
  const { masters, check, edges, policy } = options, sites = new Map<string, Held>();
  for (const { site, cluster } of masters) {
    const held = heldBy(check, storageOf(cluster.leader.node));
    for (const machine of cluster.machines) {
      const storage = storageOf(machine.node), other = heldBy(check, storage);
      same(machine.name, other, cluster.leader.name, held, (versions) => versions);
      tables(machine.name, storage, other);
    }
    sites.set(site.name, held);
  }
  let conflicts = 0;
  for (const [site, held] of sites) {
    for (const key of held.values()) {
      if (key.shown === conflict) conflicts++;
      const expected = naiveShown(check.runs, key.versions, policy);
      if (key.shown !== expected) {
        throw wrong("policy", `site ${site} should show ${expected.slice(0, 60)}`, key);
      }
    }
  }
  for (const edge of edges) sent(options, edge, sites);
  for (const collection of collections) {
    if (reachesAll(masters, edges, collection)) equal(options, collection, sites);
  }
  return { lost: kept(options, sites), conflicts };
}

function storageOf(node: { readonly storage: Storage } | null): Storage {
  if (node === null) throw new Error("a node rests that is not there");
  return node.storage;
}

function heldBy({ runs }: VersionsCheck, storage: Storage): Held {
  return storage.read(({ versions }) => {
    const keys = versions?.changedSince(seqOf(0), allKeys).keys ?? [];
    return new Map(keys.map((key) => keySeen(runs, key)).map((key) => [key.key, key]));
  });
}

/** The tables of documents, and what is counted, are what the versions say. */
function tables(name: string, storage: Storage, held: Held): void {
  const expected = new Map<string, { documents: number; tombstones: number; conflicts: number }>();
  for (const { key, shown } of held.values()) {
    const collection = key.slice(0, key.indexOf("/"));
    const counts = expected.get(collection) ?? { documents: 0, tombstones: 0, conflicts: 0 };
    counts[shown === gone ? "tombstones" : shown === conflict ? "conflicts" : "documents"]++;
    expected.set(collection, counts);
  }
  storage.read((view) => {
    for (const collection of collections) {
      const { documents = 0, tombstones = 0, conflicts = 0 } = expected.get(collection) ?? {};
      const counts = view.versions?.counts(collection), found = view.collection(collection)?.documents ?? 0;
      if (found !== documents || counts?.tombstones !== tombstones || counts.conflicts !== conflicts) {
        const both = JSON.stringify([{ documents: found, ...counts }, { documents, tombstones, conflicts }]);
        throw new Violation("documents", `${name} counts in ${collection}, and holds: ${both}`);
      }
    }
    const [rejected] = view.collection("Raven") === null ? [] : [
      ...view.select(
        `SELECT id, body FROM docs_${
          view.collection("Raven")?.number
        } WHERE id LIKE 'Replication/Rejected/%'`,
        [],
        true,
      ),
    ];
    if (rejected !== undefined) {
      throw new Violation("rejected", `${name}: ${String(rejected[1]).slice(0, 500)}`);
    }
  });
}

/** The same keys with the same versions. */
function same(
  a: string,
  mine: Held,
  b: string,
  theirs: Held,
  which: (versions: readonly VersionSeen[]) => readonly VersionSeen[],
): void {
  for (const name of new Set([...mine.keys(), ...theirs.keys()])) {
    const one = mine.get(name), other = theirs.get(name);
    const dots = [one, other].map((key) => dotsText(which(key?.versions ?? [])));
    const shown = [one, other].map((key) => key?.shown ?? gone);
    if (dots[0] === dots[1] && shown[0] === shown[1]) continue;
    const [first, second] = [one, other].map((key) => key === undefined ? "nothing" : describeKey(key));
    throw new Violation("convergence", `${a} holds ${first}, ${b} holds ${second}`);
  }
}

/** Whatever `from` is to send is known at `to`. */
function sent(
  { check: { runs }, purges, wallMs }: FinalCheckOptions,
  edge: Edge,
  sites: Map<string, Held>,
): void {
  const { from, to, transitive, collections: only } = edge, there = sites.get(to) as Held;
  for (const key of (sites.get(from) as Held).values()) {
    if (only !== null && !only.includes(key.key.slice(0, key.key.indexOf("/")))) continue;
    const seen = there.get(key.key)?.vector ?? [];
    const lacking = key.versions.filter((version) =>
      !runs.saw(seen, version.dot) && !(purges && mayBePurged(version, wallMs))
    );
    const writer = ({ dot }: VersionSeen): string | null => runs.siteOf(dot.run);
    // What it has to be sent, and what it wrote and lost.
    const due = transitive || key.versions.some((version) => writer(version) === from) ||
      lacking.some((version) => writer(version) === to);
    if (!due || lacking.length === 0) continue;
    const holds = there.get(key.key), own = holds === undefined ? "nothing" : describeKey(holds);
    throw wrong("convergence", `${from} has not sent ${to} all; there is ${own}`, key);
  }
}

/** Every site has all of the collection: each sends on to all that can be reached, or all to all. */
function reachesAll(masters: readonly Master[], edges: readonly Edge[], collection: string): boolean {
  const names = masters.map(({ site }) => site.name);
  const open = edges.filter(({ collections: only }) => only === null || only.includes(collection));
  const direct = (from: string, to: string): boolean =>
    from === to || open.some((edge) => edge.from === from && edge.to === to);
  if (names.every((from) => names.every((to) => direct(from, to)))) return true;
  const onwards = open.filter(({ transitive }) => transitive);
  return names.every((start) => {
    const reached = new Set([start]);
    for (const at of reached) for (const { from, to } of onwards) if (from === at) reached.add(to);
    return reached.size === names.length;
  });
}

function equal(options: FinalCheckOptions, collection: string, sites: Map<string, Held>): void {
  const { purges, wallMs, check } = options, [first, ...others] = [...sites];
  const of = (held: Held): Held =>
    new Map(
      [...held].filter(([key, { versions }]) =>
        key.startsWith(`${collection}/`) && !(purges && versions.every((one) => mayBePurged(one, wallMs)))
      ),
    );
  if (first === undefined) return;
  for (const [name, held] of others) {
    same(first[0], of(first[1]), name, of(held), purges ? counted : (versions) => versions);
  }
  for (const [site, held] of purges ? sites : []) {
    for (const key of of(held).values()) {
      for (const { dot } of key.versions) {
        for (const by of check.versionsOf(key.key)) {
          if (textOf(by.dot) !== textOf(dot) && check.runs.saw(by.vector, dot)) {
            throw wrong(
              "resurrected",
              `site ${site} holds ${textOf(dot)}, which ${textOf(by.dot)} replaced`,
              key,
            );
          }
        }
      }
    }
  }
}

/** Each answered write is what it said, and known where it was written. How many were lost with what may lose some. */
function kept(options: FinalCheckOptions, sites: Map<string, Held>): number {
  const { masters, check, acknowledged, mayLose, purges, wallMs } = options;
  let lost = 0;
  for (const { machine, position, keys } of acknowledged) {
    const master = masters.find(({ site }) => site.machines.includes(machine)) as Master;
    const { site, cluster } = master,
      { log } = storageOf(cluster.leader.node),
      { run, seq } = placeOf(position);
    const term = seq > log.last.seq ? null : termAt(log.terms, seqOf(seq));
    if (term === null || `${term.epoch}.${term.run.slice(0, 8)}` !== run) {
      if (!mayLose.has(site.name)) throw new Violation("lost", `site ${site.name} has lost ${position}`);
      lost++;
      continue;
    }
    const dot: DotSeen = { run: term.run, seq };
    for (const { key, tag } of keys) {
      const seen = sites.get(site.name)?.get(key)?.vector ?? [], version = check.versionOf(key, dot);
      if (
        version !== null && !(tag === null ? version.body === null : version.body?.includes(`"tag":"${tag}"`))
      ) {
        throw new Violation("lost", `${position} of ${machine} made of ${key} ${version.body}, not ${tag}`);
      }
      if (check.runs.saw(seen, dot)) continue;
      const purged = purges &&
        [...check.versionsOf(key)].some((by) => mayBePurged(by, wallMs) && check.runs.saw(by.vector, dot));
      if (!purged) {
        throw new Violation("lost", `site ${site.name} knows nothing of ${position}, a write of ${key}`);
      }
    }
  }
  return lost;
}

function wrong(checker: string, what: string, key: KeySeen): Violation {
  return new Violation(checker, `${what}: ${describeKey(key)}`);
}
