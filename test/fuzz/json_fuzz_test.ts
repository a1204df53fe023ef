import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { type Prng, prng } from "../../src/base/prng.ts";
import { arrayElements } from "../../src/document/json_array.ts";
import { keepsValue, scanDocument } from "../../src/document/json_scan.ts";
import { documentBody, type DocumentLimits } from "../../src/document/json_text.ts";

const limits: DocumentLimits = { bytesMax: 1 << 20, nestingMax: 100 };
const reserved = ["_id", "_etag", "@metadata"];

/** JSON text being made: as it is sent, as it should be stored, and why it should be refused. */
interface Sample {
  text: string;
  compact: string;
  refuse: "key" | "number" | null;
}

function pick<T>(random: Prng, from: readonly T[]): T {
  return from[random.below(from.length)] as T;
}

function space(random: Prng): string {
  return random.below(3) > 0 ? "" : pick(random, [" ", "\n", "\t", "\r\n", "  \n\t "]);
}

function stringToken(random: Prng, text: string): string {
  let token = '"';
  for (const char of text) {
    const hex = (code: number): string => `\\u${code.toString(16).padStart(4, "0")}`;
    const escaped = Array.from(char.split(""), (unit) => hex(unit.charCodeAt(0))).join("");
    const plain = JSON.stringify(char).slice(1, -1);
    token += random.below(8) === 0
      ? pick(random, [escaped, escaped.toUpperCase().replaceAll("U", "u")])
      : plain;
  }
  return `${token}"`;
}

function anyText(random: Prng): string {
  const chars = [
    "a",
    "b",
    "Z",
    "0",
    " ",
    '"',
    "\\",
    "/",
    "\n",
    "\u0000",
    "é",
    "日",
    "😀",
    "\ud800",
    "]",
    "{",
    ",",
    ":",
  ];
  return Array.from({ length: random.below(12) }, () => pick(random, chars)).join("");
}

function digits(random: Prng, length: number): string {
  return Array.from({ length }, () => random.below(random.below(4) === 0 ? 10 : 1)).join("");
}

function numberToken(random: Prng): string {
  if (random.below(3) === 0) return String((random.float() - 0.5) * 10 ** (random.below(40) - 15));
  if (random.below(2) === 0) return String(random.below(100_000));
  const whole = random.below(3) === 0 ? "0" : `${1 + random.below(9)}${digits(random, random.below(20))}`;
  const fraction = random.below(2) === 0 ? "" : `.${digits(random, 1 + random.below(20))}`;
  const power = () => random.below(4) === 0 ? random.below(420) : random.below(12);
  const exponent = random.below(2) === 0 ? "" : `${pick(random, ["e", "E", "e+", "E-", "e-0"])}${power()}`;
  return `${pick(random, ["", "-"])}${whole}${fraction}${exponent}`;
}

/** The same question as `keepsValue`, with whole numbers of any size and no cleverness. */
function keepsValueModel(literal: string): boolean {
  const value = Number(literal);
  if (!Number.isFinite(value)) return false;
  const parts = (text: string): [bigint, number] => {
    const [, sign, whole, fraction = "", exponent = "0"] =
      /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
    return [BigInt(`${whole}${fraction}`) * (sign === "-" ? -1n : 1n), Number(exponent) - fraction.length];
  };
  const [a, aPower] = parts(literal), [b, bPower] = parts(String(value));
  const least = Math.min(aPower, bPower);
  return a * 10n ** BigInt(aPower - least) === b * 10n ** BigInt(bPower - least);
}

function addToken(sample: Sample, token: string): void {
  sample.text += token;
  sample.compact += token;
}

function addValue(random: Prng, sample: Sample, depth: number): void {
  const kind = random.below(depth > 4 ? 4 : 6);
  if (kind === 0) addToken(sample, pick(random, ["true", "false", "null", "{}", "[]"]));
  else if (kind === 1) addToken(sample, stringToken(random, anyText(random)));
  else if (kind === 4) addObject(random, sample, depth + 1);
  else if (kind === 5) addArray(random, sample, depth + 1);
  else {
    // Mostly numbers that are kept, else few samples would be accepted.
    let number = numberToken(random);
    if (!keepsValueModel(number) && random.below(20) > 0) {
      number = pick(random, ["1.0", "-0", "1e2", "0.10", "7"]);
    }
    if (!keepsValueModel(number)) sample.refuse ??= "number";
    addToken(sample, number);
  }
}

function addArray(random: Prng, sample: Sample, depth: number): void {
  addToken(sample, "[");
  for (let i = 0, count = random.below(5); i < count; i++) {
    if (i > 0) addToken(sample, ",");
    sample.text += space(random);
    addValue(random, sample, depth);
    sample.text += space(random);
  }
  addToken(sample, "]");
}

function addObject(random: Prng, sample: Sample, depth: number): void {
  const keys = new Set<string>();
  addToken(sample, "{");
  let first = true;
  for (let i = 0, count = random.below(7), kept = 0; i < count; i++) {
    const odd = pick(random, [
      "a",
      "b",
      "__proto__",
      "constructor",
      "10",
      "9",
      "",
      "_id",
      "_etag",
      "@metadata",
    ]);
    const key = random.below(2) === 0 ? odd : anyText(random) + i;
    if (keys.has(key) && random.below(10) > 0) continue;
    const drop = depth === 0 && reserved.includes(key);
    const member: Sample = { text: "", compact: "", refuse: null };
    addToken(member, stringToken(random, key));
    member.text += space(random);
    addToken(member, ":");
    member.text += space(random);
    if (drop && key === "_id") addToken(member, '"id"');
    else addValue(random, member, depth + 1);
    sample.text += `${first ? "" : ","}${space(random)}${member.text}${space(random)}`;
    first = false;
    if (keys.has(key)) sample.refuse ??= "key";
    keys.add(key);
    if (drop) continue;
    sample.refuse ??= member.refuse;
    sample.compact += `${kept++ > 0 ? "," : ""}${member.compact}`;
  }
  addToken(sample, "}");
}

function sampleOf(seed: number): Sample {
  const random = prng(seed), sample: Sample = { text: space(random), compact: "", refuse: null };
  addObject(random, sample, 0);
  sample.text += space(random);
  return sample;
}

/** The result of `run`, or the DfdbError it threw; anything else that is thrown fails the test. */
function outcome<T>(run: () => T): T | DfdbError {
  try {
    return run();
  } catch (thrown) {
    if (thrown instanceof DfdbError) return thrown;
    throw thrown;
  }
}

function parsed(text: string): { value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

function mutate(random: Prng, bytes: Uint8Array): Uint8Array {
  const from = utf8('{}[],:"\\u0019.eE+-tn \n\u007fé_id');
  const some = Array.from(bytes);
  for (let i = 1 + random.below(3); i > 0; i--) {
    const at = random.below(some.length + 1),
      byte = random.below(4) === 0 ? random.below(256) : pick(random, [...from]);
    some.splice(at, random.below(3), ...(random.below(2) === 0 ? [byte] : []));
  }
  return Uint8Array.from(some);
}

test("what is stored is what was sent, compacted, without the reserved members", () => {
  using db = new DatabaseSync(":memory:");
  const valid = db.prepare("SELECT json_valid(?) AS valid");
  let kept = 0, canonical = 0;
  for (let seed = 1; seed <= 2_000; seed++) {
    const { text, compact, refuse } = sampleOf(seed), bytes = utf8(text), label = `seed ${seed}: ${text}`;
    const result = outcome(() => documentBody(bytes, limits));
    if (refuse !== null || result instanceof DfdbError) {
      assert.ok(result instanceof DfdbError && refuse !== null, label);
      assert.match(result.message, /occurs twice|would become/, label);
      continue;
    }
    kept++;
    const body = utf8Text(result.body), model = JSON.parse(text);
    assert.equal(body, compact, label);
    for (const name of reserved) delete model[name];
    assert.equal(JSON.stringify(JSON.parse(body)), JSON.stringify(model), label);
    assert.equal(result.id, JSON.parse(text)._id ?? null, label);
    assert.equal(documentBody(result.body, limits).body.join(), result.body.join(), label);
    assert.deepEqual({ ...valid.get(body) }, { valid: 1 }, label);
    if (JSON.stringify(JSON.parse(body)) !== body) continue;
    canonical++;
    assert.equal(scanDocument(body), body, label);
  }
  assert.ok(kept > 700 && canonical > 100, `${kept} kept, ${canonical} of them canonical`);
});

test("changed bytes end in a document that JSON.parse accepts, or in a DfdbError", () => {
  let accepted = 0;
  for (let seed = 1; seed <= 4_000; seed++) {
    const random = prng(seed), bytes = mutate(random, utf8(sampleOf(seed).text));
    const result = outcome(() => documentBody(bytes, limits));
    const label = () => `seed ${seed}: ${new TextDecoder().decode(bytes)}`;
    if (result instanceof DfdbError) {
      assert.ok(["bad_request", "reserved_id"].includes(result.code), label());
      assert.doesNotMatch(result.message, /^not valid JSON$/, label());
      continue;
    }
    accepted++;
    const sent = JSON.parse(utf8Text(bytes)), body = JSON.parse(utf8Text(result.body));
    for (const name of reserved) delete sent[name];
    assert.equal(JSON.stringify(body), JSON.stringify(sent), label());
  }
  assert.ok(accepted > 130, `${accepted} accepted`);
});

test("the scan is as strict as JSON.parse, and no stricter", () => {
  for (let seed = 1; seed <= 3_000; seed++) {
    const text = new TextDecoder().decode(mutate(prng(seed), utf8(sampleOf(seed).text)));
    const result = outcome(() => scanDocument(text)), model = parsed(text);
    if (
      model === null || typeof model.value !== "object" || model.value === null || Array.isArray(model.value)
    ) {
      assert.ok(result instanceof DfdbError, `seed ${seed}: ${text}`);
    } else if (result instanceof DfdbError) {
      assert.match(result.message, /occurs twice|would become/, `seed ${seed}: ${text}`);
    }
  }
});

test("a number is kept exactly when its decimal value is that of the double's text", () => {
  let kept = 0;
  for (let seed = 1; seed <= 3_000; seed++) {
    const random = prng(seed),
      literal = numberToken(random).replace(/e\+/, pick(random, ["e+", "E", "e+00"]));
    assert.equal(keepsValue(literal), keepsValueModel(literal), literal);
    if (keepsValue(literal)) kept++;
  }
  assert.ok(kept > 900 && kept < 2_850, `${kept} kept`);
});

test("an array splits into what JSON.parse finds in it", () => {
  const all = { bulkDocumentsMax: 1000 };
  let split = 0;
  for (let seed = 1; seed <= 3_000; seed++) {
    const random = prng(seed), sample: Sample = { text: space(random), compact: "", refuse: null };
    addArray(random, sample, 0);
    sample.text += space(random);
    const bytes = random.below(2) === 0 ? utf8(sample.text) : mutate(random, utf8(sample.text));
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    const model = parsed(text), label = `seed ${seed}: ${text}`;
    const found = outcome(() =>
      Array.from(arrayElements(bytes, all), (element) => new TextDecoder().decode(element))
    );
    const elements = found instanceof DfdbError ? [null] : found.map(parsed);
    if (model !== null && Array.isArray(model.value)) {
      split++;
      assert.equal(
        JSON.stringify(elements.map((element) => element?.value)),
        JSON.stringify(model.value),
        label,
      );
      assert.ok(!elements.includes(null), label);
    } else assert.ok(elements.includes(null), label);
  }
  assert.ok(split > 1_500, `${split} split`);
});
