/** The command line: `main(runtime)` parses, runs one subcommand and answers the exit code. */
import { Command, CommanderError } from "commander";
import { DfdbError, messageOf } from "../base/errors.ts";
import { version } from "../node/version.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { acceptLoss, acceptLossCommand } from "./accept_loss.ts";
import { autoFailoverCommand, setAutoFailover } from "./auto_failover.ts";
import { compact, compactCommand } from "./compact.ts";
import { addConflictsCommand } from "./conflicts.ts";
import { addDatabaseOption } from "./database_option.ts";
import { addDatabasesCommand } from "./databases.ts";
import { exportCommand, exportDocuments } from "./export.ts";
import { handover, handoverCommand } from "./handover.ts";
import { importCommand, importDocuments } from "./import.ts";
import { inspectCommand, inspectFile } from "./inspect.ts";
import { addMastersCommand } from "./masters.ts";
import { newIdentity, newIdentityCommand } from "./new_identity.ts";
import { promote, promoteCommand } from "./promote.ts";
import { query, queryCommand } from "./query.ts";
import { readOnlyCommand, setReadOnly } from "./read_only.ts";
import { repl, replCommand } from "./repl.ts";
import { addRescuedCommand } from "./rescued.ts";
import { seed, seedCommand } from "./seed.ts";
import { serve, serveCommand } from "./serve.ts";
import { showStatus, statusCommand } from "./status.ts";
import { verifyCommand, verifyNodes } from "./verify.ts";

/** Runs dfdb with the arguments of the process. Never throws; the exit code is 0, 1, or what the subcommand says. */
export async function main(runtime: Runtime): Promise<number> {
  const { process } = runtime;
  let exitCode = 0;
  const program = new Command("dfdb")
    .description("A replicated JSON document database: one process, one file.")
    .version(`dfdb ${version}\n${runtime.name} ${runtime.version}`, "-v, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print help for a command")
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => process.stdout(text),
      writeErr: (text) => process.stderr(text),
      outputError: (text, write) => write(text.replace(/^error: /, "ERROR: ")),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  addCommands(program, runtime, (code) => exitCode = code);
  try {
    if (process.args.length === 0) program.outputHelp();
    else await program.parseAsync([...process.args], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    process.stderr(`ERROR: ${error instanceof DfdbError ? error.message : messageOf(error)}\n`);
    return 1;
  }
  return exitCode;
}

/** `end` takes the exit code of the subcommand that ran. */
function addCommands(program: Command, runtime: Runtime, end: (exitCode: number) => void): void {
  const commands = [
    serveCommand(async (flags) => end(await serve(runtime, flags))),
    statusCommand(async (urls, flags) => end(await showStatus(runtime, urls, flags))),
    verifyCommand(async (urls, flags) => end(await verifyNodes(runtime, urls, flags))),
    handoverCommand(async (flags) => end(await handover(runtime, flags))),
    promoteCommand(async (url, flags) => end(await promote(runtime, url, flags))),
    readOnlyCommand(async (url, wanted, flags) => end(await setReadOnly(runtime, url, wanted, flags))),
    autoFailoverCommand(async (url, wanted, flags) =>
      end(await setAutoFailover(runtime, url, wanted, flags))
    ),
    acceptLossCommand(async (url, flags) => end(await acceptLoss(runtime, url, flags))),
    queryCommand(async (target, sql, flags) => end(await query(runtime, target, sql, flags))),
    replCommand(async (target, flags) => end(await repl(runtime, target, flags))),
    inspectCommand(async (file, flags) => end(await inspectFile(runtime, file, flags))),
    importCommand(async (input, target, flags) => end(await importDocuments(runtime, input, target, flags))),
    exportCommand(async (target, flags) => end(await exportDocuments(runtime, target, flags))),
    seedCommand(async (target, flags) => end(await seed(runtime, target, flags))),
    compactCommand(async (target, flags) => end(await compact(runtime, target, flags))),
    newIdentityCommand(async (file) => end(await newIdentity(runtime, file))),
  ];
  for (const command of commands) program.addCommand(command.copyInheritedSettings(program));
  addRescuedCommand(program, runtime, end);
  addDatabasesCommand(program, runtime);
  addConflictsCommand(program, runtime, end);
  addMastersCommand(program, runtime, end);
  addDatabaseOption(program);
  program.command("version").description("print the version").action(() => {
    runtime.process.stdout(`dfdb ${version}\n${runtime.name} ${runtime.version}\n`);
  });
}
