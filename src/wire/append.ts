/**
 * The one message whose cost counts: written and read by hand, 3 to 10 times cheaper than through a general encoder
 * (figures in DESIGN.md). The bytes are plain CBOR all the same.
 */
import { assert } from "../base/assert.ts";
import type { CborReader } from "../base/cbor_reader.ts";
import { CborWriter } from "../base/cbor_writer.ts";
import type { Epoch, RunId, Seq, WallMs } from "../base/ids.ts";
import { isHexId } from "../base/ids.ts";
import type { LogEntry, Position, Term } from "../storage/log.ts";
import { badBody } from "./cbor_body.ts";
import { frameHeaderBytes, sealFrame } from "./frame.ts";
import type { Ack, Append } from "./message.ts";

/** Bytes of one entry around its payload, at most: array, wall time, chain, length of the payload. */
const entryOverheadBytes = 1 + 9 + 5 + 9;
/** Bytes of one run's start, at most: array, epoch, run, array of entries. */
const runOverheadBytes = 1 + 9 + 34 + 9;
/** Bytes of everything before the runs, at most. */
const startBytes = 160;

/** The whole frame of `message`. */
export function encodeAppend(message: Append): Uint8Array {
  const runs = splitByTerm(message.entries);
  let room = frameHeaderBytes + startBytes + runs.length * runOverheadBytes;
  for (const entry of message.entries) room += entryOverheadBytes + entry.payload.length;
  const writer = new CborWriter(new Uint8Array(room), frameHeaderBytes);
  writer.map(3);
  writer.text("type");
  writer.text("append");
  writer.text("previous");
  writePosition(writer, message.previous);
  writer.text("runs");
  writer.array(runs.length);
  for (const entries of runs) writeRun(writer, entries);
  return sealFrame(writer.bytes.subarray(0, writer.end()));
}

/** A position as a map of four. */
export function writePosition(writer: CborWriter, position: Position): void {
  writer.map(4);
  writer.text("seq");
  writer.unsigned(position.seq);
  writer.text("epoch");
  writer.unsigned(position.epoch);
  writer.text("run");
  writer.text(position.run);
  writer.text("chain");
  writer.unsigned(position.chain);
}

function writeRun(writer: CborWriter, entries: readonly LogEntry[]): void {
  const term = entries[0]?.term;
  assert(term !== undefined, "a run holds an entry");
  writer.array(3);
  writer.unsigned(term.epoch);
  writer.text(term.run);
  writer.array(entries.length);
  for (const entry of entries) {
    writer.array(3);
    writer.unsigned(entry.wallMs);
    writer.unsigned(entry.chain);
    writer.binary(entry.payload);
  }
}

/** Groups of neighbours with the same term; one group, without a copy, in nearly every case. */
function splitByTerm(entries: readonly LogEntry[]): readonly (readonly LogEntry[])[] {
  const runs: LogEntry[][] = [];
  let begin = 0;
  for (let i = 1; i <= entries.length; i++) {
    const term = entries[begin]?.term, next = entries[i]?.term;
    if (next === term || (next?.run === term?.run && next?.epoch === term?.epoch)) continue;
    runs.push(entries.slice(begin, i));
    begin = i;
  }
  return runs;
}

/**
 * Reads an append whose map header (`pairs` pairs) and type have been read. Payloads share memory with the body.
 * Throws DfdbError `bad_frame`.
 */
export function decodeAppend(reader: CborReader, pairs: number): Append {
  let previous: Position | null = null;
  let entries: LogEntry[] | null = null;
  for (let i = 1; i < pairs; i++) {
    const key = reader.text();
    if (key === "previous") previous = readPosition(reader);
    else if (key === "runs" && previous !== null) entries = readRuns(reader, previous.seq);
    else if (key === "runs") throw badBody("runs come after previous");
    else reader.skip(1);
  }
  reader.end();
  if (previous === null || entries === null || entries.length === 0) {
    throw badBody("an append without entries");
  }
  return { type: "append", previous, entries };
}

/** Throws DfdbError `bad_frame`. */
export function readPosition(reader: CborReader): Position {
  return readPositionFields(reader, reader.map(), 2);
}

/** `more` reads the value of a field that a position does not have; false: nobody knows it. */
function readPositionFields(
  reader: CborReader,
  count: number,
  depth: number,
  more: (key: string) => boolean = () => false,
): Position {
  let seq = -1, epoch = -1, chain = -1, run = "";
  for (let pairs = count; pairs > 0; pairs--) {
    const key = reader.text();
    if (key === "seq") seq = reader.number();
    else if (key === "epoch") epoch = reader.number();
    else if (key === "chain") chain = reader.number();
    else if (key === "run") run = reader.text();
    else if (!more(key)) reader.skip(depth);
  }
  if (seq < 0 || epoch < 0 || chain < 0 || chain >= 2 ** 32 || !isHexId(run)) throw badBody("a position");
  return { seq: seq as Seq, epoch: epoch as Epoch, run: run as RunId, chain };
}

/** Reads an ack as {@linkcode decodeAppend} does: every follower sends one for each batch. */
export function decodeAck(reader: CborReader, pairs: number): Ack {
  let answers = -1;
  const { seq, epoch, run, chain } = readPositionFields(reader, pairs - 1, 1, (key) => {
    if (key !== "answers") return false;
    answers = reader.number();
    return true;
  });
  reader.end();
  const ack: Ack = { type: "ack", seq, epoch, run, chain };
  return answers < 0 ? ack : { ...ack, answers };
}

function readRuns(reader: CborReader, previous: number): LogEntry[] {
  const entries: LogEntry[] = [];
  for (let runs = reader.array(); runs > 0; runs--) {
    if (reader.array() !== 3) throw badBody("a run has three parts");
    const epoch = reader.number(), run = reader.text();
    if (!isHexId(run)) throw badBody("a run id");
    const term: Term = { epoch: epoch as Epoch, run: run as RunId };
    for (let count = reader.array(); count > 0; count--) {
      entries.push(readEntry(reader, previous + entries.length + 1, term));
    }
  }
  return entries;
}

function readEntry(reader: CborReader, seq: number, term: Term): LogEntry {
  if (reader.array() !== 3) throw badBody("an entry has three parts");
  const wallMs = reader.number(), chain = reader.number(), payload = reader.binary();
  if (chain >= 2 ** 32) throw badBody("a chain");
  if (!Number.isSafeInteger(seq)) throw badBody("a seq");
  return { seq: seq as Seq, term, chain, wallMs: wallMs as WallMs, payload };
}
