import { DfdbError } from "../../base/errors.ts";
import type { Seq } from "../../base/ids.ts";

/** An entry that what is here cannot have come before. */
export function otherwise(seq: Seq, what: string): DfdbError {
  return new DfdbError("diverged", `entry ${seq} does not fit this database: ${what}`, { details: { seq } });
}
