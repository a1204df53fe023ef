/**
 * Masters rely on each other: what was purged because a peer had confirmed it must not come back from an older copy of that peer. Each keeps the place in the
 * peer's log by which it purged; the peer looks whether its log still has that place, since only it knows all of its log.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import type { ReadView, Storage } from "../storage/storage.ts";
import { reliedOn } from "./admit_peer.ts";
import { parsePlace, termText } from "./batch_text.ts";
import { isInHistory } from "./find_common.ts";
import type { Receiver } from "./outgoing_events.ts";

export interface Reliance {
  /** True when those places are in this database's log. Throws `bad_request` for what is none. */
  has(places: string): boolean;
  /** Whose entries this database's log begins with: it is a copy. */
  readonly formerly: readonly DatabaseId[];
  /** The places that the peer's log has to have, since this database has purged by them; null: there are none. Throws `peer_too_old`. */
  on(peer: DatabaseId, formerly: readonly DatabaseId[]): string | null;
}

export function relianceOf(storage: Pick<Storage, "databaseId" | "log" | "read">): Reliance {
  return {
    has: (places) => places.split(",").every((place) => isInHistory(storage.log, parsePlace(place))),
    get formerly() {
      return storage.read((view) => copiedFrom(storage, view));
    },
    on: (peer, formerly) => storage.read((view) => reliedOn(view, storage.databaseId, peer, formerly)),
  };
}

/** Whose entries this database's log begins with: it has an id of its own since. */
export function copiedFrom(
  { databaseId, log }: Pick<Storage, "databaseId" | "log">,
  { versions }: ReadView,
): readonly DatabaseId[] {
  const of = new Set(log.terms.map(({ run }) => versions?.tree.get(run)?.database));
  return [...of].filter((id) => id !== undefined).filter((id) => id !== databaseId);
}

/** What a sender and the receivers at some URLs have found out of each other. */
export class Relied {
  readonly #reliance: Reliance;
  /** What receivers rely on, and this database has: by URL. */
  readonly #seen = new Map<string, string>();
  /** Which leadership has said that it has what this database relies on: by URL. */
  readonly #checked = new Map<string, string>();

  constructor(reliance: Reliance) {
    this.#reliance = reliance;
  }

  /** Parameters of each request. */
  parameters(url: string): Readonly<Record<string, string>> {
    const seen = this.#seen.get(url), { formerly } = this.#reliance;
    return {
      ...(formerly.length === 0 ? {} : { formerly: formerly.join() }),
      ...(seen === undefined ? {} : { seen }),
    };
  }

  /** True: the receiver wants to be told that this database has a place that it names, and this database has it; it can be asked again. */
  looksFor(url: string, error: DfdbError): boolean {
    const { relies } = error.details ?? {};
    if (error.code !== "peer_too_old" || typeof relies !== "string" || this.#seen.get(url) === relies) {
      return false;
    }
    try {
      if (!this.#reliance.has(relies)) return false;
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      return false;
    }
    this.#seen.set(url, relies);
    return true;
  }

  /**
   * The parameter by which this leadership of the receiver is asked whether it has what this database relies on; null: it was, or there is nothing. An error: it
   * cannot have it.
   */
  toCheck(
    url: string,
    receiver: Receiver,
    formerly: readonly DatabaseId[],
  ): { readonly relies: string } | DfdbError | null {
    try {
      const relies = this.#reliance.on(receiver.databaseId, formerly);
      return relies === null || this.#checked.get(url) === checkOf(receiver, relies) ? null : { relies };
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      return thrown;
    }
  }

  /** It has. */
  checked(url: string, receiver: Receiver, relies: string): void {
    this.#checked.set(url, checkOf(receiver, relies));
  }
}

function checkOf({ databaseId, term }: Receiver, relies: string): string {
  return `${databaseId} ${termText(term)} ${relies}`;
}
