import { DfdbError } from "../base/errors.ts";
import { utf8 } from "../base/bytes.ts";

/** The members that the server sets on every document it returns; never part of a stored body. */
export const reservedMembers = ["_id", "_etag", "@metadata"] as const;

interface Scan {
  readonly text: string;
  /** Index of the next code unit to look at. */
  at: number;
  /** What is kept of `text` before `from`. */
  kept: string;
  /** Start of the run that is kept and not yet in `kept`. */
  from: number;
  /** Keys and array indexes that lead to the value being scanned. */
  readonly path: (string | number)[];
  /** True inside a member that is dropped: its grammar is checked, its keys and numbers are not. */
  dropping: boolean;
}

const quote = 0x22, comma = 0x2c, minus = 0x2d, point = 0x2e, zero = 0x30, nine = 0x39, colon = 0x3a;
const openArray = 0x5b, backslash = 0x5c, closeArray = 0x5d, openObject = 0x7b, closeObject = 0x7d;
const echoCharsMax = 36;

/**
 * Reads the text of one JSON object, token by token, and returns it without insignificant whitespace and
 * without the reserved top-level members; every other token is kept to the letter. Throws `bad_request` for
 * text that is not JSON, for a key that an object has twice, and for a number that a double would change.
 * Recursive: `text` must have passed {@linkcode checkNesting}.
 */
export function scanDocument(text: string): string {
  const scan: Scan = { text, at: 0, kept: "", from: 0, path: [], dropping: false };
  skipSpace(scan);
  if (text.charCodeAt(scan.at) === openObject) {
    scanTopLevel(scan);
  } else {
    scanValue(scan);
    fail(scan, "expected a JSON object", 0);
  }
  skipSpace(scan);
  if (scan.at < text.length) unexpected(scan, "the end");
  return scan.kept;
}

/**
 * Throws `bad_request` when arrays and objects in `text` nest deeper than `nestingMax`; 1 = no value inside
 * another.
 */
export function checkNesting(text: string, nestingMax: number): void {
  if (opens(text, "{", nestingMax + 1) + opens(text, "[", nestingMax + 1) <= nestingMax) return;
  let depth = 0, inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === backslash) at++;
      else if (code === quote) inString = false;
    } else if (code === quote) inString = true;
    else if (code === openObject || code === openArray) {
      if (++depth > nestingMax) throw badRequest(text, at, `JSON nests deeper than ${nestingMax} levels`);
    } else if (code === closeObject || code === closeArray) depth--;
  }
}

/** How often `char` occurs in `text`; stops counting at `enough`. */
function opens(text: string, char: string, enough: number): number {
  let count = 0;
  for (let at = text.indexOf(char); at >= 0 && count < enough; at = text.indexOf(char, at + 1)) count++;
  return count;
}

function scanTopLevel(scan: Scan): void {
  const { text } = scan, keys = new Set<string>();
  scan.from = ++scan.at;
  scan.kept = "{";
  skipSpace(scan);
  if (text.charCodeAt(scan.at) !== closeObject) {
    do {
      scan.from = scan.at; // the commas of this level are written here, not copied
      skipSpace(scan);
      const before = scan.kept;
      if (before !== "{") scan.kept += ",";
      const key = scanKey(scan, keys);
      scan.dropping = (reservedMembers as readonly string[]).includes(key);
      scan.path.push(key);
      scanValue(scan);
      scan.path.pop();
      scan.kept = scan.dropping ? before : scan.kept + text.slice(scan.from, scan.at);
      scan.dropping = false;
      scan.from = scan.at;
    } while (scanSeparator(scan, closeObject));
  }
  scan.kept += "}";
  scan.from = ++scan.at;
}

function scanValue(scan: Scan): void {
  const code = scan.text.charCodeAt(scan.at);
  if (code === quote) scanString(scan);
  else if (code === openObject) scanObject(scan);
  else if (code === openArray) scanArray(scan);
  else if (code === minus || (code >= zero && code <= nine)) scanNumber(scan);
  else if (scan.text.startsWith("true", scan.at) || scan.text.startsWith("null", scan.at)) scan.at += 4;
  else if (scan.text.startsWith("false", scan.at)) scan.at += 5;
  else unexpected(scan, "a value");
}

function scanObject(scan: Scan): void {
  scan.at++;
  skipSpace(scan);
  if (scan.text.charCodeAt(scan.at) !== closeObject) {
    const keys = new Set<string>();
    do {
      skipSpace(scan);
      scan.path.push(scanKey(scan, keys));
      scanValue(scan);
      scan.path.pop();
    } while (scanSeparator(scan, closeObject));
  }
  scan.at++;
}

function scanArray(scan: Scan): void {
  scan.at++;
  skipSpace(scan);
  if (scan.text.charCodeAt(scan.at) !== closeArray) {
    const level = scan.path.push(0) - 1;
    let index = 0;
    do {
      skipSpace(scan);
      scan.path[level] = index++;
      scanValue(scan);
    } while (scanSeparator(scan, closeArray));
    scan.path.pop();
  }
  scan.at++;
}

/** After a value: true past a comma, false at `close`. */
function scanSeparator(scan: Scan, close: number): boolean {
  skipSpace(scan);
  const code = scan.text.charCodeAt(scan.at);
  if (code !== comma && code !== close) unexpected(scan, close === closeArray ? '"," or "]"' : '"," or "}"');
  if (code === close) return false;
  scan.at++;
  return true;
}

/** A key and its colon, up to the value; adds the key to `keys`. */
function scanKey(scan: Scan, keys: Set<string>): string {
  const { text } = scan, start = scan.at;
  if (text.charCodeAt(start) !== quote) unexpected(scan, "a key in double quotes");
  const escaped = scanString(scan);
  const key = escaped ? JSON.parse(text.slice(start, scan.at)) as string : text.slice(start + 1, scan.at - 1);
  const known = keys.size;
  if (!scan.dropping && keys.add(key).size === known) fail(scan, `the key ${echo(key)} occurs twice`, start);
  skipSpace(scan);
  if (text.charCodeAt(scan.at) !== colon) unexpected(scan, '":"');
  scan.at++;
  skipSpace(scan);
  return key;
}

/** Passes a string; true when it has escapes. */
function scanString(scan: Scan): boolean {
  const { text } = scan;
  let at = scan.at + 1, escaped = false;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === quote) break;
    if (code === backslash) {
      scan.at = at;
      at = afterEscape(scan);
      escaped = true;
    } else if (code >= 0x20) at++;
    else {
      scan.at = at;
      unexpected(scan, "the end of the string");
    }
  }
  scan.at = at + 1;
  return escaped;
}

function afterEscape(scan: Scan): number {
  const { text, at } = scan, letter = text.charAt(at + 1);
  if (letter !== "" && '"\\/bfnrt'.includes(letter)) return at + 2;
  if (letter === "u" && /^[0-9a-fA-F]{4}$/.test(text.slice(at + 2, at + 6))) return at + 6;
  return fail(scan, "not valid JSON: a backslash begins no escape", at);
}

function scanNumber(scan: Scan): void {
  const { text, at: start } = scan;
  if (text.charCodeAt(scan.at) === minus) scan.at++;
  if (text.charCodeAt(scan.at) === zero) scan.at++;
  else skipDigits(scan);
  if (text.charCodeAt(scan.at) === point) {
    scan.at++;
    skipDigits(scan);
  }
  const exponent = (text.charCodeAt(scan.at) | 0x20) === 0x65;
  if (exponent) {
    const sign = text.charAt(++scan.at);
    if (sign === "+" || sign === "-") scan.at++;
    skipDigits(scan);
  }
  // Up to 15 digits always come back from a double as they were.
  if (scan.dropping || (!exponent && scan.at - start <= 15)) return;
  const literal = text.slice(start, scan.at);
  if (keepsValue(literal)) return;
  const changed = `the number ${echo(literal, "")} would become ${Number(literal)}`;
  fail(scan, `${changed} as a double (send it as a string)`, start);
}

function skipDigits(scan: Scan): void {
  const start = scan.at;
  for (let code; (code = scan.text.charCodeAt(scan.at)) >= zero && code <= nine;) scan.at++;
  if (scan.at === start) unexpected(scan, "a digit");
}

/** Passes whitespace and leaves it out of what is kept. */
function skipSpace(scan: Scan): void {
  if (scan.text.charCodeAt(scan.at) > 0x20) return;
  const start = scan.at;
  for (;;) {
    const code = scan.text.charCodeAt(scan.at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
    scan.at++;
  }
  if (scan.at === start) return;
  scan.kept += scan.text.slice(scan.from, start);
  scan.from = scan.at;
}

/** True when the decimal value of a JSON number is that of the shortest text of the double nearest to it. */
export function keepsValue(literal: string): boolean {
  const value = Number(literal);
  if (!Number.isFinite(value)) return false;
  const sent = decimal(literal), kept = decimal(String(value));
  return sent.digits === kept.digits && sent.exponent === kept.exponent;
}

/** A decimal without its sign: `digits` (no zero at either end; "" = zero) times ten to the `exponent`. */
function decimal(text: string): { digits: string; exponent: number } {
  const e = text.search(/[eE]/);
  const [whole = "", fraction = ""] = (e < 0 ? text : text.slice(0, e)).replace("-", "").split(".");
  const all = whole + fraction;
  let from = 0, to = all.length;
  while (from < to && all.charCodeAt(from) === zero) from++;
  while (to > from && all.charCodeAt(to - 1) === zero) to--;
  if (from === to) return { digits: "", exponent: 0 };
  const exponent = (e < 0 ? 0 : Number(text.slice(e + 1))) + all.length - to - fraction.length;
  return { digits: all.slice(from, to), exponent };
}

function unexpected(scan: Scan, wanted: string): never {
  const { text, at } = scan;
  const found = at < text.length
    ? echo(String.fromCodePoint(text.codePointAt(at) ?? 0))
    : "the end of the text";
  fail(scan, `not valid JSON: expected ${wanted}, found ${found}`, at);
}

function fail(scan: Scan, message: string, at: number): never {
  let path = "$";
  for (const step of scan.path) {
    path += typeof step === "number"
      ? `[${step}]`
      : /^[A-Za-z_]\w*$/.test(step)
      ? `.${step}`
      : `[${echo(step)}]`;
  }
  throw badRequest(scan.text, at, message, ` in ${path.length > 40 ? `${path.slice(0, 40)}…` : path}`);
}

function badRequest(text: string, at: number, message: string, where = ""): DfdbError {
  const offset = utf8(text.slice(0, at)).length;
  return new DfdbError("bad_request", `${message}, at byte ${offset}${where}`, { details: { offset } });
}

/** A piece of input for a message: short, and without control characters when quoted. */
function echo(input: string, mark = '"'): string {
  const clipped = input.length > echoCharsMax ? `${input.slice(0, echoCharsMax)}…` : input;
  return mark === "" ? clipped : JSON.stringify(clipped);
}
