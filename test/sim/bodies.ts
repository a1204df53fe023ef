/**
 * Documents that tell by themselves whether they came through whole: the first member is a tag, unique in the world, the
 * last a checksum of the text before it. Between them is what databases get wrong.
 */
import { utf8 } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/crc32.ts";
import type { Chance } from "./chance.ts";
import type { Features } from "./features.ts";
import { hasFields } from "./features.ts";

/** What a document's checksum is once a part of it was changed. */
export const editedSum = "edited";

/** Values of the field `kind`; what documents are found by. */
export const kinds: readonly string[] = ["k0", "k1", "k2", "k3"];
/** Most of `size` that a schema may allow. */
export const sizeMax = 1_000;

/**
 * Members by which documents are found, changed, limited and given up, as their texts. `tag` makes the one that a unique index may be on
 * unique, but for `clashes` of them; `wallMs`: about what the clock of a node says.
 */
export function fields(
  features: Features,
  tag: string,
  wallMs: number,
  draw: Chance,
  clashes = 0.1,
): readonly string[] {
  if (!hasFields(features)) return [];
  const list = [`"kind":"${draw.pick(kinds)}"`, `"size":${draw.below(sizeMax)}`];
  if (features.index && draw.flip(0.7)) list.push(`"serial":${JSON.stringify(serial(tag, draw, clashes))}`);
  if (features.ttl && draw.flip(0.6)) list.push(`"ends":${ends(wallMs, draw)}`);
  return list;
}

/** Value of the field `serial`; `clashes`: how often it is one that others have, too. */
export function serial(tag: string, draw: Chance, clashes = 0.1): string {
  return draw.flip(clashes) ? `s${draw.below(6)}` : `s-${tag}`;
}

/** Soon, long ago, in the far future, as a number or as a text; or no time at all. */
function ends(wallMs: number, draw: Chance): string {
  if (draw.flip(0.1)) return '"never"';
  const at = Math.floor(wallMs + (draw.flip(0.2) ? 9e9 : draw.between(-3_000, 12_000)));
  return draw.flip(0.2) ? `"${new Date(at).toISOString()}"` : `${at}`;
}

/** Members that must come back to the letter. */
const awkward: readonly string[] = [
  '"n":1.50,"m":-0,"e":1E+2,"z":100000000000000000000',
  '"__proto__":{"polluted":1},"constructor":{"prototype":{"x":1}}',
  '"":"","toString":null,"hasOwnProperty":1',
  '"s":"\\ud83d\\ude00 \\u2028 \\u0000 \\/"',
  '"lone":"\\ud800"',
  '"ü":"😀 漢字 \u2028","\\u0061":"escaped key"',
  `"deep":${"[".repeat(90)}${"]".repeat(90)}`,
  '"inner":{"_id":"x","_etag":"y","tag":"not this one","@metadata":{}},"text":"}],{\\"_id\\":1"',
  '"empty":[{},[],"",null,false]',
];

/** The members of a document of about `bytes`: what is stored of it, without its braces. */
export function members(
  tag: string,
  bytes: number,
  draw: Chance,
  own: readonly string[] = [],
): readonly string[] {
  const list = [`"tag":${JSON.stringify(tag)}`, ...own];
  if (draw.flip(0.3)) list.push(draw.pick(awkward));
  const length = list.reduce((sum, member) => sum + member.length + 1, 40);
  if (length < bytes) list.push(`"pad":"${"p".repeat(Math.floor(bytes - length))}"`);
  return [...list, `"sum":"${sumOf(list.join(","))}"`];
}

/** A document as it is sent: with its id where one is given, and with what the server leaves out. */
export function sent(list: readonly string[], id: string | null, draw: Chance): string {
  const all = [...list], add = (member: string) => void all.splice(draw.below(all.length), 0, member);
  if (id !== null) {
    if (draw.flip(0.7)) all.unshift(`"_id":${JSON.stringify(id)}`);
    else add(`"_id":${JSON.stringify(id)}`);
  }
  if (draw.flip(0.1)) add('"_etag":"1.00000000-1"');
  if (draw.flip(0.05)) add('"@metadata":{"n":[1,2]}');
  return draw.flip(0.1) ? `{ ${all.join(" ,\n")}\t}` : `{${all.join(",")}}`;
}

/** Whether a stored document, as a value, was changed in a part by those who knew nothing of the rest. */
export function isEdited({ sum }: Readonly<Record<string, unknown>>): boolean {
  return sum === editedSum;
}

/** What is wrong with a stored document that nobody has edited (its text without what the server put before it); null: nothing. */
export function damage(stored: string): string | null {
  const match = /^\{"tag":"[^"]+"[^]*,"sum":"([0-9a-f]{8})"\}$/.exec(stored);
  if (match === null) return `it is cut or not one of ours: ${stored.slice(0, 80)}`;
  const sum = sumOf(stored.slice(1, -`,"sum":"00000000"}`.length));
  return sum === match[1] ? null : `its checksum is ${sum}, not ${match[1]}: ${stored.slice(0, 80)}`;
}

function sumOf(text: string): string {
  return crc32(utf8(text)).toString(16).padStart(8, "0");
}
