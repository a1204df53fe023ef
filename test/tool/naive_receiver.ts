/** A receiver of a few lines: sets by keys, cursors by filters, and what each failover loses. */
import { epochOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import type { DatabaseId, RunId, Seq } from "../../src/base/ids.ts";
import type { RunNode } from "../../src/document/run_tree.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import type { VersionSet } from "../../src/document/version_set.ts";
import { checkVersion, joinSets } from "../../src/document/version_set.ts";
import { answerText, parseCursor, termText } from "../../src/multimaster/batch.ts";
import { readBatch } from "../../src/multimaster/batch_read.ts";
import type { ReceivedBatch } from "../../src/multimaster/batch_read.ts";
import type { Cursor } from "../../src/multimaster/outgoing_events.ts";
import type { Answerer } from "./sender_net.ts";

interface State {
  readonly sets: ReadonlyMap<string, VersionSet>;
  readonly cursors: ReadonlyMap<string, Cursor>;
  readonly runs: readonly RunNode[];
}

export class NaiveReceiver implements Answerer {
  up = true;
  /** It tells the newest runs of its history. */
  tells = true;
  readonly databaseId: DatabaseId;
  /** Of each batch that was for it: how many bytes, versions, and runs told. */
  readonly batches: {
    readonly bytes: number;
    readonly keys: number;
    readonly versions: number;
    readonly runs: number;
  }[] = [];
  /** Versions that were news. */
  news = 0;
  readonly #digit: string;
  /** After each entry; the first is before all. */
  #states: State[] = [{ sets: new Map(), cursors: new Map(), runs: [] }];
  #terms: { readonly run: RunId; readonly firstSeq: Seq; readonly epoch: number }[] = [];
  #tree = new RunTree();
  #runs = 0;

  constructor(digit: string, databaseId: DatabaseId) {
    this.#digit = digit;
    this.databaseId = databaseId;
    this.lead(0);
  }

  get sets(): ReadonlyMap<string, VersionSet> {
    return this.#now.sets;
  }

  get tree(): RunTree {
    return this.#tree;
  }

  get #now(): State {
    return this.#states.at(-1) as State;
  }

  /** Without the last `lost` entries. */
  lead(lost: number): void {
    this.#states.length = Math.max(1, this.#states.length - lost);
    const last = this.#states.length - 1;
    this.#terms = this.#terms.filter(({ firstSeq }) => firstSeq <= last);
    const run = runIdOf(this.#digit + (++this.#runs).toString(16).padStart(31, "0"));
    this.#terms.push({ run, firstSeq: seqOf(last + 1), epoch: this.#runs });
    const parent = this.#terms.at(-2)?.run ?? null;
    this.#keep({
      runs: [...this.#now.runs, {
        database: this.databaseId,
        run,
        epoch: epochOf(this.#runs),
        firstSeq: seqOf(last + 1),
        parent,
      }],
    });
    this.#tree = new RunTree();
    for (const node of this.#now.runs) this.#tree.add(node);
  }

  /** A local PUT that replaces what is there. */
  write(key: string, body: Uint8Array): void {
    const dot = { run: (this.#terms.at(-1) as { run: RunId }).run, seq: seqOf(this.#states.length) };
    const before = this.sets.get(key) ?? [];
    const vector = [...before.flatMap(({ vector }) => vector), dot].sort((a, b) => a.run < b.run ? -1 : 1);
    this.#keep({ sets: new Map([...this.sets, [key, [{ dot, vector, modifiedMs: 1 as never, body }]]]) });
  }

  removeCursors(): void {
    this.#keep({ cursors: new Map() });
  }

  answer(method: string, url: URL, body: Uint8Array | null): Promise<Response> {
    const { searchParams: query, pathname } = url, filter = query.get("filter") ?? "";
    if (pathname === "/replication/heartbeat") return Promise.resolve(Response.json({}));
    const isForMe = query.get("to") === this.databaseId && query.get("term") === termText(this.#term);
    if (method !== "GET" && isForMe) {
      const cursor = parseCursor(query.get("docEtag") as string);
      if (method === "PUT") this.#keep({ cursors: new Map([...this.#now.cursors, [filter, cursor]]) });
      else this.#take(body as Uint8Array, cursor, filter);
    }
    const cursor = this.#now.cursors.get(filter) ?? null;
    const answer = { databaseId: this.databaseId, term: this.#term, cursor };
    return Promise.resolve(new Response(answerText(answer, "", this.tells ? this.#terms : [])));
  }

  get #term() {
    const { run, epoch } = this.#terms.at(-1) as { run: RunId; epoch: number };
    return { run, epoch: epochOf(epoch) };
  }

  #take(bytes: Uint8Array, cursor: Cursor, filter: string): void {
    const steps = readBatch(bytes, { bytesMax: 2 ** 26, nestingMax: 100 });
    let batch: ReceivedBatch | null = null;
    while (batch === null) {
      const step = steps.next();
      if (step.done === true) batch = step.value;
    }
    const versions = batch.keys.reduce((sum, key) => sum + key.versions.length, 0);
    this.batches.push({ bytes: bytes.length, keys: batch.keys.length, versions, runs: batch.runs.length });
    const runs = batch.runs.filter((node) => this.#tree.add(node)), sets = new Map(this.sets);
    let news = 0;
    for (const { name, id, versions: theirs, fault } of batch.keys) {
      if (fault !== null) throw new Error(fault);
      const key = `${name.toLowerCase()}/${id}`, held = sets.get(key) ?? [];
      // Throws for a run that was not told.
      for (const version of theirs) checkVersion(this.#tree, version);
      const plain = theirs.map(({ dot, vector, modifiedMs, body }) => ({ dot, vector, modifiedMs, body }));
      const joined = joinSets(this.#tree, held, plain);
      if (joined === held) continue;
      news++;
      sets.set(key, joined);
    }
    this.news += news;
    if (news === 0 && runs.length === 0) return;
    this.#keep({
      sets,
      runs: [...this.#now.runs, ...runs],
      cursors: new Map([...this.#now.cursors, [filter, cursor]]),
    });
  }

  #keep(change: Partial<State>): void {
    this.#states.push({ ...this.#now, ...change });
  }
}
