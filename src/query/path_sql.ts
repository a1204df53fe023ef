/** Paths as SQLite's JSON functions take them. They are bound to a statement, never part of its text. */
import type { PathExpression } from "./ast.ts";
import { refusal } from "./catalog.ts";

export { hasEach, jsonPath, partsAtEach, pathKey } from "../document/json_path.ts";

/** Throws `bad_request` for a path that SQLite cannot be asked for. */
export function checkPath(path: PathExpression): void {
  for (const step of path.steps) {
    if (typeof step === "string" && step.includes("\u0000")) {
      throw refusal("a name in a path cannot have the character U+0000", path.at);
    }
    if (typeof step === "number" && !(Number.isSafeInteger(step) && step >= 0 && step < 2 ** 31)) {
      throw refusal(`a position in an array is a number from 0 to ${2 ** 31 - 1}`, path.at);
    }
  }
}
