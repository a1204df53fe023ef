/** Worlds as tests: they end well, equal seeds are equal, and so are the runtimes. */
import assert from "node:assert/strict";
import test from "node:test";
import { type RunOptions, runSeed } from "./run_seed.ts";

const plain: RunOptions = { plant: null, hash: true, keep: false, trace: null };

/**
 * Seeds that once broke something, with what it was. What they do changes with the program and with the simulator; the mistakes have
 * tests of their own, too.
 */
const regressions: readonly (readonly [seed: number, what: string])[] = [];

test("a seed says everything: the same steps of the same machines at the same times", async () => {
  const [first, again, other] = [await runSeed(7, plain), await runSeed(7, plain), await runSeed(8, plain)];
  assert.equal(first.violation, null);
  assert.deepEqual({ ...again, wallMs: 0, longestMs: 0 }, { ...first, wallMs: 0, longestMs: 0 });
  assert.notEqual(other.hash, first.hash);
});

for (const [seed, what] of regressions) {
  test(`seed ${seed}: ${what}`, async () => {
    const { violation } = await runSeed(seed, plain);
    assert.equal(violation, null);
  });
}
