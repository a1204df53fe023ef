/** Random masters on real storages beside a model that keeps whole histories: whatever comes in whatever order, the end is the same. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import { encodeVector } from "../../src/document/change_vector.ts";
import type { ConflictPolicy } from "../../src/document/judge.ts";
import { contentHash } from "../../src/document/judge.ts";
import { vectorOfSet } from "../../src/document/version_set.ts";
import { shownNow } from "../../src/multimaster/outcome.ts";
import { resolve } from "../../src/multimaster/resolve.ts";
import type { KeyVersions } from "../../src/storage/versions.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { follow, rowsOf } from "../suites/storage_suite_versions_fixture.ts";
import { inFolder, patient, testOptions } from "../suites/storage_fixture.ts";
import { Master, sha256 } from "../tool/incoming_rig.ts";
import { dotText, setText, shuffled } from "../tool/version_world.ts";

/** Of each version all that its writer had seen, its own dot included. */
type Naive = ReadonlyMap<string, ReadonlySet<string>>;

const names = ["orders", "Items"] as const, ids = ["1", "2", "3"] as const;

interface Message {
  readonly from: Master;
  readonly to: Master;
  readonly batch: Uint8Array;
  readonly cursor: Master["cursor"];
  readonly naive: ReadonlyMap<string, Naive>;
}

class World {
  readonly masters: readonly Master[];
  readonly #random: Prng;
  readonly #naive = new Map<Master, Map<string, Naive>>();
  readonly #byVector = new Map<string, string>();
  readonly waiting: Message[] = [];
  compared = 0;
  conflicts = 0;

  constructor(masters: readonly Master[], random: Prng) {
    this.masters = masters;
    this.#random = random;
    for (const master of masters) this.#naive.set(master, new Map());
  }

  async step(): Promise<void> {
    const random = this.#random, master = this.#one(this.masters), event = random.below(10);
    if (event < 4) return await this.write(master);
    if (event < 7) return this.tell(master, this.#one(this.masters));
    const at = random.below(this.waiting.length + 1), message = this.waiting[at];
    if (message === undefined) return;
    if (random.below(3) > 0) this.waiting.splice(at, 1);
    await this.receive(message);
  }

  async write(master: Master): Promise<void> {
    const random = this.#random, name = this.#one(names), id = this.#one(ids);
    const held = this.#of(master, name, id),
      deletes = random.below(4) === 0 && master.body(name, id) !== null;
    // Clocks differ and go back.
    master.wallMs += random.below(2_000) - 1_000;
    if (deletes) await master.delete(name, id);
    else await master.put(random.below(2) === 0 ? name : name.toUpperCase(), id, `{"n":${random.below(3)}}`);
    const dot = dotText({ run: master.run, seq: master.storage.log.last.seq });
    const seen = new Set([dot]);
    for (const history of held.values()) for (const one of history) seen.add(one);
    this.#naive.get(master)?.set(keyOf(name, id), new Map([[dot, seen]]));
    this.#check(master);
  }

  /** All keys or some of them. */
  tell(from: Master, to: Master): void {
    if (from === to) return;
    const random = this.#random, all = random.below(2) === 0;
    const keys = from.keys().filter(() => all || random.below(2) === 0);
    const naive = new Map([...this.#naive.get(from) ?? []]);
    for (const key of naive.keys()) {
      if (!keys.some(({ name, id }) => keyOf(name, id) === key)) naive.delete(key);
    }
    this.waiting.push({ from, to, batch: from.batch(keys), cursor: from.cursor, naive });
  }

  async receive({ from, to, batch, cursor, naive }: Message): Promise<void> {
    const target = from.target(to, cursor), before = to.last;
    await to.incoming.replicate(from.sender, target, batch);
    const mine = this.#naive.get(to) as Map<string, Naive>;
    for (const [key, theirs] of naive) mine.set(key, naiveJoin(mine.get(key) ?? new Map(), theirs));
    this.#check(to);
    const after = to.last, answer = await to.incoming.replicate(from.sender, target, batch);
    assert.equal(to.last, after, "a repeat writes nothing");
    if (after > before) assert.deepEqual(answer.cursor, cursor, "what was written came with its cursor");
  }

  /** Everybody tells everybody all, in random order, until nobody writes anything. */
  async settle(): Promise<void> {
    for (let changed = true, rounds = 0; changed;) {
      assert.ok(++rounds < 20, "it ends");
      const ends = this.masters.map(({ last }) => last);
      this.waiting.length = 0;
      for (const from of this.masters) for (const to of this.masters) this.tell(from, to);
      for (const from of this.masters) {
        for (const to of this.masters) {
          if (from !== to) {
            this.waiting.push({
              ...{ from, to, batch: from.batch(), cursor: from.cursor },
              naive: new Map(this.#naive.get(from)),
            });
          }
        }
      }
      for (const message of shuffled(this.waiting, this.#random)) await this.receive(message);
      changed = this.masters.some(({ last }, i) => last !== ends[i]);
    }
  }

  #check(master: Master): void {
    for (const name of names) {
      for (const id of ids) {
        const key = master.key(name, id), held = this.#of(master, name, id);
        const dots = key?.versions.map(({ dot }) => dotText(dot)) ?? [];
        assert.deepEqual([...dots].sort(), [...held.keys()].sort(), `${name}/${id}`);
        if (key !== null) this.#checkShown(master, key);
      }
    }
  }

  /** Equal vectors are equal sets that show the same. */
  #checkShown(master: Master, key: KeyVersions): void {
    const { tree } = master.versions(({ tree }) => ({ tree }));
    const shown = shownNow(key), body = master.body(key.name, key.id);
    assert.equal(
      body,
      shown.kind === "version" || shown.kind === "made" ? new TextDecoder().decode(shown.body) : null,
    );
    const hash = contentHash(shown, sha256);
    const at = `${key.name.toLowerCase()}/${key.id} ${encodeVector(vectorOfSet(tree, key.versions))}`;
    const text = `${setText(key.versions)} ${hash}`;
    assert.equal(this.#byVector.get(at) ?? text, text, "equal vector, equal bytes");
    this.#byVector.set(at, text);
    this.compared++;
    if (key.versions.length > 1) this.conflicts++;
  }

  #of(master: Master, name: string, id: string): Naive {
    return this.#naive.get(master)?.get(keyOf(name, id)) ?? new Map();
  }

  #one<Item>(list: readonly Item[]): Item {
    return list[this.#random.below(list.length)] as Item;
  }
}

const keyOf = (name: string, id: string): string => `${name.toLowerCase()}/${id}`;

function naiveJoin(a: Naive, b: Naive): Naive {
  const all = new Map([...a, ...b]);
  const seen = (dot: string): boolean =>
    [...all].some(([other, history]) => other !== dot && history.has(dot));
  return new Map([...all].filter(([dot]) => !seen(dot)));
}

function policyOf(seed: number, masters: readonly Master[]): ConflictPolicy {
  switch (seed % 4) {
    case 0:
      return { kind: "manual" };
    case 1:
      return { kind: "latest" };
    case 2:
      return { kind: "prefer", databases: masters.slice(1).map(({ storage }) => storage.databaseId) };
    default:
      return {
        kind: "function",
        documents: { bytesMax: 1_000, nestingMax: 5 },
        // Some are joined, some are deleted, some are left to people.
        resolve: (candidates) => {
          const bodies = candidates.map(({ body }) => body === null ? "" : new TextDecoder().decode(body))
            .sort();
          if (bodies[0] === "") return bodies.length > 2 ? undefined : null;
          return new TextEncoder().encode(JSON.stringify({ all: bodies }));
        },
      };
  }
}

const stateOf = (master: Master): unknown =>
  names.flatMap((name) =>
    ids.map((id) => {
      const key = master.key(name, id);
      return key === null ? null : [setText(key.versions), `${contentHash(shownNow(key), sha256)}`];
    })
  );

for (let seed = 1; seed <= 4; seed++) {
  test(
    `masters that hear of each other in any order hold and show the same in the end, seed ${seed}`,
    patient,
    () =>
      inFolder(async (folder) => {
        const random = prng(seed), masters: Master[] = [];
        for (const digit of "abcd".slice(0, 2 + random.below(3))) {
          masters.push(await Master.open(folder, digit));
        }
        for (const master of masters) master.policy = policyOf(seed, masters);
        const world = new World(masters, random);
        for (let i = 0; i < 60; i++) await world.step();
        await world.settle();
        const states = masters.map(stateOf);
        for (const state of states) assert.deepEqual(state, states[0]);
        assert.ok(world.compared > 100 && world.conflicts > 0, `${world.compared}, ${world.conflicts}`);
        assert.deepEqual(
          masters.flatMap(({ incoming }) => [incoming.counts.rejected, incoming.counts.disagreements]).filter(
            (n) => n > 0,
          ),
          [],
        );
        for (const master of masters) await follows(folder, master);
        if (seed % 4 === 0) await resolved(masters);
        for (const master of masters) await master.close();
      }),
  );
}

/** Who applies the log has the same rows. */
async function follows(folder: string, master: Master): Promise<void> {
  const path = `${folder}/follower-${master.run.slice(0, 1)}.dfdb`,
    follower = await openStorage(testOptions(path));
  follower.adoptDatabaseId(master.storage.databaseId);
  follow(master.storage, follower);
  assert.deepEqual(rowsOf(path), rowsOf(master.path));
  follower.close();
}

/** A policy instead of people, on each master, and then nothing is left to be told. */
async function resolved(masters: readonly Master[]): Promise<void> {
  const versions = masters.map((master) => master.keys().map((key) => setText(key.versions)).sort());
  for (const master of masters) {
    master.policy = { kind: "latest" };
    const { resolved, open, position } = await resolve(master.engine, master.policy);
    assert.ok(resolved > 0);
    assert.deepEqual([open, position.seq], [0, master.last]);
    assert.deepEqual(await resolve(master.engine, master.policy), { resolved: 0, open: 0, position });
  }
  assert.deepEqual(
    masters.map((master) => master.keys().map((key) => setText(key.versions)).sort()),
    versions,
    "nothing is minted",
  );
  const states = masters.map(stateOf);
  for (const state of states) assert.deepEqual(state, states[0]);
  const ends = masters.map(({ last }) => last);
  for (const from of masters) for (const to of masters) if (from !== to) await from.tell(to);
  assert.deepEqual(masters.map(({ last }) => last), ends);
}

test(
  "resolving between two policies is found out by both, and left to people",
  patient,
  () =>
    inFolder(async (folder) => {
      const a = await Master.open(folder, "a"), b = await Master.open(folder, "b");
      await a.insert("orders", 700, () => '{"n":1}');
      await b.insert("orders", 700, () => '{"n":2}');
      await a.tell(b);
      await b.tell(a);
      const before = a.last, beforeB = b.last;
      assert.deepEqual((await resolve(a.engine, { kind: "manual" })).open, 700);
      assert.equal(a.last, before);
      assert.equal((await resolve(a.engine, preferring(a))).resolved, 700);
      assert.equal((await resolve(b.engine, preferring(b))).resolved, 700);
      assert.deepEqual([a.body("orders", "5"), b.body("orders", "5")], ['{"n":1}', '{"n":2}']);
      const conflicts = (master: Master) =>
        master.versions((versions) => versions.counts("orders").conflicts);
      await a.tell(b, a.keys(before));
      await b.tell(a, b.keys(beforeB));
      assert.deepEqual([conflicts(a), conflicts(b)], [700, 700]);
      assert.ok(b.lines.length <= 101, "not a line for each");
      await a.close();
      await b.close();
    }),
);

const preferring = (master: Master): ConflictPolicy => ({
  kind: "prefer",
  databases: [master.storage.databaseId],
});

test(
  "resolving judges anew what an earlier policy has settled, whoever is sent it or not",
  patient,
  () =>
    inFolder(async (folder) => {
      const a = await Master.open(folder, "a"), b = await Master.open(folder, "b");
      a.policy = { kind: "latest" };
      await a.put("orders", "1", '{"n":1}');
      b.wallMs += 1_000_000;
      await b.put("orders", "1", '{"n":2}');
      await b.insert("items", 1, () => "{}");
      b.wallMs += 1_000_000;
      await b.delete("items", "0");
      a.wallMs += 1_000_000;
      await a.put("items", "0", '{"n":1}');
      await b.tell(a);
      await a.tell(b);
      // It is a document at `a` and a conflict at `b`, which sends nothing to `a`.
      assert.deepEqual([a.body("orders", "1"), b.body("orders", "1")], ['{"n":2}', null]);
      const states = (): unknown[] => [stateOf(a), stateOf(b)];
      for (
        const [policy, open, shown] of [
          [{ kind: "manual" }, 2, [null, null]],
          [preferring(a), 0, ['{"n":1}', '{"n":1}']],
          [{ kind: "latest" }, 0, ['{"n":2}', '{"n":2}']],
          [preferring(b), 0, ['{"n":2}', '{"n":2}']],
          [{ kind: "manual" }, 2, [null, null]],
        ] as const
      ) {
        for (const master of [a, b]) {
          master.policy = policy;
          assert.equal((await resolve(master.engine, policy)).open, open);
          const end = master.last;
          assert.deepEqual((await resolve(master.engine, policy)).resolved, 0);
          assert.equal(master.last, end, "once is enough");
        }
        assert.deepEqual([a.body("orders", "1"), b.body("orders", "1")], shown, policy.kind);
        const [one, other] = states();
        assert.deepEqual(one, other);
      }
      await a.close();
      await b.close();
    }),
);

test(
  "what shows as deleted comes back into a collection that never was there",
  patient,
  () =>
    inFolder(async (folder) => {
      const a = await Master.open(folder, "a"), b = await Master.open(folder, "b");
      const c = await Master.open(folder, "c");
      for (const master of [b, c]) master.policy = preferring(b);
      await a.insert("Orders", 3, (i) => `{"i":${i}}`);
      await b.insert("Orders", 3, () => "{}");
      for (const id of ["0", "1", "2"]) await b.delete("Orders", id);
      await a.tell(b);
      await b.tell(c);
      assert.equal(c.storage.read((view) => view.collection("orders")), null);
      const { resolved, open } = await resolve(c.engine, preferring(a));
      assert.deepEqual([resolved, open, c.body("orders", "2")], [3, 0, '{"i":2}']);
      for (const master of [a, b, c]) await master.close();
    }),
);

test(
  "masters that judge anew one after the other do not disagree",
  patient,
  () =>
    inFolder(async (folder) => {
      const a = await Master.open(folder, "a"), b = await Master.open(folder, "b");
      for (const master of [a, b]) master.policy = { kind: "latest" };
      await a.put("orders", "1", '{"n":1}');
      b.wallMs += 1_000_000;
      await b.put("orders", "1", '{"n":2}');
      await a.tell(b);
      await b.tell(a);
      assert.equal(a.body("orders", "1"), '{"n":2}');
      for (const policy of [preferring(a), { kind: "manual" }] as const) {
        for (const master of [a, b]) master.policy = policy;
        await resolve(a.engine, policy);
        await a.tell(b);
        assert.equal(b.body("orders", "1"), a.body("orders", "1"));
        assert.deepEqual(stateOf(a), stateOf(b));
        const end = a.last;
        await b.tell(a);
        assert.equal(a.last, end);
      }
      assert.equal(a.key("orders", "1")?.shown.kind, "conflict");
      assert.deepEqual([...a.lines, ...b.lines], []);
      await a.close();
      await b.close();
    }),
);
