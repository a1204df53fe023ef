/** A refused statement, with the place in it that the node named. */
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { commonAdvice } from "./refusals.ts";
import { cut, plain, widthOf } from "./table.ts";

/** Lines for standard error: the sentence with its code, the line of the statement, a caret below the place. */
export function statementError(error: DfdbError, sql: string, columns: number | null): string {
  return `ERROR: ${plain(error.message)} (${error.code})\n${pointer(error, sql, columns ?? 80)}`;
}

function pointer({ details: { line, column } }: DfdbError, sql: string, columns: number): string {
  if (typeof line !== "number" || typeof column !== "number") return "";
  const text = sql.split("\n")[line - 1];
  if (text === undefined) return "";
  // Code points, as the column counts them.
  const points = [...plain(text.replaceAll("\t", " "))];
  const room = Math.max(10, columns - 4), at = column - 1;
  let from = 0;
  while (widthOf(points.slice(from, at).join("")) > (room * 2) / 3) from++;
  const before = `${from > 0 ? "…" : ""}${points.slice(from, at).join("")}`;
  return `  ${cut(before + points.slice(at).join(""), room)}\n  ${" ".repeat(widthOf(before))}^\n`;
}

/** Prints it where it is one of ours; else throws it on. */
export function printStatementError(
  { process }: Runtime,
  error: unknown,
  sql: string,
  url: string | null,
): void {
  if (!(error instanceof DfdbError)) throw error;
  process.stderr(statementError(error, sql, process.columns));
  const advice = url === null ? null : commonAdvice(error, url);
  if (advice !== null) process.stderr(`  ${plain(advice)}\n`);
}
