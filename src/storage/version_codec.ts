/** The operations on versions within an entry; the rest of it: `entry_codec.ts`. */
import { assert } from "../base/assert.ts";
import { hex, unhex, utf8 } from "../base/bytes.ts";
import type { CborReader } from "../base/cbor_reader.ts";
import type { CborWriter } from "../base/cbor_writer.ts";
import { headBytesMax, textBytesMax } from "../base/cbor_writer.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { databaseIdOf, documentIdOf, epochOf, runIdOf, seqOf, wallMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { decodeVector, encodeVector } from "../document/change_vector.ts";
import type {
  ActivateBundle,
  LearnRuns,
  PurgeTombstones,
  SetVersions,
  ShownOfKey,
} from "../document/operation.ts";
import type { Dot, RunNode } from "../document/run_tree.ts";
import type { Version } from "../document/version_set.ts";

export type VersionOperation = ActivateBundle | LearnRuns | SetVersions | PurgeTombstones;

/** What is shown, in the place of a version's number: of the versions kept and added, in this order, the first is `first`. */
const shownAs = { deleted: 0, conflict: 1, made: 2, first: 3 } as const;

const nameBytesMax = 4 * limits.collectionNameCharsMax;
const none = new Uint8Array(0);
/** After the name of a bundle: documents that are there are adopted. */
const adopting = 1;

/** Bytes of bodies, by which an operation counts in its slice. */
export function bodyBytes(operation: SetVersions): number {
  let bytes = ofShown(operation.shown)?.length ?? 0;
  for (const { body } of operation.added) bytes += body?.length ?? 0;
  return bytes;
}

export function versionsBytesMax(operation: VersionOperation): number {
  switch (operation.kind) {
    case "activateBundle":
      return textBytesMax(operation.bundle) + headBytesMax;
    case "learnRuns":
      return operation.runs.length * (8 * headBytesMax + 48);
    case "setVersions": {
      const { name, id, kept, added } = operation,
        vectors = added.reduce((n, { vector }) => n + vector.length, 0);
      return textBytesMax(name) + textBytesMax(id) + bodyBytes(operation) + 24 * vectors +
        (kept.length + added.length) * (6 * headBytesMax + 16);
    }
    case "purgeTombstones":
      return textBytesMax(operation.name) + operation.ids.reduce((n, id) => n + textBytesMax(id), 0);
  }
}

/** All after the kind. */
export function writeVersions(writer: CborWriter, operation: VersionOperation): void {
  switch (operation.kind) {
    case "activateBundle":
      writer.text(operation.bundle);
      if (operation.adoptExisting === true) writer.number(adopting);
      return;
    case "learnRuns":
      return writeRuns(writer, operation.runs);
    case "setVersions":
      return writeSet(writer, operation);
    case "purgeTombstones": {
      const { name, ids } = operation;
      writer.text(checkedName(name));
      assert(isSome(ids.length), "tombstones are purged some at a time");
      writer.array(ids.length);
      for (const id of ids) writer.text(checkedId(id));
    }
  }
}

function writeRuns(writer: CborWriter, runs: readonly RunNode[]): void {
  assert(isSome(runs.length), "runs are learned some at a time");
  writer.array(runs.length);
  for (const { database, run, epoch, firstSeq, parent } of runs) {
    writer.array(5);
    writer.binary(unhex(database));
    writer.binary(unhex(run));
    writer.number(checked(epoch, 1));
    writer.number(checked(firstSeq, 1));
    writer.binary(parent === null ? none : unhex(parent));
  }
}

function writeSet(writer: CborWriter, { name, id, previous, kept, added, shown }: SetVersions): void {
  const count = kept.length + added.length;
  assert(count > 0 && count <= limits.vectorEntriesMax, `a key has versions, not ${count}`);
  writer.text(checkedName(name));
  writer.text(checkedId(id));
  writer.number(checked(previous, 0));
  writer.array(kept.length);
  for (const dot of kept) {
    writer.array(2);
    writeDot(writer, dot);
  }
  writer.array(added.length);
  for (const { dot, vector, modifiedMs, body } of added) {
    assert(body === null || body.length > 0, "a body is not empty");
    writer.array(5);
    writeDot(writer, dot);
    writer.binary(encodeVector(vector));
    writer.number(checked(modifiedMs, 0));
    writer.binary(body ?? none);
  }
  writer.number(shownNumber(kept, added, shown));
  const body = ofShown(shown);
  assert(body === null || body.length > 0, "a body is not empty");
  writer.binary(body ?? none);
}

function shownNumber(kept: readonly Dot[], added: readonly Version[], shown: ShownOfKey): number {
  if (shown.kind !== "version") return shownAs[shown.kind];
  const at = [...kept, ...added.map(({ dot }) => dot)].findIndex((dot) =>
    dot.run === shown.dot.run && dot.seq === shown.dot.seq
  );
  assert(at >= 0, "what is shown is one of the versions");
  const fits = at < kept.length || (shown.body === null && added[at - kept.length]?.body !== null);
  assert(fits, "an added version is shown with its own body");
  return shownAs.first + at;
}

function ofShown(shown: ShownOfKey): Uint8Array | null {
  return shown.kind === "version" || shown.kind === "made" ? shown.body : null;
}

function writeDot(writer: CborWriter, { run, seq }: Dot): void {
  writer.binary(unhex(run));
  writer.number(checked(seq, 1));
}

function checkedName(name: string): string {
  const fits = name.length > 0 && name.length <= limits.collectionNameCharsMax && name.isWellFormed();
  assert(fits, "a collection name is well-formed text, not longer than allowed");
  return name;
}

function checkedId(id: string): string {
  assert(id.length > 0 && id.isWellFormed(), "a document id is well-formed text");
  const fits = id.length * 3 <= limits.documentIdBytesMax || utf8(id).length <= limits.documentIdBytesMax;
  assert(fits, "a document id is not longer than allowed");
  return id;
}

function checked(value: number, least: number): number {
  assert(Number.isSafeInteger(value) && value >= least, "a number in an entry is whole and in its range");
  return value;
}

function isSome(count: number): boolean {
  return count > 0 && count <= limits.operationItemsMax;
}

/** `more`: there is an element after the bundle. */
export function readActivate(reader: CborReader, more: boolean): ActivateBundle {
  const bundle = reader.textWithin(1, nameBytesMax);
  if (bundle !== "replication") {
    throw new DfdbError("version", `log entry: bundle ${bundle} is not known to this version`);
  }
  if (!more) return { kind: "activateBundle", bundle };
  const how = reader.number();
  if (how === 0) throw reader.error("an activation that adopts nothing says so");
  if (how === adopting) return { kind: "activateBundle", bundle, adoptExisting: true };
  throw new DfdbError("version", `log entry: activation of kind ${how} is not known to this version`);
}

export function readLearnRuns(reader: CborReader): LearnRuns {
  const runs: RunNode[] = [];
  for (let left = some(reader); left > 0; left--) {
    exactly(reader, 5);
    runs.push({
      database: databaseIdOf(id128(reader)),
      run: runIdOf(id128(reader)),
      epoch: epochOf(atLeast(reader, 1)),
      firstSeq: seqOf(atLeast(reader, 1)),
      parent: parentOf(reader),
    });
  }
  return { kind: "learnRuns", runs };
}

function parentOf(reader: CborReader): RunNode["parent"] {
  const bytes = reader.binary();
  if (bytes.length === 0) return null;
  if (bytes.length !== 16) throw reader.error(`id of ${bytes.length} bytes`);
  return runIdOf(hex(bytes));
}

export function readSetVersions(reader: CborReader): SetVersions {
  const name = collectionName(reader), id = documentId(reader), previous = seqOf(reader.number());
  const kept = list(reader, () => {
    exactly(reader, 2);
    return dotOf(reader);
  });
  const added = list(reader, () => version(reader));
  const count = kept.length + added.length;
  if (count === 0 || count > limits.vectorEntriesMax) throw reader.error(`${count} versions of a key`);
  return { kind: "setVersions", name, id, previous, kept, added, shown: shown(reader, kept, added) };
}

function version(reader: CborReader): Version {
  exactly(reader, 5);
  const dot = dotOf(reader), vector = decodeVector(reader.binary());
  return { dot, vector, modifiedMs: wallMsOf(reader.number()), body: bodyOf(reader) };
}

function shown(reader: CborReader, kept: readonly Dot[], added: readonly Version[]): ShownOfKey {
  const number = reader.number(), body = bodyOf(reader);
  if (number === shownAs.made && body !== null) return { kind: "made", body };
  const at = number - shownAs.first;
  if (at < 0) {
    if (body !== null || number === shownAs.made) {
      throw reader.error("a body that does not fit what is shown");
    }
    return { kind: number === shownAs.deleted ? "deleted" : "conflict" };
  }
  const dots = [...kept, ...added.map(({ dot }) => dot)], dot = dots[at];
  if (dot === undefined) throw reader.error("what is shown is none of the versions");
  if (at >= kept.length && (added[at - kept.length]?.body === null || body !== null)) {
    throw reader.error("an added version that is not shown with its own body");
  }
  // It would be written as the first of the two.
  if (dots.findIndex(({ run, seq }) => run === dot.run && seq === dot.seq) !== at) {
    throw reader.error("two versions of one entry");
  }
  return { kind: "version", dot, body };
}

export function readPurge(reader: CborReader): PurgeTombstones {
  const name = collectionName(reader), ids: DocumentId[] = [];
  for (let left = some(reader); left > 0; left--) ids.push(documentId(reader));
  return { kind: "purgeTombstones", name, ids };
}

function list<Item>(reader: CborReader, read: () => Item): Item[] {
  const count = reader.array(), items: Item[] = [];
  if (count > limits.vectorEntriesMax) throw reader.error(`${count} versions of a key`);
  for (let left = count; left > 0; left--) items.push(read());
  return items;
}

function some(reader: CborReader): number {
  const count = reader.array();
  if (!isSome(count)) throw reader.error(`an operation on ${count}`);
  return count;
}

function exactly(reader: CborReader, elements: number): void {
  const count = reader.array();
  if (count > elements) {
    throw new DfdbError(
      "version",
      `log entry: ${count} elements instead of ${elements} are not known to this version`,
    );
  }
  if (count < elements) throw reader.error(`${count} elements instead of ${elements}`);
}

function collectionName(reader: CborReader): string {
  const name = reader.textWithin(1, nameBytesMax);
  if (name.length > limits.collectionNameCharsMax) throw reader.error("collection name too long");
  return name;
}

function documentId(reader: CborReader): DocumentId {
  return documentIdOf(reader.textWithin(1, limits.documentIdBytesMax));
}

function dotOf(reader: CborReader): Dot {
  return { run: runIdOf(id128(reader)), seq: seqOf(atLeast(reader, 1)) };
}

function bodyOf(reader: CborReader): Uint8Array | null {
  const body = reader.binary();
  return body.length === 0 ? null : body;
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
