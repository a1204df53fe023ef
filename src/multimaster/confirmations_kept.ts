/** The peers that this database has ever met, and what they have confirmed: the documents `Raven/Replication/Peers/{database id}`. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, DocumentId, Seq, WallMs } from "../base/ids.ts";
import { databaseIdOf, documentIdOf, isHexId, runIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Plan } from "../engine/plan.ts";
import type { Term } from "../storage/log.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";
import { cursorOrNull, cursorText, parsePlace, parseTerm, placeText, termText } from "./batch_text.ts";
import type { Confirmation, Holding } from "./confirmations.ts";
import type { Place } from "./outgoing_events.ts";
import type { HistoryRun } from "./receiver_history.ts";
import { sources } from "./sources.ts";
import { systemDocument, systemDocuments, SystemWriter } from "./system_documents.ts";
import type { KeptWitness } from "./witnesses.ts";
import { isWitness, withWitness } from "./witnesses.ts";

/** A database that was sent to, or that has sent. */
export interface Peer {
  readonly databaseId: DatabaseId;
  /** Where it was last; empty: it did not say. */
  readonly url: string;
  /** Nothing is taken from it any more, and nobody waits for it. */
  readonly forgotten: boolean;
  /** Null: it has not said anything yet. */
  readonly confirmation: Confirmation | null;
  /** When that was written; 0: never. */
  readonly writtenMs: number;
  /** What it said before, oldest first. */
  readonly earlier: readonly KeptWitness[];
  /** Tombstones were removed since it was forgotten. */
  readonly purgedSince: boolean;
  /** Of its own log: tombstones were removed here because it was there, and a copy of it that is older may not send any more. Null: none were. */
  readonly relied: Place | null;
}

const prefix = "Replication/Peers/";
const purgedId = documentIdOf("Replication/Purged");
const planBytes = 4_096;

function peerId(databaseId: DatabaseId): DocumentId {
  return documentIdOf(`${prefix}${databaseId}`);
}

/** Those that have sent are peers also where nobody has written that down yet. By id. */
export function peers(view: ReadView): readonly Peer[] {
  const found = new Map<DatabaseId, Peer>();
  for (const { body } of systemDocuments(view, prefix, limits.peersMax)) {
    const peer = peerOf(body);
    if (peer !== null) found.set(peer.databaseId, peer);
  }
  for (const { databaseId, url } of sources(view, limits.peersMax)) {
    if (!found.has(databaseId)) found.set(databaseId, met(databaseId, url));
  }
  return [...found.values()].sort((a, b) => a.databaseId < b.databaseId ? -1 : 1);
}

export function peer(view: ReadView, databaseId: DatabaseId): Peer | null {
  const text = systemDocument(view, peerId(databaseId));
  return text === null ? null : peerOf(text);
}

/** What was told of a peer since the last time; null: only that there is one. */
export interface Told {
  readonly databaseId: DatabaseId;
  readonly url: string;
  readonly confirmation: Confirmation | null;
}

/** In one entry; none where all of it is written already. A forgotten one stays so. */
export function keepPeers(told: readonly Told[]): Plan<void> {
  return {
    bytes: planBytes * (1 + told.length),
    run(tx, wallMs) {
      const system = new SystemWriter(tx);
      append(
        tx,
        wallMs,
        told.flatMap(({ databaseId, url, confirmation }) => {
          const known = peer(tx, databaseId) ?? met(databaseId, "");
          if (known.forgotten) return [];
          const now = {
            ...known,
            url: url === "" ? known.url : url,
            confirmation: confirmation ?? known.confirmation,
          };
          if (confirmation === null) return system.put(peerId(databaseId), peerText(now));
          const { confirmation: before, writtenMs } = known;
          const earlier = isWitness(before)
            ? withWitness(known.earlier, { ...before, writtenMs })
            : known.earlier;
          return system.put(peerId(databaseId), peerText({ ...now, earlier, writtenMs: wallMs }));
        }),
      );
    },
  };
}

/** Tombstones are removed that the peer had confirmed at `place` of its log; in the transaction that removes them. */
export function relyOn(
  view: ReadView,
  system: SystemWriter,
  databaseId: DatabaseId,
  place: Place,
): ReturnType<SystemWriter["put"]> {
  const known = peer(view, databaseId) ?? met(databaseId, "");
  if (known.relied !== null && known.relied.seq >= place.seq) return [];
  return system.put(peerId(databaseId), peerText({ ...known, relied: place }));
}

/**
 * In the transaction that removes tombstones: `change` is the last entry that made one of them. Copies of this database have to have it, and no copy of a
 * forgotten one is taken any more.
 */
export function purgedHere(
  view: ReadView,
  system: SystemWriter,
  change: Place,
): ReturnType<SystemWriter["put"]> {
  const before = purgedUpTo(view);
  const operations = peers(view).filter((one) => one.forgotten && !one.purgedSince)
    .flatMap((one) => system.put(peerId(one.databaseId), peerText({ ...one, purgedSince: true })));
  if (before !== null && before.seq >= change.seq) return operations;
  return [...operations, ...system.put(purgedId, JSON.stringify({ Relied: placeText(change) }))];
}

/** The last entry of this database's own log that made a tombstone which was removed; null: none were. */
export function purgedUpTo(view: ReadView): Place | null {
  const text = systemDocument(view, purgedId);
  return text === null ? null : placeOrNull(objectOf(text)["Relied"]);
}

/** Nobody waits for it any more. Throws `not_found` for one that was never met, `bad_request` for `own`. */
export function forgetPeer(databaseId: DatabaseId, own: DatabaseId): Plan<void> {
  return {
    bytes: planBytes,
    run(tx, wallMs) {
      if (databaseId === own) throw new DfdbError("bad_request", "A database is no peer of its own");
      const known = peers(tx).find((one) => one.databaseId === databaseId);
      if (known === undefined) throw new DfdbError("not_found", `There is no peer ${databaseId}`);
      const text = peerText({ ...known, forgotten: true, confirmation: null, writtenMs: 0, earlier: [] });
      append(tx, wallMs, new SystemWriter(tx).put(peerId(databaseId), text));
    },
  };
}

function append(tx: WriteTransaction, wallMs: WallMs, operations: ReturnType<SystemWriter["put"]>): void {
  if (operations.length > 0) tx.append(operations, wallMs);
}

function met(databaseId: DatabaseId, url: string): Peer {
  return {
    ...{ databaseId, url, forgotten: false, confirmation: null, writtenMs: 0 },
    ...{ earlier: [], relied: null, purgedSince: false },
  };
}

function peerText(
  { databaseId, url, forgotten, confirmation, writtenMs, earlier, relied, purgedSince }: Peer,
): string {
  return JSON.stringify({
    ServerInstanceId: databaseId,
    Url: url,
    ...(forgotten ? { Forgotten: true } : {}),
    ...(purgedSince ? { PurgedSince: true } : {}),
    ...(relied === null ? {} : { Relied: placeText(relied) }),
    ...(confirmation === null ? {} : confirmationMembers(confirmation, writtenMs)),
    ...(earlier.length === 0
      ? {}
      : { Earlier: earlier.map((one) => confirmationMembers(one, one.writtenMs)) }),
  });
}

function confirmationMembers({ term, seq, history, holds }: Confirmation, writtenMs: number) {
  return {
    Term: termText(term),
    ...(seq === null ? {} : { Seq: seq }),
    History: historyTexts(history),
    Received: holds.map(holdingText),
    WrittenMs: writtenMs,
  };
}

/** Null: it is no such document; an operator may write it. */
function peerOf(text: string): Peer | null {
  const members = objectOf(text),
    { ServerInstanceId: id, Url: url, Forgotten: forgotten, Earlier: earlier } = members;
  if (!isHexId(id)) return null;
  const databaseId = databaseIdOf(id);
  return {
    databaseId,
    url: typeof url === "string" ? url : "",
    forgotten: forgotten === true,
    confirmation: confirmationOf(databaseId, members),
    writtenMs: writtenOf(members),
    earlier: !Array.isArray(earlier) ? [] : earlier.filter(isObject).flatMap((one): KeptWitness[] => {
      const kept = confirmationOf(databaseId, one);
      return isWitness(kept) ? [{ ...kept, writtenMs: writtenOf(one) }] : [];
    }),
    relied: placeOrNull(members["Relied"]),
    purgedSince: members["PurgedSince"] === true,
  };
}

/** Null: it has not said anything. */
function confirmationOf(databaseId: DatabaseId, members: Members): Confirmation | null {
  const term = termOf(members["Term"]);
  if (term === null) return null;
  const history = historyOf(members["History"]), holds = holdingsOf(members["Received"]);
  return { databaseId, term, seq: seqOrNull(members["Seq"]), history, holds };
}

function writtenOf({ WrittenMs: written }: Members): number {
  return typeof written === "number" ? written : 0;
}

function seqOrNull(value: unknown): Seq | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? seqOf(value as number) : null;
}

/** Null: it is no place. */
function placeOrNull(text: unknown): Place | null {
  if (typeof text !== "string") return null;
  try {
    return parsePlace(text);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return null;
  }
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null;
}

function objectOf(text: string): Members {
  return JSON.parse(text) as Members;
}

function termOf(text: unknown): Term | null {
  if (typeof text !== "string") return null;
  try {
    return parseTerm(text);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return null;
  }
}

function historyTexts(history: readonly HistoryRun[]): readonly string[] {
  return history.map(({ run, firstSeq }) => `${run}:${firstSeq}`);
}

function historyOf(texts: unknown): readonly HistoryRun[] {
  if (!Array.isArray(texts)) return [];
  const runs = texts.map((text) => /^([0-9a-f]{32}):([1-9]\d{0,15})$/.exec(String(text)));
  if (runs.includes(null)) return [];
  return runs.map((match) => ({ run: runIdOf(match?.[1] as string), firstSeq: seqOf(Number(match?.[2])) }));
}

/** As an answer tells it, and a document keeps it. */
function holdingText({ sender, filter, cursor }: Holding): unknown {
  return { ServerInstanceId: sender, Filter: filter, LastDocumentEtag: cursorText(cursor) };
}

/** What {@linkcode holdingText} wrote; what is none is left out. */
function holdingsOf(value: unknown): readonly Holding[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown): Holding[] => {
    if (typeof one !== "object" || one === null) return [];
    const { ServerInstanceId: id, Filter: filter, LastDocumentEtag: text } = one as Record<string, unknown>;
    const cursor = cursorOrNull(text);
    return isHexId(id) && typeof filter === "string" && cursor !== null
      ? [{ sender: databaseIdOf(id), filter, cursor }]
      : [];
  });
}

/** The text of an answer to a peer (`answerText`), with what this database has received of whom, where its log ends, if that is in the term that was told, and of whom it is
 * a copy. */
export function withReceived(
  answer: string,
  view: ReadView,
  told: Term,
  formerly: readonly DatabaseId[],
): string {
  const { position: { run, seq } } = view, texts: string[] = [];
  let chars = 0;
  for (const { databaseId: sender, filter, cursor } of sources(view)) {
    if (cursor === null) continue;
    const text = JSON.stringify(holdingText({ sender, filter, cursor }));
    chars += text.length + 1;
    // What is not told is not confirmed.
    if (chars <= limits.masterReceivedChars) texts.push(text);
  }
  const place = run === told.run ? `,"Seq":${seq}` : "";
  const received = texts.length === 0 ? "" : `,"Received":[${texts.join(",")}]`;
  const copied = formerly.length === 0 ? "" : `,"Formerly":${JSON.stringify(formerly)}`;
  return `${answer.slice(0, -1)}${place}${copied}${received}}`;
}

/** What a peer says of itself, beside its answer to a request. */
export interface SaidOfItself {
  /** Where its log ends, in the term of the answer; null: it does not tell. */
  readonly seq: Seq | null;
  /** Whose entries its log begins with: it is a copy. */
  readonly formerly: readonly DatabaseId[];
  /** What it has received of whom, as far as it tells. */
  readonly received: readonly Holding[];
}

/** What {@linkcode withReceived} told; nothing of what is no such answer. */
export function readReceived(
  answer: Uint8Array,
): SaidOfItself {
  try {
    const members: unknown = JSON.parse(utf8Text(answer));
    if (isObject(members)) {
      const { Seq: seq, Formerly: copied, Received: received } = members;
      const formerly = Array.isArray(copied) && copied.every(isHexId) ? copied.map(databaseIdOf) : [];
      return { seq: seqOrNull(seq), formerly, received: holdingsOf(received) };
    }
  } catch { /* whoever wanted an answer says what is wrong with it */ }
  return { seq: null, formerly: [], received: [] };
}
