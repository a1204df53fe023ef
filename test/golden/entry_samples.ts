import { utf8 } from "../../src/base/bytes.ts";
import type { Operation } from "../../src/document/operation.ts";

const run = "000102030405060708090a0b0c0d0e0f", nodeId = "f0e1d2c3b4a5968778695a4b3c2d1e0f";
const put = (collection: number, id: string, previous: number, body: string) =>
  ({ kind: "put", collection, id, previous, body: utf8(body) }) as unknown as Operation;
const remove = (collection: number, id: string, previous: number) =>
  ({ kind: "delete", collection, id, previous }) as unknown as Operation;
const create = (collection: number, name: string) =>
  ({ kind: "createCollection", collection, name }) as unknown as Operation;
const drop = (collection: number) => ({ kind: "dropCollection", collection }) as unknown as Operation;
const index = (collection: number, name: string, kind: "plain" | "unique" | "time", ...paths: unknown[][]) =>
  ({
    kind: "createIndex",
    ...{ collection, name, unique: kind === "unique", time: kind === "time", paths },
  }) as unknown as Operation;
const dropIndex = (collection: number, name: string) =>
  ({ kind: "dropIndex", collection, name }) as unknown as Operation;
const term = (epoch: number) => ({ kind: "term", epoch, run, nodeId }) as unknown as Operation;

const runA = "aa".repeat(16), runB = "bb".repeat(16), database = "d0".repeat(16);
const dot = (of: string, seq: number) => ({ run: of, seq });
/** What its writer has seen: itself, and entry 4 of another run before it. */
const version = (of: string, seq: number, body: string | null) => ({
  dot: dot(of, seq),
  vector: [...(of > runA ? [dot(runA, 4)] : []), dot(of, seq)],
  modifiedMs: 1_750_000_000_000 + seq,
  body: body === null ? null : utf8(body),
});
const set = (name: string, id: string, previous: number, kept: unknown[], added: unknown[], shown: unknown) =>
  ({ kind: "setVersions", name, id, previous, kept, added, shown }) as unknown as Operation;
const learn = (...runs: (readonly [string, number, number, string | null])[]) =>
  ({
    kind: "learnRuns",
    runs: runs.map(([of, epoch, firstSeq, parent]) => ({ database, run: of, epoch, firstSeq, parent })),
  }) as unknown as Operation;

/** Entries whose bytes are fixed for ever: every kind, every width of number and length. */
export const entrySamples: readonly { readonly name: string; readonly operations: readonly Operation[] }[] = [
  { name: "term", operations: [term(1)] },
  { name: "term of a late epoch", operations: [term(70_000)] },
  { name: "create collection", operations: [create(1, "orders")] },
  { name: "create collection, longest name", operations: [create(300, "n".repeat(128))] },
  { name: "put", operations: [put(1, "a", 0, "{}")] },
  {
    name: "put an order",
    operations: [put(1, "order-000000000001", 3, '{"from":"FRA","to":"JFK","price":412.5}')],
  },
  { name: "put, text beyond ASCII", operations: [put(24, "é/日/😀", 255, '{"é":"日😀"}')] },
  { name: "put, NUL in the id", operations: [put(23, "a\0b", 256, '{"\\u0000":0}')] },
  { name: "put, body of 255", operations: [put(255, "x", 65_535, `{"p":"${"p".repeat(247)}"}`)] },
  { name: "put, body of 256", operations: [put(256, "x".repeat(23), 65_536, `{"p":"${"p".repeat(248)}"}`)] },
  {
    name: "put, body of 70,000",
    operations: [put(65_536, "x".repeat(24), 2 ** 32 - 1, `{"p":"${"p".repeat(69_992)}"}`)],
  },
  { name: "delete", operations: [remove(1, "order-000000000001", 4)] },
  { name: "delete, seq of 2^32", operations: [remove(1, "a", 2 ** 32)] },
  { name: "delete, largest seq", operations: [remove(10_000, "日".repeat(170), 2 ** 53 - 1)] },
  { name: "drop collection", operations: [drop(1)] },
  { name: "a transaction", operations: [create(2, "x"), put(2, "a", 0, "{}"), remove(1, "b", 9), drop(1)] },
  {
    name: "30 operations",
    operations: Array.from({ length: 30 }, (_, i) => put(1, `d${i}`, i, `{"i":${i}}`)),
  },
  { name: "create index", operations: [index(1, "by_from", "plain", ["from"])] },
  {
    name: "create index, unique, of three paths",
    operations: [
      index(70_000, "éß", "unique", ["a", "", 0, "b.c"], ["tags", "*each", 2 ** 31 - 1, "😀"], [7]),
    ],
  },
  { name: "create index of moments", operations: [index(2, "_ttl", "time", ["expires", "at"])] },
  { name: "create index, longest name", operations: [index(2, "n".repeat(256), "plain", ["x"])] },
  { name: "drop index", operations: [dropIndex(1, "by_from")] },
  { name: "activate bundle", operations: [{ kind: "activateBundle", bundle: "replication" }] },
  {
    name: "learn runs",
    operations: [learn([runA, 1, 1, null], [runB, 70_000, 2 ** 33, runA])],
  },
  {
    name: "set versions: one",
    operations: [
      set("orders", "a", 0, [], [version(runA, 7, '{"n":1}')], {
        kind: "version",
        dot: dot(runA, 7),
        body: null,
      }),
    ],
  },
  {
    name: "set versions: a conflict of three",
    operations: [
      set("éß", "日/😀", 300, [dot(runA, 7)], [version(runB, 70_000, null), version(run, 9, "{}")], {
        kind: "conflict",
      }),
    ],
  },
  {
    name: "set versions: kept and shown, with and without its body",
    operations: [
      set("x", "a", 5, [dot(runA, 7)], [version(runB, 8, "{}")], {
        ...{ kind: "version", dot: dot(runA, 7), body: utf8('{"of":"a"}') },
      }),
      set("x", "b", 6, [dot(runA, 7), dot(runB, 8)], [version(run, 8, "{}")], {
        ...{ kind: "version", dot: dot(runB, 8), body: null },
      }),
    ],
  },
  {
    name: "set versions: made, and deleted",
    operations: [
      set("x", "a", 9, [], [version(runA, 1, "{}"), version(runB, 2, '{"b":2}')], {
        ...{ kind: "made", body: utf8('{"made":true}') },
      }),
      set("x", "b", 10, [], [version(runA, 3, null)], { kind: "deleted" }),
    ],
  },
  {
    name: "purge tombstones",
    operations: [{ kind: "purgeTombstones", name: "orders", ids: ["a", "日"] } as unknown as Operation],
  },
  { name: "delete of a key in conflict", operations: [remove(1, "a", 0)] },
  {
    name: "activate bundle, documents are adopted",
    operations: [{ kind: "activateBundle", bundle: "replication", adoptExisting: true }],
  },
];
