/** The operations on indexes within an entry; the rest of it: `entry_codec.ts`. */
import { assert } from "../base/assert.ts";
import type { CborReader } from "../base/cbor_reader.ts";
import type { CborWriter } from "../base/cbor_writer.ts";
import { headBytesMax, textBytesMax } from "../base/cbor_writer.ts";
import { collectionNumberOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { indexFault } from "../document/index_definition.ts";
import type { Step } from "../document/json_find.ts";
import { eachStep } from "../document/json_find.ts";
import type { CreateIndex, DropIndex } from "../document/operation.ts";

const nameBytesMax = 4 * limits.indexNameCharsMax, stepBytesMax = 4 * limits.indexPathCharsMax;

export function indexBytesMax(operation: CreateIndex | DropIndex): number {
  let bytes = textBytesMax(operation.name);
  if (operation.kind === "dropIndex") return bytes;
  for (const path of operation.paths) {
    bytes += headBytesMax;
    for (const step of path) bytes += headBytesMax + (typeof step === "string" ? textBytesMax(step) : 0);
  }
  return bytes;
}

/** All after the collection: name, unique, time, paths. Of a path: names as text, positions as numbers, `[*]` as an empty array. */
export function writeCreateIndex(writer: CborWriter, operation: CreateIndex): void {
  const fault = indexFault(operation);
  assert(fault === null, `an index in an entry is one that can be: ${fault}`);
  writer.text(operation.name);
  writer.number(operation.unique ? 1 : 0);
  writer.number(operation.time ? 1 : 0);
  writer.array(operation.paths.length);
  for (const path of operation.paths) {
    writer.array(path.length);
    for (const step of path) {
      if (step === eachStep) writer.array(0);
      else if (typeof step === "number") writer.number(step);
      else writer.text(step);
    }
  }
}

export function writeDropIndex(writer: CborWriter, { name }: DropIndex): void {
  assert(name.length > 0 && name.isWellFormed(), "the name of an index is well-formed text");
  assert(name.length <= limits.indexNameCharsMax, "the name of an index is not longer than allowed");
  writer.text(name);
}

export function readCreateIndex(reader: CborReader): CreateIndex {
  const collection = collectionNumberOf(atLeastOne(reader));
  const name = reader.textWithin(1, nameBytesMax), unique = yes(reader), time = yes(reader);
  const paths: Step[][] = [];
  for (let left = counted(reader, limits.indexPathsMax); left > 0; left--) {
    const path: Step[] = [];
    for (let steps = counted(reader, limits.indexPathCharsMax); steps > 0; steps--) path.push(step(reader));
    paths.push(path);
  }
  const operation: CreateIndex = { kind: "createIndex", collection, name, unique, time, paths };
  const fault = indexFault(operation);
  if (fault !== null) throw reader.error(fault);
  return operation;
}

export function readDropIndex(reader: CborReader): DropIndex {
  const collection = collectionNumberOf(atLeastOne(reader)), name = reader.textWithin(1, nameBytesMax);
  if (name.length > limits.indexNameCharsMax) throw reader.error("name of an index too long");
  return { kind: "dropIndex", collection, name };
}

function step(reader: CborReader): Step {
  const type = (reader.bytes[reader.at] ?? 0) >> 5;
  if (type === 4) {
    if (reader.array() > 0) throw reader.error("a step that is none");
    return eachStep;
  }
  if (type !== 3) return reader.number();
  const name = reader.textWithin(0, stepBytesMax);
  // It would be written as the other one.
  if (name === eachStep) throw reader.error("a step that is none");
  return name;
}

function counted(reader: CborReader, most: number): number {
  const count = reader.array();
  if (count > most) throw reader.error(`array of ${count}`);
  return count;
}

function yes(reader: CborReader): boolean {
  const value = reader.number();
  if (value > 1) throw reader.error(`${value} is neither yes nor no`);
  return value === 1;
}

function atLeastOne(reader: CborReader): number {
  const value = reader.number();
  if (value < 1) throw reader.error(`number ${value} below 1`);
  return value;
}
