import { CborWriter } from "../base/cbor_writer.ts";

// Small payloads share slabs, because making a typed array costs more than filling it. One writer at a time.
const slabBytes = 64 * 1024;
let slab = new Uint8Array(slabBytes);
let slabAt = 0;

/** A writer with room for `bytesMax` bytes. {@linkcode finished} ends its use, before the next one is asked for. */
export function writerFor(bytesMax: number): CborWriter {
  if (bytesMax > slabBytes / 8) return new CborWriter(new Uint8Array(bytesMax), 0);
  if (slabAt + bytesMax > slabBytes) {
    slab = new Uint8Array(slabBytes);
    slabAt = 0;
  }
  return new CborWriter(slab, slabAt);
}

/** What was written; nothing else ever writes there. */
export function finished(writer: CborWriter): Uint8Array {
  const end = writer.end();
  if (writer.bytes !== slab) return new Uint8Array(writer.bytes.buffer, 0, end);
  const from = slabAt;
  slabAt = end;
  return new Uint8Array(slab.buffer, from, end - from);
}
