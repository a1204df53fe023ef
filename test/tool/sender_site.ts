/** A database on disk with its commit path, and what it sends and takes as a master, in virtual time. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DfdbError } from "../../src/base/errors.ts";
import type { DocumentId, RunId } from "../../src/base/ids.ts";
import { documentIdOf, epochOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { prng } from "../../src/base/prng.ts";
import { utf8 } from "../../src/base/bytes.ts";
import type { ConflictPolicy } from "../../src/document/judge.ts";
import type { Operation } from "../../src/document/operation.ts";
import { joinSets } from "../../src/document/version_set.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { engine } from "../../src/engine/engine.ts";
import { answerText, parseCursor, parseTerm, writeBatch } from "../../src/multimaster/batch.ts";
import { withReceived } from "../../src/multimaster/confirmations_kept.ts";
import type { Incoming } from "../../src/multimaster/incoming.ts";
import { incoming } from "../../src/multimaster/incoming.ts";
import { Purger } from "../../src/multimaster/purge.ts";
import { asker } from "../../src/multimaster/purge_ask.ts";
import { copiedFrom } from "../../src/multimaster/reliance.ts";
import type { Sender, SenderOptions } from "../../src/multimaster/sender.ts";
import { sender } from "../../src/multimaster/sender.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage, WriteTransaction } from "../../src/storage/storage.ts";
import type { KeyVersions, VersionView } from "../../src/storage/versions.ts";
import { testOptions } from "../suites/storage_fixture.ts";
import { currentRuntime } from "./current_runtime.ts";
import type { NaiveReceiver } from "./naive_receiver.ts";

const { crypto } = currentRuntime();
export const sha256 = (bytes: Uint8Array): Uint8Array => crypto.sha256(bytes);

export interface SiteOptions {
  readonly folder: string;
  /** Its name, and the beginning of its runs. */
  readonly digit: string;
  readonly clock: Clock & { settle(): Promise<void> };
  readonly fetch: SenderOptions["fetch"];
  readonly policy?: ConflictPolicy;
  readonly sending?: Partial<SenderOptions>;
  /** It keeps its peers, and purges when `purger` is told to. */
  readonly purging?: boolean;
}

export const siteUrl = (digit: string): string => `http://${digit}.test`;

/** Null deletes; a text is the body. */
export type Change = readonly [key: string, body: string | null];

export class Site {
  readonly digit: string;
  storage!: Storage;
  sender: Sender | null = null;
  purger: Purger | null = null;
  up = false;
  /** Failures as they are noted, by URL. */
  readonly failures = new Map<string, number>();
  readonly #options: SiteOptions;
  #engine!: Engine;
  #incoming!: Incoming;
  #files = 0;
  #runs = 0;
  #epoch = 1;
  /** No failover loses what was written before. */
  #listed = 0;

  constructor(options: SiteOptions) {
    this.#options = options;
    this.digit = options.digit;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** With the bundle and an empty database. */
  async make(): Promise<void> {
    this.storage = await this.#newFile();
    this.#lead();
    await this.#plan((tx, append) => {
      if (tx.versions === null) append([{ kind: "activateBundle", bundle: "replication" }]);
    });
  }

  start(): void {
    const { clock, fetch, sending } = this.#options, { failures } = this;
    this.up = true;
    const { databaseId } = this.storage, ownUrl = (): string => siteUrl(this.digit);
    this.purger = this.#options.purging !== true ? null : new Purger({
      ...{
        storage: this.storage,
        engine: this.#engine,
        clock,
        logger: silentLogger,
        wall: () => clock.wall(),
      },
      destinations: () => this.sender?.status.destinations ?? [],
      ask: asker({ storage: this.storage, clock, fetch, ownUrl, databaseId, apiKey: () => null }),
    });
    this.sender = sender({
      met: (id, url) => this.purger?.met(id, url),
      storage: this.storage,
      committed: this.#engine.committed,
      clock,
      fetch,
      sha256,
      logger: silentLogger,
      ownUrl: () => siteUrl(this.digit),
      apiKey: () => null,
      failures: {
        read: () => failures,
        note: ({ url }, count) => void failures.set(url, count),
        clear: (url) => void failures.delete(url),
      },
      ...sending,
    });
    this.sender.start();
  }

  /** No request is taken, none is made. */
  async stop(): Promise<void> {
    this.up = false;
    this.purger?.stop();
    await this.sender?.stop();
    this.sender = null;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#options.clock.settle();
    await this.#engine.close();
    this.storage.close();
  }

  /** The same database leads anew, in another run. */
  async restart(): Promise<void> {
    await this.stop();
    await this.#options.clock.settle();
    await this.#engine.close();
    this.#lead();
    this.start();
  }

  /** A follower leads that lacks the last `lost` entries. */
  async failOver(lost: number): Promise<void> {
    await this.stop();
    await this.#options.clock.settle();
    await this.#engine.close();
    const old = this.storage, end = Math.max(this.#listed, old.log.last.seq - lost);
    const entries = old.log.entries(seqOf(0), { bytesMax: 2 ** 30, entriesMax: 1e6 }) as readonly LogEntry[];
    const follower = await this.#newFile();
    follower.adoptDatabaseId(old.databaseId);
    follower.write((tx) => {
      for (const entry of entries) if (entry.seq <= end) tx.apply(entry);
    });
    old.close();
    this.storage = follower;
    this.#epoch++;
    this.#lead();
    this.start();
  }

  /** One entry. */
  write(changes: readonly Change[]): Promise<void> {
    return this.#plan((tx, append) => {
      const made = new Set<string>();
      for (const [key] of changes) {
        const [name] = split(key);
        if (tx.collection(name) !== null || made.has(name)) continue;
        made.add(name);
        append([{ kind: "createCollection", collection: tx.newCollectionNumber(), name }]);
      }
      const operations = changes.flatMap(([key, body]): Operation[] => {
        const [name, id] = split(key), collection = tx.collection(name)?.number;
        assert.ok(collection !== undefined);
        const previous = tx.documentSeq(collection, id);
        if (body !== null) return [{ kind: "put", collection, id, previous, body: utf8(body) }];
        return previous === 0 ? [] : [{ kind: "delete", collection, id, previous }];
      });
      if (operations.length > 0) append(operations);
    });
  }

  /** Writes the document that says who is sent to. */
  async list(...destinations: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    await this.write([["Raven/Replication/Destinations", JSON.stringify({ Destinations: destinations })]]);
    this.#listed = this.storage.log.last.seq;
  }

  /** Takes a batch that a sender would make of all that `receiver` holds. */
  async take({ databaseId, tree, sets }: NaiveReceiver): Promise<void> {
    const change = { epoch: epochOf(1), run: runOf("0", 1), seq: seqOf(1) };
    const keys = [...sets].map(([place, versions]) => {
      const [name, id] = split(place);
      return { name, id, change, versions, shown: null };
    });
    const batch = writeBatch(tree, { runs: [...tree.nodes()], keys });
    const from = { databaseId, url: "http://somewhere.test", filter: "" };
    const done = this.#incoming.replicate(from, { databaseId: null, term: null, cursor: null }, batch);
    await this.#options.clock.settle();
    await done;
  }

  drop(name: string): Promise<void> {
    return this.#plan((tx, append) => {
      const collection = tx.collection(name)?.number;
      if (collection !== undefined) append([{ kind: "dropCollection", collection }]);
    });
  }

  /** By `name/id`. */
  get keys(): ReadonlyMap<string, KeyVersions> {
    while (this.storage.reclaim());
    return this.storage.read(({ versions }) => {
      const bounds = { keysMax: 1e6, bytesMax: 2 ** 30 };
      const { keys } = (versions as VersionView).changedSince(seqOf(0), bounds);
      return new Map(keys.map((key) => [`${key.name.toLowerCase()}/${key.id}`, key]));
    });
  }

  /** Keys of `from` that this one lacks something of. */
  lacks(from: Site, wanted: (key: KeyVersions) => boolean = () => true): string[] {
    const mine = this.keys, { tree } = this.storage.read(({ versions }) => versions as VersionView);
    return [...from.keys].filter(([place, key]) => {
      if (!wanted(key)) return false;
      const held = mine.get(place)?.versions ?? [];
      if (key.versions.some(({ vector }) => vector.some(({ run }) => tree.get(run) === undefined))) {
        return true;
      }
      return joinSets(tree, held, key.versions) !== held;
    }).map(([place]) => place);
  }

  /** What its endpoints answer. */
  async answer(method: string, url: URL, body: Uint8Array | null): Promise<Response> {
    const { searchParams: query, pathname } = url, from = query.get("from") ?? "";
    const of = {
      databaseId: query.get("dbid") as never,
      url: from,
      filter: query.get("filter") ?? "",
      seen: query.get("seen"),
      formerly: (query.get("formerly") ?? "").split(",").filter((id) => id !== "") as never[],
      relies: query.get("relies"),
    };
    const term = query.get("term"), docEtag = query.get("docEtag");
    const target = {
      databaseId: query.get("to") as never,
      term: term === null ? null : parseTerm(term),
      cursor: docEtag === null ? null : parseCursor(docEtag),
    };
    try {
      if (pathname === "/replication/heartbeat") {
        this.sender?.heartbeat(from, of.databaseId);
        return Response.json({});
      }
      const answer = method === "GET"
        ? await this.#incoming.lastEtag(of)
        : method === "PUT"
        ? await this.#incoming.putCursor(of, target)
        : await this.#incoming.replicate(of, target, body as Uint8Array);
      const text = answerText(answer, from, this.storage.log.terms);
      return new Response(
        this.storage.read((view) => withReceived(text, view, answer.term, copiedFrom(this.storage, view))),
      );
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      const { message: error, code, details, status } = thrown;
      return Response.json({ error, code, ...details }, { status });
    }
  }

  #lead(): void {
    const { clock, policy = { kind: "manual" } } = this.#options;
    const run = runOf(this.digit, ++this.#runs), epoch = epochOf(this.#epoch);
    this.#engine = engine({
      storage: this.storage,
      clock,
      gate: () => ({ epoch, run, nodeId: nodeIdOf(this.digit.repeat(32)) }),
      onFatal: (error) => {
        throw error;
      },
      onDiskFull: () => {},
    });
    this.#incoming = incoming({
      engine: this.#engine,
      storage: this.storage,
      clock,
      logger: silentLogger,
      sha256,
      policy: () => policy,
      documents: { bytesMax: 16 * 2 ** 20, nestingMax: 100 },
      admit: (view, from) => this.purger?.admit(view, from),
    });
  }

  #newFile(): Promise<Storage> {
    const random = prng(1_000 * this.digit.charCodeAt(0) + this.#files);
    const path = join(this.#options.folder, `${this.digit}${this.#files++}.dfdb`);
    return openStorage(testOptions(path, { random: { bytes: random.bytes, float: random.float } }));
  }

  async #plan(
    run: (tx: WriteTransaction, append: (operations: readonly Operation[]) => void) => void,
  ): Promise<void> {
    const done = this.#engine.submit({
      bytes: 100,
      run: (tx, wallMs) => run(tx, (operations) => void tx.append(operations, wallMs)),
    });
    await this.#options.clock.settle();
    await done;
  }
}

function runOf(digit: string, number: number): RunId {
  return runIdOf(digit + number.toString(16).padStart(31, "0"));
}

function split(key: string): readonly [string, DocumentId] {
  const at = key.indexOf("/");
  return [key.slice(0, at), documentIdOf(key.slice(at + 1))];
}
