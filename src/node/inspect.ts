/** What is known of a database file and of the node that it belongs to, without opening it as a node would. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { InspectedData } from "../storage/sqlite/inspect_file.ts";
import { inspectData, inspectNode } from "../storage/sqlite/inspect_file.ts";
import { positionText } from "../storage/position_text.ts";
import type { NodeState } from "../storage/storage.ts";
import { pathsOf } from "./local_api.ts";

export type { InspectedCollection, InspectedData, InspectedIndex } from "../storage/sqlite/inspect_file.ts";

export interface Inspected extends InspectedData {
  /** Absolute. */
  readonly path: string;
  /** A snapshot or backup that nobody has opened: in rollback mode, whole by itself. */
  readonly copy: boolean;
  readonly fileBytes: number;
  /** What is not in the data file itself yet; null: there is no WAL, so nobody has the file open. */
  readonly walBytes: number | null;
  readonly positionText: string;
  /** Who opened it last, where there is a WAL; null: nobody has it open, or that is not told. */
  readonly holder: { readonly pid: number; readonly host: string; readonly openedAtMs: number } | null;
  /** Null: there is no node file beside it. */
  readonly node: InspectedNode | null;
}

export interface InspectedNode {
  readonly path: string;
  readonly nodeId: NodeId | null;
  readonly state: NodeState | null;
  /** Why there is nothing; null: there is. */
  readonly error: string | null;
}

/** Rejects with `not_found`, `data_foreign`, `data_newer`, `data_corrupt`, `io_error`. */
export async function inspect(runtime: Runtime, given: string): Promise<Inspected> {
  const { files } = runtime, path = files.absolute(given);
  const fileBytes = await files.size(path);
  if (fileBytes === null) throw new DfdbError("not_found", `There is no file ${given}`);
  if (fileBytes === 0) throw new DfdbError("data_foreign", `${given} is empty`);
  const walBytes = await files.size(`${path}-wal`);
  const data = inspectData(path, walBytes === null);
  const { position } = data;
  return {
    ...data,
    path,
    copy: await isCopy(runtime, path),
    fileBytes,
    walBytes,
    positionText: positionText(position, position.seq),
    holder: walBytes === null ? null : await holderOf(runtime, path),
    node: await nodeOf(runtime, path, data),
  };
}

/** SQLite's header says 1 for rollback mode, 2 for WAL; a connection to a file that nobody changes does not tell. */
async function isCopy({ files }: Runtime, path: string): Promise<boolean> {
  const file = await files.openRead(path);
  if (file === null) return false;
  try {
    const [version] = await file.read(writeVersionAt, 1);
    return version === 1;
  } finally {
    await file.close();
  }
}

const writeVersionAt = 18;

async function nodeOf(
  runtime: Runtime,
  data: string,
  { databaseId }: InspectedData,
): Promise<InspectedNode | null> {
  const { node: path } = await pathsOf(runtime, data), { files } = runtime;
  if (await files.size(path) === null) return null;
  try {
    const closed = await files.size(`${path}-wal`) === null;
    return { path, ...inspectNode(path, closed, databaseId), error: null };
  } catch (error) {
    if (!(error instanceof DfdbError)) throw error;
    return { path, nodeId: null, state: null, error: error.message };
  }
}

async function holderOf({ files }: Runtime, path: string): Promise<Inspected["holder"]> {
  const bytes = await files.read(`${path}.lock.json`);
  if (bytes === null) return null;
  try {
    const { pid, host, openedAtMs } = JSON.parse(utf8Text(bytes)) as Record<string, unknown>;
    return typeof pid === "number" && typeof host === "string" && typeof openedAtMs === "number"
      ? { pid, host, openedAtMs }
      : null;
  } catch {
    return null; // it is for people only
  }
}
