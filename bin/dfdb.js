#!/usr/bin/env node
// Plain JavaScript, so that an older Node can say what is missing.
const [major] = process.versions.node.split(".").map(Number);
if (major < 24 && process.versions.bun === undefined && process.versions.deno === undefined) {
  console.error(`ERROR: dfdb needs Node 24 or newer (this is ${process.version})`);
  process.exit(1);
}
const sources = new URL("../adapters/node/main.ts", import.meta.url);
const { existsSync } = await import("node:fs");
await import(existsSync(sources) ? sources.href : new URL("../dist/adapters/node/main.js", import.meta.url).href);
