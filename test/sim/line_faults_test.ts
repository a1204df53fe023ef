/** Faults of a line that last at the same time leave nothing behind. */
import assert from "node:assert/strict";
import test from "node:test";
import { chance } from "./chance.ts";
import { slowLink } from "./line_faults.ts";
import { Link } from "./links.ts";
import { Troubles } from "./troubles.ts";
import { World } from "./world.ts";

test("a line that is slow twice at once is slow until both end, and then no more", () => {
  const own = { min: 0.1, max: 0.5 }, first = { min: 100, max: 500 }, second = { min: 100, max: 3_000 };
  for (const order of [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]) {
    const link = new Link(new World(1), "a", "b");
    link.delayMs = own;
    const ends = [
      link.slow({ delayMs: first }),
      link.slow({ bytesPerMs: 5 }),
      link.slow({ delayMs: second }),
    ];
    const lasting = new Set([0, 1, 2]);
    for (const one of [null, ...order]) {
      if (one !== null) {
        lasting.delete(one);
        ends[one]?.();
      }
      assert.deepEqual(link.delayMs, lasting.has(2) ? second : lasting.has(0) ? first : own);
      assert.equal(link.bytesPerMs, lasting.has(1) ? 5 : null);
    }
  }
});

test("slow lines by chance heal in any order, and what is set meanwhile holds afterwards", () => {
  for (let seed = 0; seed < 20; seed++) {
    const draw = chance(seed, "lines"), link = new Link(new World(seed), "a", "b");
    const troubles = new Troubles(() => 0), changed = { min: 1, max: 2 };
    const ends = Array.from({ length: 4 }, () => slowLink(link, draw, troubles));
    assert.ok(link.delayMs.min === 100 || link.bytesPerMs !== null);
    link.delayMs = changed;
    while (ends.length > 0) ends.splice(draw.below(ends.length), 1)[0]?.();
    assert.deepEqual([link.delayMs, link.bytesPerMs], [changed, null]);
  }
});
