/** `dfdb import`: what is sent, what is sent again, and what is said of the rest. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { errorStatus } from "../../src/base/errors.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { inFolder } from "../suites/storage_fixture.ts";
import type { CliOptions, CliRun } from "../tool/cli_rig.ts";
import { runCli } from "../tool/cli_rig.ts";
import { ManualClock } from "../tool/manual_clock.ts";

/** `lost`: it is carried out, its answer does not come. */
type Fault = "lost" | "unreachable" | ErrorCode;

/** A node with one collection, which takes documents as a real one does. */
class FakeNode {
  readonly clock = new ManualClock();
  readonly documents = new Map<string, string>();
  readonly asked: string[] = [];
  /** What happens to the next bulks. */
  faults: (Fault | null)[] = [];
  /** A refusal comes after the next bulk. */
  refusesLate = false;
  #refuse: (() => void) | null = null;
  /** A unique index on this field. */
  unique: string | null = null;

  readonly fetch = (url: string, { method = "GET", body }: RequestInit = {}): Promise<Response> => {
    const path = url.replace(/^http:\/\/[^/]+/, "");
    this.asked.push(`${method} ${path}`);
    const told = path.endsWith("/bulk") ? this.#bulk(String(body)) : this.#one(method, path, String(body));
    if (told === null) return Promise.reject(new TypeError("connection refused"));
    const text = JSON.stringify(told[1]);
    // A Response proper reads its body in macrotasks that virtual time knows nothing of.
    const refuse = this.#refuse;
    this.#refuse = null;
    refuse?.();
    const headers = new Headers(), status = told[0];
    const response = { ok: status < 300, status, headers, text: () => Promise.resolve(text) };
    const answer = response as unknown as Response;
    if (!this.refusesLate || response.ok) return Promise.resolve(answer);
    return new Promise((resolve) => this.#refuse = () => resolve(answer));
  };

  #bulk(body: string): readonly [number, unknown] | null {
    const fault = this.faults.shift() ?? null;
    if (fault === "unreachable") return null;
    if (fault !== null && fault !== "lost") {
      return [errorStatus[fault], { error: "Not now", code: fault, ids: [] }];
    }
    const ids: string[] = [], errors: unknown[] = [];
    (JSON.parse(body) as Record<string, unknown>[]).forEach((document, index) => {
      const id = document["_id"] as string, error = this.#refusal(document, id);
      if (error !== null) errors.push({ index, ...error });
      else {
        this.documents.set(id, JSON.stringify(document));
        ids.push(id);
      }
    });
    return fault === "lost" ? null : [200, { success: errors.length === 0, count: ids.length, ids, errors }];
  }

  #refusal(document: Record<string, unknown>, id: string): { error: string; code: ErrorCode } | null {
    if (document["bad"] === true) return { error: "It is bad", code: "bad_request" };
    if (this.documents.has(id)) {
      return { error: `A document "${id}" exists in collection "c"`, code: "duplicate_key" };
    }
    const key = this.unique === null ? undefined : document[this.unique];
    const taken = key !== undefined &&
      [...this.documents.values()].some((text) =>
        (JSON.parse(text) as Record<string, unknown>)[this.unique as string] === key
      );
    return taken ? { error: "The index u has that key", code: "duplicate_key" } : null;
  }

  #one(method: string, path: string, body: string): readonly [number, unknown] {
    const id = decodeURIComponent(path.split("/").at(-1) as string);
    if (method === "PUT") this.documents.set(id, body);
    return this.documents.has(id) ? [200, { _id: id }] : [404, { error: "There is none", code: "not_found" }];
  }

  async import(input: string, args: readonly string[] = [], options: CliOptions = {}): Promise<CliRun> {
    const given = { ...options, stdin: [input], fetch: this.fetch, clock: this.clock };
    const ran = runCli(["import", "-", "http://n:1", "--collection", "c", ...args], given);
    let over = false;
    ran.then(() => over = true, () => over = true);
    await this.clock.until(() => over, "the end of the import", 600_000);
    assert.equal(this.clock.timers, 0);
    return await ran;
  }
}

const lines = (from: number, to: number, id: (n: number) => string = (n) => `"_id":"${n}",`): string =>
  Array.from({ length: to - from + 1 }, (_, i) => `{${id(from + i)}"n":${from + i}}\n`).join("");
const noId = (): string => "";

test("import: batches, new ids, and the count", async () => {
  const node = new FakeNode();
  const { code, err, out } = await node.import(lines(1, 25, noId), ["--batch", "10"]);
  assert.deepEqual([code, out], [0, ""]);
  assert.match(err, /^25 written to c in [\d.]+ m?s \([\d,]+\/s\)\n$/);
  assert.equal(node.documents.size, 25);
  assert.deepEqual(node.asked, Array.from({ length: 3 }, () => "POST /collections/c/bulk"));
  for (const id of node.documents.keys()) assert.match(id, /^[0-9a-f]{32}$/);
});

test("import: what is refused is named with its line, 20 of them, and the others are written", async () => {
  const node = new FakeNode();
  const input = `${lines(1, 2)}{"_id":"3","bad":true}\nno JSON\n${lines(5, 6)}`;
  const { code, err } = await node.import(input);
  assert.equal(code, 2);
  assert.match(
    err,
    /^line 3: It is bad \(bad_request\)\nline 4: it is not JSON \(bad_request\)\n4 written to c, 2 refused in /,
  );
  const many = await node.import("x\n".repeat(100));
  assert.equal(many.code, 2);
  assert.equal(many.err.match(/^line \d+: /gm)?.length, 20);
  assert.match(many.err, /^line 20: .*\nand 80 more\n0 written to c, 100 refused in/m);
});

test("import: an id that is there already is refused, skipped, or replaced", async () => {
  const node = new FakeNode();
  await node.import('{"_id":"a/b","n":1}\n');
  const input = '{"_id":"a/b","n":2}\n{"_id":"new","n":3}\n';
  const failed = await node.import(input);
  assert.equal(failed.code, 2);
  assert.match(failed.err, /^line 1: A document "a\/b" exists.*\(duplicate_key\)\n1 written to c, 1 refused/);
  const skipped = await node.import(input, ["--on-conflict", "skip"]);
  assert.equal(skipped.code, 0);
  assert.match(skipped.err, /^0 written to c, 2 there already in/);
  assert.equal(node.documents.get("a/b"), '{"_id":"a/b","n":1}');
  const replaced = await node.import(input, ["--on-conflict", "replace"]);
  assert.equal(replaced.code, 0);
  assert.match(replaced.err, /^2 written to c in/);
  assert.equal(node.documents.get("a/b"), '{"_id":"a/b","n":2}');
  assert.ok(node.asked.includes("PUT /collections/c/a%2Fb"));
});

test("import: a unique index is no id that is there already: it is never skipped", async () => {
  const node = new FakeNode();
  node.unique = "n";
  await node.import('{"_id":"a","n":1}\n');
  const { code, err } = await node.import('{"_id":"b","n":1}\n{"_id":"a","n":1}\n', [
    "--on-conflict",
    "skip",
  ]);
  assert.equal(code, 2);
  assert.match(
    err,
    /^line 1: The index u has that key \(duplicate_key\)\n0 written to c, 1 there already, 1 refused/,
  );
});

test("import: a lost answer is asked for again where that is safe; nothing is there twice", async () => {
  const node = new FakeNode();
  node.faults = ["lost", "unreachable", "busy", "outcome_unknown"];
  const { code, err } = await node.import(lines(1, 10, noId));
  assert.equal(code, 0);
  assert.match(err, /^10 written to c/);
  assert.equal(node.documents.size, 10);
  assert.equal(node.asked.filter((asked) => asked.startsWith("POST")).length, 5);
  // With ids of their own it is safe where a document that is there already may stay.
  node.faults = ["lost"];
  const skipped = await node.import(lines(1, 3), ["--on-conflict", "skip"]);
  assert.equal(skipped.code, 0);
  assert.match(skipped.err, /^0 written to c, 3 there already/);
});

test("import: where it is not safe it ends, and says what may have been written", async () => {
  const node = new FakeNode();
  node.faults = [null, "lost"];
  const { code, err } = await node.import(lines(1, 30), ["--batch", "10", "--in-flight", "1"]);
  assert.equal(code, 1);
  assert.equal(node.documents.size, 20);
  assert.match(
    err,
    /^10 written to c in .*\nERROR: nobody answers.*\(unreachable\)\nlines 11-20 may have been written: .*--on-conflict skip\nthe rest was not written; to go on, add --only 11-\n/m,
  );
  const rest = await node.import(lines(1, 30), ["--only", "11-", "--on-conflict", "skip"]);
  assert.equal(rest.code, 0);
  assert.match(rest.err, /^10 written to c, 10 there already/);
  assert.equal(node.documents.size, 30);
});

test("import: a node that takes no writes ends it; --only goes on with exactly what is missing", async () => {
  const node = new FakeNode();
  node.faults = [null, "read_only", null];
  node.refusesLate = true;
  const first = await node.import(lines(1, 40, noId), ["--batch", "10", "--in-flight", "3"]);
  assert.equal(first.code, 1);
  assert.match(first.err, /^ERROR: http:\/\/n:1: Not now \(read_only\)$/m);
  const only = /--only (\S+)/.exec(first.err)?.[1] as string;
  assert.equal(only, "11-20,31-");
  assert.match(first.err, /^20 written to c/m);
  assert.equal(node.documents.size, 20);
  const second = await node.import(lines(1, 40, noId), ["--only", only]);
  assert.equal(second.code, 0);
  const found = [...node.documents.values()].map((text) => (JSON.parse(text) as { n: number }).n);
  assert.deepEqual(found.sort((a, b) => a - b), Array.from({ length: 40 }, (_, i) => i + 1));
});

test("import: an input that breaks off is sent as far as it goes, and said", async () => {
  const node = new FakeNode();
  const { code, err } = await node.import('[{"n":1},{"n":2},{"n":', ["--format", "json"]);
  assert.equal(code, 1);
  assert.match(
    err,
    /^2 written to c in .*\nERROR: the JSON array is broken: it ends in element 3 \(bad_request\)\n$/,
  );
});

test("import: on a terminal there is a bar with the rate, which goes away", async () => {
  await inFolder(async (folder) => {
    const node = new FakeNode(), file = `${folder}/in.ndjson`;
    writeFileSync(file, lines(1, 3_000));
    const ran = runCli(["import", file, "n:1", "--collection", "c", "--batch", "100"], {
      fetch: node.fetch,
      stderrIsTerminal: true,
    });
    const { code, err } = await ran;
    assert.equal(code, 0);
    assert.match(err, /\r\[#*-*\] +\d+ % {2}[\d,]+ documents, [\d,]+\/s/);
    assert.ok(err.includes("\r\u001b[K3,000 written to c"));
  });
});

test("import: what cannot work is said before anything is sent", async () => {
  const node = new FakeNode();
  for (
    const [args, message] of [
      [["--batch", "0"], /--batch: expected a number from 1 to 10000/],
      [["--only", "x"], /--only: expected places/],
      [["--format", "xml"], /--format.*ndjson, json, csv/],
      [["--on-conflict", "what"], /--on-conflict.*fail, skip, replace/],
    ] as const
  ) {
    const { code, err } = await node.import("{}", args);
    assert.equal(code, 1);
    assert.match(err, message);
  }
  const missing = await runCli(["import", "/nowhere/x.json", "n:1", "--collection", "c"], {
    fetch: node.fetch,
  });
  assert.deepEqual([missing.code, missing.err], [1, "ERROR: There is no file /nowhere/x.json\n"]);
  const help = await runCli(["import", "--help"]);
  assert.equal(help.code, 0);
  assert.match(help.out, /Examples:\n {2}dfdb import/);
  assert.deepEqual(node.asked, []);
});
