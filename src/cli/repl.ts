/** `dfdb repl`: statements one after the other, by hand or out of a pipe. */
import { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import { version } from "../node/version.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { EditedLine, LineEditor } from "../runtime/terminal.ts";
import { factsLine, printed } from "./query.ts";
import { printStatementError } from "./query_error.ts";
import type { ReplState } from "./repl_commands.ts";
import { replCommand as runWord } from "./repl_commands.ts";
import type { History } from "./repl_history.ts";
import { historyMax, openHistory } from "./repl_history.ts";
import { isBlank, splitStatements } from "./statements.ts";
import type { Target } from "./target.ts";
import { stopSignal, withTarget } from "./target.ts";

/** As given on the command line. */
export interface ReplFlags {
  readonly apiKey?: string;
}

export function replCommand(run: (target: string, flags: ReplFlags) => Promise<void>): Command {
  return new Command("repl")
    .description("run statements of the query language by hand")
    .argument("<url|file>", "HTTP address of a node, or a database file that no node has open")
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      `
Statements end with ; and .help names the words. What was typed is kept in dfdb/history of the folder for state
(XDG_STATE_HOME, ~/.local/state).

Examples:
  dfdb repl localhost:5000
  dfdb repl shop.dfdb < statements.sql

Exit code: 0; out of a pipe 1 when a statement was refused.`,
    )
    .action((target: string, flags: ReplFlags) => run(target, flags));
}

/** Answers the exit code. */
export async function repl(runtime: Runtime, given: string, flags: ReplFlags): Promise<number> {
  const { process } = runtime, byHand = process.terminal.stdinIsTerminal;
  return await withTarget(runtime, given, { apiKey: flags.apiKey }, async (target) => {
    const history = byHand ? await openHistory(runtime) : null;
    const editor = history === null
      ? pipedLines(runtime)
      : process.terminal.editLines({ history: history.lines, historyMax });
    if (byHand) process.stdout(`dfdb ${version}, ${target.name}; .help names the words, ^D ends\n`);
    const session = new Session(runtime, target, editor, history);
    try {
      const refused = await session.run();
      return refused && !byHand ? 1 : 0;
    } finally {
      editor.close();
    }
  });
}

class Session {
  readonly #runtime: Runtime;
  readonly #target: Target;
  readonly #editor: LineEditor;
  /** Null: out of a pipe. */
  readonly #history: History | null;
  readonly #state: ReplState;
  /** What was typed of a statement. */
  #typed = "";
  #refused = false;

  constructor(runtime: Runtime, target: Target, editor: LineEditor, history: History | null) {
    this.#runtime = runtime;
    this.#target = target;
    this.#editor = editor;
    this.#history = history;
    const { stdoutIsTerminal } = runtime.process;
    this.#state = { mode: stdoutIsTerminal ? "table" : "json", plan: history !== null, over: false };
  }

  /** True when something was refused. */
  async run(): Promise<boolean> {
    while (!this.#state.over) {
      const line = await this.#editor.line(this.#typed === "" ? "dfdb> " : " ...> ");
      if (line.kind === "end") {
        await this.#end();
        break;
      }
      if (line.kind === "interrupt") this.#typed = "";
      else await this.#take(line.text);
    }
    return this.#refused;
  }

  async #take(text: string): Promise<void> {
    if (this.#typed === "" && text.trimStart().startsWith(".")) {
      await this.#history?.add(text);
      await this.#guarded(text, (signal) => runWord(this.#runtime, this.#target, this.#state, text, signal));
      return;
    }
    const { statements, rest } = splitStatements(this.#typed === "" ? text : `${this.#typed}\n${text}`);
    // Before it is run: what takes this process down can be found again.
    for (const statement of statements) await this.#history?.add(`${statement};`);
    this.#typed = rest.trim() === "" ? "" : rest;
    for (const statement of statements) await this.#statement(statement);
  }

  /** The last statement of a pipe needs no `;`. */
  async #end(): Promise<void> {
    if (this.#history !== null) this.#runtime.process.stdout("\n");
    else if (!isBlank(this.#typed)) await this.#statement(this.#typed);
  }

  async #statement(sql: string): Promise<void> {
    const { process } = this.#runtime, { mode, plan } = this.#state;
    await this.#guarded(sql, async (signal) => {
      const facts = await printed(this.#runtime, this.#target, { sql, mode, signal });
      if (facts === null) this.#state.over = true;
      else if (plan) process.stderr(factsLine(facts));
    });
  }

  /** ^C and signals end `run`; what it rejects with is said. */
  async #guarded(sql: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const stop = stopSignal(this.#runtime), interrupted = new AbortController();
    const unlisten = this.#editor.onInterrupt(() =>
      interrupted.abort(new DfdbError("closing", "stopped by ^C"))
    );
    try {
      await run(AbortSignal.any([stop.signal, interrupted.signal]));
    } catch (error) {
      this.#refused = true;
      printStatementError(this.#runtime, error, sql, this.#target.url);
      // By a signal it is the program that was meant.
      if (stop.signal.aborted) this.#state.over = true;
    } finally {
      unlisten();
      stop.end();
    }
  }
}

/** Lines of standard input, for one who does not edit. */
function pipedLines({ process }: Runtime): LineEditor {
  const lines = splitLines(process.terminal.stdin());
  return {
    async line(): Promise<EditedLine> {
      const { done, value } = await lines.next();
      return done === true ? { kind: "end" } : { kind: "line", text: value };
    },
    onInterrupt: () => () => {},
    close: () => {},
  };
}

async function* splitLines(input: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of input) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}
