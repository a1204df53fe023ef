import type { Files } from "../../src/runtime/files.ts";
import { plainFiles } from "./plain_files.ts";

/**
 * Small files in memory; folders, and files that are opened (snapshots, rescue files), are real ones below `root`, because
 * SQLite reads and writes them too.
 */
export function memoryFiles(root: string): Files {
  const content = new Map<string, Uint8Array>();
  const directory = (path: string): string => path.slice(0, path.lastIndexOf("/"));
  return {
    ...plainFiles,
    read: (path) => Promise.resolve(content.get(path) ?? null),
    writeAtomic: (path, bytes) => Promise.resolve(void content.set(path, bytes.slice())),
    remove: (path) => content.delete(path) ? Promise.resolve() : plainFiles.remove(path),
    size: (path) => {
      const kept = content.get(path);
      return kept === undefined ? plainFiles.size(path) : Promise.resolve(kept.length);
    },
    list: async (path) => {
      const small = [...content.keys()].filter((key) => directory(key) === path);
      return [...await plainFiles.list(path), ...small.map((key) => key.slice(path.length + 1))].sort();
    },
    absolute: (path) => path.startsWith(root) ? path : `${root}/${path}`,
    join: (...parts) => parts.join("/"),
    directory,
  };
}
