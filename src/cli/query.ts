/** `dfdb query`: one statement or several against a node or a file. */
import { Command } from "commander";
import { concat, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ParameterText, QueryFacts } from "./query_client.ts";
import { runStatement } from "./query_client.ts";
import { printStatementError } from "./query_error.ts";
import type { RowMode } from "./rows.ts";
import { rowPrinter } from "./rows.ts";
import { isBlank, splitStatements } from "./statements.ts";
import { duration, number, plain } from "./table.ts";
import type { Target } from "./target.ts";
import { stopSignal, withTarget } from "./target.ts";

/** As given on the command line. */
export interface QueryFlags {
  readonly apiKey?: string;
  readonly json?: true;
  readonly csv?: true;
  readonly table?: true;
  readonly param?: readonly string[];
  readonly params?: string;
  readonly quiet?: true;
}

export function queryCommand(
  run: (target: string, sql: string, flags: QueryFlags) => Promise<void>,
): Command {
  return new Command("query")
    .description("run statements of the query language against a node or a database file")
    .argument("<url|file>", "HTTP address of a node, or a database file that no node has open")
    .argument("<sql>", 'the statement; several are separated by ";"; - reads them from standard input')
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--json", "print a JSON object a line (default when the output is no terminal)")
    .option("--csv", "print CSV")
    .option("--table", "print a table (default on a terminal)")
    .option(
      "--param <name=value>",
      "a parameter :name, a JSON value or text as it is; several times",
      (value: string, before: readonly string[] | undefined) => [...before ?? [], value],
    )
    .option("--params <json>", "all parameters: a JSON array for ?, an object for :name")
    .option("--quiet", "do not print plan and time on standard error")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      `
Examples:
  dfdb query localhost:5000 "SELECT * FROM orders WHERE total > 10 ORDER BY total DESC LIMIT 5"
  dfdb query shop.dfdb "SELECT * FROM orders WHERE status = :status" --param status=paid --csv
  dfdb query localhost:5000 - < report.sql

Exit code: 0, 1 when a statement was refused; those after it are not run.`,
    )
    .action((target: string, sql: string, flags: QueryFlags) => run(target, sql, flags));
}

/** Answers the exit code. */
export async function query(
  runtime: Runtime,
  given: string,
  sql: string,
  flags: QueryFlags,
): Promise<number> {
  const mode = modeOf(runtime, flags), parameters = parametersOf(flags);
  const text = sql === "-" ? await standardInput(runtime) : sql;
  const { statements, rest } = splitStatements(text);
  const wanted = isBlank(rest) ? statements : [...statements, rest];
  if (wanted.length === 0) throw new DfdbError("bad_request", "there is no statement");
  return await withTarget(runtime, given, { apiKey: flags.apiKey }, async (target) => {
    for (const statement of wanted) {
      if (!await one(runtime, target, statement, { mode, parameters, quiet: flags.quiet === true })) return 1;
    }
    return 0;
  });
}

async function one(
  runtime: Runtime,
  target: Target,
  sql: string,
  { mode, parameters, quiet }: { mode: RowMode; parameters: ParameterText; quiet: boolean },
): Promise<boolean> {
  const stop = stopSignal(runtime);
  try {
    const facts = await printed(runtime, target, { sql, parameters, mode, signal: stop.signal });
    if (!quiet && facts !== null) runtime.process.stderr(factsLine(facts));
    return true;
  } catch (error) {
    printStatementError(runtime, error, sql, target.url);
    return false;
  } finally {
    stop.end();
  }
}

/** Runs a statement and prints its rows. Null: whoever read them has gone. */
export async function printed(
  { process }: Runtime,
  target: Target,
  { mode, signal, ...statement }: {
    readonly sql: string;
    readonly parameters?: ParameterText;
    readonly mode: RowMode;
    readonly signal: AbortSignal;
  },
): Promise<QueryFacts | null> {
  const rows = rowPrinter(process, mode), gone = new AbortController();
  try {
    const facts = await runStatement(target, {
      ...statement,
      signal: AbortSignal.any([signal, gone.signal]),
      onRow(text) {
        rows.row(text);
        if (process.terminal.stdoutIsOpen) return;
        gone.abort();
        throw new DfdbError("closing", "nobody reads the output any more");
      },
    });
    rows.end();
    return facts;
  } catch (error) {
    if (gone.signal.aborted) return null;
    rows.end(); // what came before the failure is not lost
    throw error;
  }
}

/** `3 rows, INDEX_SCAN(by_status), 2 ms`. */
export function factsLine({ plan, count, affected, message, executionMs }: QueryFacts): string {
  const counted = message ??
    (affected !== null && affected > 0
      ? `${number(affected)} changed`
      : `${number(count)} ${count === 1 ? "row" : "rows"}`);
  const parts = [counted, ...(plan === null ? [] : [plan])];
  if (executionMs !== null) parts.push(duration(executionMs));
  return `${plain(parts.join(", "))}\n`;
}

function modeOf({ process }: Runtime, { json, csv, table }: QueryFlags): RowMode {
  const asked = [json && "json", csv && "csv", table && "table"].filter((mode) => typeof mode === "string");
  if (asked.length > 1) throw new DfdbError("bad_request", "give one of --json, --csv and --table");
  return asked[0] as RowMode | undefined ?? (process.stdoutIsTerminal ? "table" : "json");
}

/** JSON text, in which numbers stay as they were written. Throws `bad_request`. */
export function parametersOf({ param = [], params }: Pick<QueryFlags, "param" | "params">): ParameterText {
  if (params !== undefined) {
    if (param.length > 0) throw new DfdbError("bad_request", "give --params or --param, not both");
    const value = parsed(params);
    if (typeof value !== "object" || value === null) {
      throw new DfdbError("bad_request", `--params: expected a JSON array or object, not ${params}`);
    }
    return params;
  }
  if (param.length === 0) return null;
  const members = new Map<string, string>();
  for (const text of param) {
    const [, name, value] = /^([A-Za-z_]\w*)=([^]*)$/.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw new DfdbError("bad_request", `--param: expected name=value, not ${text}`);
    }
    if (members.has(name)) throw new DfdbError("bad_request", `--param: ${name} is given twice`);
    members.set(name, parsed(value) === undefined ? JSON.stringify(value) : value);
  }
  return `{${[...members].map(([name, value]) => `"${name}":${value}`).join(",")}}`;
}

/** Undefined: it is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function standardInput({ process }: Runtime): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.terminal.stdin()) chunks.push(chunk);
  try {
    return utf8Text(concat(chunks));
  } catch (cause) {
    throw new DfdbError("bad_request", "standard input is not UTF-8", { cause });
  }
}
