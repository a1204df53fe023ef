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
];
