import process from "node:process";
import { createInterface } from "node:readline";
import type { EditedLine, LineEditor, LineEditorOptions, Terminal } from "../../src/runtime/terminal.ts";
import { failure } from "./file_tools.ts";

/** Where an editor reads and writes; standard input and output but in tests. */
export interface EditorStreams {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

/** Lines through node:readline, which all three runtimes have. */
export function lineEditor(
  { history, historyMax }: LineEditorOptions,
  { input, output }: EditorStreams,
): LineEditor {
  const lines = createInterface({
    input,
    output,
    terminal: true,
    history: [...history],
    historySize: historyMax,
    removeHistoryDuplicates: true,
  });
  const interrupts = new Set<() => void>();
  // What was typed, or pasted, before it was asked for.
  const waiting: EditedLine[] = [];
  let asked: ((line: EditedLine) => void) | null = null, over = false;
  const give = (line: EditedLine): void => {
    const answer = asked;
    asked = null;
    if (answer === null) waiting.push(line);
    else answer(line);
  };
  lines.on("line", (text: string) => give({ kind: "line", text }));
  lines.on("close", () => {
    over = true;
    give({ kind: "end" });
  });
  lines.on("SIGINT", () => {
    if (asked === null) {
      for (const run of interrupts) run();
      return;
    }
    output.write("^C\n");
    lines.write(null, { ctrl: true, name: "e" });
    lines.write(null, { ctrl: true, name: "u" });
    give({ kind: "interrupt" });
  });
  return {
    line(prompt) {
      const next = waiting.shift() ?? (over ? { kind: "end" } as const : undefined);
      if (next !== undefined) return Promise.resolve(next);
      return new Promise((resolve) => {
        asked = resolve;
        lines.setPrompt(prompt);
        lines.prompt();
      });
    },
    onInterrupt(run) {
      interrupts.add(run);
      return () => void interrupts.delete(run);
    },
    close: () => lines.close(),
  };
}

async function* stdin(): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of process.stdin) {
      yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk as Uint8Array;
    }
  } catch (error) {
    throw failure("read", "standard input", error);
  }
}

/** From node:process, the same on all three runtimes. `stdoutIsOpen`: see `processHost`, which writes. */
export function terminalOf(stdoutIsOpen: () => boolean): Terminal {
  return {
    get stdinIsTerminal() {
      return process.stdin.isTTY === true;
    },
    get stderrIsTerminal() {
      return process.stderr.isTTY === true;
    },
    get stdoutIsOpen() {
      return stdoutIsOpen();
    },
    stdin,
    editLines: (options) => lineEditor(options, { input: process.stdin, output: process.stdout }),
  };
}
