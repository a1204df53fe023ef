import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { hex, unhex } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/crc32.ts";
import { epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import { decodeEntry, encodeEntry } from "../../src/storage/entry_codec.ts";
import { entrySamples } from "./entry_samples.ts";

// The bytes are written by `UPDATE_GOLDEN=1 node --test test/golden/entries_test.ts`, and never again for a format
// that was released: databases and followers hold them.
const file = new URL("./entries.json", import.meta.url);

interface Golden {
  readonly name: string;
  readonly seq: number;
  readonly epoch: number;
  readonly run: string;
  readonly wallMs: number;
  readonly chain: number;
  /** Hex of the payload; of a long one its first 100 bytes, its length and its CRC-32. */
  readonly payload: string;
}

function shown(payload: Uint8Array): string {
  if (payload.length <= 400) return hex(payload);
  return `${hex(payload.subarray(0, 100))}… ${payload.length} bytes, crc ${crc32(payload)}`;
}

/** One chain through all samples, with a change of term and numbers of every width. */
function chained(): Golden[] {
  let chain = 0;
  return entrySamples.map(({ name, operations }, i) => {
    const epoch = i < 8 ? 1 : 2 ** 40 + i,
      run = (i < 8 ? "0f" : "a5").repeat(16),
      wallMs = 1_750_000_000_000 + 997 * i;
    const seq = i < 12 ? i + 1 : 2 ** 53 - 100 + i, payload = encodeEntry(operations);
    const term = { epoch: epochOf(epoch), run: runIdOf(run) };
    chain = chainAfter(chain, term, seqOf(seq), wallMsOf(wallMs), payload);
    return { name, seq, epoch, run, wallMs, chain, payload: shown(payload) };
  });
}

test("golden: payloads and chain values are those of the first version", () => {
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, JSON.stringify(chained(), null, 2) + "\n");
  const golden = JSON.parse(readFileSync(file, "utf8")) as Golden[];
  assert.deepEqual(chained(), golden);
});

test("golden: yesterday's payloads are read as the same operations", () => {
  const golden = JSON.parse(readFileSync(file, "utf8")) as Golden[];
  for (const { name, payload } of golden) {
    if (payload.includes("…")) continue;
    assert.deepEqual(
      decodeEntry(unhex(payload)),
      entrySamples.find((sample) => sample.name === name)?.operations,
    );
  }
});

test("golden: the chain is CRC-32 over a header of 44 bytes and the payload", () => {
  // previous chain, epoch, run, seq, wall ms
  const parts = [
    "04030201",
    "0706050403020100",
    "000102030405060708090a0b0c0d0e0f",
    "1716151413121000",
    "2726252423010000",
  ];
  const header = unhex(parts.join(""));
  const view = new DataView(header.buffer), payload = unhex("0181820401");
  const number = (at: number) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  const term = { epoch: epochOf(number(4)), run: runIdOf(hex(header.subarray(12, 28))) };
  const chain = chainAfter(0x01020304, term, seqOf(number(28)), wallMsOf(number(36)), payload);
  assert.equal(header.length, 44);
  assert.equal(chain, crc32(payload, crc32(header)));
});
