/** How many seeds it takes until a planted fault is caught, and by whom. */
import { runMasters } from "./masters_run.ts";
import { plantNames, plants } from "./plants.ts";
import type { SeedResult } from "./result.ts";
import { runSeed } from "./run_seed.ts";

export interface Caught {
  readonly seed: number;
  readonly violation: NonNullable<SeedResult["violation"]>;
}

/**
 * Runs `seeds` seeds from `firstSeed` on with the plant until one fails; null: none does. Throws when that seed fails without
 * the plant, too: then it is not the plant that was caught.
 */
export async function caughtBy(plant: string, firstSeed: number, seeds: number): Promise<Caught | null> {
  const run = plants[plant]?.masters === true ? runMasters : runSeed;
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const plain = plants[plant]?.features !== true,
      options = { hash: false, keep: false, trace: null, plain };
    const { violation } = await run(seed, { ...options, plant });
    if (violation === null) continue;
    const clean = await run(seed, { ...options, plant: null });
    if (clean.violation === null) return { seed, violation };
    throw new Error(`seed ${seed} fails without ${plant}: ${clean.violation.message}`);
  }
  return null;
}

/** One line for each plant, of seeds from 1 (or where it begins) on; `say` is given each as soon as it is known. False: one was not caught. */
export async function plantsTable(seedsMax: number, say: (line: string) => void): Promise<boolean> {
  const width = Math.max(...plantNames.map((name) => name.length));
  let whole = true;
  say(`${"plant".padEnd(width)}  seeds  checker`);
  for (const name of plantNames) {
    const from = plants[name]?.from ?? 1, caught = await caughtBy(name, from, seedsMax);
    whole &&= caught !== null;
    const after = from === 1 ? "" : ` (from ${from} on)`;
    const found = caught === null
      ? `none of ${seedsMax}${after}`
      : `${`${caught.seed - from + 1}`.padStart(5)}${after}  ${caught.violation.message.slice(0, 150)}`;
    say(`${name.padEnd(width)}  ${found}`);
  }
  say(`${plantNames.length} plants: ${plantNames.map((name) => plants[name]?.mistake).join("; ")}`);
  return whole;
}
