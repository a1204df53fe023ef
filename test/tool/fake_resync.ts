/** A follower's side of a re-sync in memory: installs what the snapshots of `FakeSnapshots` stand for. */
import { DfdbError } from "../../src/base/errors.ts";
import type { Seq } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Resync } from "../../src/replication/types.ts";
import type { Position } from "../../src/storage/log.ts";
import type { SnapshotOffer } from "../../src/wire/message.ts";
import type { FakeDatabase } from "./fake_database.ts";
import { checksumOf, type FakeSnapshots } from "./fake_snapshots.ts";

type Call = keyof Resync;

export class FakeResync implements Resync {
  /** Rejects the next call of that name. */
  readonly failures: Map<Call, DfdbError> = new Map<Call, DfdbError>();
  /** Names of calls that hang until `release`. */
  readonly hanging: Set<Call> = new Set<Call>();
  readonly calls: string[] = [];
  /** What was rescued: `common`, and the end of the log that was kept. */
  readonly rescued: { readonly common: Seq | null; readonly last: Position }[] = [];
  /** Changes what is received before it is written. */
  garble = false;
  /** Highest number of calls that ran at the same time. */
  mostAtOnce = 0;
  readonly #database: FakeDatabase;
  readonly #snapshots: FakeSnapshots | null;
  #held: { readonly offer: SnapshotOffer; readonly content: Uint8Array; received: number } | null = null;
  #running = 0;
  #release: (() => void)[] = [];

  /** `snapshots` null: every call fails. */
  constructor(database: FakeDatabase, snapshots: FakeSnapshots | null) {
    this.#database = database;
    this.#snapshots = snapshots;
  }

  release(call: Call): void {
    this.hanging.delete(call);
    for (const release of this.#release.splice(0)) release();
  }

  resumable(): Promise<{ readonly id: string; readonly offset: number } | null> {
    return this.#call("resumable", "", () => {
      if (this.#held === null) return null;
      const { offer: { id }, received } = this.#held;
      return { id, offset: received - received % limits.snapshotPieceBytes };
    });
  }

  begin(offer: SnapshotOffer): Promise<void> {
    return this.#call("begin", ` at ${offer.offset}`, () => {
      const content = offer.offset === 0 ? new Uint8Array(offer.bytes) : this.#held?.content;
      if (content === undefined) throw new Error("nothing to go on with");
      this.#held = { offer, content, received: offer.offset };
    });
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#call("write", ` at ${offset}`, () => {
      const held = this.#held;
      if (held === null || offset !== held.received) throw new Error(`wrote ${offset} out of order`);
      held.content.set(bytes, offset);
      if (this.garble) held.content.fill(0, offset, offset + 1_000);
      held.received += bytes.length;
    });
  }

  install(checksum: number): Promise<Position> {
    return this.#call("install", "", () => {
      const held = this.#held, database = this.#snapshots?.database(held?.offer.id ?? "");
      this.#held = null;
      if (held === null || held.received !== held.offer.bytes || checksumOf(held.content) !== checksum) {
        throw new DfdbError("corrupt", "the snapshot is damaged");
      }
      if (database === null || database === undefined) throw new Error("no such snapshot");
      this.#database.install(database);
      return this.#database.last;
    });
  }

  rescue(common: Seq | null): Promise<void> {
    return this.#call("rescue", ` ${common ?? "everything"}`, () => {
      this.rescued.push({ common, last: this.#database.last });
    });
  }

  async #call<Result>(name: Call, how: string, run: () => Result): Promise<Result> {
    this.calls.push(name + how);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#running);
    try {
      await Promise.resolve();
      if (this.hanging.has(name)) await new Promise<void>((resolve) => void this.#release.push(resolve));
      if (this.#snapshots === null) throw new DfdbError("io_error", "this follower takes no snapshots");
      const failure = this.failures.get(name);
      this.failures.delete(name);
      if (failure !== undefined) throw failure;
      return run();
    } finally {
      this.#running--;
    }
  }
}
