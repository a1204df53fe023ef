import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { documentIdOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import { valuesAt } from "../../src/document/json_find.ts";
import type { IndexDefinition, Operation } from "../../src/document/operation.ts";
import type { IndexInfo, SqlValue, Storage } from "../../src/storage/storage.ts";
import { applyLimits } from "../sim/small_limits.ts";
import { inFolder, patient, put, remove, start, testOptions, wall } from "./storage_fixture.ts";
import { creation, expectRight, indexOf } from "./storage_suite_indexes.ts";
import type { StorageOpeners } from "./storage_suite.ts";

const values = [
  ...[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.0",
    "2.5",
    "-0.0",
    "1e3",
    "9007199254740993",
    "1e300",
    "123456789012345678901",
  ],
  ...['""', '"x"', '"X"', '"1"', '"null"', '"[1]"', '"{\\"a\\":1}"', '"é😀"', '"\\u00e9\\n"', '"{"'],
  ...["[]", "{}", "[1,[2]]", '{"a":{"b":1}}', "[null]", '[{"a":1},{"a":2},{"b":1},"x"]', '{"a":[1,2,2,"2"]}'],
  ...[
    '"2026-01-02T03:04:05Z"',
    '"2026-13-02"',
    '"1969-12-31T23:59:59.999Z"',
    "1750000000000",
    "-5.9",
    "1e16",
    "8640000000000001",
  ],
];
const names = ["a", "b", "t"];
const definitions: readonly IndexDefinition[] = [
  ...["a", "a.b", "b,a", "t[0],b", "t[*]", "t[*].a", "b,t[*],a", "t[*].a[*]", "t[*][*]"].map((paths) =>
    indexOf(paths)
  ),
  ...["a", "t.a"].map((path) => indexOf(path, { time: true, name: `time_${path}` })),
];

/** The key of a JSON text, in a form in which equal keys are equal; null: SQLite gives none. */
function keyText(text: string | null): string {
  if (text === null || text === "null") return "null";
  if (text === "true" || text === "false") return text === "true" ? "n1" : "n0";
  if (text.startsWith('"')) return `s${JSON.parse(text) as string}`;
  if (text.startsWith("{") || text.startsWith("[")) return `s${text}`;
  const whole = /^-?\d+$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
  return whole ? `n${BigInt(text)}` : numberText(Number(text));
}

const numberText = (value: number): string => Number.isInteger(value) ? `n${BigInt(value)}` : `n${value}`;

function cellText(value: SqlValue): string {
  if (typeof value === "string") return `s${value}`;
  if (typeof value === "bigint") return `n${value}`;
  return value === -Infinity ? "null" : numberText(value as number);
}

/** Keys of a document, each once. */
function expectedKeys({ time, paths }: IndexDefinition, body: string): readonly string[] {
  if (time) {
    const moment = momentOf(valuesAt(body, paths[0]!)[0] ?? null);
    return moment === null ? [] : [numberText(moment)];
  }
  let keys: string[][] = [[]];
  for (const path of paths) {
    const found = path.includes("*each")
      ? elementKeys(body, path)
      : [keyText(valuesAt(body, path)[0] ?? null)];
    keys = keys.flatMap((key) => found.map((text) => [...key, text]));
  }
  return [...new Set(keys.map((key) => key.join("|")))];
}

/** Null where no element is, also of an inner array. */
function elementKeys(body: string, path: readonly (string | number)[]): readonly string[] {
  const at = path.indexOf("*each"), rest = path.slice(at + 1);
  const whole = at === 0 ? body : valuesAt(body, path.slice(0, at))[0] ?? null;
  const elements = whole === null || !whole.startsWith("[") ? [] : valuesAt(whole, ["*each"]);
  const keys = elements.flatMap((element) => {
    if (element === null) return ["null"];
    if (rest.includes("*each")) return elementKeys(element, rest);
    return [keyText(rest.length === 0 ? element : valuesAt(element, rest)[0] ?? null)];
  });
  return keys.length === 0 ? ["null"] : [...new Set(keys)];
}

function momentOf(text: string | null): number | null {
  if (text === null) return null;
  const value: unknown = JSON.parse(text);
  if (typeof value === "number") {
    const whole = Math.trunc(value);
    return Math.abs(whole) <= 8.64e15 ? whole + 0 : null;
  }
  if (typeof value !== "string" || !/^\d{4}-/.test(value)) return null;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? null : ms;
}

function expectCoherent(storage: Storage): number {
  return storage.read((view) => {
    let looked = 0;
    for (const { number: c } of view.collections()) {
      const rows = [...view.select(`SELECT row, body FROM docs_${c}`, [])] as [number, string][];
      for (const index of view.indexes(c)) {
        const expected = rows.flatMap(([row, body]) =>
          expectedKeys(index, body).map((key) => `${row}: ${key}`)
        );
        const found = inIndex(index, (sql) => view.select(sql, []));
        if (index.ready) {
          assert.deepEqual(found.toSorted(), expected.toSorted(), index.name);
          assert.equal(index.entries, found.length, `entries of ${index.name}`);
          looked++;
        } else {
          const all = new Set(expected);
          for (const one of found) assert.ok(all.has(one), `${index.name}, being filled, has ${one}`);
        }
      }
    }
    return looked;
  });
}

function inIndex(index: IndexInfo, select: (sql: string) => Iterable<readonly SqlValue[]>): string[] {
  const columns = index.paths.map((_, i) => `k${i + 1}`).join(", ");
  return [...select(`SELECT row, ${columns} FROM index_${index.number}`)].map(([row, ...key]) =>
    `${row}: ${key.map(cellText).join("|")}`
  );
}

/** Random documents and changes beside indexes that come, are filled and go. */
export function indexModelSuite({ openStorage }: StorageOpeners): void {
  test(
    "indexes: random writes, slices and restarts: each is what its documents say",
    patient,
    () =>
      inFolder(async (folder) => {
        const undo = applyLimits({ indexSliceRows: 7, reclaimRows: 9 });
        let looked = 0;
        try {
          for (let seed = 1; seed <= 3; seed++) looked += await world(join(folder, `${seed}.dfdb`), seed);
        } finally {
          undo();
        }
        assert.ok(looked > 100, `${looked} whole indexes were compared`);
      }),
  );

  async function world(path: string, seed: number): Promise<number> {
    const random = prng(seed), below = (n: number) => Math.floor(random.float() * n);
    const of = <Item>(list: readonly Item[]) => list[below(list.length)] as Item;
    const body = () =>
      `{${names.filter(() => below(4) > 0).map((name) => `"${name}":${of(values)}`).join(",")}}`;
    let storage = await openStorage(testOptions(path)), looked = 0;
    const first = start(storage);
    let prepared: { collection: CollectionNumber; definition: IndexDefinition; number: number } | null = null;
    for (let step = 0; step < 100; step++) {
      const collections = storage.read((view) => view.collections());
      const c = collections.length === 0 ? first : of(collections).number;
      const dice = below(20),
        missing = () => {
          const there = new Set(storage.read((view) => view.indexes(c)).map(({ name }) => name));
          return of(definitions.filter(({ name }) => !there.has(name) && name !== prepared?.definition.name));
        };
      if (dice < 9) {
        storage.write((tx) => {
          for (let entries = 1 + below(4); entries > 0; entries--) {
            const operations: Operation[] = [], touched = new Set<string>();
            for (let n = 1 + below(4); n > 0; n--) {
              const id = `d${below(40)}`, previous = tx.documentSeq(c, documentIdOf(id));
              if (touched.has(id)) continue;
              touched.add(id);
              operations.push(
                previous > 0 && below(4) === 0 ? remove(c, id, previous) : put(c, id, previous, body()),
              );
            }
            tx.append(operations, wall);
          }
        });
      } else if (dice < 14) {
        storage.buildSlice();
        if (below(2) === 0) storage.reclaim();
      } else if (dice === 14) {
        storage.write((tx) => tx.append([creation(c, missing())], wall));
      } else if (dice === 15 && prepared === null) {
        const definition = missing();
        prepared = { collection: c, definition, number: storage.prepareIndex(c, definition) };
      } else if (dice === 15 && prepared !== null) {
        const { collection, definition, number } = prepared;
        if (below(4) === 0) storage.abandonIndex(number as never);
        else storage.write((tx) => tx.append([creation(collection, definition)], wall));
        prepared = null;
      } else if (dice === 16) {
        const [index] = storage.read((view) => view.indexes(c));
        if (index !== undefined && below(2) === 0) storage.rebuildIndex(index.number);
        else if (index !== undefined) {
          storage.write((tx) => tx.append([{ kind: "dropIndex", collection: c, name: index.name }], wall));
        }
      } else if (dice === 17) {
        storage.close();
        storage = await openStorage(testOptions(path));
        prepared = null;
      } else if (dice === 18) {
        storage.write((tx) => {
          const collection = tx.newCollectionNumber();
          tx.append([{ kind: "createCollection", collection, name: `c${collection}` }], wall);
          tx.append([creation(collection, of(definitions))], wall);
        });
      } else if (below(3) === 0 && collections.length > 1) {
        storage.write((tx) => tx.append([{ kind: "dropCollection", collection: c }], wall));
        if (prepared?.collection === c) prepared = null;
      }
      looked += expectCoherent(storage);
    }
    while (storage.buildSlice() || storage.reclaim());
    looked += expectCoherent(storage);
    expectRight(path);
    storage.close();
    return looked;
  }
}
