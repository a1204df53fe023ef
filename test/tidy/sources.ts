/** The project's own sources, for the house rules. */
import { globSync, readFileSync } from "node:fs";

export interface Source {
  /** Path from the project's root, with `/`. */
  readonly path: string;
  readonly lines: readonly string[];
  /** The lines with comments and the content of strings blanked, for rules about code. */
  readonly code: readonly string[];
}

const root = new URL("../../", import.meta.url);

/** All TypeScript files under `folders`, without declaration files. */
export function sources(...folders: readonly string[]): Source[] {
  return folders
    .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !path.endsWith(".d.ts"))
    .sort()
    .map((path) => {
      const text = readFileSync(new URL(path, root), "utf8");
      return { path, lines: text.split("\n"), code: codeOnly(text).split("\n") };
    });
}

/** Blanks comments and string contents, keeps line breaks; import specifiers are lost, read them from `lines`. */
function codeOnly(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g,
    (match) => match.replace(/[^\n]/g, " "),
  );
}

export interface Import {
  readonly line: number;
  readonly specifier: string;
  /** Folder under `src/` that a relative import points into (`src` itself for `mod.ts`), else null. */
  readonly target: string | null;
}

/** The static imports and re-exports of a file. */
export function imports(source: Source): Import[] {
  const found: Import[] = [];
  source.lines.forEach((line, i) => {
    const specifier = /^(?:import|export|\}).*?from "([^"]+)"/.exec(line)?.[1] ??
      /^import "([^"]+)"/.exec(line)?.[1];
    if (specifier === undefined) return;
    const path = specifier.startsWith(".")
      ? new URL(specifier, `file:///${source.path}`).pathname.slice(1)
      : null;
    found.push({ line: i + 1, specifier, target: path });
  });
  return found;
}
