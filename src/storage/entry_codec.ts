import { assert } from "../base/assert.ts";
import { hex, unhex, utf8 } from "../base/bytes.ts";
import { CborReader, type CborRules } from "../base/cbor_reader.ts";
import { CborWriter, headBytesMax, textBytesMax } from "../base/cbor_writer.ts";
import { DfdbError } from "../base/errors.ts";
import { collectionNumberOf, documentIdOf, epochOf, nodeIdOf, runIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type {
  BeginTerm,
  CreateCollection,
  Delete,
  DropCollection,
  Operation,
  Put,
} from "../document/operation.ts";
import { finished, writerFor } from "./entry_room.ts";
import {
  indexBytesMax,
  readCreateIndex,
  readDropIndex,
  writeCreateIndex,
  writeDropIndex,
} from "./index_codec.ts";
import type { VersionOperation } from "./version_codec.ts";
import {
  bodyBytes,
  readActivate,
  readLearnRuns,
  readPurge,
  readSetVersions,
  versionsBytesMax,
  writeVersions,
} from "./version_codec.ts";

/** First byte of every payload: how the rest is written. */
export const payloadFormat = 0x01;

const kinds = {
  put: 1,
  delete: 2,
  createCollection: 3,
  dropCollection: 4,
  term: 5,
  createIndex: 6,
  dropIndex: 7,
  activateBundle: 8,
  learnRuns: 9,
  setVersions: 10,
  purgeTombstones: 11,
} as const;
const elements = [0, 5, 4, 3, 2, 4, 6, 3, 2, 2, 8, 3] as const;
const nameBytesMax = 4 * limits.collectionNameCharsMax;

const rules: CborRules = {
  canonical: true,
  error: (what, offset) =>
    new DfdbError("corrupt", `log entry: ${what} at byte ${offset}`, { details: { offset } }),
};

/**
 * The payload of a log entry: format byte, then CBOR of an array of operations, each an array that begins with its
 * kind. Equal operations give equal bytes on every runtime. What is not well-formed here is a bug of the caller
 * (InvariantError): it could not be read back.
 */
export function encodeEntry(operations: readonly Operation[]): Uint8Array {
  assert(operations.length > 0, "an entry has operations");
  let bytesMax = 1 + headBytesMax;
  for (const operation of operations) bytesMax += operationBytesMax(operation);
  const writer = writerFor(bytesMax);
  writer.byte(payloadFormat);
  writer.array(operations.length);
  for (const operation of operations) {
    assert(operations.length === 1 || !isAlone(operation), "a term is alone in its entry, and an adoption");
    write(writer, operation);
  }
  return finished(writer);
}

/**
 * As {@linkcode encodeEntry}; yields after each slice. Stops with null as soon as it is known that the payload is larger
 * than `bytesMax`.
 */
export function* encodeEntryInSlices(
  operations: readonly Operation[],
  bytesMax: number,
): Generator<void, Uint8Array | null, void> {
  assert(operations.length > 0, "an entry has operations");
  let roomMax = 1 + headBytesMax, bodies = 0;
  for (const operation of operations) {
    roomMax += operationBytesMax(operation);
    bodies += bytesOf(operation);
  }
  if (bodies > bytesMax) return null;
  const writer = new CborWriter(new Uint8Array(roomMax), 0), turns = new Slice();
  writer.byte(payloadFormat);
  writer.array(operations.length);
  for (const operation of operations) {
    assert(operation.kind !== "term", "a term is alone in its entry");
    assert(operations.length === 1 || !isAlone(operation), "an adoption is alone in its entry");
    const before = writer.at;
    write(writer, operation);
    if (turns.full(writer.at - before)) yield;
  }
  const bytes = writer.end();
  return bytes > bytesMax ? null : new Uint8Array(writer.bytes.buffer, 0, bytes);
}

/** Counts what one slice has done. */
export class Slice {
  #operations = 0;
  #bytes = 0;

  /** Adds one operation of `bytes`; true when the slice is full, and then the next one begins. */
  full(bytes: number): boolean {
    this.#bytes += bytes;
    if (++this.#operations < limits.sliceOperations && this.#bytes < limits.sliceBytes) return false;
    this.#operations = this.#bytes = 0;
    return true;
  }
}

/** By which an operation counts in its slice, besides being one. */
export function bytesOf(operation: Operation): number {
  if (operation.kind === "put") return operation.body.length;
  return operation.kind === "setVersions" ? bodyBytes(operation) : 0;
}

/** Whether an entry is to be applied in slices. Costs nothing that depends on its size. */
export function isLarge(payload: Uint8Array): boolean {
  if (payload.length > limits.sliceBytes) return true;
  if (adopts(payload)) return true;
  // An operation takes at least 3 bytes.
  if (payload.length < 3 * limits.sliceOperations || payload[0] !== payloadFormat) return false;
  try {
    return new CborReader(payload, 1, rules).array() > limits.sliceOperations;
  } catch {
    return false; // whoever decodes it says what is wrong
  }
}

/** Of the first bytes: one operation, of three elements, and its kind. */
function adopts(payload: Uint8Array): boolean {
  return payload[1] === 0x81 && payload[2] === 0x83 && payload[3] === kinds.activateBundle;
}

function isAlone(operation: Operation): boolean {
  return operation.kind === "term" ||
    (operation.kind === "activateBundle" && operation.adoptExisting === true);
}

function operationBytesMax(operation: Operation): number {
  const fixed = 6 * headBytesMax + 32;
  if (operation.kind === "put") return fixed + textBytesMax(operation.id) + operation.body.length;
  if (operation.kind === "delete") return fixed + textBytesMax(operation.id);
  if (operation.kind === "createIndex" || operation.kind === "dropIndex") {
    return fixed + indexBytesMax(operation);
  }
  if (isOfVersions(operation, kinds[operation.kind])) return fixed + versionsBytesMax(operation);
  return operation.kind === "createCollection" ? fixed + textBytesMax(operation.name) : fixed;
}

function isOfVersions(_operation: Operation, kind: number): _operation is VersionOperation {
  return kind >= kinds.activateBundle;
}

function write(writer: CborWriter, operation: Operation): void {
  const kind = kinds[operation.kind], more = operation.kind === "activateBundle" && operation.adoptExisting;
  writer.array(elements[kind] + (more === true ? 1 : 0));
  writer.number(kind);
  if (operation.kind === "term") {
    writer.number(checked(operation.epoch, 1));
    writer.binary(unhex(operation.run));
    return writer.binary(unhex(operation.nodeId));
  }
  if (isOfVersions(operation, kind)) return writeVersions(writer, operation);
  writer.number(checked(operation.collection, 1));
  if (operation.kind === "createCollection") return writer.text(checkedName(operation.name));
  if (operation.kind === "dropCollection") return;
  if (operation.kind === "createIndex") return writeCreateIndex(writer, operation);
  if (operation.kind === "dropIndex") return writeDropIndex(writer, operation);
  writer.text(checkedId(operation.id));
  writer.number(checked(operation.previous, 0));
  if (operation.kind === "put") writer.binary(operation.body);
}

function checkedName(name: string): string {
  assert(name.length > 0 && name.isWellFormed(), "a collection name is well-formed text");
  assert(name.length <= limits.collectionNameCharsMax, "a collection name is not longer than allowed");
  return name;
}

function checked(value: number, least: number): number {
  assert(Number.isSafeInteger(value) && value >= least, "a number in an entry is whole and in its range");
  return value;
}

function checkedId(id: string): string {
  // A lone surrogate would be written as U+FFFD: the followers' id would differ from the leader's.
  assert(id.length > 0 && id.isWellFormed(), "a document id is well-formed text");
  const fits = id.length * 3 <= limits.documentIdBytesMax || utf8(id).length <= limits.documentIdBytesMax;
  assert(fits, "a document id is not longer than allowed");
  return id;
}

/**
 * The operations of a payload; bodies are views of it. Accepts exactly what {@linkcode encodeEntry} makes.
 * Throws DfdbError `version` for a format, kind or further element that only a newer version can have written,
 * `corrupt` for everything else.
 */
export function decodeEntry(payload: Uint8Array): readonly Operation[] {
  const { reader, count } = opened(payload), operations: Operation[] = [];
  for (let i = 0; i < count; i++) operations.push(operation(reader));
  return closed(reader, operations);
}

/** As {@linkcode decodeEntry}; yields after each slice. */
export function* decodeEntryInSlices(payload: Uint8Array): Generator<void, readonly Operation[], void> {
  const { reader, count } = opened(payload), operations: Operation[] = [], slice = new Slice();
  for (let i = 0; i < count; i++) {
    const before = reader.at;
    operations.push(operation(reader));
    if (slice.full(reader.at - before)) yield;
  }
  return closed(reader, operations);
}

function opened(payload: Uint8Array): { readonly reader: CborReader; readonly count: number } {
  if (payload.length === 0 || payload.length > limits.entryBytesMax) {
    throw new DfdbError("corrupt", `log entry: payload of ${payload.length} bytes`);
  }
  if (payload[0] !== payloadFormat) {
    throw new DfdbError("version", `log entry: format ${payload[0]} is not known to this version`);
  }
  const reader = new CborReader(payload, 1, rules), count = reader.array();
  if (count === 0) throw reader.error("no operations");
  return { reader, count };
}

function closed(reader: CborReader, operations: readonly Operation[]): readonly Operation[] {
  reader.end();
  if (operations.length > 1 && operations.some(isAlone)) {
    throw reader.error("a term or an adoption beside other operations");
  }
  return operations;
}

function operation(reader: CborReader): Operation {
  const count = reader.array();
  if (count === 0) throw reader.error("empty operation");
  const kind = reader.number(), expected = elements[kind];
  if (kind === 0) throw reader.error("operation of kind 0");
  if (expected === undefined) throw newer(`operation of kind ${kind}`);
  if (kind === kinds.activateBundle && count === expected + 1) return readActivate(reader, true);
  if (count > expected) throw newer(`operation of kind ${kind} with ${count} elements`);
  if (count < expected) throw reader.error(`operation of kind ${kind} with ${count} elements`);
  if (kind === kinds.put) return put(reader);
  if (kind === kinds.delete) return remove(reader);
  if (kind === kinds.createCollection) return createCollection(reader);
  if (kind === kinds.dropCollection) return dropCollection(reader);
  if (kind === kinds.createIndex) return readCreateIndex(reader);
  if (kind === kinds.dropIndex) return readDropIndex(reader);
  if (kind === kinds.activateBundle) return readActivate(reader, false);
  if (kind === kinds.learnRuns) return readLearnRuns(reader);
  if (kind === kinds.setVersions) return readSetVersions(reader);
  if (kind === kinds.purgeTombstones) return readPurge(reader);
  return term(reader);
}

function newer(what: string): DfdbError {
  return new DfdbError("version", `log entry: ${what} is not known to this version`);
}

const collection = (reader: CborReader) => collectionNumberOf(atLeast(reader, 1));
const id = (reader: CborReader) => documentIdOf(reader.textWithin(1, limits.documentIdBytesMax));

function put(reader: CborReader): Put {
  return {
    kind: "put",
    collection: collection(reader),
    id: id(reader),
    previous: seqOf(reader.number()),
    body: reader.binary(),
  };
}

function remove(reader: CborReader): Delete {
  return {
    kind: "delete",
    collection: collection(reader),
    id: id(reader),
    previous: seqOf(reader.number()),
  };
}

function createCollection(reader: CborReader): CreateCollection {
  const number = collection(reader), name = reader.textWithin(1, nameBytesMax);
  if (name.length > limits.collectionNameCharsMax) throw reader.error("collection name too long");
  return { kind: "createCollection", collection: number, name };
}

function dropCollection(reader: CborReader): DropCollection {
  return { kind: "dropCollection", collection: collection(reader) };
}

function term(reader: CborReader): BeginTerm {
  const epoch = epochOf(atLeast(reader, 1));
  return { kind: "term", epoch, run: runIdOf(id128(reader)), nodeId: nodeIdOf(id128(reader)) };
}

function atLeast(reader: CborReader, least: number): number {
  const value = reader.number();
  if (value < least) throw reader.error(`number ${value} below ${least}`);
  return value;
}

function id128(reader: CborReader): string {
  const bytes = reader.binary();
  if (bytes.length !== 16) throw reader.error(`id of ${bytes.length} bytes`);
  return hex(bytes);
}
