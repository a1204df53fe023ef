/** JSON texts taken apart without writing what is in them anew, so that numbers and order stay as they came. */
import { utf8, utf8Text } from "../base/bytes.ts";
import { arrayElements } from "../document/json_array.ts";
import { objectMembers } from "../document/json_members.ts";
import { documentBody, nestingMaxLimit } from "../document/json_text.ts";

/** Members of the object in `text`, each value as its text. Throws `bad_request` for no object; values are not checked. */
export function memberTexts(text: string): ReadonlyMap<string, string> {
  return new Map([...objectMembers(utf8(text))].map(([name, value]) => [name, utf8Text(value)]));
}

/** Elements of the array in `text`, each as its text. Throws `bad_request`. */
export function elementTexts(text: string): readonly string[] {
  return [...arrayElements(utf8(text), { bulkDocumentsMax: Infinity })].map((element) => utf8Text(element));
}

/** A document's text without what a server adds: `_id`, `_etag`, `@metadata`. Throws `bad_request`. */
export function storedText(text: string): string {
  const limits = { bytesMax: Infinity, nestingMax: nestingMaxLimit };
  return utf8Text(documentBody(utf8(text), limits).body);
}
