/** Names of databases, and where their files are: in the data folder of their node, nowhere else. */
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { UnattachedFile } from "../http/database_types.ts";
import type { Files } from "../runtime/files.ts";
import { readCatalog } from "./database_catalog.ts";
import type { DatabasePaths } from "./database.ts";

/** Folder of those that were made without a path: `databases/<name>/data.dfdb`. */
const folder = "databases";

/** `text` when it is a name that a database may have; throws `bad_request` otherwise. */
export function databaseName(text: string): string {
  const wrong = (sentence: string): DfdbError =>
    new DfdbError("bad_request", sentence, { details: { field: "name" } });
  if (text.startsWith("_")) throw wrong("names of databases that begin with _ are reserved");
  if (!/^[A-Za-z][A-Za-z0-9_.-]*$/.test(text)) {
    throw wrong("the name of a database begins with a letter and goes on with letters, digits, _, - and .");
  }
  if (text.length > limits.databaseNameCharsMax) {
    throw wrong(
      `the name of a database may have ${limits.databaseNameCharsMax} characters, not ${text.length}`,
    );
  }
  return text;
}

/** Two spellings of one name have it in common. */
export function databaseKey(name: string): string {
  return name.toLowerCase();
}

export function mainPaths(files: Files, dataDir: string): DatabasePaths {
  return {
    data: files.join(dataDir, "data.dfdb"),
    node: files.join(dataDir, "node.dfdb"),
    snapshots: files.join(dataDir, "snapshots"),
    rescued: files.join(dataDir, "rescued"),
  };
}

/** Where a database is that was made without a path, from the data folder. */
export function ownPath(name: string): string {
  return `${folder}/${name}/data.dfdb`;
}

/** Of a database whose data file is at `path` from the data folder. What belongs to the node is in the node's own file. */
export function pathsAt(files: Files, dataDir: string, path: string): DatabasePaths {
  const data = files.join(dataDir, path), beside = files.directory(data);
  const alone = new RegExp(`^${folder}/[^/]+/data\\.dfdb$`).test(path);
  return {
    data,
    node: files.join(dataDir, "node.dfdb"),
    snapshots: alone ? files.join(beside, "snapshots") : `${data}.snapshots`,
    rescued: alone ? files.join(beside, "rescued") : `${data}.rescued`,
  };
}

/**
 * `given` from the data folder, with `/` between its parts. Throws `bad_request` unless it is a `.dfdb` file inside that folder that is none of
 * the node's own: whoever has the key must reach no other file of the machine.
 */
export function relativePath(files: Files, dataDir: string, given: string): string {
  const wrong = (sentence: string): DfdbError =>
    new DfdbError("bad_request", `path: ${sentence}`, { details: { field: "path" } });
  const inside = files.join(dataDir, "x").slice(0, -1);
  const rest = given.startsWith(inside) ? given.slice(inside.length) : given;
  const parts = rest.split(/[/\\]/);
  if (!parts.every((part) => /^[A-Za-z0-9_.-]+$/.test(part) && part !== "." && part !== "..")) {
    throw wrong("expected a file in the data folder; its parts have letters, digits, _, - and .");
  }
  const path = parts.join("/"), [first = ""] = parts;
  if (!path.endsWith(".dfdb")) throw wrong("expected a file whose name ends in .dfdb");
  if (path === "data.dfdb" || path === "node.dfdb" || first === "snapshots" || first === "rescued") {
    throw wrong("that file is the node's own");
  }
  return path;
}

/** What stands beside a data file, and goes with it. */
const besides = [
  "",
  "-wal",
  "-shm",
  "-journal",
  ".followerseq",
  ".term",
  ".snapshot.incoming",
  ".snapshot.incoming-journal",
  ".snapshot.incoming.json",
  ".lock",
  ".lock-journal",
  ".lock.json",
];

/** All of a closed database. Empty folders stay. Throws `io_error`; calling it again goes on. */
export async function deleteFiles(files: Files, { data, snapshots, rescued }: DatabasePaths): Promise<void> {
  for (const each of [snapshots, rescued]) {
    for (const name of await files.list(each)) await files.remove(files.join(each, name));
  }
  for (const end of besides) await files.remove(data + end);
}

/** Data files that no database of `attached` (absolute paths) uses; at the top of the data folder and where databases are made. */
export async function unattachedFiles(
  files: Files,
  dataDir: string,
  attached: ReadonlySet<string>,
): Promise<Omit<UnattachedFile, "nameConflict">[]> {
  const found: Omit<UnattachedFile, "nameConflict">[] = [];
  const look = async (path: string, suggestedName: string): Promise<void> => {
    const sizeBytes = attached.has(path) ? null : await files.size(path);
    if (sizeBytes !== null) found.push({ suggestedName, path, sizeBytes });
  };
  for (const name of await files.list(dataDir)) {
    if (!name.endsWith(".dfdb") || name === "node.dfdb") continue;
    await look(files.join(dataDir, name), name.slice(0, -".dfdb".length));
  }
  const made = files.join(dataDir, folder);
  for (const name of await files.list(made)) await look(files.join(made, name, "data.dfdb"), name);
  return found;
}

/** The node's database whose data file is `data`, of a node that is not running, perhaps; null: no node's catalog has it. */
export async function catalogued(
  files: Files,
  data: string,
): Promise<{ readonly name: string; readonly paths: DatabasePaths } | null> {
  let dataDir = files.directory(data);
  for (let below = data; dataDir !== below; below = dataDir, dataDir = files.directory(dataDir)) {
    if (await files.size(files.join(dataDir, "node.dfdb")) === null) continue;
    const { databases } = await readCatalog(files, dataDir);
    const found = databases.find(({ path }) => files.join(dataDir, path) === data);
    if (found !== undefined) return { name: found.name, paths: pathsAt(files, dataDir, found.path) };
  }
  return null;
}
