import { utf8Text } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { DatabaseId, DocumentId } from "../base/ids.ts";
import { databaseIdOf, epochOf, isHexId, runIdOf, seqOf, wallMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { NamedVector } from "../document/change_vector.ts";
import { parseVector } from "../document/change_vector.ts";
import { arrayElements } from "../document/json_array.ts";
import { objectMembers } from "../document/json_members.ts";
import { checkNesting } from "../document/json_scan.ts";
import type { DocumentLimits } from "../document/json_text.ts";
import { collectionKey, collectionName, documentId, isReplicated } from "../document/names.ts";
import type { RunNode } from "../document/run_tree.ts";
import type { Version } from "../document/version_set.ts";
import { Slice } from "../storage/entry_codec.ts";
import { metadata } from "./batch.ts";
import { splitElement } from "./batch_element.ts";
import { cursorOrNull, parseKey } from "./batch_text.ts";
import type { Cursor } from "./outgoing_events.ts";

/** A version as it came: whether its runs are known only a tree can tell. */
export interface ReceivedVersion extends Version {
  /** Whose writer it says to be of. */
  readonly database: DatabaseId;
  /** Of each entry of `vector`. */
  readonly databases: NamedVector["databases"];
}

/** A key, with what the sender holds of it. */
export interface ReceivedKey {
  /** As it was sent. */
  readonly text: string;
  readonly name: string;
  readonly id: DocumentId;
  /** Empty where `fault` says something. */
  readonly versions: readonly ReceivedVersion[];
  /** Hash of what the sender shows of these versions, as it was told last; null: a conflict; undefined: it does not say. */
  readonly shown: Uint8Array | null | undefined;
  /** The text of each version as it came. */
  readonly elements: readonly Uint8Array[];
  /** Why it cannot be stored here, whatever is here; null: it may be. */
  readonly fault: string | null;
}

export interface ReceivedBatch {
  /** As they were sent: no run of them is checked. */
  readonly runs: readonly RunNode[];
  /** Each key once. */
  readonly keys: readonly ReceivedKey[];
  /** What the last version names as its `@etag`; null: it is no cursor. */
  readonly cursor: Cursor | null;
  /** Versions of system documents, which are not taken. */
  readonly ignored: number;
}

/** One that is not there is undefined. */
type Members = Readonly<Record<string, unknown>>;

type Building = {
  -readonly [Key in keyof ReceivedKey]: ReceivedKey[Key] extends readonly (infer Item)[] ? Item[]
    : ReceivedKey[Key];
};

/**
 * Reads a batch; yields after each slice. Throws `bad_request` with the element's number for what is no batch: whatever is not JSON, names no key, or has
 * members of `@metadata` that are missing or of another type; `payload_too_large` for too many elements. What a newer or larger master might well send
 * (a body, a name or a vector that this one cannot keep) is the `fault` of its key. Bodies are views or copies of the bytes that came between the braces,
 * byte by byte.
 */
export function* readBatch(
  bytes: Uint8Array,
  documents: DocumentLimits,
): Generator<void, ReceivedBatch, void> {
  const keys = new Map<string, Building>(), runs: RunNode[] = [], slice = new Slice();
  let ignored = 0, number = 0, etag: unknown;
  for (const element of arrayElements(bytes, { bulkDocumentsMax: limits.bulkDocumentsMaxDefault })) {
    // Each of the passes over a large one has its turn.
    const large = element.length >= limits.sliceBytes;
    if (large) yield;
    const { metadata: sent, body } = splitElement(element, number);
    if (large) yield;
    const members = yield* membersOf(sent, number, runs), text = textOf(members, metadata.id, number);
    etag = optional(members, metadata.etag, "string", number);
    number++;
    if (slice.full(element.length)) yield;
    const { name, id } = parseKey(text);
    if (collectionKey(name) === "raven") {
      ignored++;
      continue;
    }
    const place = `${collectionKey(name)}/${id}`;
    let key = keys.get(place);
    const shown = shownOf(members, number - 1);
    if (key === undefined) {
      const fault = keyFault(name, id);
      key = { text, name, id: id as DocumentId, versions: [], shown, elements: [], fault };
      keys.set(place, key);
    } else if (shown !== undefined) {
      // A key that changed while the batch was read may be in it twice: only what was said of the later set is of all versions together.
      key.shown = shown;
    }
    key.elements.push(element);
    const version = versionOf(members, body, documents, number - 1);
    if (typeof version === "string") key.fault ??= version;
    else key.versions.push(version);
  }
  for (const key of keys.values()) if (key.fault !== null) key.versions = [];
  return { runs, keys: [...keys.values()], cursor: cursorOrNull(etag), ignored };
}

/** Each value parsed, but the runs, which are added to `runs`. */
function* membersOf(sent: Uint8Array, number: number, runs: RunNode[]): Generator<void, Members, void> {
  const members: Record<string, unknown> = {};
  const slice = new Slice();
  const values = within(number, () => objectMembers(sent));
  if (slice.full(sent.length)) yield;
  for (const [name, value] of values) {
    if (name === metadata.runs) {
      const told = arrayElements(value, { bulkDocumentsMax: Number.MAX_SAFE_INTEGER });
      for (;;) {
        const next = within(number, () => told.next());
        if (next.done === true) break;
        const run = next.value;
        runs.push(within(number, () => runOf(parsed(run))));
        if (slice.full(run.length)) yield;
      }
    } else if (Object.hasOwn(named, name)) members[name] = within(number, () => parsed(value));
    else within(number, () => parsed(value));
  }
  return members;
}

const named: Readonly<Record<string, true>> = Object.fromEntries(
  Object.values(metadata).map((name) => [name, true as const]),
);

function runOf(value: unknown): RunNode {
  const node = value as Readonly<Record<keyof RunNode, unknown>> | null;
  const { database, run, epoch, firstSeq, parent } = node ?? {};
  if (
    typeof database !== "string" || typeof run !== "string" || typeof epoch !== "number" ||
    typeof firstSeq !== "number" || (parent !== null && typeof parent !== "string")
  ) {
    throw new DfdbError(
      "bad_request",
      `${metadata.runs} has {"database","run","epoch","firstSeq","parent"} of each run`,
    );
  }
  return {
    database: databaseIdOf(database),
    run: runIdOf(run),
    epoch: epochOf(epoch),
    firstSeq: seqOf(firstSeq),
    parent: parent === null ? null : runIdOf(parent),
  };
}

/** Why no document can have this name and id; null: one can. */
function keyFault(name: string, id: string): string | null {
  try {
    if (!isReplicated(name)) return `collection ${name} is one that is not replicated`;
    if (collectionKey(name) !== "_docs") collectionName(name);
    documentId(id);
    return null;
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return thrown.message;
  }
}

/** Told with the first version of a set of several. */
function shownOf(members: Members, number: number): Uint8Array | null | undefined {
  const shown = members[metadata.shown];
  if (shown === undefined || shown === null) return shown;
  if (typeof shown !== "string" || !/^[0-9a-f]{64}$/.test(shown)) {
    throw wrong(number, `${metadata.shown} is a SHA-256 of 64 hex digits, or null`);
  }
  return Uint8Array.from({ length: 32 }, (_, i) => Number.parseInt(shown.slice(2 * i, 2 * i + 2), 16));
}

/** A text: why it cannot be stored here. Throws where its members are of the wrong types. */
function versionOf(
  members: Members,
  body: Uint8Array,
  documents: DocumentLimits,
  number: number,
): ReceivedVersion | string {
  const source = textOf(members, metadata.source, number), run = textOf(members, metadata.run, number);
  const vector = textOf(members, metadata.vector, number);
  const modified = textOf(members, metadata.modified, number), seq = members[metadata.version];
  const deleted = optional(members, metadata.deleted, "boolean", number) === true;
  if (typeof seq !== "number") throw wrong(number, `${metadata.version} is missing or not a number`);
  if (!isHexId(source) || !isHexId(run)) return "the id of its database or of its run is not one";
  if (!Number.isSafeInteger(seq) || seq < 1) {
    return `${metadata.version} ${seq} is not the number of an entry`;
  }
  const modifiedMs = timeOf(modified);
  if (modifiedMs === null) return `${metadata.modified} is not a moment like 2001-02-03T04:05:06.789Z`;
  const fault = deleted ? deletionFault(body) : bodyFault(body, documents);
  if (fault !== null) return fault;
  try {
    const seen = parseVector(vector);
    return {
      dot: { run: runIdOf(run), seq: seqOf(seq) },
      database: databaseIdOf(source),
      vector: seen.vector,
      databases: seen.databases,
      modifiedMs: wallMsOf(modifiedMs),
      body: deleted ? null : body,
    };
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return thrown.message;
  }
}

/** Null: not as `toISOString` writes it. */
function timeOf(text: string): number | null {
  const ms = Date.parse(text);
  return Number.isFinite(ms) && new Date(ms).toISOString() === text ? ms : null;
}

function deletionFault(body: Uint8Array): string | null {
  return body.length === 2 ? null : "a deletion has no members but @metadata";
}

/** Why the body cannot be stored: it is otherwise kept as it came, also where this node would not have written it so. */
function bodyFault(body: Uint8Array, documents: DocumentLimits): string | null {
  if (body.length > documents.bytesMax) {
    return `a document may have ${documents.bytesMax} bytes, not ${body.length}`;
  }
  try {
    const text = utf8Text(body);
    checkNesting(text, documents.nestingMax);
    JSON.parse(text);
    return null;
  } catch (thrown) {
    return thrown instanceof DfdbError ? thrown.message : "the document is not JSON text in UTF-8";
  }
}

function textOf(members: Members, name: string, number: number): string {
  const value = members[name];
  if (typeof value !== "string") throw wrong(number, `${name} is missing or not a text`);
  return value;
}

function optional(members: Members, name: string, type: "string" | "boolean", number: number): unknown {
  const value = members[name];
  if (value !== undefined && typeof value !== type) throw wrong(number, `${name} is not a ${type}`);
  return value;
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8Text(bytes));
  } catch {
    throw new DfdbError("bad_request", "a member of @metadata is not JSON text in UTF-8");
  }
}

function within<Result>(number: number, run: () => Result): Result {
  try {
    return run();
  } catch (thrown) {
    throw thrown instanceof DfdbError ? wrong(number, messageOf(thrown)) : thrown;
  }
}

function wrong(number: number, what: string): DfdbError {
  return new DfdbError("bad_request", `element ${number} of the batch: ${what}`, {
    details: { element: number },
  });
}
