import { createHash, createHmac } from "node:crypto";
import type { Crypto } from "../../src/runtime/runtime.ts";

// Callers get a plain Uint8Array: a Buffer would behave differently in slice() and in comparisons.
const plain = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Synchronous hashes from node:crypto, which all three runtimes have built in. */
export const crypto: Crypto = {
  sha256: (bytes) => plain(createHash("sha256").update(bytes).digest()),
  hmacSha256: (key, bytes) => plain(createHmac("sha256", key).update(bytes).digest()),
};
