/** What is left of a statement for SQLite when every name that is quoted, every literal and every number in it is taken out. */

/** SQLite's own tokens: a comment, a text, a quoted name, a number, a parameter, a word, a sign. */
const token =
  /(--[^\n]*|\/\*[^]*?(?:\*\/|$))|('(?:[^']|'')*')|("(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])|(0x[0-9a-f]+|[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?)|([?:@$#][A-Za-z0-9_]*)|([A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)|(\s+)|([^])/gi;

/** Kinds of tokens and our own words, with one space between. What is not closed, and NUL, show as signs. */
export function sqlShape(sql: string): string {
  const shape: string[] = [];
  for (const [, comment, text, name, number, parameter, word, space, sign] of sql.matchAll(token)) {
    if (space !== undefined) continue;
    if (comment !== undefined) shape.push("comment!");
    else if (text !== undefined) shape.push("text");
    else if (name !== undefined) shape.push("quoted");
    else if (number !== undefined) shape.push("number");
    else if (parameter !== undefined) shape.push("parameter");
    else if (word !== undefined) shape.push(word.toLowerCase().replace(/_[0-9]+/g, "_n"));
    else shape.push(sign === "\u0000" ? "nul!" : sign ?? "");
  }
  return shape.join(" ");
}
