/** What an import makes of its input, however the bytes are cut into chunks. */
import assert from "node:assert/strict";
import test from "node:test";
import { importDocument } from "../../src/cli/import_document.ts";
import type { ImportRecord } from "../../src/cli/import_record.ts";
import type { Format } from "../../src/cli/import_records.ts";
import { readRecords } from "../../src/cli/import_records.ts";

async function* cutUp(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  // One buffer again and again, as a reader of files may have it.
  const chunk = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size);
    chunk.set(part);
    yield chunk.subarray(0, part.length);
  }
}

interface Read {
  readonly format: Format;
  readonly records: readonly ImportRecord[];
}

async function read(
  input: string | Uint8Array,
  { format = null, name = null, asText = false, size = 1 << 20 }: {
    format?: Format | null;
    name?: string | null;
    asText?: boolean;
    size?: number;
  } = {},
): Promise<Read> {
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
  const found = await readRecords(cutUp(bytes, size), { format, name, asText });
  const records: ImportRecord[] = [];
  for await (const record of found.records) records.push(record);
  return { format: found.format, records };
}

test("the same records come out of chunks of every size", async () => {
  const inputs: readonly (readonly [string, Format, readonly ImportRecord[]])[] = [
    ['\ufeff{"a":"é日"}\r\n\n  {"b":1.10}\n{"c":2}', "ndjson", [
      { place: 1, text: '{"a":"é日"}' },
      { place: 3, text: '{"b":1.10}' },
      { place: 4, text: '{"c":2}' },
    ]],
    [' [ {"a":"],[\\"\\\\"} ,\n{"b":[{},[1]]},"x",4 ] \n', "json", [
      { place: 1, text: '{"a":"],[\\"\\\\"}' },
      { place: 2, text: '{"b":[{},[1]]}' },
      { place: 3, text: '"x"' },
      { place: 4, text: "4" },
    ]],
    ["[]", "json", []],
    ["", "ndjson", []],
    ['\ufeffa,b c\r\n1,"x\r\n""y"""\r\n\r\n,é\n2,"3"\n', "csv", [
      { place: 2, text: '{"a":1,"b c":"x\\r\\n\\"y\\""}' },
      { place: 5, text: '{"b c":"é"}' },
      { place: 6, text: '{"a":2,"b c":3}' },
    ]],
  ];
  for (const [input, format, records] of inputs) {
    for (const size of [1, 2, 3, 7, 1 << 20]) {
      const found = await read(input, { size, ...(format === "csv" ? { name: "x.CSV" } : {}) });
      assert.deepEqual(found, { format, records }, `${format}, chunks of ${size}`);
    }
  }
});

test("CSV: numbers keep their digits, what is no JSON number stays text, a wrong record is refused alone", async () => {
  const text = "n,t\n1.10,01\n-5,+5\n12345678901234567,1e5\ntrue,null\n1,2,3\n";
  const { records } = await read(text, { format: "csv" });
  assert.deepEqual(records, [
    { place: 2, text: '{"n":1.10,"t":"01"}' },
    { place: 3, text: '{"n":-5,"t":"+5"}' },
    { place: 4, text: '{"n":"12345678901234567","t":"1e5"}' },
    { place: 5, text: '{"n":true,"t":null}' },
    { place: 6, error: "it has 3 fields, and there are 2 columns" },
  ]);
  const asText = await read("_id,__proto__\n7,8\n", { format: "csv", asText: true });
  assert.deepEqual(asText.records, [{ place: 2, text: '{"_id":"7","__proto__":"8"}' }]);
  const ids = await read("_id,n\n7,8\n", { format: "csv" });
  assert.deepEqual(ids.records, [{ place: 2, text: '{"_id":"7","n":8}' }]);
});

test("an input that cannot be read on is refused with its place", async () => {
  for (
    const [input, format, message] of [
      ["[1,,2]", "json", /element 2 is missing/],
      ["[1,]", "json", /element 2 is missing/],
      ['[{"a":1}', "json", /ends in element/],
      ["[1] x", "json", /something follows/],
      ["{}", "json", /does not begin with \[/],
      ['a,b\n1,"x', "csv", /the CSV is broken at line 2/],
      ["a,a\n1,2", "csv", /two columns a/],
      ["a,\n1,2", "csv", /column 2 has no name/],
    ] as const
  ) {
    await assert.rejects(read(input, { format }), { code: "bad_request", message }, input);
  }
  await assert.rejects(
    readRecords(
      (async function* () {
        yield new TextEncoder().encode("a,b\n1,2\n");
        throw new Error("the disk failed");
      })(),
      { format: "csv", name: null, asText: false },
    ).then(async ({ records }) => {
      for await (const record of records) assert.equal(record.place, 2);
    }),
    /the disk failed/,
  );
});

test("bytes that are no UTF-8 are refused line by line", async () => {
  const bytes = new Uint8Array([...new TextEncoder().encode('{"a":1}\n'), 0xff, 0x0a, 0x7b, 0x7d]);
  assert.deepEqual((await read(bytes)).records, [
    { place: 1, text: '{"a":1}' },
    { place: 2, error: "it is not UTF-8" },
    { place: 3, text: "{}" },
  ]);
});

test("a document gets its id without its text being written anew", () => {
  const newId = (): string => "new";
  const made = (text: string, idField: string | null = null) =>
    importDocument({ place: 1, text }, { idField, newId });
  assert.deepEqual(made(' {"n":1.10}'.trim()), {
    place: 1,
    text: '{"_id":"new","n":1.10}',
    id: "new",
    minted: true,
  });
  assert.deepEqual(made("{ }"), { place: 1, text: '{"_id":"new" }', id: "new", minted: true });
  assert.deepEqual(made('{"n":1.10,"_id":"a"}'), {
    place: 1,
    text: '{"n":1.10,"_id":"a"}',
    id: "a",
    minted: false,
  });
  assert.deepEqual(made('{"k":42}', "k"), { place: 1, text: '{"_id":"42","k":42}', id: "42", minted: false });
  assert.deepEqual(made('{"k":"\\"x"}', "k"), {
    place: 1,
    text: '{"_id":"\\"x","k":"\\"x"}',
    id: '"x',
    minted: false,
  });
  for (
    const [text, field, error] of [
      ["{", null, /not JSON/],
      ["[]", null, /no JSON object/],
      ["null", null, /no JSON object/],
      ['{"_id":5}', null, /_id is not text/],
      ['{"k":1.5}', "k", /neither text nor a whole number/],
      ["{}", "k", /neither text nor a whole number/],
      ['{"_id":"a","k":"b"}', "k", /differ/],
    ] as const
  ) {
    const refused = made(text, field);
    assert.ok("error" in refused, text);
    assert.match(refused.error, error);
  }
});
