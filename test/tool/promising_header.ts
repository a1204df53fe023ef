import { crc32 } from "../../src/base/crc32.ts";
import { encodeFrame, frameHeaderBytes } from "../../src/wire/frame.ts";

/** A frame's header, sound but for the body of `bytes` bytes that it promises. */
export function promisingHeader(bytes: number): Uint8Array {
  const header = encodeFrame(Uint8Array.of(1)).slice(0, frameHeaderBytes), view = new DataView(header.buffer);
  view.setUint32(8, bytes);
  view.setUint16(6, 0);
  view.setUint16(6, crc32(header) & 0xffff);
  return header;
}
