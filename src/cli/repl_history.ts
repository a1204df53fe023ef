/** What was typed before, kept in the user's folder for state. */
import { utf8, utf8Text } from "../base/bytes.ts";
import type { Runtime } from "../runtime/runtime.ts";

export const historyMax = 1_000;

export interface History {
  /** Newest first. */
  readonly lines: readonly string[];
  /** Where nothing can be written nothing is kept, and nothing is said. */
  add(line: string): Promise<void>;
}

/** Never rejects. */
export async function openHistory({ files, process }: Pick<Runtime, "files" | "process">): Promise<History> {
  const folder = stateFolder(process.env, files),
    path = folder === null ? null : files.join(folder, "history");
  let lines = path === null ? [] : await read(files, path);
  return {
    get lines() {
      return lines;
    },
    async add(line) {
      const kept = line.replace(/\s*\n\s*/g, " ").trim();
      if (kept === "" || kept === lines[0]) return;
      lines = [kept, ...lines.filter((each) => each !== kept)].slice(0, historyMax);
      if (path === null || folder === null) return;
      try {
        await files.makeDirectory(folder);
        await files.writeAtomic(path, utf8(`${[...lines].reverse().join("\n")}\n`));
      } catch {
        // It is a convenience.
      }
    },
  };
}

/** Null: the system names none. */
function stateFolder(
  env: Readonly<Record<string, string | undefined>>,
  { join }: Pick<Runtime["files"], "join">,
): string | null {
  const { XDG_STATE_HOME: state, HOME: home, LOCALAPPDATA: local } = env;
  if (state) return join(state, "dfdb");
  if (local) return join(local, "dfdb");
  return home ? join(home, ".local", "state", "dfdb") : null;
}

async function read(files: Runtime["files"], path: string): Promise<string[]> {
  try {
    const bytes = await files.read(path);
    if (bytes === null) return [];
    return utf8Text(bytes).split("\n").filter((line) => line !== "").reverse().slice(0, historyMax);
  } catch {
    return [];
  }
}
