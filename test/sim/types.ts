/** What the parts of the simulator owe each other. */
import type { ConnectedFollower } from "../../src/replication/types.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { Model } from "./models.ts";
import type { IndexAt } from "./replay.ts";
import type { State } from "./state.ts";

/** A promise of dfdb was broken, or something can never happen happened. */
export class Violation extends Error {
  /** Name of the checker. */
  readonly checker: string;

  constructor(checker: string, message: string) {
    super(`${checker}: ${message}`);
    this.name = "Violation";
    this.checker = checker;
  }
}

/** What a client sends; bodies are text. */
export interface Ask {
  readonly method: "GET" | "PUT" | "PATCH" | "POST" | "DELETE";
  /** `/collections/c/1` */
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/**
 * What became of a request: an answer; `refused`: nobody took it, it had no effect; `lost`: it may have been carried out, no
 * answer came.
 */
export type Reply =
  /** `answeredAt`: virtual ms when the server sent it. */
  { readonly kind: "answer"; readonly answer: Answer; readonly answeredAt?: number } | {
    readonly kind: "refused" | "lost";
  };

/** One change of one document, as the client asked for it. */
export interface WrittenDocument {
  readonly collection: string;
  /** Null: the server was to make it, and no answer told it. */
  readonly id: string | null;
  /** `tag` in the document's body, unique in the world; null: the document was deleted. */
  readonly tag: string | null;
}

/** One write, as the client that sent it knows it; an element of a bulk is one, too. */
export interface Write {
  /** Machine that was asked. */
  readonly machine: string;
  readonly documents: readonly WrittenDocument[];
  /** Virtual ms when it was sent, and when its fate was known. */
  readonly sentAt: number;
  readonly knownAt: number;
  /**
   * `promised`: 2xx. `kept`: 504 `replication_timeout`: durable there. `refused`: nothing of it was kept, ever.
   * `unknown`: it may be there or not.
   */
  readonly outcome: "promised" | "kept" | "refused" | "unknown";
  /** `<epoch>.<run, 8 hex>-<seq>` where one was given. */
  readonly position: string | null;
  /** Followers that had to hold it before the answer (`minSyncReplicas` of the node that was asked). */
  readonly required: number;
  /** The etag that `If-Match` demanded: on one branch at most one write with it was carried out. */
  readonly ifMatch?: string;
  /** Passed on by `machine` to its leader, which wrote it. */
  readonly forwarded?: boolean;
  /** `machine` said that it can be read there, too. */
  readonly applied?: boolean;
  /** A collection that was dropped with all its documents; `documents` is empty. */
  readonly drops?: string;
  /** What else the client knows of its entry: by the state before it. `documents` then need not name all that it changes. */
  readonly model?: Model;
  /** Sent with an Idempotency-Key: what came to be remembered, null where no answer told it. */
  readonly once?: OnceWrite;
  /** Not the first time that it was sent: the entry may be older, and of another leader. */
  readonly repeated?: true;
  /** An index that came or went; `documents` is empty. */
  readonly index?: IndexChange;
  /** A collection in which it may have deleted documents that it does not name. */
  readonly deletesIn?: string;
}

export interface OnceWrite {
  readonly key: string;
  readonly answer: { readonly status: number; readonly text: string } | null;
}

export interface IndexChange {
  readonly collection: string;
  readonly name: string;
  /** Null: it was dropped. */
  readonly made: Pick<IndexAt, "unique" | "paths"> | null;
}

/** Something that holds of a state which the machine had at some time between `sentAt` and `knownAt`. */
export interface StateSeen {
  readonly client: string;
  readonly machine: string;
  /** For people. */
  readonly what: string;
  readonly holds: (state: State) => boolean;
  /** Or the machine was making such an index then, which no state has yet. */
  readonly making?: (index: IndexChange) => boolean;
  /** It was seen by a write: between two entries of one commit, too. */
  readonly within: boolean;
  /** Virtual ms. */
  readonly sentAt: number;
  readonly knownAt: number;
}

/** A document as a client saw it on one machine at some time between `sentAt` and `knownAt`. */
export interface ReadSeen {
  readonly client: string;
  readonly machine: string;
  readonly collection: string;
  readonly id: string;
  /** The position that it had to hold at least. */
  readonly notBefore?: string;
  /** Null: there was none. */
  readonly seen: { readonly tag: string; readonly etag: string } | null;
  /** Virtual ms. */
  readonly sentAt: number;
  readonly knownAt: number;
}

/** A machine said that it does not hold a position that it told to hold before. */
export interface RefusedRead {
  readonly client: string;
  readonly machine: string;
  readonly position: string;
  readonly code: string;
  /** Virtual ms. */
  readonly sentAt: number;
  readonly knownAt: number;
}

/** A running node, as the checkers see it. */
export interface Observed {
  readonly machine: string;
  /** Name of the process: `n1#3`. */
  readonly process: string;
  readonly nodeId: string;
  readonly storage: Storage;
  /** Followers of this node as it believes; empty when it serves none. */
  followers(): readonly ConnectedFollower[];
  /** Another number after each acknowledgement of a follower that streams; cheap. */
  acknowledged?(): number;
}
