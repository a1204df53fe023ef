/** Turns flags, environment and node.json into settings, by the one table. */
import stripJsonComments from "strip-json-comments";
import { utf8Text } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import { checkTogether } from "./check_settings.ts";
import type { SettingName, SettingRow, Settings } from "./settings.ts";
import { defaultSettings, settingsTable } from "./settings.ts";

type Value = string | number | boolean;

const rows = Object.entries(settingsTable) as [SettingName, SettingRow][];

export interface SettingSources {
  /** By flag name without dashes: the text given, or true for a switch without a value. */
  readonly flags: Readonly<Record<string, string | true>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Content of node.json, and its name for messages. */
  readonly file: { readonly name: string; readonly bytes: Uint8Array } | null;
}

/** Throws `setting_invalid` naming the setting and what was expected, `not_built` for parts to come. */
export function readSettings(sources: SettingSources): Settings {
  const file = sources.file === null ? new Map<string, unknown>() : readFile(sources.file);
  const values: Partial<Record<SettingName, Value>> = {};
  for (const [name, row] of rows) {
    const value = valueOf(row, sources, file);
    if (value === undefined) continue;
    if (row.notBuilt !== undefined && value !== row.default) {
      throw new DfdbError("not_built", `${labels(row)}: ${row.notBuilt} is not built yet in this version`);
    }
    values[name] = value;
  }
  // 0 says in a flag that what node.json has is off.
  const { autoFailoverMs, ...others } = values;
  const settings = { ...defaultSettings(), ...others, autoFailoverMs: autoFailoverMs || null } as Settings;
  checkTogether(settings);
  return settings;
}

function valueOf(
  row: SettingRow,
  { flags, env }: SettingSources,
  file: Map<string, unknown>,
): Value | undefined {
  const flag = row.flag === null ? undefined : flags[row.flag];
  if (flag !== undefined) return parse(row, `--${row.flag}`, flag);
  const variable = row.env === null ? undefined : env[row.env];
  // An empty variable counts as not set: compose files and units often pass them on empty.
  if (variable !== undefined && variable !== "") return parse(row, row.env as string, variable);
  const json = row.json === null ? undefined : file.get(row.json);
  return json === undefined || json === null ? undefined : parse(row, row.json as string, json);
}

function parse(row: SettingRow, label: string, given: unknown): Value {
  const wrong = (expected: string): never => {
    const shown = row.type.kind === "secret" ? "" : `, not ${JSON.stringify(given)?.slice(0, 80)}`;
    throw new DfdbError("setting_invalid", `${label}: expected ${expected}${shown}`, {
      details: { setting: label },
    });
  };
  const { type } = row;
  switch (type.kind) {
    case "text":
    case "secret":
      return typeof given === "string" && given !== "" ? given : wrong("a text that is not empty");
    case "switch":
      if (given === true || given === "true" || given === "1" || given === "") return true;
      return given === false || given === "false" || given === "0" ? false : wrong("true or false");
    case "choice": {
      const chosen = typeof given === "string" ? given.trim().toLowerCase() : "";
      return type.of.includes(chosen) ? chosen : wrong(`one of ${type.of.join(", ")}`);
    }
    case "port":
      return wholeNumber(given, 1, 65_535) ?? wrong("a port, 1 to 65535");
    case "number":
      return wholeNumber(given, type.min, type.max) ??
        wrong(`a whole number from ${type.min} to ${type.max}`);
    case "seconds": {
      const value = decimal(given);
      if (value === null || value < type.min || value > type.max) {
        return wrong(`${type.min} to ${type.max} seconds`);
      }
      return Math.round(value * 1000);
    }
  }
}

function decimal(given: unknown): number | null {
  if (typeof given === "number") return Number.isFinite(given) ? given : null;
  return typeof given === "string" && /^\d{1,15}(\.\d{1,6})?$/.test(given.trim()) ? Number(given) : null;
}

function wholeNumber(given: unknown, min: number, max: number): number | null {
  const value = decimal(given);
  return value !== null && Number.isInteger(value) && value >= min && value <= max ? value : null;
}

/** The leaves of node.json by path; keys are matched without regard to case. Unknown keys are refused. */
function readFile(file: { readonly name: string; readonly bytes: Uint8Array }): Map<string, unknown> {
  let root: unknown;
  try {
    root = JSON.parse(
      stripJsonComments(utf8Text(file.bytes).replace(/^\uFEFF/, ""), { trailingCommas: true }),
    );
  } catch (error) {
    throw new DfdbError("setting_invalid", `${file.name}: not valid JSON (${messageOf(error)})`);
  }
  const known = new Map<string, string>();
  const folders = new Set<string>();
  for (const [, { json }] of rows) {
    if (json === null) continue;
    known.set(json.toLowerCase(), json);
    const parts = json.toLowerCase().split(".");
    for (let i = 1; i < parts.length; i++) folders.add(parts.slice(0, i).join("."));
  }
  const leaves = new Map<string, unknown>();
  const walk = (value: unknown, path: string): void => {
    const known_ = known.get(path.toLowerCase());
    if (known_ !== undefined) return void leaves.set(known_, value);
    if (path !== "" && !folders.has(path.toLowerCase())) {
      throw new DfdbError("setting_invalid", `${file.name}: unknown setting "${path}"`, {
        details: { setting: path },
      });
    }
    if (value === null && path !== "") return;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new DfdbError("setting_invalid", `${file.name}: expected an object at "${path}"`);
    }
    for (const [key, inner] of Object.entries(value)) walk(inner, path === "" ? key : `${path}.${key}`);
  };
  walk(root, "");
  return leaves;
}

function labels(row: SettingRow): string {
  return row.flag !== null ? `--${row.flag}` : row.json ?? row.env ?? "setting";
}
