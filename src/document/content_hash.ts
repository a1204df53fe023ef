/**
 * Checksums of content, for comparing nodes: a document's hash is over its id and its body, a collection's checksum is
 * the sum of them, so the order in which documents lie in a file does not count. Made to find what went wrong by
 * accident; nobody is kept from making two contents of one hash on purpose.
 */

/** Adds up documents. Integer arithmetic on two 32-bit lanes: the same on every runtime, without allocation. */
export class ContentSum {
  documents = 0;
  /** Hash of the document that was added last. */
  #high = 0;
  #low = 0;
  #sumHigh = 0;
  #sumLow = 0;

  add(id: string, body: string): void {
    this.#hash(id, body);
    this.documents++;
    const low = this.#sumLow + this.#low;
    this.#sumLow = low >>> 0;
    this.#sumHigh = (this.#sumHigh + this.#high + (low > 0xffffffff ? 1 : 0)) >>> 0;
  }

  /** Hash of the last document, 16 hex digits. */
  get last(): string {
    return hex64(this.#high, this.#low);
  }

  /** Sum of all hashes modulo 2^64, 16 hex digits. */
  get checksum(): string {
    return hex64(this.#sumHigh, this.#sumLow);
  }

  /**
   * Each step is a bijection of the state for a given block and of the block for a given state: two texts of one
   * length that differ in one block (two UTF-16 units) never get the same hash, all others with chance 2^-64.
   */
  #hash(id: string, body: string): void {
    let a = 0x2545f491, b = 0x4f6cdd1d;
    for (let part = 0; part < 2; part++) {
      const text = part === 0 ? id : body, length = text.length;
      for (let i = 0; i < length; i += 2) {
        const block = text.charCodeAt(i) | (i + 1 < length ? text.charCodeAt(i + 1) << 16 : 0);
        a = Math.imul(a ^ block, 0xcc9e2d51);
        a = (a << 15) | (a >>> 17);
        b = Math.imul(b + block | 0, 0x1b873593) ^ a;
        b = (b << 13) | (b >>> 19);
      }
      // The lengths keep what ends the id apart from what begins the body.
      a = Math.imul(a ^ length, 0x85ebca6b);
      b = Math.imul(b + length | 0, 0xc2b2ae35) ^ a;
    }
    a = mixed(a + Math.imul(b, 0x9e3779b1) | 0);
    b = mixed(b + a | 0);
    this.#high = a >>> 0;
    this.#low = b >>> 0;
  }
}

/** Spreads every bit over all others; a bijection. */
function mixed(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function hex64(high: number, low: number): string {
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}
