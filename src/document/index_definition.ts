import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { eachStep } from "./json_find.ts";
import { hasEach, pathKey } from "./json_path.ts";
import type { IndexDefinition } from "./operation.ts";

/** Why no index can be so; null: all is well. */
export function indexFault({ name, unique, time, paths }: IndexDefinition): string | null {
  if (name.length === 0 || !name.isWellFormed()) return "the name of an index is text";
  if (name.length > limits.indexNameCharsMax) {
    return `the name of an index may have ${limits.indexNameCharsMax} characters, not ${name.length}`;
  }
  if (paths.length === 0) return "an index has a path";
  if (paths.length > limits.indexPathsMax) {
    return `an index may have ${limits.indexPathsMax} paths, not ${paths.length}`;
  }
  for (const path of paths) {
    const fault = pathFault(path);
    if (fault !== null) return fault;
  }
  if (paths.filter(hasEach).length > 1) return "one path of an index may have a [*], not several";
  if (new Set(paths.map(pathKey)).size < paths.length) return "the paths of an index are not the same";
  if (!time) return null;
  if (unique) return "an index of moments is not unique";
  return paths.length > 1 || paths.some(hasEach) ? "an index of moments has one path, without [*]" : null;
}

/** Throws `bad_request` where no index can be so. */
export function checkIndex(definition: IndexDefinition): void {
  const fault = indexFault(definition);
  if (fault !== null) throw new DfdbError("bad_request", fault);
}

function pathFault(path: IndexDefinition["paths"][number]): string | null {
  if (path.length === 0) return "a path of an index leads to something within the document";
  if (pathKey(path).length > limits.indexPathCharsMax) {
    return `a path of an index may have ${limits.indexPathCharsMax} characters`;
  }
  for (const step of path) {
    if (step === eachStep) continue;
    if (typeof step === "number" ? !isPlace(step) : !isName(step)) {
      return "a step of a path is a name without U+0000, or a position in an array from 0 to 2147483647";
    }
  }
  return null;
}

const isPlace = (step: number): boolean => Number.isSafeInteger(step) && step >= 0 && step < 2 ** 31;
const isName = (step: string): boolean => step.isWellFormed() && !step.includes("\u0000");
