/**
 * The two messages that carry up to 1 MiB of bytes: written and read by hand, so that the bytes are copied once into the
 * frame and not at all out of it. Plain CBOR all the same.
 */
import type { CborReader } from "../base/cbor_reader.ts";
import { CborWriter } from "../base/cbor_writer.ts";
import type { Epoch, RunId, WallMs } from "../base/ids.ts";
import { isHexId } from "../base/ids.ts";
import type { Position } from "../storage/log.ts";
import { readPosition, writePosition } from "./append.ts";
import { badBody } from "./cbor_body.ts";
import { frameHeaderBytes, sealFrame } from "./frame.ts";
import type { Part, SnapshotChunk } from "./message.ts";

/** Bytes of everything around the bytes of a piece, at most. */
const aroundBytes = 320;

/** The whole frame of `chunk`. */
export function encodeChunk(chunk: SnapshotChunk): Uint8Array {
  const writer = writerFor(chunk.bytes);
  writer.map(3);
  writer.text("type");
  writer.text("snapshotChunk");
  writer.text("offset");
  writer.unsigned(chunk.offset);
  return sealed(writer, chunk.bytes);
}

/** The whole frame of `part`. */
export function encodePart(part: Part): Uint8Array {
  const writer = writerFor(part.bytes);
  writer.map(9);
  writer.text("type");
  writer.text("part");
  writer.text("previous");
  writePosition(writer, part.previous);
  writer.text("epoch");
  writer.unsigned(part.epoch);
  writer.text("run");
  writer.text(part.run);
  writer.text("wallMs");
  writer.unsigned(part.wallMs);
  writer.text("chain");
  writer.unsigned(part.chain);
  writer.text("length");
  writer.unsigned(part.length);
  writer.text("offset");
  writer.unsigned(part.offset);
  return sealed(writer, part.bytes);
}

function writerFor(bytes: Uint8Array): CborWriter {
  return new CborWriter(new Uint8Array(frameHeaderBytes + aroundBytes + bytes.length), frameHeaderBytes);
}

function sealed(writer: CborWriter, bytes: Uint8Array): Uint8Array {
  writer.text("bytes");
  writer.binary(bytes);
  return sealFrame(writer.bytes.subarray(0, writer.end()));
}

/**
 * Reads a chunk whose map header (`pairs` pairs) and type have been read. The bytes share memory with the body.
 * Throws DfdbError `bad_frame`.
 */
export function decodeChunk(reader: CborReader, pairs: number): SnapshotChunk {
  let offset = -1, bytes: Uint8Array | null = null;
  for (let i = 1; i < pairs; i++) {
    const key = reader.text();
    if (key === "offset") offset = reader.number();
    else if (key === "bytes") bytes = reader.binary();
    else reader.skip(1);
  }
  reader.end();
  if (offset < 0 || bytes === null) throw badBody("a piece of a snapshot");
  return { type: "snapshotChunk", offset, bytes };
}

/** Reads a part as {@linkcode decodeChunk} does. */
export function decodePart(reader: CborReader, pairs: number): Part {
  let previous: Position | null = null, bytes: Uint8Array | null = null;
  let epoch = -1, run = "", wallMs = -1, chain = -1, length = -1, offset = -1;
  for (let i = 1; i < pairs; i++) {
    const key = reader.text();
    if (key === "previous") previous = readPosition(reader);
    else if (key === "epoch") epoch = reader.number();
    else if (key === "run") run = reader.text();
    else if (key === "wallMs") wallMs = reader.number();
    else if (key === "chain") chain = reader.number();
    else if (key === "length") length = reader.number();
    else if (key === "offset") offset = reader.number();
    else if (key === "bytes") bytes = reader.binary();
    else reader.skip(1);
  }
  reader.end();
  const whole = Math.min(epoch, wallMs, chain, length, offset) >= 0 && chain < 2 ** 32 && isHexId(run);
  if (!whole || previous === null || bytes === null) throw badBody("a part of an entry");
  return {
    type: "part",
    previous,
    epoch: epoch as Epoch,
    run: run as RunId,
    wallMs: wallMs as WallMs,
    chain,
    length,
    offset,
    bytes,
  };
}
