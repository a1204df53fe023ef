/** The README's table of settings is the table of settings. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import type { SettingRow } from "../../src/node/settings.ts";
import { settingsTable } from "../../src/node/settings.ts";
import { version } from "../../src/node/version.ts";

const file = new URL("../../README.md", import.meta.url);
const part = /(<!-- settings: [^\n]* -->\n)([\s\S]*?)(<!-- \/settings -->)/;

function cell(text: string | null): string {
  return text === null ? "–" : `\`${text}\``;
}

function shownDefault({ type, default: value }: SettingRow): string {
  if (type.kind === "switch") return value === true ? "on" : "off";
  if (value === null) return "–";
  return type.kind === "seconds" ? `${Number(value) / 1000} s` : `\`${value}\``;
}

function table(): string {
  const rows = (Object.values(settingsTable) as SettingRow[]).map((row) => {
    const help = row.notBuilt === undefined ? row.help : `${row.help} *(not built yet)*`;
    const flag = cell(row.flag === null ? null : `--${row.flag}`);
    return `| ${flag} | ${cell(row.env)} | ${cell(row.json)} | ${shownDefault(row)} | ${
      help.replaceAll("|", "\\|")
    } |`;
  });
  return ["| flag | environment | node.json | default | |", "| --- | --- | --- | --- | --- |", ...rows].join(
    "\n",
  ) + "\n";
}

test("README's table of settings is made from src/node/settings.ts", () => {
  const text = readFileSync(file, "utf8");
  const made = text.replace(
    part,
    (_, begin: string, __: string, end: string) => `${begin}\n${table()}\n${end}`,
  );
  if (process.env["DFDB_REWRITE"] === "1") writeFileSync(file, made);
  else assert.equal(text, made, "DFDB_REWRITE=1 rewrites it");
});

test("README shows the two commands of a bare machine", () => {
  const text = readFileSync(file, "utf8");
  assert.match(text, /npm install && npm start/);
  assert.match(text, /npm install && npm test/);
});

test("the version is the same in package.json, deno.json and the program", () => {
  for (const name of ["package.json", "deno.json"]) {
    const text = readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
    assert.equal((JSON.parse(text) as { version: string }).version, version, name);
  }
});
