import { DfdbError } from "../../src/base/errors.ts";
import type { Workers } from "../../src/runtime/runtime.ts";

/** Not built yet: the seam is there so that callers can be written. */
export const workers: Workers = {
  start: () => {
    throw new DfdbError("not_built", "workers are not built yet");
  },
};
