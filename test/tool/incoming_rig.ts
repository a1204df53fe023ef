/** Masters of a few lines: a real storage with its commit path and what takes batches, and a sender that tells all that it holds. */
import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { documentIdOf, epochOf, nodeIdOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { RunId } from "../../src/base/ids.ts";
import type { LogFields } from "../../src/base/logger.ts";
import { prng } from "../../src/base/prng.ts";
import type { ConflictPolicy } from "../../src/document/judge.ts";
import { contentHash } from "../../src/document/judge.ts";
import type { RunNode } from "../../src/document/run_tree.ts";
import { deleteDocument, putDocument } from "../../src/engine/commands.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { engine } from "../../src/engine/engine.ts";
import { writeBatch } from "../../src/multimaster/batch.ts";
import type { SentKey } from "../../src/multimaster/batch.ts";
import type { Incoming, Sender, Target } from "../../src/multimaster/incoming.ts";
import { incoming } from "../../src/multimaster/incoming.ts";
import { shownNow } from "../../src/multimaster/outcome.ts";
import type { Cursor, Place } from "../../src/multimaster/outgoing_events.ts";
import type { TransactionOperation } from "../../src/engine/transaction.ts";
import { transaction } from "../../src/engine/transaction.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { StorageOptions } from "../../src/storage/sqlite/open_storage.ts";
import { termAt } from "../../src/storage/position_text.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { KeyVersions, VersionView } from "../../src/storage/versions.ts";
import { testOptions } from "../suites/storage_fixture.ts";
import { currentRuntime } from "./current_runtime.ts";

/** Of documents here. */
export const documentLimits = { bytesMax: 100_000, nestingMax: 20 };
export const { sha256 } = currentRuntime().crypto;

export interface Line {
  readonly message: string;
  readonly fields: LogFields;
}

export class Master {
  readonly storage: Storage;
  readonly engine: Engine;
  readonly incoming: Incoming;
  readonly path: string;
  readonly sender: Sender;
  /** Warnings. */
  readonly lines: Line[] = [];
  policy: ConflictPolicy = { kind: "manual" };
  run: RunId;
  wallMs = 1_750_000_000_000;

  private constructor(storage: Storage, path: string, digit: string) {
    this.storage = storage;
    this.path = path;
    this.run = runIdOf(digit.repeat(32));
    this.sender = { databaseId: storage.databaseId, url: `http://${digit}.test`, filter: "" };
    const { clock } = currentRuntime();
    this.engine = engine({
      storage,
      clock: { ...clock, wall: () => wallMsOf(this.wallMs++), macrotask: (run) => clock.macrotask(run) },
      gate: () => ({ epoch: epochOf(1), run: this.run, nodeId: nodeIdOf("e".repeat(32)) }),
      onFatal: (error) => {
        throw error;
      },
      onDiskFull: () => {},
    });
    this.incoming = incoming({
      storage,
      engine: this.engine,
      clock,
      sha256,
      logger: {
        debug: () => {},
        info: () => {},
        warn: (message, fields = {}) => void this.lines.push({ message, fields }),
        error: () => assert.fail("no error is logged"),
      },
      policy: () => this.policy,
      documents: documentLimits,
    });
  }

  /** `digit` is that of its run; each has an id of its own. */
  static async open(folder: string, digit: string, more: Partial<StorageOptions> = {}): Promise<Master> {
    const path = `${folder}/${digit}.dfdb`, numbers = prng(digit.charCodeAt(0));
    const random = { bytes: numbers.bytes, float: numbers.float };
    const master = new Master(await openStorage(testOptions(path, { random, ...more })), path, digit);
    if (master.storage.read((view) => view.versions) === null) {
      await master.engine.submit({
        bytes: 0,
        run: (tx, wallMs) => void tx.append([{ kind: "activateBundle", bundle: "replication" }], wallMs),
      });
    }
    return master;
  }

  async close(): Promise<void> {
    await this.engine.close();
    this.storage.close();
  }

  async put(collection: string, id: string, text: string): Promise<void> {
    await this.engine.submit(putDocument(collection, { id: documentIdOf(id), body: utf8(text) }, () => {}));
  }

  /** Of ids 0 to `count` - 1, in one entry. */
  async insert(collection: string, count: number, text: (i: number) => string): Promise<void> {
    const operations = Array.from({ length: count }, (_, i): TransactionOperation => ({
      ...{ op: "insert", collection, id: documentIdOf(`${i}`), body: utf8(text(i)) },
    }));
    await this.engine.submit(transaction(operations));
  }

  async delete(collection: string, id: string): Promise<void> {
    await this.engine.submit(deleteDocument(collection, documentIdOf(id), () => {}));
  }

  get last(): number {
    return this.storage.log.last.seq;
  }

  key(name: string, id: string): KeyVersions | null {
    return this.versions((versions) => versions.get(name, documentIdOf(id)));
  }

  /** Of the document that is shown; null: none is. */
  body(name: string, id: string): string | null {
    return this.storage.read((view) => {
      const info = view.collection(name);
      return info === null ? null : view.document(info.number, documentIdOf(id))?.body ?? null;
    });
  }

  versions<Result>(run: (versions: VersionView) => Result): Result {
    return this.storage.read((view) => run(view.versions as VersionView));
  }

  /** All keys that changed after entry `after`, in the order of their changes. */
  keys(after = 0): readonly KeyVersions[] {
    return this.versions((versions) =>
      versions.changedSince(seqOf(after), { keysMax: 1e6, bytesMax: 2 ** 30 }).keys
    );
  }

  /** As the sending side of a master does it, but with all runs each time. */
  batch(keys: readonly KeyVersions[] = this.keys(), told: (run: RunId) => boolean = () => false): Uint8Array {
    return this.versions(({ tree }) => {
      const runs: readonly RunNode[] = tree.lineage(
        keys.flatMap(({ versions }) => versions.flatMap(({ vector }) => vector.map(({ run }) => run))),
        told,
      );
      return writeBatch(tree, {
        runs: keys.length === 0 ? [] : runs,
        keys: keys.map((key) => this.#sent(key)),
      });
    });
  }

  /** Everything up to its present end was looked at. */
  get cursor(): Cursor {
    return { ...this.#place(this.last), asOf: this.#place(this.last) };
  }

  /** For `to` as it is now. */
  target(to: Master, cursor: Cursor | null = this.cursor): Target {
    const { epoch, run } = to.storage.log.last;
    return { databaseId: to.storage.databaseId, term: { epoch, run }, cursor };
  }

  async tell(to: Master, keys: readonly KeyVersions[] = this.keys()): Promise<void> {
    await to.incoming.replicate(this.sender, this.target(to), this.batch(keys));
  }

  #sent(key: KeyVersions): SentKey {
    return {
      name: key.name,
      id: key.id,
      change: this.#place(key.change),
      versions: key.versions,
      shown: contentHash(shownNow(key), sha256),
    };
  }

  #place(seq: number): Place {
    const { epoch, run } = termAt(this.storage.log.terms, seqOf(seq));
    return { epoch, run, seq: seqOf(seq) };
  }
}

/** What is in a batch, as members. */
export const elements = (batch: Uint8Array): Record<string, unknown>[] =>
  JSON.parse(new TextDecoder().decode(batch)) as Record<string, unknown>[];
