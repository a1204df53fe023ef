/** What a sender sends, to a receiver of a few lines, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { databaseIdOf } from "../../src/base/ids.ts";
import type { DatabaseId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import { joinSets } from "../../src/document/version_set.ts";
import type { SenderOptions } from "../../src/multimaster/sender.ts";
import type { VersionView } from "../../src/storage/versions.ts";
import { inFolder, patient } from "../suites/storage_fixture.ts";
import { ManualClock } from "../tool/manual_clock.ts";
import { NaiveReceiver } from "../tool/naive_receiver.ts";
import { SenderNet } from "../tool/sender_net.ts";
import type { Change } from "../tool/sender_site.ts";
import { Site, siteUrl } from "../tool/sender_site.ts";
import { ownTurn } from "../tool/shared_out.ts";

const minuteMs = 60_000;

interface World {
  readonly clock: ManualClock;
  readonly net: SenderNet;
  readonly random: Prng;
  readonly site: Site;
  /** `r` and `s`. */
  readonly receiver: NaiveReceiver;
  readonly other: NaiveReceiver;
}

const receiverId = (digit: string): DatabaseId => databaseIdOf(digit.repeat(32));

function it(
  name: string,
  run: (world: World) => Promise<void>,
  sending: Partial<SenderOptions> = { batchItems: 8, batchBytes: 4_000, cursorVersions: 10 },
  seed = 1,
): void {
  test(name, patient, () =>
    inFolder(async (folder) => {
      const clock = new ManualClock(), random = prng(seed), net = new SenderNet(clock, random);
      const site = new Site({ folder, digit: "a", clock, fetch: net.fetch, sending });
      const receiver = new NaiveReceiver("1", receiverId("e")),
        other = new NaiveReceiver("2", receiverId("f"));
      net.hosts.set("r", receiver).set("s", other);
      await site.make();
      try {
        await run({ clock, net, random, site, receiver, other });
      } finally {
        await site.close();
      }
    }));
}

const to = (digit: string, more: Readonly<Record<string, unknown>> = {}) => ({
  Url: siteUrl(digit),
  ...more,
});
const doc = (key: string, n: number, padding = 0): Change => [key, `{"n":${n},"p":"${"x".repeat(padding)}"}`];
const docs = (count: number, padding = 0): Change[] =>
  Array.from({ length: count }, (_, i) => doc(`orders/k${i}`, i, padding));

/** Keys that are current at the site, of `names`, and not at the receiver. */
function missing(
  site: Site,
  { sets, tree }: NaiveReceiver,
  names: readonly string[] | null = null,
): string[] {
  return [...site.keys].filter(([place, { name, versions }]) => {
    if (names !== null && !names.includes(name.toLowerCase())) return false;
    if (versions.some(({ vector }) => vector.some(({ run }) => tree.get(run) === undefined))) return true;
    const held = sets.get(place) ?? [];
    return joinSets(tree, held, versions) !== held;
  }).map(([place]) => place);
}

it("a new destination gets everything, deletions and drops too, and then it is quiet", async (world) => {
  const { clock, net, site, receiver, other } = world;
  await site.write(docs(50));
  await site.write([["orders/k1", null], doc("items/x", 1), ["gone/y", "{}"]]);
  await site.drop("gone");
  await site.list(to("r"));
  site.start();
  await clock.advance(1_000);
  assert.deepEqual([...receiver.sets.keys()].filter((place) => place.startsWith("gone/")), []);
  // No commit tells that the tombstones are there.
  while (site.storage.reclaim());
  await clock.advance(2_000);
  assert.deepEqual(missing(site, receiver), []);
  assert.equal(receiver.sets.size, 52);
  assert.ok(receiver.batches.every(({ keys }) => keys <= 8));
  assert.equal(receiver.sets.get("orders/k1")?.[0]?.body, null);
  // What is current, once.
  await site.write([doc("orders/k2", 1_000)]);
  await site.write([doc("orders/k2", 1_001)]);
  await site.list(to("r"), to("s"));
  await clock.advance(1_000);
  assert.deepEqual([missing(site, receiver), missing(site, other)], [[], []]);
  const posts = net.count("POST"), gets = net.count("GET");
  await clock.advance(60 * minuteMs);
  assert.equal(net.count("POST"), posts);
  assert.equal(net.count("PUT"), 0);
  assert.equal(net.count("GET"), gets + 24, "each is asked every five minutes");
});

it("commits in a row are one run, and a run that is under way takes what comes", async ({ clock, net, site, receiver }) => {
  await site.list(to("r"));
  site.start();
  await clock.advance(100);
  const gets = net.count("GET");
  for (let i = 0; i < 20; i++) await site.write([doc("orders/x", i)]);
  await clock.advance(1_000);
  assert.deepEqual(missing(site, receiver), []);
  assert.ok(net.count("GET") <= gets + 2, `${net.count("GET") - gets} asked`);
  assert.ok(net.count("POST") < 6, `${net.count("POST")} posts`);
});

for (let i = 0; i < 2; i++) {
  it(
    `everything that is current arrives under failures of both, world ${i}`,
    async ({ clock, net, random, site, receiver, other }) => {
      await site.list(to("r"), to("s", { SpecifiedCollections: ["items"] }));
      site.start();
      net.faults = true;
      for (let round = 0; round < 60; round++) {
        const what = random.below(16);
        if (what < 9) {
          const changes = new Map<string, string | null>();
          for (let n = random.below(9); n >= 0; n--) {
            const key = `${random.below(2) === 0 ? "orders" : "items"}/k${random.below(40)}`;
            changes.set(key, random.below(5) === 0 ? null : `{"n":${random.below(1_000)}}`);
          }
          await site.write([...changes]);
        } else if (what === 9) await site.failOver(random.below(8));
        else if (what === 10) await site.restart();
        else if (what < 13) (random.below(2) === 0 ? receiver : other).lead(random.below(5));
        else if (what === 13) receiver.tells = random.below(2) === 0;
        else receiver.up = random.below(3) > 0;
        await clock.advance(random.below(1_500));
      }
      receiver.up = true;
      net.faults = false;
      await clock.advance(16 * minuteMs);
      assert.deepEqual(missing(site, receiver), []);
      assert.deepEqual(missing(site, other, ["items"]), []);
      assert.deepEqual([...other.sets.keys()].filter((place) => !place.startsWith("items/")), []);
      const { sets, batches } = receiver;
      assert.ok(sets.size > 10 && batches.length > 2, `${sets.size} keys, ${batches.length} batches`);
      const posts = net.count("POST") + net.count("PUT");
      await clock.advance(30 * minuteMs);
      assert.equal(net.count("POST") + net.count("PUT"), posts, "nothing is sent");
    },
    { batchItems: 8, batchBytes: 4_000, cursorVersions: 10 },
    100 + 3 * i + ownTurn,
  );
}

it("a filter that changes begins anew", async ({ clock, site, receiver }) => {
  await site.write([...docs(10), doc("items/x", 1)]);
  await site.list(to("r", { SpecifiedCollections: ["Items"] }));
  site.start();
  await clock.advance(1_000);
  assert.deepEqual([...receiver.sets.keys()], ["items/x"]);
  await site.list(to("r", { SpecifiedCollections: ["items", "ORDERS"] }));
  await clock.advance(1_000);
  assert.deepEqual(missing(site, receiver), []);
  assert.equal(receiver.sets.size, 11);
});

it("what a receiver wrote comes back only where it has lost it", async ({ clock, net, site, receiver, other }) => {
  await site.list(to("r"), to("s"));
  site.start();
  await clock.advance(1_000);
  // The receiver is a master that sends here: the key and its run come here as a peer's batch.
  for (let i = 0; i < 5; i++) receiver.write(`orders/r${i}`, utf8(`{"i":${i}}`));
  await site.take(receiver);
  await clock.advance(1_000);
  assert.equal(site.keys.size, 5);
  assert.equal(other.sets.size, 0, "it was not written here");
  assert.equal(receiver.batches.length, 0);
  const posts = net.count("POST");
  receiver.lead(0);
  await clock.advance(6 * minuteMs);
  assert.equal(net.count("POST"), posts, "a restart has lost nothing");
  receiver.lead(3);
  receiver.lead(0);
  receiver.lead(0);
  await clock.advance(6 * minuteMs);
  assert.deepEqual(missing(site, receiver), []);
  assert.equal(receiver.news, 2, "it lost two of them, and one entry of a restart");
  assert.equal(other.sets.size, 0);
});

it("a key that is larger than a batch is sent alone", async ({ clock, site, receiver }) => {
  await site.write(docs(5));
  await site.write([doc("orders/large", 1, 20_000)]);
  await site.write(docs(5).map(([key]) => [`${key}x`, "{}"]));
  await site.list(to("r"));
  site.start();
  await clock.advance(2_000);
  assert.deepEqual(missing(site, receiver), []);
  const large = receiver.batches.filter(({ bytes }) => bytes > 4_500);
  assert.deepEqual(large.map(({ keys }) => keys), [1]);
});

it("a long entry is sent in batches that go on where the last one ended", async ({ clock, net, site, receiver }) => {
  await site.write(docs(150));
  await site.list(to("r"));
  site.start();
  await clock.advance(100);
  assert.ok(receiver.batches.length > 2 && receiver.sets.size < 150);
  // In the middle of it.
  receiver.up = false;
  await clock.advance(100);
  receiver.up = true;
  await site.write([doc("orders/k3", 5)]);
  await clock.advance(5_000);
  assert.deepEqual(missing(site, receiver), []);
  assert.ok(receiver.news <= 152, `${receiver.news} versions were news`);
  const keys = receiver.batches.reduce((sum, batch) => sum + batch.keys, 0);
  assert.ok(keys <= 170, `${keys} keys were sent`);
  assert.ok(net.count("POST") < 50);
});

it("runs are told once for each term of the receiver", async ({ clock, site, receiver }) => {
  for (let i = 0; i < 5; i++) {
    await site.restart();
    await site.write([doc(`orders/k${i}`, i)]);
  }
  await site.list(to("r"));
  await clock.advance(1_000);
  await site.write([doc("orders/k9", 9)]);
  await clock.advance(1_000);
  assert.deepEqual(receiver.batches.map(({ runs }) => runs), [6, 0]);
  receiver.lead(2);
  await clock.advance(6 * minuteMs);
  assert.deepEqual(missing(site, receiver), []);
  assert.deepEqual(receiver.batches.map(({ runs }) => runs).slice(2), [6]);
});

it("the cursor of a sender that has lost entries counts no more", async ({ clock, site, receiver }) => {
  await site.list(to("r"));
  site.start();
  await site.write([doc("orders/x", 1)]);
  await clock.advance(1_000);
  await site.write([doc("orders/y", 2)]);
  await clock.advance(1_000);
  await site.failOver(1);
  await site.write([doc("orders/y", 3)]);
  await site.write([doc("orders/z", 3)]);
  await clock.advance(1_000);
  assert.deepEqual(missing(site, receiver), []);
  assert.equal(receiver.sets.get("orders/y")?.length, 2, "what was lost and what took its place");
});

it("the document is read at each change of it, and only then", async ({ clock, net, site, receiver }) => {
  await site.write(docs(3));
  site.start();
  await clock.advance(10 * minuteMs);
  assert.equal(net.carried.length, 0, "there is nobody");
  await site.list(to("r", { Disabled: true }), { Url: "ftp://x" });
  await clock.advance(1_000);
  assert.equal(net.carried.length, 0);
  assert.deepEqual(site.sender?.status.destinations.map(({ state }) => state), ["disabled"]);
  assert.equal(site.sender?.status.problems.length, 1);
  await site.list(to("r"));
  await clock.advance(1_000);
  assert.deepEqual(missing(site, receiver), []);
  await site.list();
  await site.write([doc("orders/k1", 7)]);
  await clock.advance(10 * minuteMs);
  assert.deepEqual(missing(site, receiver), ["orders/k1"]);
});

it("failures are noted and cleared, and who was away is found again", async ({ clock, net, site, receiver }) => {
  receiver.up = false;
  await site.list(to("r"));
  site.start();
  await clock.advance(1_000);
  assert.deepEqual([...site.failures], [[siteUrl("r"), 1]]);
  const [status] = site.sender?.status.destinations ?? [];
  assert.equal(status?.lastError?.code, "unreachable");
  assert.match(status?.lastError?.message ?? "", /http:\/\/r\.test cannot be reached: .*ECONNREFUSED/);
  await site.write(docs(3));
  receiver.up = true;
  site.sender?.heartbeat(`${siteUrl("r")}/`, receiver.databaseId);
  await clock.advance(1_000);
  assert.deepEqual(missing(site, receiver), []);
  assert.deepEqual([...site.failures], []);
  // The first thing that each start does.
  assert.equal(net.carried.filter(({ url }) => url.pathname === "/replication/heartbeat").length, 1);
});

it("a sender that is stopped asks nobody any more", async ({ clock, net, site, receiver }) => {
  await site.list(to("r"));
  await site.write(docs(100));
  site.start();
  await clock.advance(60);
  const { sets: { size } } = receiver;
  await site.stop();
  const carried = net.carried.length;
  await clock.advance(10 * minuteMs);
  assert.equal(net.carried.length, carried);
  assert.ok(size < 100 && clock.timers === 0, `${size} keys, ${clock.timers} timers`);
});

it(
  "much is sent in bounded pieces",
  async ({ clock, net, site, receiver }) => {
    for (let i = 0; i < 6; i++) {
      await site.write(Array.from({ length: 200 }, (_, n) => doc(`orders/k${i}-${n}`, n, 500)));
    }
    const reads = countReads(site);
    await site.list(to("r"), to("s"));
    site.start();
    await clock.advance(20_000);
    assert.deepEqual(missing(site, receiver), []);
    const bytes = net.carried.map(({ body }) => body?.length ?? 0);
    assert.ok(Math.max(...bytes) < 300_000, `${Math.max(...bytes)} bytes in a batch`);
    assert.ok(bytes.filter((length) => length > 150_000).length >= 6);
    assert.ok(reads.keysMax <= 200, `${reads.keysMax} keys in one read`);
  },
  { batchItems: 1_024, batchBytes: 256 * 1_024 },
);

/** The most keys that one `storage.read` gives from here on. */
function countReads({ storage }: Site): { readonly keysMax: number } {
  const found = { keysMax: 0 }, { read } = storage;
  (storage as { read: typeof read }).read = (run) =>
    read.call(storage, (view) => {
      let keys = 0;
      const versions = view.versions as VersionView, { changedSince } = versions;
      versions.changedSince = (after, bounds) => {
        const page = changedSince.call(versions, after, bounds);
        // A page may be cut by reading it once more.
        keys = Math.max(keys, page.keys.length);
        return page;
      };
      const result = run(view);
      found.keysMax = Math.max(found.keysMax, keys);
      return result;
    }) as never;
  return found;
}
