/** The next versions for a destination, read in slices. */
import { assert } from "../base/assert.ts";
import type { Seq } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { contentHash } from "../document/judge.ts";
import { collectionKey } from "../document/names.ts";
import type { RunTree } from "../document/run_tree.ts";
import type { Storage } from "../storage/storage.ts";
import type { ChangedPage, ChangePlace, KeyVersions, VersionView } from "../storage/versions.ts";
import type { SentKey } from "./batch.ts";
import { cursorAt, placeAt } from "./find_common.ts";
import type { Cursor } from "./outgoing_events.ts";
import type { Sending } from "./to_send.ts";
import { isToSend } from "./to_send.ts";

export interface Reading {
  readonly sending: Sending;
  /** A place inside an entry, where what was read before ended there. */
  readonly after: Seq | ChangePlace;
  /** All up to it was read before. */
  readonly upTo: Seq;
  readonly items: number;
  readonly bytes: number;
  readonly sha256: (bytes: Uint8Array) => Uint8Array;
}

export interface ReadVersions {
  /** Each once, as the last slice that met it saw it; in the order of their changes. */
  readonly keys: readonly SentKey[];
  /** Has all their runs; null: there are none. */
  readonly tree: RunTree | null;
  /** Versions that were looked at and are not sent. */
  readonly skipped: number;
  readonly upTo: Cursor;
  /** Where to go on; null: there is nothing more at present. */
  readonly next: ChangePlace | null;
}

/** About: what a version takes in a batch beside its body. */
const versionBytes = 400, dotBytes = 90;

/**
 * Keys after `after` in the order of their changes, until there are `items` or their versions are `bytes`; one that is larger by itself is alone. Yields
 * after each slice; after some it ends, whatever was found by then.
 */
export function* readVersions(storage: Storage, reading: Reading): Generator<void, ReadVersions, void> {
  const collected = new Collected(reading);
  for (let slice = 0;; slice++) {
    const more = storage.read(({ versions }) => versions !== null && collected.take(versions, storage));
    if (!more || slice + 1 >= limits.masterSlicesMax) break;
    yield;
  }
  return collected.result(storage);
}

interface Found {
  readonly key: SentKey;
  readonly size: number;
}

class Collected {
  readonly #reading: Reading;
  /** By collection and id: a key that changes between two slices is met in both. */
  readonly #keys = new Map<string, Found>();
  #bytes = 0;
  #skipped = 0;
  #tree: RunTree | null = null;
  #upTo: Seq;
  #after: Seq | ChangePlace;
  #next: ChangePlace | null = null;

  constructor(reading: Reading) {
    this.#reading = reading;
    this.#after = reading.after;
    this.#upTo = reading.upTo;
  }

  /** One slice. False: the batch is full, or there is nothing more. */
  take(versions: VersionView, storage: Storage): boolean {
    const { items, bytes, sending, sha256 } = this.#reading, { log } = storage;
    this.#tree = versions.tree;
    // Where few are wanted most of a page would be read for nothing.
    const keysMax = Math.min(limits.masterSliceKeys, Math.max(32, items - this.#keys.size));
    const bytesMax = Math.min(limits.masterSliceBytes, bytes);
    let page: ChangedPage = versions.changedSince(this.#after, { keysMax, bytesMax }), taken = 0;
    for (const key of page.keys) {
      const { name, id, change } = key, place = `${collectionKey(name)}/${id}`;
      if (!isToSend(versions.tree, key, sending)) {
        this.#skipped += key.versions.length;
        this.#drop(place);
      } else {
        const size = sizeOf(key), before = this.#keys.get(place);
        const others = this.#keys.size - (before === undefined ? 0 : 1);
        const taking = this.#bytes - (before?.size ?? 0) + size;
        if (others >= items || (others > 0 && taking > bytes)) break;
        this.#drop(place);
        const sent = {
          ...{ name, id, change: placeAt(log, change) },
          ...{ versions: key.versions, shown: shownHash(key, sha256) },
        };
        this.#keys.set(place, { key: sent, size });
        this.#bytes += size;
      }
      taken++;
    }
    const full = taken < page.keys.length;
    if (full && taken === 0) {
      // The first key of the page does not fit any more beside those of pages before it.
      assert(typeof this.#after !== "number", "a page was read before");
      this.#next = this.#after;
      return false;
    }
    // The same state as before, up to the last key that fits.
    if (full) page = versions.changedSince(this.#after, { keysMax: taken, bytesMax: Infinity });
    this.#upTo = page.upTo;
    this.#next = page.next;
    if (page.next === null) return false;
    this.#after = page.next;
    return !full && this.#keys.size < items && this.#bytes < bytes;
  }

  /** What a slice before saw of it: together with what it holds now it would be a set that was never shown so. */
  #drop(place: string): void {
    const before = this.#keys.get(place);
    if (before === undefined) return;
    this.#keys.delete(place);
    this.#bytes -= before.size;
  }

  result({ log }: Storage): ReadVersions {
    return {
      keys: [...this.#keys.values()].map(({ key }) => key),
      tree: this.#tree,
      skipped: this.#skipped,
      // What the last page did not show any more had been superseded by then.
      upTo: cursorAt(log, this.#upTo),
      next: this.#next,
    };
  }
}

function sizeOf({ id, versions }: KeyVersions): number {
  return versions.reduce(
    (sum, { vector, body }) =>
      sum + versionBytes + id.length + dotBytes * vector.length + (body?.length ?? 0),
    0,
  );
}

/** Of what this node shows of several versions: another one that makes something else of them says so. */
function shownHash({ versions, shown }: KeyVersions, sha256: Reading["sha256"]): Uint8Array | null {
  if (versions.length < 2 || shown.kind === "conflict") return null;
  if (shown.kind !== "version") return contentHash(shown, sha256);
  const { dot } = shown, found = versions.find((one) => one.dot.run === dot.run && one.dot.seq === dot.seq);
  assert(found !== undefined && found.body !== null, "a version that is shown has a body");
  return contentHash({ ...shown, body: found.body }, sha256);
}
