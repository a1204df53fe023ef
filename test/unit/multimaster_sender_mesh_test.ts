/** Masters on real databases, in virtual time: everything arrives under failures, and then it is quiet. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import type { KeyVersions } from "../../src/storage/versions.ts";
import { inFolder, patient } from "../suites/storage_fixture.ts";
import { ManualClock } from "../tool/manual_clock.ts";
import { SenderNet } from "../tool/sender_net.ts";
import { Site, siteUrl } from "../tool/sender_site.ts";
import { ownTurn, runsAll } from "../tool/shared_out.ts";

const minuteMs = 60_000;

interface World {
  readonly clock: ManualClock;
  readonly net: SenderNet;
  readonly random: Prng;
  readonly sites: readonly Site[];
}

async function withSites(
  digits: readonly string[],
  seed: number,
  run: (world: World) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const clock = new ManualClock(), random = prng(seed), net = new SenderNet(clock, random);
    const sending = { batchItems: 8, batchBytes: 2_000, cursorVersions: 10 };
    const sites = digits.map((digit) => new Site({ folder, digit, clock, fetch: net.fetch, sending }));
    for (const site of sites) {
      await site.make();
      net.hosts.set(site.digit, site);
    }
    try {
      await run({ clock, net, random, sites });
    } finally {
      net.faults = false;
      for (const site of sites) await site.close();
    }
  });
}

/** Who each one sends to, by its digit. */
type Links = Readonly<Record<string, readonly string[]>>;

const shapes: readonly { readonly name: string; readonly links: Links; readonly transitive: boolean }[] = [
  {
    name: "a mesh of three",
    links: { a: ["b", "c"], b: ["a", "c"], c: ["a", "b"] },
    transitive: false,
  },
  { name: "a ring of three, all is sent on", links: { a: ["b"], b: ["c"], c: ["a"] }, transitive: true },
];

async function play({ clock, net, random, sites }: World, links: Links, transitive: boolean): Promise<void> {
  const any = (): Site => sites[random.below(sites.length)] as Site;
  for (const site of sites) {
    const behavior = transitive ? "Replicate" : "None";
    await site.list(
      ...(links[site.digit] ?? []).map((to) => ({
        Url: siteUrl(to),
        TransitiveReplicationBehavior: behavior,
      })),
    );
    site.start();
  }
  net.faults = true;
  for (let round = 0; round < 60; round++) {
    const site = any(), what = random.below(20);
    if (what < 14) {
      const changes = new Map<string, string | null>();
      for (let n = random.below(6); n >= 0; n--) {
        const key = `${random.below(2) === 0 ? "Orders" : "items"}/k${random.below(25)}`;
        changes.set(key, random.below(5) === 0 ? null : `{"n":${random.below(1_000)}}`);
      }
      if (site.up) await site.write([...changes]);
    } else if (what === 14) await site.failOver(random.below(6));
    else if (what === 15) await site.restart();
    else if (what === 16) await site.stop();
    else if (!site.up) site.start();
    await clock.advance(random.below(what === 19 ? 6 * minuteMs : 400));
  }
  for (const site of sites) if (!site.up) site.start();
  net.faults = false;
  await clock.advance(31 * minuteMs);
}

const shown = (keys: ReadonlyMap<string, KeyVersions>) =>
  [...keys].map(([place, { versions, shown }]) => [place, versions, shown.kind]).sort();

for (const { name, links, transitive } of shapes) {
  test(`masters settle: ${name}`, patient, async () => {
    let keys = 0;
    // Other worlds on each runtime.
    for (const seed of runsAll ? Array.from({ length: 12 }, (_, i) => 1 + i) : [1 + ownTurn]) {
      await withSites(["a", "b", "c"], seed, async (world) => {
        await play(world, links, transitive);
        const { sites, net, clock } = world, [first] = sites;
        assert.ok(first !== undefined);
        for (const site of sites) {
          assert.deepEqual(
            shown(site.keys),
            shown(first.keys),
            `seed ${seed}: ${site.digit} as ${first.digit}`,
          );
          for (const { url, state, failureCount, lastError } of site.sender?.status.destinations ?? []) {
            assert.deepEqual(
              [state, failureCount],
              ["idle", 0],
              `${site.digit} to ${url}: ${lastError?.message}`,
            );
          }
          assert.deepEqual([...site.failures], []);
        }
        keys += first.keys.size;
        const ends = sites.map(({ storage }) => storage.log.last.seq), before = net.carried.length;
        await clock.advance(60 * minuteMs);
        assert.deepEqual(sites.map(({ storage }) => storage.log.last.seq), ends, "idle masters do not write");
        const since = net.carried.slice(before);
        assert.deepEqual(since.filter(({ method }) => method !== "GET"), [], "nothing is sent");
        // Every five minutes each destination is asked.
        assert.equal(since.length, 12 * Object.values(links).flat().length);
      });
    }
    assert.ok(keys > 20, `only ${keys} keys`);
  });
}
