/**
 * Stories as text: `== title` begins one, `> command` is followed by what came of it. The expected trace is in the same
 * file; `DFDB_REWRITE=1` writes it anew.
 */
import { readBeside, rewriting, writeBeside } from "../tool/rewrite.ts";

/** A command's words: plain ones in `args`, `name=value` in `options`. */
export interface Command {
  readonly name: string;
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, string | undefined>>;
}

/** Carries out one command of a story and tells what happened, line by line. */
export type Storyteller = (command: Command) => readonly string[];

export interface Story {
  readonly title: string;
  readonly expected: string;
  readonly told: string;
}

/** Plays every story in `file`, each with a teller of its own. */
export function stories(file: string, begin: () => Storyteller): readonly Story[] {
  const found: Story[] = [], played: string[] = [];
  for (const part of readBeside(import.meta.url, file).split(/^(?=== )/m)) {
    const isStory = part.startsWith("== "), told = isStory ? play(part, begin()) : part;
    played.push(told);
    if (isStory) found.push({ title: part.split("\n")[0] ?? "", expected: rewriting ? told : part, told });
  }
  if (rewriting) writeBeside(import.meta.url, file, played.join(""));
  return found;
}

function play(story: string, tell: Storyteller): string {
  const out: string[] = [];
  for (const line of story.split("\n")) {
    if (line.startsWith("==")) out.push(line);
    else if (line.startsWith("#")) out.push(...(out.length > 1 ? ["", line] : [line]));
    else if (line.startsWith("> ")) out.push("", line, ...tell(parse(line.slice(2))));
  }
  return out.join("\n").replace(/(\n#[^\n]*)\n\n(?=#)/g, "$1\n") + "\n\n";
}

function parse(line: string): Command {
  const [name = "", ...words] = line.trim().split(/\s+/), options: Record<string, string> = {};
  const args = words.filter((word) => !word.includes("="));
  for (const word of words) {
    const at = word.indexOf("=");
    if (at > 0) options[word.slice(0, at)] = word.slice(at + 1);
  }
  return { name, args, options };
}
