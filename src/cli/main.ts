/** The command line: `main(runtime)` parses, runs one subcommand and answers the exit code. */
import { Command, CommanderError } from "commander";
import { DfdbError, messageOf } from "../base/errors.ts";
import { version } from "../node/version.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { acceptLoss, acceptLossCommand } from "./accept_loss.ts";
import { addRescuedCommand } from "./rescued.ts";
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
  const serving = serveCommand(async (flags) => {
    exitCode = await serve(runtime, flags);
  });
  program.addCommand(serving.copyInheritedSettings(program));
  const status = statusCommand(async (urls, flags) => {
    exitCode = await showStatus(runtime, urls, flags);
  });
  program.addCommand(status.copyInheritedSettings(program));
  const verify = verifyCommand(async (urls, flags) => {
    exitCode = await verifyNodes(runtime, urls, flags);
  });
  program.addCommand(verify.copyInheritedSettings(program));
  const accept = acceptLossCommand(async (url, flags) => {
    exitCode = await acceptLoss(runtime, url, flags);
  });
  program.addCommand(accept.copyInheritedSettings(program));
  addRescuedCommand(program, runtime, (code) => exitCode = code);
  program.command("version").description("print the version").action(() => {
    process.stdout(`dfdb ${version}\n${runtime.name} ${runtime.version}\n`);
  });
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
