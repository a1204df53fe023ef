/** Who may import whom (ARCHITECTURE.md, "Directions"), as a test that names file, line and what to do instead. */
import assert from "node:assert/strict";
import test from "node:test";
import { imports, sources } from "./sources.ts";

/** Folder → folders that it may import from, besides itself. */
const allowed: Record<string, readonly string[]> = {
  base: [],
  runtime: ["base"],
  document: ["base", "runtime"],
  query: ["base", "document"],
  storage: ["base", "runtime", "document"],
  wire: ["base", "runtime", "document", "storage"],
  engine: ["base", "runtime", "document", "query", "storage"],
  replication: ["base", "runtime", "document", "storage", "wire"],
  cluster: ["base", "runtime", "document", "storage", "wire"],
  multimaster: ["base", "runtime", "document", "storage", "wire", "engine"],
  http: ["base", "runtime", "document", "query", "storage", "engine"],
  console: ["base", "runtime", "http"],
  node: [
    "base",
    "runtime",
    "document",
    "query",
    "storage",
    "wire",
    "engine",
    "replication",
    "cluster",
    "multimaster",
    "http",
    "console",
  ],
  cli: ["base", "runtime", "node"],
};

/** Packages that a folder of `src/` may use. */
const packages: Record<string, readonly string[]> = {
  base: ["node:zlib"],
  storage: ["node:sqlite", "cbor-x/encode", "cbor-x/decode", "valibot"],
  document: ["strip-json-comments", "valibot"],
  wire: ["cbor-x/encode", "cbor-x/decode", "valibot"],
  multimaster: ["valibot"],
  http: ["hono", "valibot"],
  node: ["@logtape/logtape", "strip-json-comments", "valibot"],
  cli: ["commander", "csv-parse/stream", "csv-stringify/sync", "fast-string-truncated-width"],
};

const folderOf = (path: string): string => /^src\/([^/]+)\//.exec(path)?.[1] ?? "src";

test("src/ imports only along the arrows", () => {
  const wrong: string[] = [];
  for (const source of sources("src")) {
    const from = folderOf(source.path);
    if (from === "src") continue;
    assert.ok(from in allowed, `${source.path}: folder ${from} has no row in the table of directions`);
    for (const { line, specifier, target } of imports(source)) {
      if (target === null) {
        const base = specifier.startsWith("hono/") ? "hono" : specifier;
        if (!(packages[from] ?? []).includes(base)) {
          wrong.push(`${source.path}:${line}: ${from}/ may not use ${specifier}`);
        }
        continue;
      }
      const to = folderOf(target);
      if (!target.startsWith("src/")) wrong.push(`${source.path}:${line}: src/ may not import ${target}`);
      else if (to !== from && !(allowed[from] ?? []).includes(to)) {
        wrong.push(
          `${source.path}:${line}: ${from}/ may not import ${to}/; pass it in as an interface from node/`,
        );
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("node:sqlite is imported in storage/sqlite only, and storage/sqlite by node/ only", () => {
  const wrong: string[] = [];
  for (const source of sources("src")) {
    for (const { line, specifier, target } of imports(source)) {
      if (specifier === "node:sqlite" && !source.path.startsWith("src/storage/sqlite/")) {
        wrong.push(`${source.path}:${line}: use the Storage interface instead of node:sqlite`);
      }
      const inside = source.path.startsWith("src/storage/sqlite/") ||
        source.path.startsWith("src/storage/pages/");
      if (
        target !== null && /^src\/storage\/(sqlite|pages)\//.test(target) && !inside &&
        folderOf(source.path) !== "node"
      ) {
        wrong.push(`${source.path}:${line}: only node/ opens a storage; take the interface of storage.ts`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("adapters/ import only runtime/, base/ and cli/ of src/", () => {
  const wrong: string[] = [];
  for (const source of sources("adapters")) {
    for (const { line, target } of imports(source)) {
      if (target === null || target.startsWith("adapters/")) continue;
      if (target === "src/mod.ts" && source.path.endsWith("/embed.ts")) continue; // the library's door on a runtime
      if (!["runtime", "base", "cli"].includes(folderOf(target))) {
        wrong.push(`${source.path}:${line}: an adapter may not import ${target}; it holds no policy`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("the files of src/ import each other without a cycle", () => {
  const graph = new Map<string, readonly string[]>();
  for (const source of sources("src")) {
    graph.set(source.path, imports(source).flatMap(({ target }) => target === null ? [] : [target]));
  }
  const done = new Set<string>(), path: string[] = [];
  const visit = (file: string): void => {
    if (done.has(file)) return;
    const at = path.indexOf(file);
    assert.equal(at, -1, `cycle: ${[...path.slice(at), file].join(" → ")}`);
    path.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  assert.ok(done.size > 30, `only ${done.size} files were looked at`);
});
