import { CborReader, type CborRules } from "../base/cbor_reader.ts";
import { DfdbError } from "../base/errors.ts";

/** A refusal of a body that is not what PROTOCOL.md section 2 allows. */
export function badBody(what: string): DfdbError {
  return new DfdbError("bad_frame", `a message is malformed: ${what}`);
}

const rules: CborRules = { canonical: false, error: badBody };

/** A cursor over the CBOR of a body. Every method throws DfdbError `bad_frame`. */
export function bodyReader(body: Uint8Array): CborReader {
  return new CborReader(body, 0, rules);
}

/** Refuses a body that is not exactly one allowed item; a lenient decoder may then read it safely. */
export function checkBody(body: Uint8Array): void {
  const reader = bodyReader(body);
  reader.skip();
  reader.end();
}
