/** `dfdb rescued`: looks at what a node kept before it took over another history, and brings it back. */
import type { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { RescuedFile, RescuedOperation } from "../node/rescued_files.ts";
import { rescuedFile, rescuedFiles, rescuedOperations } from "../node/rescued_files.ts";
import type { Outcome, Replayed } from "../node/rescued_replay.ts";
import { replay } from "../node/rescued_replay.ts";
import { settingsTable } from "../node/settings.ts";
import type { Runtime } from "../runtime/runtime.ts";

interface Common {
  readonly dataDir?: string;
}

interface ReplayFlags extends Common {
  readonly to: string;
  readonly apiKey?: string;
  readonly force?: readonly string[];
  readonly forceAll?: true;
  readonly dryRun?: true;
}

/** Adds the subcommand to `program`; `end` takes the exit code. */
export function addRescuedCommand(program: Command, runtime: Runtime, end: (exitCode: number) => void): void {
  const rescued = program.command("rescued").description("list, show and replay what this node rescued");
  const sub = (usage: string, description: string): Command =>
    rescued.command(usage).description(description).allowExcessArguments(false)
      .option("--data-dir <folder>", "folder of the data files (default: as for serve)");
  sub("list", "the rescue files of a node, oldest first").action(async (flags: Common) => {
    await list(runtime, flags);
  });
  sub("show <file>", "the operations of a rescue file, one line each")
    .option("--json", "as they are in the file")
    .action(async (file: string, flags: Common & { readonly json?: true }) => {
      await show(runtime, await located(runtime, file, flags), flags.json === true);
    });
  sub("replay <file>", "write rescued documents to a leader, where nobody has changed them since")
    .requiredOption("--to <url>", "base URL of the leader's HTTP API")
    .option("--api-key <key>", "its API key (env: DFDB_API_KEY)")
    .option("--force <id...>", "write these although they were changed: id or collection/id")
    .option("--force-all", "write all although they were changed")
    .option("--dry-run", "write nothing, say what would be done")
    .addHelpText(
      "after",
      "\nExit code: 0 all is written or was there already, 2 something was not, 1 an error.",
    )
    .action(async (file: string, flags: ReplayFlags) => {
      end(await replayFile(runtime, await located(runtime, file, flags), flags));
    });
}

function rescuedFolder({ files, process }: Runtime, { dataDir }: Common): string {
  const { env, default: usual } = settingsTable.dataDir;
  const named = dataDir ?? (process.env[env as string] || usual);
  return files.join(files.absolute(named as string), "rescued");
}

/** `name` as a path, or as a name in the folder of rescue files. */
async function located(runtime: Runtime, name: string, flags: Common): Promise<RescuedFile> {
  const { files } = runtime, inFolder = files.join(rescuedFolder(runtime, flags), name);
  if (await files.size(name) !== null) return await rescuedFile(files, files.absolute(name));
  if (await files.size(inFolder) !== null) return await rescuedFile(files, inFolder);
  throw new DfdbError("not_found", `There is no file ${name}, and none in ${files.directory(inFolder)}`);
}

async function list(runtime: Runtime, flags: Common): Promise<void> {
  const { files, process } = runtime, folder = rescuedFolder(runtime, flags);
  const found = await rescuedFiles(files, folder);
  if (found.length === 0) return process.stdout(`nothing was rescued in ${folder}\n`);
  const rows = [["FILE", "WHEN", "ENTRIES", "FROM-TO", "DOCUMENTS"], ...found.map(row)];
  const widths = [0, 1, 2, 3, 4].map((i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)));
  for (const cells of rows) {
    process.stdout(`${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd()}\n`);
  }
}

function row({ name, header, counts }: RescuedFile): string[] {
  if (header === null) return [name, "?", "not a rescue file of this version"];
  const range = `${header.from}-${header.to}`, when = header.made.slice(0, 19).replace("T", " ");
  if (header.form === "database") return [name, when, "-", range, "whole database"];
  if (counts === null) return [name, when, "?", range, "the file was cut"];
  return [name, when, String(counts.entries), range, String(counts.documents ?? "> 1000000")];
}

async function show({ files, process }: Runtime, file: RescuedFile, json: boolean): Promise<void> {
  if (file.path.endsWith(".dfdb")) return process.stdout(wholeDatabase(file));
  if (!json) process.stdout(`${summary(file)}\n`);
  for await (const operation of rescuedOperations(files, file.path)) {
    process.stdout(`${json ? operation.line : line(operation)}\n`);
  }
}

function summary({ header }: RescuedFile): string {
  if (header === null) return "not a rescue file of this version";
  return `entries ${header.from}-${header.to} of node ${header.nodeId}, database ${header.databaseId}, ` +
    `rescued ${header.made}; entry ${header.common} was the last in common`;
}

function wholeDatabase({ name, header }: RescuedFile): string {
  const what = header === null ? "" : ` up to entry ${header.to}, kept ${header.made}`;
  return `${name} is a whole database${what}.\n` +
    "To look into it, copy it as data.dfdb into an empty folder and serve that folder:\n" +
    `  mkdir old && cp ${name} old/data.dfdb && dfdb serve --data-dir old --port 5999\n`;
}

const shownChars = 80;

function line(operation: RescuedOperation): string {
  const { seq, op, collection, number, id, previous, etag, wallMs, group, doc } = operation;
  const when = new Date(wallMs).toISOString(), together = group === undefined ? "" : " (group)";
  const where = collection === undefined ? "" : ` ${collection ?? `collection ${number}`}`;
  const target = id === undefined ? where : `${where}/${id}`;
  const change = id === undefined ? "" : ` ${previous ?? "new"} -> ${etag}`;
  const text = doc === null ? "" : ` ${doc.length > shownChars ? `${doc.slice(0, shownChars)}...` : doc}`;
  return `${seq}${together} ${when} ${op}${target}${change}${text}${versionsText(operation)}`;
}

/** ` 2 versions of other masters, shown: a conflict`. */
function versionsText({ op, added = [], shown }: RescuedOperation): string {
  if (op !== "setVersions") return "";
  const count = added.length === 1 ? "1 version" : `${added.length} versions`;
  const what = typeof shown === "object"
    ? "one version"
    : shown === "conflict"
    ? "a conflict"
    : shown === "made"
    ? "what the policy made"
    : "nothing";
  return ` ${count} of other masters, shown: ${what}`;
}

async function replayFile(runtime: Runtime, file: RescuedFile, flags: ReplayFlags): Promise<number> {
  const { files, process } = runtime;
  if (file.path.endsWith(".dfdb")) {
    throw new DfdbError(
      "bad_request",
      `${file.name} is a whole database and cannot be replayed; "dfdb rescued show ${file.name}" says how to look into it`,
    );
  }
  if (file.counts === null) {
    throw new DfdbError("data_corrupt", `${file.name} is not complete; nothing was written`);
  }
  if (!/^https?:\/\//.test(flags.to)) {
    throw new DfdbError("bad_request", `--to: expected a URL like http://host:5000, not ${flags.to}`);
  }
  const results = await replay({
    runtime: { files, fetch: runtime.fetch },
    path: file.path,
    url: flags.to,
    apiKey: flags.apiKey ?? (process.env["DFDB_API_KEY"] || null),
    force: flags.forceAll === true ? null : new Set(flags.force ?? []),
    dryRun: flags.dryRun === true,
    onProgress: progress(runtime),
  });
  for (const result of results) {
    const said = verdict(result);
    if (said !== null) process.stdout(`${said}\n`);
  }
  const count = (outcome: Outcome): number => results.filter((result) => result.outcome === outcome).length;
  const open = count("mismatch") + count("refused") + count("dropped");
  process.stdout(
    `${flags.dryRun === true ? "dry run, nothing was written: " : ""}${count("applied")} applied, ` +
      `${count("equal")} already there, ${count("forced")} forced, ${open} not written\n`,
  );
  return open === 0 ? 0 : 2;
}

function verdict(
  { collection, id, outcome, rescued, current, inConflict, message }: Replayed,
): string | null {
  const now = current === null ? "nothing" : inConflict ? `the conflict ${current}` : current;
  const etags = `rescued change of ${rescued ?? "nothing"}, there is ${now} now`;
  if (outcome === "mismatch") return `MISMATCH ${collection}/${id}: ${etags}`;
  if (outcome === "forced") return `FORCED ${collection}/${id}: ${etags}`;
  if (outcome === "refused") return `REFUSED ${collection}/${id}: ${message}`;
  if (outcome === "dropped") return `DROPPED ${collection}: drop it there yourself if it is to go`;
  return null;
}

/** On a terminal one line that is written over, every hundredth of the way. */
function progress({ process }: Runtime): (done: number, total: number) => void {
  if (!process.stdoutIsTerminal) return () => {};
  return (done, total) => {
    const step = Math.max(1, Math.floor(total / 100));
    if (done % step === 0 || done === total) {
      process.stderr(`\r${done} of ${total}${done === total ? "\n" : ""}`);
    }
  };
}
