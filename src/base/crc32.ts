import { crc32 as native } from "node:zlib";

/** CRC-32 (IEEE 802.3, as in zlib) of `bytes`, continued from `previous` (0 to begin). Unsigned 32 bits. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  return native(bytes, previous);
}
