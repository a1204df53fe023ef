/**
 * P7: documents are written to the leader at a fixed rate; each is read on the follower, again and again, until it is there. The
 * lag is the time from the leader's answer to the first read that finds it (a read that came first counts as 0): its resolution is
 * one read. A process of its own. Takes LagSpec as its argument, prints LagResult, both as JSON.
 */
import process from "node:process";
import { keyOf, orders } from "./documents.ts";
import { httpConnection } from "./http_connection.ts";

export interface LagSpec {
  readonly leaderPort: number;
  readonly followerPort: number;
  readonly perSecond: number;
  readonly seconds: number;
  readonly keyPrefix: string;
}

export interface LagResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Median time of one read on the follower. */
  readonly readMs: number;
  readonly errors: number;
  readonly firstError: string | null;
}

const documents = orders(1_000), writersCount = 8, readersCount = 8, giveUpMs = 10_000;

async function measure(spec: LagSpec): Promise<LagResult> {
  const writers = await Promise.all(
    Array.from({ length: writersCount }, () => httpConnection(spec.leaderPort)),
  );
  const readers = await Promise.all(
    Array.from({ length: readersCount }, () => httpConnection(spec.followerPort)),
  );
  const total = spec.perSecond * spec.seconds, lags: number[] = [], reads: number[] = [];
  let errors = 0, firstError: string | null = null;
  const fail = (problem: string): void => {
    errors++;
    firstError ??= problem;
  };
  const startedAt = performance.now();
  const put = (writer: typeof writers[number], i: number): Promise<number> =>
    new Promise((resolve) =>
      writer.put(keyOf(spec.keyPrefix, i), documents[i % documents.length] as string, (problem) => {
        if (problem !== null) fail(problem);
        resolve(performance.now());
      })
    );
  const get = (reader: typeof readers[number], i: number): Promise<boolean> =>
    new Promise((resolve) => {
      const from = performance.now();
      reader.get(keyOf(spec.keyPrefix, i), (problem) => {
        reads.push(performance.now() - from);
        resolve(problem === null);
      });
    });
  const waiting: { readonly i: number; readonly answeredAt: number }[] = [];
  let writing = writersCount;
  const writeTasks = writers.map(async (writer, w) => {
    for (let i = w; i < total; i += writersCount) {
      const due = startedAt + i * 1000 / spec.perSecond;
      const wait = due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      waiting.push({ i, answeredAt: await put(writer, i) });
    }
    writing--;
  });
  const readTasks = readers.map(async (reader) => {
    while (writing > 0 || waiting.length > 0) {
      const next = waiting.shift();
      if (next === undefined) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      while (!await get(reader, next.i)) {
        if (performance.now() - next.answeredAt > giveUpMs) {
          fail(`document ${next.i} did not arrive`);
          break;
        }
      }
      lags.push(performance.now() - next.answeredAt);
    }
  });
  await Promise.all([...writeTasks, ...readTasks]);
  const seconds = (performance.now() - startedAt) / 1000;
  for (const connection of [...writers, ...readers]) connection.close();
  const quantile = (values: number[], share: number): number =>
    values.sort((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? NaN;
  return {
    perSecond: total / seconds,
    p50Ms: quantile(lags, 0.5),
    p99Ms: quantile(lags, 0.99),
    maxMs: quantile(lags, 1),
    readMs: quantile(reads, 0.5),
    errors,
    firstError,
  };
}

const result = await measure(JSON.parse(process.argv[2] ?? "null") as LagSpec);
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
