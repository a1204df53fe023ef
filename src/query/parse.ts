import type { Condition, Statement } from "./ast.ts";
import { condition } from "./parse_condition.ts";
import { afterSelect, select } from "./parse_select.ts";
import { Parser } from "./parse_state.ts";
import { createIndex, dropIndex, insert, remove, update } from "./parse_write.ts";
import { queryLimits, syntaxError } from "./syntax_error.ts";

const anyStatement = "SELECT, INSERT, UPDATE, DELETE, CREATE INDEX or DROP INDEX";

/**
 * The statement that `text` is: one, with a `;` behind it or not. Throws `bad_request` with `line`, `column` and often
 * `expected` in its details. What it takes of memory and stack is bounded by `queryLimits`.
 */
export function parse(text: string): Statement {
  const p = parser(text);
  if (p.atEnd()) throw syntaxError(text, p.start, "the statement is empty", anyStatement);
  const made = statement(p);
  if (p.isSign(";")) {
    p.next();
    if (!p.atEnd()) {
      throw syntaxError(
        text,
        p.start,
        `found ${p.found()} after the statement`,
        "the end: one statement at a time",
      );
    }
  } else if (!p.atEnd()) afterStatement(p, made);
  return made;
}

/** Whether it begins as a statement that reads does; throws for what is no text of a statement at all. */
export function isSelect(text: string): boolean {
  return parser(text).keyword === "SELECT";
}

/** The condition that all of `text` is: what may follow WHERE. Throws as {@linkcode parse}. */
export function parseCondition(text: string): Condition {
  const p = parser(text);
  p.clause = "in a condition that stands alone";
  if (p.atEnd()) throw syntaxError(p.text, p.start, "the condition is empty", "a condition");
  const made = condition(p);
  if (!p.atEnd()) p.unexpected("AND, OR or the end");
  return made;
}

function parser(text: string): Parser {
  if (text.length > queryLimits.textCharsMax) {
    throw syntaxError(text, 0, `the statement has more than ${queryLimits.textCharsMax} characters`);
  }
  if (!text.isWellFormed()) throw loneSurrogate(text);
  const p = new Parser(text);
  p.next();
  return p;
}

function statement(p: Parser): Statement {
  switch (p.keyword) {
    case "SELECT":
      return select(p);
    case "INSERT":
      return insert(p);
    case "UPDATE":
      return update(p);
    case "DELETE":
      return remove(p);
    case "CREATE":
      return createIndex(p);
    case "DROP":
      return dropIndex(p);
  }
  return p.unexpected(anyStatement);
}

/** Something follows a whole statement. */
function afterStatement(p: Parser, made: Statement): never {
  switch (made.kind) {
    case "select":
      return afterSelect(p, made);
    case "insert":
      return p.unexpected('"," or the end');
    case "update":
      return p.unexpected(
        made.where === null ? 'an operator, ",", WHERE or the end' : "AND, OR or the end",
      );
    case "delete":
      return p.unexpected(made.where === null ? "WHERE or the end" : "AND, OR or the end");
  }
  return p.unexpected("the end");
}

function loneSurrogate(text: string): Error {
  const at = text.search(/\p{Surrogate}/u);
  return syntaxError(text, at, "the statement holds half of a surrogate pair");
}
