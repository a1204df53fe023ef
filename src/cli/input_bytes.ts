/** A file or standard input, chunk by chunk. */
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";

export interface InputBytes {
  /** Null: standard input. */
  readonly name: string | null;
  /** To be read once. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** How much of it was read, 0 to 1; null: nobody knows. */
  part(): number | null;
  close(): Promise<void>;
}

const chunkBytes = 256 * 1024;

/** `given`: a file, or `-`. Rejects with `not_found`, `io_error`. */
export async function inputBytes({ files, process }: Runtime, given: string): Promise<InputBytes> {
  if (given === "-") {
    if (process.terminal.stdinIsTerminal) {
      process.stderr("reading from the terminal; ^D ends the input\n");
    }
    return {
      name: null,
      chunks: process.terminal.stdin(),
      part: () => null,
      close: () => Promise.resolve(),
    };
  }
  const file = await files.openRead(given);
  if (file === null) throw new DfdbError("not_found", `There is no file ${given}`);
  let read = 0;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await file!.read(read, chunkBytes);
      if (chunk.length === 0) return;
      read += chunk.length;
      yield chunk;
    }
  }
  return {
    name: given,
    chunks: chunks(),
    part: () => file.size === 0 ? 1 : read / file.size,
    close: () => file.close(),
  };
}
