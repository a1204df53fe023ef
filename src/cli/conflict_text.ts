/** Versions of a key for people: side by side, or one below the other where the screen is narrow. */
import { memberTexts } from "../node/json_texts.ts";
import type { KeyVersions, ShownVersion } from "./conflict_versions.ts";
import { shortId } from "./conflict_versions.ts";
import type { Cell, Screen, TableRow } from "./table.ts";
import { colour, plain, table, widthOf } from "./table.ts";

/** A value in each version; null: it has none. */
interface Row {
  /** `a.b` for a member of a member. */
  readonly name: string;
  readonly values: readonly (string | null)[];
  readonly differs: boolean;
}

/** A version's column is at least so wide, else they stand below each other. */
const narrowest = 22;
const namesMost = 24;

export function versionsText(found: KeyVersions, screen: Screen): string {
  const { versions } = found, rows = rowsOf(versions);
  const names = Math.min(namesMost, Math.max(8, ...rows.map(({ name }) => widthOf(name))));
  const fits = screen.columns === null || names + versions.length * (narrowest + 2) <= screen.columns;
  const body = fits ? sideBySide(found, rows, screen) : belowEachOther(found, rows, screen);
  return `${plain(headline(found))}\n${body}`;
}

function headline({ key, state, etag, versions }: KeyVersions): string {
  const count = versions.length === 1 ? "1 version" : `${versions.length} versions`;
  const at = etag === null ? "" : `, ETag ${etag}`;
  switch (state) {
    case "conflict":
      return `${key}: in conflict, ${count}${at}`;
    case "chosen":
      return `${key}: not in conflict, the policy chose from ${count}${at}`;
    case "deleted":
      return `${key}: not in conflict, the policy chose the deletion from ${count}`;
    case "single":
      return `${key}: not in conflict, ${count}${at}`;
  }
}

function sideBySide(found: KeyVersions, rows: readonly Row[], screen: Screen): string {
  const { versions } = found;
  const columns = [
    { title: "version" },
    ...versions.map(({ id }) => ({ title: titleOf(found, id), flexible: true })),
  ];
  const facts: TableRow[] = [
    ["written by", ...versions.map(writerOf)],
    ["at", ...versions.map(timeOf)],
    ...(versions.some((version) => version.text === null) ? [["document", ...versions.map(stateOf)]] : []),
  ];
  const members = rows.map(({ name, values, differs }): TableRow => [
    { text: plain(name), colour: differs ? null : colour.dim },
    ...values.map((value, i) => cellOf(versions[i] as ShownVersion, value, differs)),
  ]);
  return table(columns, [...facts, ...members], screen);
}

function belowEachOther(found: KeyVersions, rows: readonly Row[], screen: Screen): string {
  return found.versions.map((version, i) => {
    const facts: TableRow[] = [
      ["written by", writerOf(version)],
      ["at", timeOf(version)],
      ...(version.text === null ? [["document", stateOf(version)]] : []),
    ];
    const members = rows.flatMap(({ name, values, differs }): TableRow[] =>
      version.text === null ? [] : [[
        { text: plain(name), colour: differs ? null : colour.dim },
        cellOf(version, values[i] ?? null, differs),
      ]]
    );
    const columns = [{ title: "version", flexible: true }, {
      title: titleOf(found, version.id),
      flexible: true,
    }];
    return `${i === 0 ? "" : "\n"}${table(columns, [...facts, ...members], screen)}`;
  }).join("");
}

function titleOf({ versions, shown, state }: KeyVersions, id: string): string {
  return shortId(id, versions) + (state === "chosen" && id === shown ? " (shown)" : "");
}

function writerOf({ writer }: ShownVersion): string {
  return plain(writer ?? "-");
}

/** `2026-11-14 22:13:20.000Z`. */
function timeOf({ modified }: ShownVersion): string {
  return plain(modified?.replace("T", " ") ?? "-");
}

function stateOf({ text, deleted }: ShownVersion): Cell {
  if (deleted) return { text: "deleted", colour: colour.red };
  return { text: text === null ? "too large to be shown" : "" };
}

function cellOf({ text }: ShownVersion, value: string | null, differs: boolean): Cell {
  if (value === null) return { text: text === null ? "" : "(none)", colour: colour.dim };
  return { text: plain(value), colour: differs ? colour.yellow : colour.dim };
}

/** Members of all versions in the order in which they come; objects are taken apart. */
function rowsOf(versions: readonly ShownVersion[]): readonly Row[] {
  return membersOf("", versions.map(({ text }) => text));
}

function membersOf(prefix: string, texts: readonly (string | null)[]): readonly Row[] {
  const members = texts.map((text) => text === null ? null : memberTexts(text));
  const names = new Set(members.flatMap((each) => each === null ? [] : [...each.keys()]));
  return [...names].flatMap((name): readonly Row[] => {
    const values = members.map((each) => each?.get(name) ?? null), path = `${prefix}${name}`;
    // A version that is no document says nothing of a member.
    const told = values.filter((_, i) => texts[i] !== null);
    if (told.every((value) => value !== null && isObject(value))) return membersOf(`${path}.`, values);
    return [{ name: path, values, differs: new Set(told).size > 1 }];
  });
}

function isObject(text: string): boolean {
  return text.startsWith("{") && text !== "{}";
}
