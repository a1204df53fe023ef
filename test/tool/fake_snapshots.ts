/** Snapshots of a leader in memory: the bytes stand for the copy of the database that `database` gives back. */
import { DfdbError } from "../../src/base/errors.ts";
import { crc32 } from "../../src/base/crc32.ts";
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { prng } from "../../src/base/prng.ts";
import type { SnapshotLease, SnapshotSource } from "../../src/replication/types.ts";
import type { FakeDatabase } from "./fake_database.ts";

interface Made {
  readonly id: string;
  readonly content: Uint8Array;
  readonly database: FakeDatabase;
}

export class FakeSnapshots implements SnapshotSource {
  /** Size of the next one. */
  bytes: number = 2 * limits.snapshotPieceBytes + 1_000;
  /** Rejects the next `acquire`. */
  failure: DfdbError | null = null;
  /** Rejects every read from this offset on. */
  failsFrom: number = Number.POSITIVE_INFINITY;
  /** Leases that were given and not released. */
  leases = 0;
  /** True: `acquire` hangs until its signal aborts. */
  hangs = false;
  readonly made: Made[] = [];
  readonly resumed: (string | null)[] = [];
  readonly #leader: FakeDatabase;

  constructor(leader: FakeDatabase) {
    this.#leader = leader;
  }

  /** What the snapshot `id` holds. */
  database(id: string): FakeDatabase | null {
    return this.made.find((made) => made.id === id)?.database ?? null;
  }

  async acquire(resumeId: string | null, signal: AbortSignal, notBefore = seqOf(0)): Promise<SnapshotLease> {
    this.resumed.push(resumeId);
    const { failure } = this;
    this.failure = null;
    if (failure !== null) throw failure;
    if (this.hangs) {
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }
    return this.#lease(
      this.made.find((made) => made.id === resumeId && made.database.last.seq >= notBefore) ?? this.#make(),
    );
  }

  #make(): Made {
    const number = this.made.length + 1, id = number.toString(16).padStart(32, "0");
    const made = { id, content: prng(number).bytes(this.bytes), database: this.#leader.copy() };
    this.made.push(made);
    return made;
  }

  #lease({ id, content, database }: Made): SnapshotLease {
    this.leases++;
    let released = false;
    return {
      id,
      bytes: content.length,
      position: database.last,
      read: (offset, length) => {
        if (released) return Promise.reject(new Error("read after release"));
        if (offset < this.failsFrom) return Promise.resolve(content.slice(offset, offset + length));
        return Promise.reject(new DfdbError("io_error", "the disk failed"));
      },
      checksum: () => Promise.resolve(checksumOf(content)),
      release: () => {
        if (released) throw new Error("released twice");
        released = true;
        this.leases--;
      },
    };
  }
}

/** CRC-32 over the CRC-32s of the pieces, 4 bytes little-endian each. */
export function checksumOf(content: Uint8Array): number {
  const piece = limits.snapshotPieceBytes, count = Math.ceil(content.length / piece);
  const sums = new DataView(new ArrayBuffer(4 * count));
  for (let i = 0; i < count; i++) {
    sums.setUint32(4 * i, crc32(content.subarray(i * piece, (i + 1) * piece)), true);
  }
  return crc32(new Uint8Array(sums.buffer));
}
