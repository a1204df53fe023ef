import type {
  CreateIndex,
  Delete,
  DropIndex,
  Expression,
  Insert,
  JsonText,
  PathExpression,
  Tuple,
  Update,
} from "./ast.ts";
import { expression } from "./parse_expression.ts";
import { collection, path, pathList } from "./parse_path.ts";
import { where } from "./parse_select.ts";
import type { Parser } from "./parse_state.ts";
import { upperAscii } from "./parse_words.ts";
import { queryLimits, syntaxError } from "./syntax_error.ts";

/** INSERT INTO; stops, as all here, at the first token that is no part of the statement. */
export function insert(p: Parser): Insert {
  p.need("INSERT");
  p.need("INTO");
  const into = collection(p);
  if (p.isSign("(")) {
    const paths = pathList(p, queryLimits.partsMax, "paths to insert at");
    p.need("VALUES");
    p.clause = "in VALUES";
    return { kind: "insert", into, rows: { paths, tuples: tuples(p, paths.length) } };
  }
  if (!p.took("VALUES")) p.unexpected('VALUES or "("');
  return { kind: "insert", into, rows: { documents: documents(p) } };
}

function documents(p: Parser): JsonText[] {
  const found: JsonText[] = [];
  do {
    if (!p.isSign("{")) p.unexpected('a JSON object, "{"');
    const at = p.start;
    found.push({ at, text: p.json() });
  } while (p.tookSign(","));
  return found;
}

function tuples(p: Parser, paths: number): Tuple[] {
  const found: Tuple[] = [];
  do {
    const at = p.start;
    p.needSign("(");
    const values: Expression[] = [];
    do {
      p.room(values.length, queryLimits.partsMax, "values in one row");
      values.push(expression(p));
    } while (p.tookSign(","));
    p.needSign(")", 'an operator, "," or ")"');
    if (values.length !== paths) {
      throw syntaxError(p.text, at, `mismatch: ${paths} in the list of paths, ${values.length} in this row`);
    }
    found.push({ at, values });
  } while (p.tookSign(","));
  return found;
}

export function update(p: Parser): Update {
  p.need("UPDATE");
  const name = collection(p);
  p.need("SET");
  p.clause = "in SET";
  const set: { path: PathExpression; value: Expression }[] = [];
  do {
    p.room(set.length, queryLimits.partsMax, "members to set");
    const target = path(p);
    p.needSign("=");
    set.push({ path: target, value: expression(p) });
  } while (p.tookSign(","));
  return { kind: "update", collection: name, set, where: where(p) };
}

export function remove(p: Parser): Delete {
  p.need("DELETE");
  p.need("FROM");
  return { kind: "delete", from: collection(p), where: where(p) };
}

export function createIndex(p: Parser): CreateIndex {
  p.need("CREATE");
  const unique = p.took("UNIQUE");
  if (!p.took("INDEX")) p.unexpected(unique ? "INDEX" : "INDEX or UNIQUE INDEX");
  const name = indexName(p);
  p.need("ON");
  const on = collection(p);
  return {
    kind: "createIndex",
    unique,
    name,
    on,
    paths: pathList(p, queryLimits.indexPathsMax, "paths in one index"),
  };
}

export function dropIndex(p: Parser): DropIndex {
  p.need("DROP");
  p.need("INDEX");
  const name = indexName(p);
  p.need("ON");
  return { kind: "dropIndex", name, on: collection(p) };
}

function indexName(p: Parser): string {
  const at = p.start, word = p.kind === "word";
  if (p.kind === "quoted" && p.value === "") throw syntaxError(p.text, at, "the name of an index is empty");
  const name = p.name("a name for the index");
  if (word && upperAscii(name) === "IF" && p.keyword !== "ON") {
    throw syntaxError(p.text, at, "IF EXISTS and IF NOT EXISTS are not supported");
  }
  return name;
}
