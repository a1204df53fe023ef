import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import { parse } from "../../src/query/parse.ts";

/** What is thrown for a text: a `bad_request` whose details say the same as its message. */
export function refused(text: string): string {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof DfdbError && error.code === "bad_request", String(error));
    const { line, column, expected } = error.details;
    assert.ok(error.message.includes(` (line ${line}, column ${column})`), error.message);
    assert.equal(error.message.split("; expected ")[1], expected, error.message);
    return error.message;
  }
  return "parsed";
}
