/**
 * The load generator: a process of its own, pinned to a core of its own. Closed loop: each connection sends its next
 * request when it has the reply to the last. Takes a LoadSpec as its argument, prints a LoadResult, both as JSON.
 */
import process from "node:process";
import { keyOf, orders } from "./documents.ts";
import { httpConnection } from "./http_connection.ts";
import type { LoadConnection, LoadResult, LoadSpec } from "./load_types.ts";
import { postgresConnection } from "./postgres_connection.ts";
import { parametersOf } from "./queries.ts";
import { cpuSeconds, machineBusySeconds } from "./proc.ts";

const documentsMade = 20_000, latenciesMax = 4_000_000, errorsMax = 100, cutSeconds = 30;

async function run(spec: LoadSpec): Promise<LoadResult> {
  const load = new Load(spec);
  const connect = spec.driver === "http" ? httpConnection : postgresConnection;
  const connections = await Promise.all(Array.from({ length: spec.connections }, () => connect(spec.port)));
  const warm = setTimeout(() => load.startClock(), spec.warmSeconds * 1000);
  const end = setTimeout(() => load.stop(), (spec.warmSeconds + spec.seconds) * 1000);
  // A reply that never comes must not hold the bench.
  const cut = setTimeout(
    () => connections.forEach((connection) => connection.close()),
    (spec.seconds + cutSeconds) * 1000,
  );
  if (spec.warmSeconds === 0) load.startClock();
  await Promise.all(connections.map((connection) => load.drive(connection)));
  const outcome = load.result();
  for (const timer of [warm, end, cut]) clearTimeout(timer);
  for (const connection of connections) connection.close();
  return outcome;
}

class Load {
  readonly #spec: LoadSpec;
  readonly #documents = orders(documentsMade);
  readonly #latencies = new Float32Array(latenciesMax);
  #requests = 0; // with a latency
  #next = 0; // key that is sent next
  #warm = 0; // documents done before the clock started
  #done = 0; // documents done since
  #errors = 0;
  #firstError: string | null = null;
  #stopping = false;
  #startedAt: number | null = null;
  #clientCpu = process.cpuUsage();
  #serverCpu = 0;
  #machineBusy = 0;

  constructor(spec: LoadSpec) {
    this.#spec = spec;
  }

  startClock(): void {
    this.#warm = this.#done;
    this.#done = 0;
    this.#requests = 0;
    this.#serverCpu = cpuSeconds(this.#spec.serverPid);
    this.#machineBusy = machineBusySeconds();
    this.#clientCpu = process.cpuUsage();
    this.#startedAt = performance.now();
  }

  stop(): void {
    this.#stopping = true;
  }

  /** Keeps one connection busy until the end. */
  drive(connection: LoadConnection): Promise<void> {
    return new Promise((resolve) => {
      const { operation, query, again, keys } = this.#spec;
      const next = (): void => {
        const count = this.#stopping ? 0 : this.#take();
        if (count === 0) return resolve();
        const first = this.#next - count, sentAt = performance.now();
        const done = (problem: string | null): void => {
          if (problem === null) this.#succeeded(count, performance.now() - sentAt);
          else this.#failed(problem);
          next();
        };
        if (operation === "put") {
          connection.put(this.#key(again ? first % keys : first), this.#document(first), done);
        } else if (operation === "get") {
          connection.get(this.#key(Math.floor(Math.random() * this.#spec.keys)), done);
        } else if (operation === "bulk") this.#bulk(connection, first, count, done);
        else if (query !== undefined) connection.query(query, parametersOf(query, this.#spec.keys), done);
        else throw new Error("it is not said which query");
      };
      next();
    });
  }

  result(): LoadResult {
    if (this.#startedAt === null) this.#failed("the load was over before its clock began");
    const now = performance.now(), seconds = (now - (this.#startedAt ?? now)) / 1000;
    const { user, system } = process.cpuUsage(this.#clientCpu);
    const clientCpu = (user + system) / 1e6, serverCpu = cpuSeconds(this.#spec.serverPid) - this.#serverCpu;
    const machineBusy = machineBusySeconds() - this.#machineBusy;
    const sorted = this.#latencies.subarray(0, Math.min(this.#requests, latenciesMax)).sort();
    const quantile = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    return {
      documents: this.#done,
      total: this.#warm + this.#done,
      seconds,
      perSecond: seconds > 0 ? this.#done / seconds : 0,
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      maxMs: quantile(1),
      errors: this.#errors,
      firstError: this.#firstError,
      serverMicros: serverCpu * 1e6 / Math.max(1, this.#done),
      clientCores: seconds > 0 ? clientCpu / seconds : 0,
      otherCores: seconds > 0 ? Math.max(0, machineBusy - clientCpu - serverCpu) / seconds : 0,
    };
  }

  /** Documents of the next request; 0 at the end. */
  #take(): number {
    const { operation, batch, count } = this.#spec;
    const left = (count ?? Infinity) - this.#next;
    const taken = Math.max(0, Math.min(operation === "bulk" ? batch : 1, left));
    this.#next += taken;
    return taken;
  }

  #key(i: number): string {
    return keyOf(this.#spec.keyPrefix, i);
  }

  #document(i: number): string {
    return this.#documents[i % documentsMade]!;
  }

  #bulk(
    connection: LoadConnection,
    first: number,
    count: number,
    done: (problem: string | null) => void,
  ): void {
    const numbers = Array.from({ length: count }, (_, i) => first + i);
    connection.bulk(numbers.map((i) => this.#key(i)), numbers.map((i) => this.#document(i)), done);
  }

  #succeeded(count: number, latencyMs: number): void {
    this.#done += count;
    this.#latencies[this.#requests++] = latencyMs;
  }

  #failed(problem: string): void {
    this.#firstError ??= problem;
    if (++this.#errors >= errorsMax) this.#stopping = true;
  }
}

const result = await run(JSON.parse(process.argv[2] ?? "null") as LoadSpec);
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
