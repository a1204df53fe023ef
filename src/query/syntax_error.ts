import { DfdbError } from "../base/errors.ts";

/** What bounds the memory and the stack that one statement can take. */
export const queryLimits = {
  /** Of a statement, in UTF-16 units. */
  textCharsMax: 1024 * 1024,
  /** Parentheses, NOTs, calls and operators inside one another. */
  nestingMax: 100,
  /** Values after IN, conditions side by side under one AND or OR. */
  listMax: 10_000,
  /** Items of SELECT, keys of GROUP BY and ORDER BY, members that are set or inserted. */
  partsMax: 1_000,
  /** Steps of a path. */
  stepsMax: 1_000,
  joinsMax: 32,
  functionArgumentsMax: 100,
  /** Digits of a position in an array. */
  positionDigitsMax: 9,
  indexPathsMax: 2,
} as const;

const echoCharsMax = 36;

/** A `bad_request` about a place in a statement: what is wrong there, where, and what was expected instead. */
export function syntaxError(text: string, at: number, what: string, expected?: string): DfdbError {
  const { line, column } = placeOf(text, at);
  const message = `${what} (line ${line}, column ${column})`;
  if (expected === undefined) return new DfdbError("bad_request", message, { details: { line, column } });
  return new DfdbError("bad_request", `${message}; expected ${expected}`, {
    details: { line, column, expected },
  });
}

/** Line and column of a place in `text`, from 1; columns count code points. `at`: UTF-16 units from 0. */
export function placeOf(text: string, at: number): { line: number; column: number } {
  let line = 1, from = 0;
  for (let end = text.indexOf("\n"); end >= 0 && end < at; end = text.indexOf("\n", from)) {
    line++;
    from = end + 1;
  }
  let column = 1;
  for (let i = from; i < at; i++) {
    const pair = (text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00;
    if (pair && i + 1 < at) i++;
    column++;
  }
  return { line, column };
}

/** A piece of the statement for a message: short, on one line, without control characters. */
export function echo(piece: string): string {
  let clipped = piece;
  if (piece.length > echoCharsMax) {
    const half = (piece.charCodeAt(echoCharsMax - 1) & 0xfc00) === 0xd800;
    clipped = `${piece.slice(0, half ? echoCharsMax - 1 : echoCharsMax)}…`;
  }
  // deno-lint-ignore no-control-regex
  return clipped.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
}
