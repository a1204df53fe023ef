/** Two to five masters under random failures: everything arrives, nothing is passed over, and then it is quiet. */
import assert from "node:assert/strict";
import test from "node:test";
import { prng } from "../../src/base/prng.ts";
import { MastersWorld } from "../tool/masters_world.ts";
import { ownTurn } from "../tool/shared_out.ts";

const minuteMs = 60_000;
const digits = ["a", "b", "c", "d", "e"];

type Links = Readonly<Record<string, readonly string[]>>;

function mesh(count: number): Links {
  const all = digits.slice(0, count);
  return Object.fromEntries(all.map((digit) => [digit, all.filter((other) => other !== digit)]));
}

/** Each sends to the next one only. */
function ring(count: number): Links {
  const all = digits.slice(0, count);
  return Object.fromEntries(all.map((digit, i) => [digit, [all[(i + 1) % count] as string]]));
}

/** All send to the first one, and it to all. */
function star(count: number): Links {
  const [hub = "a", ...others] = digits.slice(0, count);
  return { [hub]: others, ...Object.fromEntries(others.map((digit) => [digit, [hub]])) };
}

function play(seed: number, links: Links, transitive: boolean): MastersWorld {
  const random = prng(seed),
    world = new MastersWorld({ random, links, transitive }),
    names = Object.keys(links);
  const any = (): string => names[random.below(names.length)] as string;
  for (let i = 0; i < 150; i++) {
    const what = random.below(20);
    if (what < 13) { for (let n = random.below(12); n >= 0; n--) world.write(any(), `k${random.below(60)}`); }
    else if (what === 13) world.failOver(any(), random.below(15));
    else if (what === 14) world.stop(any());
    else if (what < 18) world.restart(any());
    world.advance(random.below(what === 19 ? 10 * minuteMs : 300));
  }
  for (const name of names) world.restart(name);
  world.faults = false;
  world.advance(31 * minuteMs);
  return world;
}

function settled(world: MastersWorld, label: string): void {
  const masters = [...world.masters.values()], [first] = masters;
  assert.ok(first !== undefined);
  for (const { store } of masters) {
    assert.deepEqual(store.content, first.store.content, `${label}: ${store.digit} and ${first.store.digit}`);
  }
  for (const { machine, store } of masters) {
    for (const { url, state, failureCount } of machine.status) {
      assert.deepEqual([state, failureCount], ["idle", 0], `${label}: ${store.digit} to ${url}`);
    }
  }
  const ends = masters.map(({ store }) => store.last), { sent, asks } = world;
  world.advance(120 * minuteMs);
  assert.deepEqual(
    masters.map(({ store }) => store.last),
    ends,
    `${label}: idle masters write to each other`,
  );
  assert.equal(world.sent, sent, `${label}: nothing is sent`);
  assert.ok(world.asks > asks, `${label}: now and then somebody asks`);
}

const shapes: readonly { readonly name: string; readonly links: Links; readonly transitive: boolean }[] = [
  { name: "two", links: mesh(2), transitive: false },
  { name: "two, all is sent on", links: mesh(2), transitive: true },
  { name: "a mesh of three", links: mesh(3), transitive: false },
  { name: "a mesh of five, all is sent on", links: mesh(5), transitive: true },
  { name: "a ring of four", links: ring(4), transitive: true },
  { name: "a star of five", links: star(5), transitive: true },
];

for (const { name, links, transitive } of shapes) {
  test(`masters settle: ${name}`, () => {
    let documents = 0;
    for (let i = 0; i < 3; i++) {
      // Other worlds on each runtime.
      const seed = 1 + i * 3 + ownTurn, world = play(seed, links, transitive);
      settled(world, `seed ${seed}`);
      documents += world.master("a").store.content.length;
    }
    assert.ok(documents > 100, `only ${documents} documents`);
  });
}
