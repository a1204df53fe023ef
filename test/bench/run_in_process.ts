/** Runs in_process.ts on a runtime, on the server's core. */
import path from "node:path";
import type { RuntimeName } from "../tool/node_process.ts";
import { projectFolder, startNodeProcess } from "../tool/node_process.ts";
import { serverCore } from "./cores.ts";
import type { InProcessResult, InProcessSpec } from "./in_process_types.ts";
import { resultMark } from "./in_process_types.ts";
import type { Row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { benchQueries } from "./queries.ts";
import { emptyRow } from "./request_rows.ts";
import { temporaryFolder } from "./temporary_folder.ts";

/** For filling, and for single queries that take long. */
const spareSeconds = 240;

export async function runInProcess(
  runtime: RuntimeName,
  work: Pick<InProcessSpec, "names" | "orders">,
  { runs, seconds, patience }: BenchOptions,
  report: (row: Row) => void,
): Promise<void> {
  const folder = temporaryFolder();
  try {
    const spec: InProcessSpec = { ...work, folder: folder.path, runs, seconds, patience };
    const most = spareSeconds + work.names.length * runs * 3 * (seconds + patience);
    for (const { name, dfdb, sqlite } of await results(runtime, spec, most)) {
      const unit = name === "group" ? "docs/s" : "op/s", place = "in process";
      for (const [subject, figures] of [["sqlite", sqlite], ["dfdb", dfdb]] as const) {
        const row = emptyRow(name, { name: subject, runtime }, benchQueries[name].what, unit);
        report({ ...row, place, runs: [...figures] });
      }
    }
  } finally {
    folder.remove();
  }
}

async function results(
  runtime: RuntimeName,
  spec: InProcessSpec,
  secondsMax: number,
): Promise<readonly InProcessResult[]> {
  const entry = path.join(projectFolder, "test", "bench", "in_process.ts");
  const program = startNodeProcess({ runtime, entry, args: [JSON.stringify(spec)], cpu: serverCore });
  const late = setTimeout(() => program.signal("SIGKILL"), secondsMax * 1000);
  const code = await program.exited;
  clearTimeout(late);
  const line = program.output().split("\n").find((text) => text.startsWith(resultMark));
  if (code !== 0 || line === undefined) {
    throw new Error(`The ${runtime} program ended with ${code ?? "a signal"}:\n${program.output()}`);
  }
  return JSON.parse(line.slice(resultMark.length)) as InProcessResult[];
}
