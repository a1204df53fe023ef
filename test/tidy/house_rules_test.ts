/** Banned calls, sizes and names (ARCHITECTURE.md), as tests. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Source } from "./sources.ts";
import { sources } from "./sources.ts";

interface Rule {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Files that may. */
  readonly except?: RegExp;
}

const banned: readonly Rule[] = [
  { pattern: /\bDeno\./, instead: "use the Runtime interface" },
  { pattern: /\bBun\./, instead: "use the Runtime interface" },
  { pattern: /\bDate\.now\b/, instead: "use clock.wall()" },
  { pattern: /\bnew Date\(\s*\)/, instead: "use clock.wall()" },
  { pattern: /\bperformance\./, instead: "use clock.monotonic()" },
  { pattern: /\b(setTimeout|setInterval|clearTimeout|clearInterval)\(/, instead: "use clock.timer()" },
  { pattern: /\bsetImmediate\(/, instead: "use clock.macrotask()" },
  { pattern: /\bMath\.random\b/, instead: "use runtime.random" },
  { pattern: /\bconsole\./, instead: "use the logger, or process.stdout of the Runtime" },
  { pattern: /(?<![.\w])fetch\(/, instead: "use runtime.fetch" },
  {
    pattern: /(?<![.\w])crypto\.(subtle|getRandomValues|randomUUID)/,
    instead: "use runtime.crypto or runtime.random",
  },
  { pattern: /\bAbortSignal\.timeout\b/, instead: "use clock.timer() and an AbortController" },
  { pattern: /\b(De)?[cC]ompressionStream\b/, instead: "there is no compression in the core" },
  {
    pattern: /(?<![.\w])process\.(env|argv|pid|exit|on)\b/,
    instead: "use runtime.process",
    except: /^src\/(cli|node)\//,
  },
  { pattern: /^\s*(export\s+)?(const\s+)?enum\s/, instead: "use a union of string literals" },
  { pattern: /^\s*export default\b/, instead: "export a name" },
  {
    pattern: /constructor\([^)]*\b(private|public|protected|readonly)\s/,
    instead: "declare the field: types are erased",
  },
];

function matches(files: readonly Source[], rules: readonly Rule[]): string[] {
  const found: string[] = [];
  for (const { path, code } of files) {
    code.forEach((line, i) => {
      for (const { pattern, instead, except } of rules) {
        if (pattern.test(line) && !(except?.test(path) ?? false)) {
          found.push(`${path}:${i + 1}: ${line.trim()} — ${instead}`);
        }
      }
    });
  }
  return found;
}

test("src/ does not reach for a runtime, a clock, chance or the console", () => {
  assert.deepEqual(matches(sources("src"), banned), []);
});

test("the rule about banned calls finds what it is for", () => {
  const bad: Source = {
    path: "src/x/y.ts",
    lines: [],
    code: ["const t = Date.now();", "await fetch(url)", "Bun.serve({})"],
  };
  assert.equal(matches([bad], banned).length, 3);
});

test("cbor-x is imported by its sub-paths only: the bare package loads a native addon", () => {
  const wrong = sources("src", "adapters", "test").flatMap(({ path, lines }) =>
    lines.flatMap((line, i) => /^import .*from "cbor-x"/.test(line) ? [`${path}:${i + 1}`] : [])
  );
  assert.deepEqual(wrong, []);
});

test("no source file is longer than 400 lines", () => {
  const long = sources("src", "adapters").filter(({ lines }) => lines.length > 401).map(({ path, lines }) =>
    `${path}: ${lines.length}`
  );
  assert.deepEqual(long, []);
});

test("files are named in snake_case, tests end in _test.ts and assert something", () => {
  const wrong: string[] = [];
  for (const { path, code } of sources("src", "adapters", "test", "demo")) {
    if (!/^[a-z0-9_/]+\.ts$/.test(path)) wrong.push(`${path}: not snake_case.ts`);
    const calls = code.some((line) => /^\s*test\(/.test(line)) && /^test\//.test(path);
    if (calls && !/(_test\.ts$|^test\/suites\/)/.test(path)) {
      wrong.push(`${path}: has tests, so its name ends in _test.ts`);
    }
    if (calls && !code.some((line) => /\bassert\b|\bSuite\(/.test(line))) {
      wrong.push(`${path}: asserts nothing`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("tests are not skipped and not alone", () => {
  const rules = [{ pattern: /\.(only|todo)\(|\bonly: true/, instead: "run them all" }];
  assert.deepEqual(matches(sources("test").filter(({ path }) => !path.startsWith("test/tidy/")), rules), []);
});

test("no path of a developer's machine stands in the project", () => {
  const wrong = sources("src", "adapters", "test", "demo").flatMap(({ path, lines }) =>
    lines.flatMap((line, i) =>
      /["'`(\s]\/(work|farm|root|home\/[a-z]+)\//.test(line) ? [`${path}:${i + 1}`] : []
    )
  );
  assert.deepEqual(wrong.filter((place) => !place.startsWith("test/tidy/")), []);
});
