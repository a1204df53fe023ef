/** `main` with a process of the test's own: arguments, input, a terminal or none, and what was printed. */
import { main } from "../../src/cli/main.ts";
import type { Clock, Runtime } from "../../src/runtime/runtime.ts";
import type { EditedLine, LineEditorOptions, Terminal } from "../../src/runtime/terminal.ts";
import { currentRuntime } from "./current_runtime.ts";

export interface CliOptions {
  /** Chunks of standard input. */
  readonly stdin?: readonly (string | Uint8Array)[];
  /** Columns of a terminal on standard output; null: there is none. */
  readonly columns?: number | null;
  /** Standard error is a terminal. */
  readonly stderrIsTerminal?: boolean;
  /** What somebody types at a terminal; functions are called in between. */
  readonly typed?: readonly (string | EditedLine | (() => void))[];
  readonly env?: Readonly<Record<string, string>>;
  readonly fetch?: Runtime["fetch"];
  readonly clock?: Clock;
  /** Whoever reads standard output goes away after so many writes. */
  readonly readsMax?: number;
}

export interface CliRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly prompts: readonly string[];
  /** What the editor was given. */
  readonly history: readonly string[];
}

const bytes = (text: string | Uint8Array): Uint8Array =>
  typeof text === "string" ? new TextEncoder().encode(text) : text;

/** What a running command is told. */
export interface Levers {
  /** SIGINT to the process. */
  interrupt(): void;
  /** ^C at the editor, while it asks for nothing. */
  controlC(): void;
}

export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
  watch: (levers: Levers) => void = () => {},
): Promise<CliRun> {
  const { stdin = [], columns = null, typed, env = {}, readsMax = Infinity } = options;
  const real = currentRuntime(), prompts: string[] = [], stops = new Set<(name: "SIGINT") => void>();
  const interrupts = new Set<() => void>();
  let out = "", err = "", writes = 0, history: readonly string[] = [];
  const terminal: Terminal = {
    stdinIsTerminal: typed !== undefined,
    stderrIsTerminal: options.stderrIsTerminal === true,
    get stdoutIsOpen() {
      return writes < readsMax;
    },
    async *stdin() {
      for (const chunk of stdin) yield bytes(chunk);
    },
    editLines(given: LineEditorOptions) {
      history = given.history;
      const lines = [...typed ?? []];
      return {
        line(prompt) {
          prompts.push(prompt);
          for (;;) {
            const next = lines.shift();
            if (typeof next === "function") next();
            else if (typeof next === "string") return Promise.resolve({ kind: "line", text: next });
            else return Promise.resolve(next ?? { kind: "end" });
          }
        },
        onInterrupt(run) {
          interrupts.add(run);
          return () => void interrupts.delete(run);
        },
        close: () => {},
      };
    },
  };
  watch({
    interrupt: () => stops.forEach((stop) => stop("SIGINT")),
    controlC: () => interrupts.forEach((run) => run()),
  });
  const code = await main({
    ...real,
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    process: {
      ...real.process,
      args,
      env,
      columns,
      stdoutIsTerminal: columns !== null,
      terminal,
      stdout(text) {
        writes++;
        out += text;
      },
      stderr: (text) => void (err += text),
      onStopSignal(run) {
        stops.add(run);
        return () => void stops.delete(run);
      },
    },
  });
  return { code, out, err, prompts, history };
}
