/** The peers that this database has ever met, and what they have confirmed: the documents `Raven/Replication/Peers/{database id}`. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, DocumentId, WallMs } from "../base/ids.ts";
import { databaseIdOf, documentIdOf, isHexId, runIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Plan } from "../engine/plan.ts";
import type { Term } from "../storage/log.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";
import { cursorOrNull, cursorText, parseTerm, termText } from "./batch_text.ts";
import type { Confirmation, Holding } from "./confirmations.ts";
import type { HistoryRun } from "./receiver_history.ts";
import { sources } from "./sources.ts";
import { systemDocument, systemDocuments, SystemWriter } from "./system_documents.ts";

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
}

const prefix = "Replication/Peers/";
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

export function isForgotten(view: ReadView, databaseId: DatabaseId): boolean {
  return peer(view, databaseId)?.forgotten === true;
}

/** For `IncomingOptions.admit`: throws `peer_forgotten`. */
export function admitPeer(view: ReadView, { databaseId }: { readonly databaseId: DatabaseId }): void {
  if (!isForgotten(view, databaseId)) return;
  const message =
    `Database ${databaseId} was forgotten here: what was deleted meanwhile would come back with it. ` +
    "Start it with an empty data folder: it is filled anew. With an identity of its own (dfdb new-identity) it may send what it alone " +
    "has, but what was deleted here meanwhile comes back, too";
  throw new DfdbError("peer_forgotten", message, { details: { databaseId } });
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
          const writtenMs = confirmation === null ? known.writtenMs : wallMs;
          return system.put(peerId(databaseId), peerText({ ...now, writtenMs }));
        }),
      );
    },
  };
}

/** Nobody waits for it any more. Throws `not_found` for one that was never met, `bad_request` for `own`. */
export function forgetPeer(databaseId: DatabaseId, own: DatabaseId): Plan<void> {
  return {
    bytes: planBytes,
    run(tx, wallMs) {
      if (databaseId === own) throw new DfdbError("bad_request", "A database is no peer of its own");
      const known = peers(tx).find((one) => one.databaseId === databaseId);
      if (known === undefined) throw new DfdbError("not_found", `There is no peer ${databaseId}`);
      const text = peerText({ ...known, forgotten: true, confirmation: null, writtenMs: 0 });
      append(tx, wallMs, new SystemWriter(tx).put(peerId(databaseId), text));
    },
  };
}

function append(tx: WriteTransaction, wallMs: WallMs, operations: ReturnType<SystemWriter["put"]>): void {
  if (operations.length > 0) tx.append(operations, wallMs);
}

function met(databaseId: DatabaseId, url: string): Peer {
  return { databaseId, url, forgotten: false, confirmation: null, writtenMs: 0 };
}

function peerText({ databaseId, url, forgotten, confirmation, writtenMs }: Peer): string {
  return JSON.stringify({
    ServerInstanceId: databaseId,
    Url: url,
    ...(forgotten ? { Forgotten: true } : {}),
    ...(confirmation === null ? {} : {
      Term: termText(confirmation.term),
      History: historyTexts(confirmation.history),
      Received: confirmation.holds.map(holdingText),
      WrittenMs: writtenMs,
    }),
  });
}

/** Null: it is no such document; an operator may write it. */
function peerOf(text: string): Peer | null {
  const members = objectOf(text),
    { ServerInstanceId: id, Url: url, Forgotten: forgotten, WrittenMs: written } = members;
  if (!isHexId(id)) return null;
  const databaseId = databaseIdOf(id), term = termOf(members["Term"]);
  const confirmation = term === null
    ? null
    : { databaseId, term, history: historyOf(members["History"]), holds: holdingsOf(members["Received"]) };
  return {
    databaseId,
    url: typeof url === "string" ? url : "",
    forgotten: forgotten === true,
    confirmation,
    writtenMs: typeof written === "number" ? written : 0,
  };
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(text) as Readonly<Record<string, unknown>>;
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

/** The text of an answer to a peer (`answerText`), with what this database has received of whom. */
export function withReceived(answer: string, view: ReadView): string {
  const told: string[] = [];
  let chars = 0;
  for (const { databaseId: sender, filter, cursor } of sources(view)) {
    if (cursor === null) continue;
    const text = JSON.stringify(holdingText({ sender, filter, cursor }));
    chars += text.length + 1;
    // What is not told is not confirmed.
    if (chars <= limits.masterReceivedChars) told.push(text);
  }
  return told.length === 0 ? answer : `${answer.slice(0, -1)},"Received":[${told.join(",")}]}`;
}

/** What {@linkcode withReceived} told; none of what is no such answer. */
export function readReceived(answer: Uint8Array): readonly Holding[] {
  try {
    return holdingsOf((JSON.parse(utf8Text(answer)) as { readonly Received?: unknown } | null)?.Received);
  } catch {
    return []; // whoever wanted an answer says what is wrong with it
  }
}
