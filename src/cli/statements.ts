/** Where statements of the query language end: at a `;` outside strings, quoted names and comments. */

export interface Split {
  /** Without the `;`; nothing empty among them. */
  readonly statements: readonly string[];
  /** What comes after the last `;`. */
  readonly rest: string;
}

/** Ends of what a `;` may stand inside of; two quotes in a row end one string and begin the next. */
const inside: readonly (readonly [begins: string, ends: string])[] = [
  ["'", "'"],
  ['"', '"'],
  ["--", "\n"],
  ["/*", "*/"],
];

export function splitStatements(text: string): Split {
  const statements: string[] = [];
  let from = 0, at = 0;
  while (at < text.length) {
    const found = inside.find(([begins]) => text.startsWith(begins, at));
    if (found !== undefined) {
      const end = text.indexOf(found[1], at + found[0].length);
      if (end < 0) break;
      at = end + found[1].length;
    } else if (text[at] === "{") {
      at = jsonEnd(text, at);
      if (at < 0) break;
    } else {
      if (text[at] === ";") {
        if (!isBlank(text.slice(from, at))) statements.push(text.slice(from, at));
        from = at + 1;
      }
      at++;
    }
  }
  return { statements, rest: text.slice(from) };
}

/** Past the JSON object that begins at `at`, whose strings have escapes of their own; -1: it is not closed. */
function jsonEnd(text: string, at: number): number {
  let depth = 0, inString = false;
  for (; at < text.length; at++) {
    const char = text[at];
    if (inString) {
      if (char === "\\") at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "{") depth++;
    else if (char === "}" && --depth === 0) return at + 1;
  }
  return -1;
}

/** True when there is nothing but white space and comments that are closed. */
export function isBlank(text: string): boolean {
  return text.replace(/--[^\n]*|\/\*[^]*?\*\//g, "").trim() === "";
}
