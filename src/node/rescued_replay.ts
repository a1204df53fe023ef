/** Brings rescued operations into another history: compare-and-set over HTTP, nothing that others wrote since is overwritten unasked. */
import { DfdbError } from "../base/errors.ts";
import { systemCollection } from "../document/names.ts";
import { rememberedCollection } from "../engine/remembered.ts";
import { writtenByPeople } from "../http/docs.ts";
import type { Files } from "../runtime/files.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Current, RemoteDocuments } from "./remote_documents.ts";
import { remoteDocuments } from "./remote_documents.ts";
import type { RescuedOperation } from "./rescued_files.ts";
import { rescuedDocument, rescuedOperations } from "./rescued_files.ts";

export interface ReplayOptions {
  readonly runtime: Pick<Runtime, "files" | "fetch">;
  /** A `.jsonl` rescue file. */
  readonly path: string;
  /** Base URL of the HTTP API of a leader. */
  readonly url: string;
  readonly apiKey: string | null;
  /** Mismatches that are written all the same; null: all. `id` or `collection/id`. */
  readonly force: ReadonlySet<string> | null;
  /** Only asks, writes nothing. */
  readonly dryRun: boolean;
  readonly onProgress: (done: number, total: number) => void;
}

/** What became of one document. `dropped`: a collection that the tail dropped and that is there; dropping is left to people. */
export type Outcome = "applied" | "equal" | "forced" | "mismatch" | "refused" | "dropped";

export interface Replayed {
  readonly collection: string;
  /** Null for a collection as a whole. */
  readonly id: string | null;
  readonly outcome: Outcome;
  /** Etag before the first rescued write, null: there was none. */
  readonly rescued: string | null;
  /** Etag there is now, null: there is no document. */
  readonly current: string | null;
  /** What is there now is a conflict. */
  readonly inConflict: boolean;
  /** Why it was refused. */
  readonly message: string | null;
}

/** A document's writes in the tail, folded: what it was before the first, and where the last stands in the file. */
interface Folded {
  readonly collection: string;
  readonly id: string;
  /** Null: there was no document, but maybe a conflict. */
  readonly before: string | null;
  /** The first is a deletion of what was no document, so of a conflict. */
  readonly settles: boolean;
  readonly last: Pick<RescuedOperation, "offset" | "length" | "doc" | "seq" | "term">;
}

interface Dropped {
  readonly number: number;
  readonly name: string | null;
}

/** Requests under way at a time: the server commits what waits together. */
const together = 16;

/**
 * Replays all documents of the file; the answers are in the order of the file. Rejects with `data_corrupt` (the file; nothing was
 * written), and with what stops a replay half-way: `unauthorized`, `not_leader`, `unreachable`, ...; it can be run again.
 */
export async function replay(options: ReplayOptions): Promise<readonly Replayed[]> {
  const { runtime: { files }, path, onProgress } = options;
  const { documents, dropped } = await fold(files, path);
  const remote = remoteDocuments(options);
  const results = new Array<Replayed>(documents.length);
  const file = await files.openRead(path);
  if (file === null) throw new DfdbError("not_found", `There is no file ${path}`);
  let next = 0, done = 0, failed = false;
  const work = async (): Promise<void> => {
    for (let i = next++; i < documents.length && !failed; i = next++) {
      const folded = documents[i] as Folded;
      try {
        const doc = folded.last.doc === null ? null : await rescuedDocument(file, path, folded.last);
        results[i] = await one(options, remote, folded, doc);
      } catch (error) {
        failed = true;
        throw error;
      }
      onProgress(++done, documents.length);
    }
  };
  try {
    // All are waited for: none may write after this one has ended.
    const ends = await Promise.allSettled(Array.from({ length: together }, work));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  } finally {
    await file.close();
  }
  return [...results, ...await leftToPeople(remote, dropped)];
}

/** Last state of each document, and the names of collections that the tail dropped and did not create again. */
async function fold(files: Files, path: string): Promise<{ documents: Folded[]; dropped: Dropped[] }> {
  const folded = new Map<string, Folded>(), gone = new Map<number, string | null>();
  const created = new Set<string>(), received = new Received();
  for await (const operation of rescuedOperations(files, path)) {
    const { op, number = 0, collection = null, id = "", previous = null, seq, term } = operation;
    if (op === "dropCollection") gone.set(number, collection);
    if (op === "createCollection" && collection !== null) created.add(collection.toLowerCase());
    if (op === "setVersions") received.take(operation, folded);
    if (op !== "put" && op !== "delete" || isOwn(collection, id)) continue;
    const key = `${number}/${id}`, { offset, length, doc } = operation, known = folded.get(key);
    const before = known === undefined ? previous ?? received.conflict(collection, id) : known.before;
    const settles = known === undefined ? op === "delete" && before === null : known.settles;
    // Of its text only whether there is one is remembered.
    const last = { offset, length, doc: doc === null ? null : "", seq, term };
    folded.set(key, { collection: collection ?? "", id, before, settles, last });
    received.written(collection, id, key);
  }
  const documents = [...folded].filter(([key]) => !gone.has(Number.parseInt(key)));
  const dropped = [...gone].map(([number, name]) => ({ number, name }))
    .filter(({ name }) => name === null || !created.has(name.toLowerCase()));
  return { documents: documents.map(([, document]) => document), dropped };
}

/** What a node writes for itself: answers to requests of that history, and how far it was with other masters, who will say so again. */
function isOwn(collection: string | null, id: string): boolean {
  return collection === rememberedCollection ||
    collection === systemCollection && !writtenByPeople.has(`${collection}/${id}`);
}

/** What other masters sent to the lost leader. They send it to the one that leads now, too, so it is not replayed. */
class Received {
  /** Keys of folded documents by collection and id. */
  readonly #keys = new Map<string, string>();
  readonly #conflicts = new Map<string, string>();

  written(collection: string | null, id: string, key: string): void {
    const place = placeOf(collection, id);
    this.#keys.set(place, key);
    this.#conflicts.delete(place);
  }

  /** Etag of the conflict that the tail has left of a key; null: none. */
  conflict(collection: string | null, id: string): string | null {
    return this.#conflicts.get(placeOf(collection, id)) ?? null;
  }

  /** Takes out of `folded` what others had seen and replaced: they have it. */
  take(
    { collection = null, id = "", kept = [], shown, etag }: RescuedOperation,
    folded: Map<string, Folded>,
  ) {
    const place = placeOf(collection, id), key = this.#keys.get(place) ?? "", known = folded.get(key);
    if (shown === "conflict") this.#conflicts.set(place, etag);
    else this.#conflicts.delete(place);
    const stays = ({ seq, term: { run } }: Folded["last"]): boolean =>
      kept.some((dot) => dot.run === run && dot.seq === seq);
    if (known !== undefined && !stays(known.last)) folded.delete(key);
  }
}

function placeOf(collection: string | null, id: string): string {
  return `${(collection ?? "").toLowerCase()}/${id}`;
}

async function one(
  { force, dryRun }: ReplayOptions,
  remote: RemoteDocuments,
  { collection, id, before, settles }: Folded,
  doc: string | null,
): Promise<Replayed> {
  const answer = (outcome: Outcome, current: string | null, message: string | null = null): Replayed => (
    { collection, id, outcome, rescued: before, current, inConflict, message }
  );
  const forced = force === null || force.has(id) || force.has(`${collection}/${id}`);
  // Nothing is left of what was made and deleted within the tail, and nothing was before; unless a conflict was settled.
  const without = before === null && doc === null;
  let inConflict = false;
  if (!dryRun && !without) {
    const written = await remote.write(collection, id, doc, before);
    if (written.done) return answer("applied", written.etag);
    if (written.refused !== null) return answer("refused", null, written.refused);
  }
  const current = await remote.read(collection, id), etag = current?.etag ?? null;
  inConflict = current !== null && current.content === null;
  if (without && !settles && !inConflict) return answer("equal", null);
  if (isEqual(current, doc)) return answer("equal", etag);
  if (dryRun && etag === before) return answer("applied", etag);
  if (!forced || dryRun) return answer(forced ? "forced" : "mismatch", etag);
  // Even so only what was looked at just now is overwritten.
  const written = await remote.write(collection, id, doc, etag);
  if (written.done) return answer("forced", etag);
  return written.refused === null ? answer("mismatch", etag) : answer("refused", etag, written.refused);
}

function isEqual(current: Current | null, doc: string | null): boolean {
  if (current === null || doc === null) return current === null && doc === null;
  return JSON.stringify(JSON.parse(doc)) === current.content;
}

async function leftToPeople(remote: RemoteDocuments, dropped: readonly Dropped[]): Promise<Replayed[]> {
  if (dropped.length === 0) return [];
  const there = new Set((await remote.collections()).map((name) => name.toLowerCase()));
  return dropped.filter(({ name }) => name === null || there.has(name.toLowerCase())).map((
    { number, name },
  ) => ({
    collection: name ?? `collection ${number}, whose name is not known`,
    id: null,
    outcome: "dropped",
    rescued: null,
    current: null,
    inConflict: false,
    message: null,
  }));
}
