/** Text to a file or to standard output, as it comes. */
import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";

export interface OutputText {
  /** False: nobody takes more. */
  write(text: string): Promise<boolean>;
  /** All of it is on the disk when this resolves. */
  end(): Promise<void>;
  /** After a failure: what was written stays. */
  close(): Promise<void>;
}

const heldChars = 256 * 1024;

/** `given`: a file that is made or, with `force`, written anew; `-` is standard output. Rejects with `conflict`, `io_error`. */
export async function outputText(
  { files, process }: Runtime,
  given: string,
  force: boolean,
): Promise<OutputText> {
  let held = "", at = 0;
  if (given === "-") {
    const flush = (): void => {
      if (held !== "") process.stdout(held);
      held = "";
    };
    return {
      write(text) {
        held += text;
        if (held.length >= heldChars || process.stdoutIsTerminal) flush();
        return Promise.resolve(process.terminal.stdoutIsOpen);
      },
      end: () => Promise.resolve(flush()),
      close: () => Promise.resolve(flush()),
    };
  }
  if (!force && await files.size(given) !== null) {
    throw new DfdbError("conflict", `${given} is there already; --force writes it anew`);
  }
  const file = await files.openWrite(given, { truncate: true });
  const flush = async (): Promise<void> => {
    const bytes = utf8(held);
    held = "";
    await file.write(at, bytes);
    at += bytes.length;
  };
  return {
    async write(text) {
      held += text;
      if (held.length >= heldChars) await flush();
      return true;
    },
    async end() {
      await flush();
      await file.sync();
      await file.close();
    },
    close: () => file.close(),
  };
}
