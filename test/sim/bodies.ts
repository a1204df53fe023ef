/**
 * Documents that tell by themselves whether they came through whole: the first member is a tag, unique in the world, the
 * last a checksum of the text before it. Between them is what databases get wrong.
 */
import { utf8 } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/crc32.ts";
import type { Chance } from "./chance.ts";

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
export function members(tag: string, bytes: number, draw: Chance): readonly string[] {
  const list = [`"tag":${JSON.stringify(tag)}`];
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

/** What is wrong with a stored document (its text without what the server put before it); null: nothing. */
export function damage(stored: string): string | null {
  const match = /^\{"tag":"[^"]+"[^]*,"sum":"([0-9a-f]{8})"\}$/.exec(stored);
  if (match === null) return `it is cut or not one of ours: ${stored.slice(0, 80)}`;
  const sum = sumOf(stored.slice(1, -`,"sum":"00000000"}`.length));
  return sum === match[1] ? null : `its checksum is ${sum}, not ${match[1]}: ${stored.slice(0, 80)}`;
}

function sumOf(text: string): string {
  return crc32(utf8(text)).toString(16).padStart(8, "0");
}
