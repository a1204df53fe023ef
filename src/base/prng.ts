/** A seeded generator of 32-bit numbers; the same seed gives the same sequence on every runtime. Not for secrets. */
export interface Prng {
  /** Uniform in [0, 2^32). */
  uint32(): number;
  /** Uniform in [0, 1), 53 bits. */
  float(): number;
  /** Uniform integer in [0, bound). */
  below(bound: number): number;
  bytes(length: number): Uint8Array;
}

/** xoshiro128**, seeded by splitmix32 (Blackman and Vigna, "Scrambled linear pseudorandom number generators"). */
export function prng(seed: number): Prng {
  let mix = seed >>> 0;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return z ^ (z >>> 16);
  };
  let a = splitmix(), b = splitmix(), c = splitmix(), d = splitmix();
  const rotl = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
  const uint32 = (): number => {
    const result = Math.imul(rotl(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotl(d, 11);
    return result;
  };
  const float = (): number => (uint32() * 2 ** 21 + (uint32() >>> 11)) / 2 ** 53;
  return {
    uint32,
    float,
    below: (bound) => Math.floor(float() * bound),
    bytes(length) {
      // A loop: `from` with a callback takes ten times as long.
      const made = new Uint8Array(length);
      for (let i = 0; i < length; i++) made[i] = uint32();
      return made;
    },
  };
}
