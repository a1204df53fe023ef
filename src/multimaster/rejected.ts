/** What a sender sent and this database cannot keep, to the letter: the documents `Raven/Replication/Rejected/{key}`. */
import { hex, utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId, WallMs } from "../base/ids.ts";
import { documentIdOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { documentId } from "../document/names.ts";
import type { Crypto } from "../runtime/runtime.ts";
import type { ReceivedKey } from "./batch_read.ts";
import type { Sender } from "./incoming_types.ts";

export const rejectedPrefix = "Replication/Rejected/";
/** Of all elements of one key, and as they stand in the document: what is larger is told by its size alone. */
const keptBytesMax = limits.entryBytesMax / 2, storedBytesMax = limits.entryBytesMax / 4 * 3;
/** Arguments of one call. */
const base64Bytes = 8_192;
/** Of a key that no document could have. */
const hashDigits = 32;

/** Of a key whose text is no id: by the hash of it, which stands in the document. */
export function rejectedId(key: string, sha256: Crypto["sha256"]): DocumentId {
  try {
    return documentId(rejectedPrefix + key);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return documentIdOf(`${rejectedPrefix}#${hex(sha256(utf8(key))).slice(0, hashDigits)}`);
  }
}

/** With what the document of a key begins that this one sent. */
export function rejectedStart(key: string, { databaseId }: Sender): string {
  return `{"Key":${JSON.stringify(key)},"ServerInstanceId":"${databaseId}",`;
}

/** All but the time at its end: the same as long as the same is sent and refused for the same reason. */
export function rejectedText({ text, elements }: ReceivedKey, reason: string, sender: Sender): string {
  const bytes = elements.reduce((sum, { length }) => sum + length, 0);
  const told = { Source: sender.url, Reason: reason, Bytes: bytes };
  const whole = bytes <= keptBytesMax ? JSON.stringify({ ...told, Versions: elements.map(elementOf) }) : null;
  const rest = whole !== null && utf8(whole).length <= storedBytesMax
    ? whole
    : JSON.stringify({ ...told, Versions: null });
  return `${rejectedStart(text, sender)}${rest.slice(1, -1)}`;
}

export function rejectedAt(wallMs: WallMs): string {
  return `,"RejectedAt":"${new Date(wallMs).toISOString()}"}`;
}

/** As text, because it need not be JSON; base64 where it is not even text. */
function elementOf(element: Uint8Array): string | { readonly Base64: string } {
  try {
    return utf8Text(element);
  } catch {
    let binary = "";
    for (let at = 0; at < element.length; at += base64Bytes) {
      binary += String.fromCharCode(...element.subarray(at, at + base64Bytes));
    }
    return { Base64: btoa(binary) };
  }
}
