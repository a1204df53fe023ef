/** Tombstones go when every peer ever met has confirmed them, and not before: masters on real databases, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import type { WallMs } from "../../src/base/ids.ts";
import { wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import { peers } from "../../src/multimaster/confirmations_kept.ts";
import type { Purger } from "../../src/multimaster/purge.ts";
import type { KeyVersions } from "../../src/storage/versions.ts";
import { inFolder, patient } from "../suites/storage_fixture.ts";
import { ManualClock } from "../tool/manual_clock.ts";
import { SenderNet } from "../tool/sender_net.ts";
import { Site, siteUrl } from "../tool/sender_site.ts";
import { ownTurn } from "../tool/shared_out.ts";

const minuteMs = 60_000, day = 86_400_000, age = limits.deletionCountsMs + limits.purgeSlackMs;

/** Days pass without a look at every destination each five minutes. */
class AgingClock extends ManualClock {
  #aheadMs = 0;

  override wall(): WallMs {
    return wallMsOf(super.wall() + this.#aheadMs);
  }

  age(ms: number): void {
    this.#aheadMs += ms;
  }
}

class World {
  readonly clock: AgingClock;
  readonly net: SenderNet;
  readonly #sites = new Map<string, Site>();

  constructor(clock: AgingClock, net: SenderNet) {
    this.clock = clock;
    this.net = net;
  }

  get sites(): readonly Site[] {
    return [...this.#sites.values()];
  }

  site(digit: string): Site {
    return this.#sites.get(digit) as Site;
  }

  async add(folder: string, digit: string): Promise<void> {
    const { clock, net } = this;
    const site = new Site({ folder, digit, clock, fetch: net.fetch, purging: true });
    await site.make();
    net.hosts.set(digit, site);
    this.#sites.set(digit, site);
  }

  /** Begins to send: `digit` to each of `to`. */
  async links(digit: string, to: string, more: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.site(digit).list(...[...to].map((one) => ({ Url: siteUrl(one), ...more })));
    if (!this.site(digit).up) this.site(digit).start();
  }

  /** How many go, and how many stay. */
  async purge(digit: string): Promise<readonly [purged: number, kept: number]> {
    const done = (this.site(digit).purger as Purger).run();
    await this.clock.advance(minuteMs);
    const { purged, kept } = await done;
    return [purged, kept];
  }

  tombstones(digit: string): number {
    return [...this.site(digit).keys.values()].filter(({ shown }) => shown.kind === "deleted").length;
  }

  heldBackBy(digit: string): string {
    const { heldBack } = (this.site(digit).purger as Purger).status;
    return heldBack.map(({ url, tombstones }) => `${new URL(url).hostname.slice(0, 1)} ${tombstones}`).sort()
      .join();
  }
}

function it(name: string, digits: string, run: (world: World, folder: string) => Promise<void>): void {
  test(`purge: ${name}`, patient, () =>
    inFolder(async (folder) => {
      const clock = new AgingClock(), world = new World(clock, new SenderNet(clock, prng(1)));
      try {
        for (const digit of digits) await world.add(folder, digit);
        await run(world, folder);
      } finally {
        for (const site of world.sites) await site.close();
      }
    }));
}

it("two masters: when both have it and it is old; a key written anew goes on", "ab", async (world) => {
  const { clock } = world, [a, b] = [world.site("a"), world.site("b")];
  await world.links("a", "b");
  await world.links("b", "a");
  await a.write([["orders/x", '{"n":1}'], ["orders/y", '{"n":1}']]);
  await clock.advance(1_000);
  await a.write([["orders/x", null]]);
  await b.write([["orders/y", null]]);
  await clock.advance(1_000);
  assert.deepEqual([world.tombstones("a"), world.tombstones("b")], [2, 2]);
  assert.deepEqual(await world.purge("a"), [0, 2]);
  clock.age(age - 30 * minuteMs);
  assert.deepEqual([await world.purge("a"), await world.purge("b")], [[0, 2], [0, 2]], "they are too young");
  assert.equal(world.heldBackBy("a"), "", "of young ones nobody is waited for");
  clock.age(30 * minuteMs);
  // At the last moment `b` has it still, and `a` has not.
  assert.deepEqual(await world.purge("a"), [2, 0]);
  await a.write([["orders/x", '{"n":2}'], ["orders/y", '{"n":2}']]);
  await clock.advance(1_000);
  for (const site of [a, b]) {
    for (const key of ["orders/x", "orders/y"]) assert.equal(site.keys.get(key)?.shown.kind, "version", key);
  }
  // The deletion that one has still comes back beside it, and counts no more; whoever writes next has seen both.
  assert.deepEqual([a, b].map((site) => site.keys.get("orders/y")?.versions.length), [2, 2]);
  await b.write([["orders/y", null]]);
  await clock.advance(1_000);
  assert.deepEqual([a, b].map((site) => site.keys.get("orders/y")?.versions.length), [1, 1]);
  clock.age(age + 1_000);
  assert.deepEqual([await world.purge("b"), await world.purge("a")], [[1, 0], [1, 0]]);
  assert.deepEqual([...a.keys.keys(), ...b.keys.keys()], ["orders/x", "orders/x"]);
});

it("a peer that is away holds them back, until it is forgotten", "abc", async (world) => {
  const { clock } = world, [a, b, c] = [world.site("a"), world.site("b"), world.site("c")];
  await world.links("a", "bc");
  await world.links("b", "ac");
  await world.links("c", "ab");
  await a.write([["orders/x", '{"n":1}']]);
  await clock.advance(1_000);
  await c.stop();
  await a.write([["orders/x", null]]);
  await clock.advance(1_000);
  clock.age(2 * age);
  assert.deepEqual([await world.purge("a"), await world.purge("b")], [[0, 1], [0, 1]]);
  assert.deepEqual([world.heldBackBy("a"), world.heldBackBy("b")], ["c 1", "c 1"]);
  // Also when it is no destination any more: it may come back.
  await world.links("a", "b");
  await a.restart();
  assert.deepEqual(await world.purge("a"), [0, 1]);
  const { databaseId } = c.storage;
  for (const site of [a, b]) {
    const gone = (site.purger as Purger).forget(databaseId);
    await clock.settle();
    await gone;
  }
  assert.deepEqual([await world.purge("a"), await world.purge("b")], [[1, 0], [1, 0]]);
  // It comes back, and what was deleted stays so.
  c.start();
  await c.write([["orders/y", "{}"]]);
  await clock.advance(minuteMs);
  assert.deepEqual([a.keys.size, b.keys.size], [0, 0]);
  const [refused] = c.sender?.status.destinations ?? [];
  assert.equal(refused?.lastError?.code, "peer_forgotten");
});

it("whom to forget: not this database, not one that was never met; twice is once", "ab", async (world) => {
  const { clock } = world, [a, b] = [world.site("a"), world.site("b")];
  const forget = async (id: string): Promise<string> => {
    const done = (a.purger as Purger).forget(id as never).then(() => "done", ({ code }) => String(code));
    await clock.settle();
    return await done;
  };
  await world.links("a", "b");
  b.start();
  assert.equal(await forget(b.storage.databaseId), "not_found");
  await clock.advance(1_000);
  assert.equal(await forget(a.storage.databaseId), "bad_request");
  assert.equal(await forget(b.storage.databaseId), "done");
  const { seq } = a.storage.log.last;
  assert.equal(await forget(b.storage.databaseId), "done");
  assert.equal(a.storage.log.last.seq, seq);
  // It answers still, and stays forgotten.
  await a.write([["orders/x", "{}"]]);
  await clock.advance(minuteMs);
  assert.deepEqual(a.storage.read(peers).map(({ forgotten }) => forgotten), [true]);
});

it("a mesh without transit: whoever did not send it learns that the others have it", "abc", async (world) => {
  const { clock } = world;
  for (const [digit, to] of [["a", "bc"], ["b", "ac"], ["c", "ab"]] as const) await world.links(digit, to);
  await world.site("a").write([["orders/x", "{}"]]);
  await clock.advance(1_000);
  await world.site("a").write([["orders/x", null]]);
  clock.age(age + 1_000);
  await clock.advance(1_000);
  for (const digit of "abc") assert.deepEqual(await world.purge(digit), [1, 0], digit);
});

it("one that only sends: what it wrote it confirms, what it never got it does not", "de", async (world) => {
  const { clock } = world, [p, s] = [world.site("d"), world.site("e")];
  s.start();
  await world.links("d", "e");
  await p.write([["orders/theirs", "{}"]]);
  await s.write([["orders/mine", "{}"], ["orders/theirs too", "{}"]]);
  await clock.advance(1_000);
  await p.write([["orders/theirs", null]]);
  await s.write([["orders/mine", null]]);
  clock.age(age + 1_000);
  await clock.advance(1_000);
  assert.deepEqual(await world.purge("e"), [1, 1]);
  assert.equal(world.heldBackBy("e"), "d 1");
  assert.equal(s.keys.get("orders/mine")?.shown.kind, "deleted");
  assert.deepEqual(await world.purge("d"), [1, 0]);
});

it("a filter: what does not pass it is not confirmed by it", "ab", async (world) => {
  const { clock } = world, a = world.site("a");
  world.site("b").start();
  await world.links("a", "b", { SpecifiedCollections: ["Countries"] });
  await a.write([["orders/x", "{}"], ["countries/x", "{}"]]);
  await clock.advance(1_000);
  await a.write([["orders/x", null], ["countries/x", null]]);
  clock.age(age + 1_000);
  await clock.advance(1_000);
  assert.deepEqual(await world.purge("a"), [1, 1]);
  assert.equal(world.heldBackBy("a"), "b 1");
  assert.equal(a.keys.get("orders/x")?.shown.kind, "deleted");
  await world.links("a", "b");
  await clock.advance(minuteMs);
  assert.deepEqual(await world.purge("a"), [1, 0]);
});

it("what was confirmed is remembered, and written down seldom", "ab", async (world) => {
  const { clock } = world, [a, b] = [world.site("a"), world.site("b")];
  await world.links("a", "b");
  await world.links("b", "a");
  await a.write([["orders/x", "{}"]]);
  await clock.advance(1_000);
  await a.write([["orders/x", null]]);
  await clock.advance(1_000);
  const before = a.storage.log.last.seq;
  for (let hour = 0; hour < 48; hour++) {
    assert.deepEqual(await world.purge("a"), [0, 1]);
    clock.age(day / 24);
    await clock.advance(minuteMs);
  }
  assert.equal(a.storage.log.last.seq, before + 1, "once, and then it has not moved");
  assert.equal(b.storage.log.last.run, b.storage.log.terms.at(-1)?.run);
  await b.stop();
  await a.restart();
  clock.age(age + 1_000);
  assert.deepEqual(await world.purge("a"), [1, 0], "though nobody could be asked");
});

it("a leadership that has lost what was confirmed confirms it anew", "ab", async (world) => {
  const { clock } = world, [a, b] = [world.site("a"), world.site("b")];
  await world.links("a", "b");
  b.start();
  await a.write([["orders/x", "{}"]]);
  await clock.advance(1_000);
  const held = b.storage.log.last.seq;
  await a.write([["orders/x", null]]);
  await clock.advance(1_000);
  assert.equal(b.keys.get("orders/x")?.shown.kind, "deleted");
  await world.purge("a");
  // It answers, but nobody sends to it.
  await world.links("a", "b", { Disabled: true });
  await b.failOver(b.storage.log.last.seq - held);
  clock.age(2 * age);
  assert.deepEqual(await world.purge("a"), [0, 1]);
  assert.equal(world.heldBackBy("a"), "b 1");
  await world.links("a", "b");
  await clock.advance(6 * minuteMs);
  assert.deepEqual(await world.purge("a"), [1, 0]);
});

/** What each destination of the site failed with last, while it fails. */
function troubles(site: Site): readonly (string | undefined)[] {
  return (site.sender?.status.destinations ?? []).map(({ failureCount, lastError }) =>
    failureCount === 0 ? undefined : lastError?.code
  );
}

it(
  "a peer from an old backup neither brings back what was purged, nor stays apart without a word",
  "abc",
  async (world) => {
    const { clock } = world, [a, b, c] = [world.site("a"), world.site("b"), world.site("c")];
    for (const [digit, to] of [["a", "bc"], ["b", "ac"], ["c", "ab"]] as const) await world.links(digit, to);
    await a.write([["orders/x", '{"n":1}'], ["orders/y", '{"n":1}']]);
    await clock.advance(1_000);
    const backup = c.storage.log.last.seq;
    await a.write([["orders/x", null]]);
    await b.write([["orders/y", null]]);
    await clock.advance(minuteMs);
    clock.age(age + 1_000);
    for (const site of [a, b, c]) assert.deepEqual(await world.purge(site.digit), [2, 0], site.digit);
    await clock.advance(minuteMs);
    await c.failOver(c.storage.log.last.seq - backup);
    assert.deepEqual([...c.keys.keys()], ["orders/x", "orders/y"]);
    await c.write([["orders/z", "{}"]]);
    await a.write([["orders/w", "{}"]]);
    await clock.advance(20 * minuteMs);
    for (const site of [a, b]) assert.deepEqual([...site.keys.keys()], ["orders/w"], site.digit);
    assert.deepEqual(troubles(c), ["peer_too_old", "peer_too_old"]);
    for (const site of [a, b]) assert.ok(troubles(site).includes("peer_too_old"), site.digit);
    assert.ok(!c.keys.has("orders/w"));
    // Who was forgotten is not waited for; an empty one is filled.
    for (const site of [a, b]) {
      const gone = (site.purger as Purger).forget(c.storage.databaseId);
      await clock.settle();
      await gone;
    }
  },
);

it(
  "a backup that has all that was purged goes on, however long ago its own failover lost something",
  "ab",
  async (world) => {
    const { clock } = world, [a, b] = [world.site("a"), world.site("b")];
    await world.links("a", "b");
    await world.links("b", "a");
    await a.write([["orders/x", "{}"]]);
    await clock.advance(1_000);
    await a.write([["orders/x", null]]);
    await clock.advance(1_000);
    // Each day it says where it is, and goes on.
    let after = 0;
    for (let days = 0; days < 16; days++) {
      assert.deepEqual(await world.purge("a"), days === 15 ? [1, 0] : [0, 1], `${days}`);
      if (days === 1) after = b.storage.log.last.seq;
      await b.write([["orders/y", `{"n":${days}}`]]);
      await a.write([["orders/z", `{"n":${days}}`]]);
      clock.age(day);
      await clock.advance(1_000);
    }
    const kept = a.storage.read(peers).map(({ earlier, relied }) => [earlier.length, relied?.seq]);
    assert.ok((kept[0]?.[0] ?? 99) <= limits.witnessesMax, `${kept}`);
    assert.ok((kept[0]?.[1] ?? 0) > 0);
    // All but the first two days are lost there.
    await b.failOver(b.storage.log.last.seq - after);
    await a.write([["orders/v", "{}"]]);
    await clock.advance(20 * minuteMs);
    assert.deepEqual([...troubles(a), ...troubles(b)], [undefined, undefined]);
    assert.equal(b.keys.get("orders/x")?.shown.kind, "deleted");
    const live = (key: KeyVersions): boolean => key.shown.kind !== "deleted";
    assert.deepEqual([a.lacks(b, live), b.lacks(a)], [[], []]);
    assert.ok(b.keys.has("orders/v"));
  },
);

it("many: page by page, and none of what has changed meanwhile", "a", async (world) => {
  const { clock } = world, a = world.site("a"), count = 3 * limits.purgeKeys + 7;
  a.start();
  const ids = Array.from({ length: count }, (_, i) => `${i % 2 === 0 ? "orders" : "items"}/k${i}`);
  await a.write(ids.map((id) => [id, "{}"]));
  await a.write(ids.map((id) => [id, null]));
  clock.age(age + 1_000);
  const done = (a.purger as Purger).run(), last = ids.at(-1) as string;
  await a.write([[last, '{"anew":true}']]);
  await clock.advance(minuteMs);
  assert.deepEqual(await done, { purged: count - 1, kept: 0 });
  assert.deepEqual([...a.keys.keys()], [last]);
  const stopped = (a.purger as Purger).run();
  (a.purger as Purger).stop();
  assert.deepEqual(await stopped, { purged: 0, kept: 0 });
});

it("by itself, each hour, where the clock is trusted", "a", async (world) => {
  const { clock } = world, a = world.site("a");
  a.start();
  (a.purger as Purger).start();
  await a.write([["orders/x", "{}"]]);
  await a.write([["orders/x", null]]);
  clock.age(age - minuteMs);
  assert.equal(world.tombstones("a"), 1);
  await clock.advance(2 * limits.purgeEveryMs);
  assert.equal(world.tombstones("a"), 0);
});

/** Random changes, absences and purges in a mesh; what has been replaced is nowhere in the end. */
async function play(world: World, random: Prng, transitive: boolean): Promise<number> {
  const { clock, sites } = world, replaced = new Set<string>();
  let texts = 0, purged = 0;
  for (const { digit } of sites) {
    const to = sites.map((one) => one.digit).filter((one) => one !== digit).join("");
    await world.links(digit, to, { TransitiveReplicationBehavior: transitive ? "Replicate" : "None" });
  }
  const textOf = (site: Site, key: string): string | null => {
    const found = site.keys.get(key), body = found?.shown.kind === "version" ? found.versions[0]?.body : null;
    return found?.versions.length === 1 && body != null ? new TextDecoder().decode(body) : null;
  };
  world.net.faults = true;
  for (let step = 0; step < 60; step++) {
    const site = sites[random.below(sites.length)] as Site, key = `orders/${"klm"[random.below(3)]}`;
    const what = random.below(20);
    if (what < 9) {
      if (!site.up) continue;
      const old = textOf(site, key);
      if (old === null && site.keys.get(key)?.shown.kind === "conflict") continue;
      if (old !== null) replaced.add(old);
      await site.write([[key, random.below(2) === 0 ? null : `{"text":${++texts}}`]]);
    } else if (what < 11) await site.stop();
    else if (what < 13) {
      if (site.up) await site.restart();
    } else if (what < 16) {
      if (!site.up) site.start();
    } else {
      if (random.below(2) === 0) clock.age(15 * day);
      if (site.up) purged += (await world.purge(site.digit))[0];
    }
    await clock.advance(random.below(3) === 0 ? 6 * minuteMs : random.below(1_000));
  }
  world.net.faults = false;
  for (const site of sites) if (!site.up) site.start();
  await clock.advance(31 * minuteMs);
  const told = sites.map((site) => ["k", "l", "m"].map((id) => textOf(site, `orders/${id}`)));
  for (const texts of told) assert.deepEqual(texts, told[0]);
  for (const site of sites) {
    for (const { versions } of site.keys.values()) {
      for (const { body } of versions) {
        if (body !== null) assert.ok(!replaced.has(new TextDecoder().decode(body)), "it came back");
      }
    }
  }
  // Where all are in touch again none stays.
  clock.age(15 * day);
  for (let round = 0; round < 2; round++) {
    for (const { digit } of sites) purged += (await world.purge(digit))[0];
  }
  assert.deepEqual(sites.map(({ digit }) => world.tombstones(digit)), sites.map(() => 0));
  assert.deepEqual(sites.map(troubles), sites.map(() => [undefined, undefined]));
  return purged;
}

test("purge: random masters: what was deleted or replaced never comes back", patient, async () => {
  let purged = 0;
  for (let i = 0; i < 3; i++) {
    await inFolder(async (folder) => {
      const clock = new AgingClock(),
        random = prng(7 * (3 * i + ownTurn)),
        world = new World(clock, new SenderNet(clock, random));
      for (const digit of "abc") await world.add(folder, digit);
      try {
        purged += await play(world, random, i % 2 === 0);
      } finally {
        for (const site of world.sites) await site.close();
      }
    });
  }
  assert.ok(purged > 2, `${purged}`);
});
