/**
 * The library inside a program, on the runtime that this is run with: queries of `openDatabase`'s database, and of SQLite alone, in
 * turn. Takes an InProcessSpec as its argument, prints `RESULT` and a list of InProcessResult as JSON.
 */
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import type { EmbeddedDatabase } from "../../src/mod.ts";
import { embedded } from "../tool/embedding.ts";
import { keyOf } from "./documents.ts";
import { orderPrefix, orderTexts } from "./fill.ts";
import type { InProcessResult, InProcessSpec } from "./in_process_types.ts";
import { resultMark } from "./in_process_types.ts";
import { collection } from "./load_types.ts";
import type { RunFigures } from "./measure.ts";
import { quiet } from "./measure.ts";
import { cpuSeconds, machineBusySeconds, memoryMiB } from "./proc.ts";
import type { QueryName } from "./queries.ts";
import { benchIndexes, benchQueries, parametersOf } from "./queries.ts";
import { longestStall } from "./targets.ts";

const writersCount = 64, batch = 5_000, cacheKiB = 32 * 1024, latenciesMax = 2_000_000, yieldEvery = 256;
const warmSeconds = 1, stallLookMs = 5;

async function run(spec: InProcessSpec): Promise<readonly InProcessResult[]> {
  const indexed = spec.names.some((name) => name !== "group");
  const db = await filled(spec, indexed),
    sqlite = filledSqlite(spec, indexed),
    results: InProcessResult[] = [];
  try {
    for (const name of spec.names) {
      const ours: RunFigures[] = [], alone: RunFigures[] = [];
      const ask = ourQuery(db, name, spec.orders), askSqlite = sqliteQuery(sqlite, name, spec.orders);
      for (let made = 0; made < spec.runs; made++) {
        await quiet(spec.patience);
        alone.push(await timed(name, spec, askSqlite));
        await quiet(spec.patience);
        const figures = await timed(name, spec, ask);
        ours.push(name === "group" ? { ...figures, more: await besidePuts(db, spec, ask) } : figures);
      }
      results.push({ name, dfdb: ours, sqlite: alone });
    }
  } finally {
    sqlite.close();
    await db.close();
  }
  return results;
}

async function filled({ folder, orders }: InProcessSpec, indexed: boolean): Promise<EmbeddedDatabase> {
  const db = await embedded.openDatabase(`${folder}/bench.dfdb`), text = orderTexts();
  for (let first = 0; first < orders; first += batch) {
    const slice = Array.from({ length: Math.min(batch, orders - first) }, (_, i) => ({
      _id: keyOf(orderPrefix, first + i),
      ...JSON.parse(text(first + i)) as object,
    }));
    const failed = (await db.bulkInsert(collection, slice)).find((written) => "error" in written);
    if (failed !== undefined) throw failed.error;
  }
  for (const { path, unique } of indexed ? benchIndexes : []) {
    await db.createIndex(collection, path, { unique });
  }
  return db;
}

/** The same documents in a table of SQLite's own. */
function filledSqlite({ folder, orders }: InProcessSpec, indexed: boolean): DatabaseSync {
  const db = new DatabaseSync(`${folder}/alone.db`), text = orderTexts();
  db.exec(`pragma journal_mode = wal; pragma cache_size = -${cacheKiB};`);
  db.exec("create table docs(number integer primary key, id text unique, body text)");
  const insert = db.prepare("insert into docs(id, body) values (?, ?)");
  db.exec("begin");
  for (let i = 0; i < orders; i++) insert.run(keyOf(orderPrefix, i), text(i));
  for (const { path, unique, sqlite } of indexed ? benchIndexes : []) {
    db.exec(`create ${unique ? "unique " : ""}index docs_${path} on docs(${sqlite})`);
  }
  db.exec("commit");
  return db;
}

function ourQuery(db: EmbeddedDatabase, name: QueryName, orders: number): () => Promise<void> {
  const { sql } = benchQueries[name];
  return async () => check(name, orders, await db.queryAll(sql, parametersOf(name, orders)));
}

function sqliteQuery(db: DatabaseSync, name: QueryName, orders: number): () => void {
  const statement = db.prepare(benchQueries[name].sqlite);
  if (name === "group") return () => check(name, orders, statement.all());
  return () => {
    const rows = statement.all(...parametersOf(name, orders));
    check(name, orders, rows.map(({ body }) => JSON.parse(String(body)) as object));
  };
}

function check(name: QueryName, orders: number, rows: readonly object[]): void {
  const { length } = rows;
  if (length !== benchQueries[name].rows) throw new Error(`the query ${name} gave ${length} rows`);
  if (name !== "group") return;
  const counted = (rows as readonly { readonly orders: number }[]).reduce((sum, row) => sum + row.orders, 0);
  if (counted !== orders) throw new Error(`the query group counted ${counted} of ${orders} orders`);
}

/** One after another; "group" counts in documents that are looked at. */
async function timed(name: QueryName, spec: InProcessSpec, ask: () => unknown): Promise<RunFigures> {
  await repeat(name === "group" ? 0 : warmSeconds, ask, () => {});
  const latencies = new Float64Array(latenciesMax);
  let count = 0;
  const cpu = cpuSeconds(process.pid), busy = machineBusySeconds();
  const seconds = await repeat(spec.seconds, ask, (ms) => void (latencies[count++ % latenciesMax] = ms));
  const spent = cpuSeconds(process.pid) - cpu, documents = name === "group" ? count * spec.orders : count;
  const sorted = latencies.subarray(0, Math.min(count, latenciesMax)).sort();
  const quantile = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)]!;
  return {
    perSecond: documents / seconds,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    errors: 0,
    firstError: null,
    serverMicros: spent * 1e6 / documents,
    serverMiB: memoryMiB(process.pid),
    clientCores: null,
    otherCores: Math.max(0, machineBusySeconds() - busy - spent) / seconds,
  };
}

/** Until the time is over, once at least; resolves with the seconds that it took. */
async function repeat(seconds: number, ask: () => unknown, done: (ms: number) => void): Promise<number> {
  const startedAt = performance.now(), end = startedAt + seconds * 1000;
  for (let at = startedAt, count = 1; at < end || count === 1; count++) {
    const asked = ask();
    if (asked instanceof Promise) await asked;
    const now = performance.now();
    done(now - at);
    at = now;
    // What else the program has to do gets its turn, as in a program that does something else.
    if (count % yieldEvery === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return (performance.now() - startedAt) / 1000;
}

/** Documents are written again and again: without the query, then beside it. */
async function besidePuts(
  db: EmbeddedDatabase,
  spec: InProcessSpec,
  ask: () => Promise<void>,
): Promise<Record<string, number>> {
  const alone = await putsWhile(db, spec, async () => {
    await new Promise((resolve) => setTimeout(resolve, spec.seconds * 1000));
  });
  const queries: number[] = [];
  const beside = await putsWhile(db, spec, async () => {
    await repeat(spec.seconds, ask, (ms) => void queries.push(ms));
  });
  return {
    "puts/s without the query": alone.perSecond,
    "puts/s beside it": beside.perSecond,
    "ms a query beside puts": queries.reduce((sum, ms) => sum + ms, 0) / queries.length,
    "ms longest stall of puts alone": alone.longestMs,
    [longestStall]: beside.longestMs,
  };
}

async function putsWhile(
  db: EmbeddedDatabase,
  { orders }: InProcessSpec,
  work: () => Promise<void>,
): Promise<{ readonly perSecond: number; readonly longestMs: number }> {
  const text = orderTexts(),
    documents = Array.from({ length: 1_000 }, (_, i) => JSON.parse(text(i)) as object);
  const startedAt = performance.now(), stalls = stallWatch();
  let next = 0, working = true;
  const writers = Array.from({ length: writersCount }, async () => {
    while (working) {
      const i = next++ % orders;
      await db.put(collection, keyOf(orderPrefix, i), documents[i % documents.length]!);
    }
  });
  try {
    await work();
  } finally {
    working = false;
    await Promise.all(writers);
  }
  return { perSecond: next * 1000 / (performance.now() - startedAt), longestMs: stalls.stop() };
}

/** How late a timer of some milliseconds comes at most. */
function stallWatch(): { stop(): number } {
  let longestMs = 0, due = performance.now() + stallLookMs;
  const timer = setInterval(() => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - due);
    due = now + stallLookMs;
  }, stallLookMs);
  return {
    stop() {
      clearInterval(timer);
      return longestMs;
    },
  };
}

const results = await run(JSON.parse(process.argv[2] ?? "null") as InProcessSpec);
process.stdout.write(`${resultMark}${JSON.stringify(results)}\n`, () => process.exit(0));
