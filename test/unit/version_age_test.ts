/** Old deletions: what joins keep of them, what is shown without them, and what purging them may not change. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import { vectorCovers } from "../../src/document/change_vector.ts";
import type { ConflictPolicy } from "../../src/document/judge.ts";
import { judge } from "../../src/document/judge.ts";
import type { Dot } from "../../src/document/run_tree.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import type { Version, VersionSet } from "../../src/document/version_set.ts";
import { countedVersions, joinSets, vectorOfSet, writeOver } from "../../src/document/version_set.ts";
import { mine } from "../tool/shared_out.ts";
import { databaseId, dotOf, dotText, node, runId, setText, shuffled } from "../tool/version_world.ts";

const day = 86_400_000, begin = 1_700_000_000_000, old = limits.deletionCountsMs;
const databases = 3;

const tree = new RunTree();
for (let i = 0; i < databases; i++) tree.add(node(runId(i), 1, null, databaseId(i)));

const policies: readonly ConflictPolicy[] = [
  { kind: "manual" },
  { kind: "latest" },
  { kind: "prefer", databases: [databaseId(1), databaseId(0)] },
];

const join = (a: VersionSet, b: VersionSet): VersionSet => joinSets(tree, a, b);

/** A version by database `by`, who held `set`. */
function wrote(set: VersionSet, by: number, seq: number, atMs: number, text: string | null): Version {
  const body = text === null ? null : utf8(text);
  return writeOver(tree, set, dotOf(runId(by), seq), wallMsOf(begin + atMs), body)[0] as Version;
}

function shownText(set: VersionSet, policy: ConflictPolicy): string {
  if (set.length === 0) return "deleted";
  const { shown } = judge(tree, set, policy);
  return "body" in shown ? utf8Text(shown.body) : shown.kind;
}

/** What version `i` of a small history is, and which ones before it its writer had received. */
interface Step {
  readonly received: number;
  readonly late: boolean;
  readonly deleted: boolean;
}

interface Made {
  readonly versions: readonly Version[];
  /** Of each one: which ones its writer had seen, itself included. */
  readonly seen: readonly ReadonlySet<number>[];
}

function made(steps: readonly Step[]): Made {
  const versions: Version[] = [], seen: Set<number>[] = [];
  steps.forEach(({ received, late, deleted }, i) => {
    const known = versions.flatMap((_, j) => j % databases === i % databases || received >> j & 1 ? [j] : []);
    const set = known.reduce((held: VersionSet, j) => join(held, [versions[j] as Version]), []);
    versions.push(wrote(set, i % databases, i + 1, late ? 20 * day + i : i, deleted ? null : `{"n":${i}}`));
    seen.push(new Set([i, ...known.flatMap((j) => [...seen[j] as Set<number>])]));
  });
  return { versions, seen };
}

/** From whole histories: what nobody has seen; what is shown of it. */
function expected({ versions, seen }: Made): { readonly dots: string[]; readonly counted: string[] } {
  const last = versions.filter((_, i) => !seen.some((by, j) => j !== i && by.has(i)));
  const newest = Math.max(...last.map(({ modifiedMs }) => modifiedMs));
  const counted = last.filter(({ body, modifiedMs }) => body !== null || newest - modifiedMs < old);
  const dots = (set: VersionSet): string[] => set.map(({ dot }) => dotText(dot)).sort();
  return { dots: dots(last), counted: dots(counted) };
}

function permutations<Value>(list: readonly Value[]): Value[][] {
  if (list.length < 2) return [[...list]];
  return list.flatMap((one, i) =>
    permutations([...list.slice(0, i), ...list.slice(i + 1)]).map((rest) => [one, ...rest])
  );
}

/** All orders, at once and in two parts: one end. True: a deletion does not count in it. */
function checkOrders(history: Made): boolean {
  const { versions } = history, { dots, counted } = expected(history), ends = new Set<string>();
  let end: VersionSet = [];
  for (const order of permutations(versions)) {
    end = order.reduce((held: VersionSet, version) => join(held, [version]), []);
    ends.add(setText(end));
    for (let cut = 1; cut < order.length; cut++) {
      const [a, b] = [order.slice(0, cut), order.slice(cut)].map((part) =>
        part.reduce((held: VersionSet, version) => join(held, [version]), [])
      ) as [VersionSet, VersionSet];
      ends.add(setText(join(a, b)));
    }
  }
  assert.equal(ends.size, 1);
  assert.deepEqual(end.map(({ dot }) => dotText(dot)).sort(), dots);
  const counts = countedVersions(end);
  assert.deepEqual(counts.map(({ dot }) => dotText(dot)).sort(), counted);
  for (const policy of policies) assert.equal(shownText(end, policy), shownText(counts, policy));
  return counts.length < end.length;
}

test("every history of up to three versions, some of four, in every order: one set, and what counts of it", () => {
  let aside = 0, checked = 0;
  const all = (count: number): Step[][] => {
    if (count === 0) return [[]];
    const before = all(count - 1), i = count - 1;
    return Array.from({ length: 2 ** i * 4 }, (_, n) => n).flatMap((n) =>
      before.map((steps) => [...steps, { received: n >> 2, late: (n & 1) === 1, deleted: (n & 2) === 2 }])
    );
  };
  const four = mine(all(4)).filter((_, i) => i % 8 === 0);
  for (const steps of [...all(1), ...all(2), ...all(3), ...four]) {
    if (checkOrders(made(steps))) aside++;
    checked++;
  }
  assert.ok(checked > 1_000 && aside > 100, `${aside} of ${checked}`);
});

test("random histories of five versions in all 120 orders", () => {
  let aside = 0;
  for (const seed of mine(Array.from({ length: 120 }, (_, i) => i))) {
    const random = prng(seed);
    const steps = Array.from({ length: 5 }, () => ({
      received: random.below(32),
      late: random.below(2) === 0,
      deleted: random.below(2) === 0,
    }));
    if (checkOrders(made(steps))) aside++;
  }
  assert.ok(aside > 0, `${aside}`);
});

test("leaving old deletions out of the sets themselves would depend on the order", () => {
  const kept = (a: VersionSet, b: VersionSet): VersionSet => countedVersions(join(a, b));
  const x = wrote([], 0, 1, 0, '{"x":1}'), d = wrote([x], 1, 1, 1, null), v = wrote([], 2, 1, old + 1, "{}");
  const ends = permutations([x, d, v]).map((order) =>
    order.reduce((held: VersionSet, version) => kept(held, [version]), []).map(({ body }) =>
      utf8Text(body ?? utf8("deleted"))
    ).sort().join(" and ")
  );
  assert.deepEqual([...new Set(ends)].sort(), ['{"x":1} and {}', "{}"], "what it deleted comes back");
  const joined = permutations([x, d, v]).map((order) =>
    shownText(order.reduce((held: VersionSet, version) => join(held, [version]), []), { kind: "manual" })
  );
  assert.deepEqual(new Set(joined), new Set(["{}"]));
});

test("the age is a limit to the millisecond; of deletions alone, and of documents, all count", () => {
  const d = wrote([], 0, 1, 0, null), at = (ms: number): VersionSet => join([d], [wrote([], 1, 1, ms, "{}")]);
  assert.equal(shownText(at(old - 1), { kind: "manual" }), "conflict");
  assert.equal(shownText(at(old), { kind: "manual" }), "{}");
  assert.deepEqual(countedVersions(at(old)).map(({ body }) => body !== null), [true]);
  const deletions = join([d], [wrote([], 1, 1, 2 * old, null)]);
  assert.equal(countedVersions(deletions).length, 1);
  assert.equal(shownText(deletions, { kind: "manual" }), "deleted");
  const documents = join([wrote([], 0, 1, 0, '{"old":1}')], [wrote([], 1, 1, 2 * old, "{}")]);
  assert.equal(countedVersions(documents), documents);
  assert.equal(shownText(documents, { kind: "manual" }), "conflict");
  // What is left aside is no loser either, and the vector covers it.
  const { losers, vector } = judge(tree, at(old), { kind: "latest" });
  assert.deepEqual(losers, []);
  assert.equal(vector.length, 2);
});

/** A node of a mesh in which tombstones are purged. */
interface Site {
  set: VersionSet;
  /** Numbers of the versions that it has held, or that those it held had seen. */
  readonly known: Set<string>;
  seq: number;
}

interface Message {
  readonly from: number;
  readonly set: VersionSet;
}

/** All that `version` is known to have seen, from whole histories. */
class Histories {
  readonly #seen = new Map<string, ReadonlySet<string>>();
  readonly versions = new Map<string, Version>();

  add(version: Version, set: VersionSet): void {
    const dot = dotText(version.dot);
    this.#seen.set(dot, new Set([dot, ...set.flatMap((one) => [...this.of(one.dot)])]));
    this.versions.set(dot, version);
  }

  of(dot: Dot): ReadonlySet<string> {
    return this.#seen.get(dotText(dot)) as ReadonlySet<string>;
  }

  isSeen(dot: string): boolean {
    return [...this.#seen].some(([by, seen]) => by !== dot && seen.has(dot));
  }
}

function purgingHistory(random: Prng): { readonly purged: number; readonly aside: boolean } {
  const sites: Site[] = Array.from(
    { length: databases },
    () => ({ set: [], known: new Set<string>(), seq: 0 }),
  );
  const histories = new Histories();
  let waiting: Message[] = [], nowMs = 0, purged = 0, anew = false;
  const hold = (site: Site, set: VersionSet): void => {
    site.set = set;
    for (const { dot } of set) for (const seen of histories.of(dot)) site.known.add(seen);
  };
  const write = (by: number, text: string | null): void => {
    const site = sites[by] as Site,
      version = wrote(site.set, by, ++site.seq, nowMs + random.below(60_000), text);
    histories.add(version, site.set);
    anew ||= site.set.length === 0 && site.known.size > 0;
    hold(site, [version]);
  };
  const purge = (site: Site): void => {
    const { set } = site,
      confirmed = (dot: Dot): boolean => sites.every(({ known }) => known.has(dotText(dot)));
    const may = set.length > 0 &&
      set.every(({ dot, body, modifiedMs }) =>
        body === null && modifiedMs + old + 60_000 <= begin + nowMs && confirmed(dot)
      );
    if (!may) return;
    // Nobody waits a fortnight for an answer to what was sent before.
    waiting = waiting.filter(({ set: sent }) => sent.some(({ dot }) => set.some((one) => one.dot === dot)));
    site.set = [];
    purged++;
  };
  const settle = (): void => {
    for (let changed = true; changed;) {
      changed = false;
      for (const from of shuffled(sites, random)) {
        for (const to of shuffled(sites, random)) {
          const before = to.set;
          hold(to, join(before, from.set));
          changed ||= to.set !== before;
        }
      }
    }
  };
  for (let step = 0; step < 40; step++) {
    const by = random.below(databases), site = sites[by] as Site, event = random.below(100);
    nowMs += random.below(1_000);
    if (event < 12) write(by, `{"n":${step}}`);
    else if (event < 32) {
      if (site.set.length > 0) write(by, null);
    } else if (event < 55) {
      if (site.set.length > 0) waiting.push({ from: by, set: site.set });
    } else if (event < 80) {
      const at = random.below(waiting.length + 1), message = waiting[at];
      if (message === undefined || message.from === by) continue;
      if (random.below(3) > 0) waiting.splice(at, 1);
      hold(site, join(site.set, message.set));
    } else if (event < 85) settle();
    else {
      nowMs += random.below(3) === 0 ? 15 * day : day;
      purge(site);
    }
  }
  settle();
  for (const policy of policies) {
    assert.equal(new Set(sites.map(({ set }) => shownText(set, policy))).size, 1, "all show the same");
  }
  for (const { set } of sites) {
    for (const { dot, vector } of set) {
      assert.equal(histories.isSeen(dotText(dot)), false, "what was deleted or replaced does not come back");
      for (const one of vector) assert.ok(vectorCovers(tree, vectorOfSet(tree, set), one));
    }
  }
  // What nobody has replaced is there, but for purged deletions.
  for (const [dot, { body }] of histories.versions) {
    if (body === null || histories.isSeen(dot)) continue;
    for (const { set } of sites) assert.ok(set.some((one) => dotText(one.dot) === dot), `${dot} is lost`);
  }
  return { purged, aside: anew && sites.some(({ set }) => countedVersions(set).length < set.length) };
}

test("purging what everybody has confirmed: nothing comes back, nothing is lost, all show the same", () => {
  let purged = 0, aside = 0;
  for (const seed of mine(Array.from({ length: 1_500 }, (_, i) => i))) {
    const history = purgingHistory(prng(seed));
    purged += history.purged;
    if (history.aside) aside++;
  }
  assert.ok(purged > 30 && aside > 0, `${purged} purged, ${aside} keys written anew beside a tombstone`);
});

test("a key written anew where its tombstone is gone shows the same wherever the tombstone is still", () => {
  const x = wrote([], 0, 1, 0, '{"x":1}'), d = wrote([x], 1, 1, 1, null);
  const anew = wrote([], 0, 2, old + day, '{"anew":1}');
  // The second database's deletion: the first one's own dot does not cover it.
  for (const policy of policies) {
    for (const held of [[anew], join([d], [anew]), join(join([x], [d]), [anew]), join([anew], [d])]) {
      assert.equal(shownText(held, policy), '{"anew":1}');
    }
  }
  const next = wrote(join([d], [anew]), 2, 1, old + 2 * day, null);
  assert.deepEqual(join(join([d], [anew]), [next]), [next]);
});
