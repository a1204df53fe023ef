/** Seeded chance. Everything that draws has a stream of its own, so that who draws first changes nothing for the others. */
import { utf8 } from "../../src/base/bytes.ts";
import { prng } from "../../src/base/prng.ts";

export interface Chance {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform in [min, max). */
  between(min: number, max: number): number;
  /** Uniform integer in [0, bound). */
  below(bound: number): number;
  /** True with `probability`. */
  flip(probability: number): boolean;
  /** One of `list`, which is not empty. */
  pick<Item>(list: readonly Item[]): Item;
  bytes(length: number): Uint8Array;
  /** Seed of another stream. */
  uint32(): number;
}

/** The stream `name` of the world `seed`: the same for the same two. */
export function chance(seed: number, name: string): Chance {
  const generator = prng(mixed(seed, name));
  const { float, below, bytes, uint32 } = generator;
  return {
    float,
    below,
    bytes,
    uint32,
    between: (min, max) => min + float() * (max - min),
    flip: (probability) => float() < probability,
    pick: <Item>(list: readonly Item[]) => list[below(list.length)] as Item,
  };
}

/** FNV-1a over the seed and the name. */
function mixed(seed: number, name: string): number {
  let hash = 0x811c9dc5;
  const add = (byte: number): void => {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  };
  for (let shift = 0; shift < 32; shift += 8) add((seed >>> shift) & 0xff);
  add(Math.floor(seed / 2 ** 32) & 0xff);
  for (const byte of utf8(name)) add(byte);
  return hash;
}
