import assert from "node:assert/strict";
import { test } from "node:test";
import { refused } from "../tool/query_refused.ts";

// What several messages expect.
const oneOf =
  "one of COUNT, SUM, AVG, MIN, MAX, NEWID, NOW, GETDATE, CURRENT_TIMESTAMP, LOWER, UPPER, LENGTH, TRIM, COALESCE, IFNULL";
const statement = "SELECT, INSERT, UPDATE, DELETE, CREATE INDEX or DROP INDEX";
const aValue = "a path, a function, a literal or a parameter";
const comparison = "a comparison (=, !=, <, <=, >, >=, LIKE, IN, BETWEEN, IS)";
const afterFrom = "JOIN, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT, OFFSET or the end";
const afterWhere = "AND, OR, GROUP BY, HAVING, ORDER BY, LIMIT, OFFSET or the end";
const afterItem = 'an operator, ",", AS or FROM';
const inOrder = "WHERE, GROUP BY, HAVING, ORDER BY, LIMIT, OFFSET";

function check(title: string, table: readonly (readonly [text: string, message: string])[]): void {
  test(title, () => {
    for (const [text, message] of table) assert.equal(refused(text), message, text);
  });
}

check("what is no statement", [
  ["", `the statement is empty (line 1, column 1); expected ${statement}`],
  ["  -- only a comment", `the statement is empty (line 1, column 20); expected ${statement}`],
  [";", `found ";" (line 1, column 1); expected ${statement}`],
  ["FOO", `found FOO (line 1, column 1); expected ${statement}`],
  ["SELCT * FROM x", `found SELCT (line 1, column 1); expected ${statement}`],
  ["'x'", `found 'x' (line 1, column 1); expected ${statement}`],
  ["\ufeffSELECT * FROM x", "the character U+FEFF has no meaning here (line 1, column 1)"],
]);

check("SELECT and FROM", [
  ["SELECT", `found the end of the statement (line 1, column 7); expected ${aValue}`],
  ["SELECT *", "found the end of the statement (line 1, column 9); expected FROM"],
  ["SELECT * FROM", "found the end of the statement (line 1, column 14); expected the name of a collection"],
  ["SELECT FROM x", `found FROM ("FROM" in double quotes is a name) (line 1, column 8); expected ${aValue}`],
  ["SELECT a b FROM x", `found b (line 1, column 10); expected ${afterItem}`],
  [
    "SELECT a, FROM x",
    `found FROM ("FROM" in double quotes is a name) (line 1, column 11); expected ${aValue}`,
  ],
  ["SELECT a AS 1 FROM x", "found 1 (line 1, column 13); expected a name for the result"],
  ["SELECT *, a FROM x", 'found "," (line 1, column 9); expected FROM'],
  [
    "SELECT a.* FROM x",
    'found "*" (line 1, column 10); expected the name of a member (in double quotes if it begins with a digit)',
  ],
  [
    "SELECT * FROM order",
    'found order ("order" in double quotes is a name) (line 1, column 15); expected the name of a collection',
  ],
  ["SELECT * FROM 'x'", "found 'x' (line 1, column 15); expected the name of a collection"],
  ["SELECT * FROM x y", `found y (line 1, column 17); expected ${afterFrom}`],
  ["SELECT * FROM x AS y", "a second name for a collection is not supported (line 1, column 17)"],
  [
    "SELECT * FROM x, y",
    "several collections after FROM are not supported (line 1, column 16); expected JOIN",
  ],
  ["SELECT * FROM a-b", `found "-" (line 1, column 16); expected ${afterFrom}`],
  [
    'SELECT * FROM "a b"',
    "a collection name begins with a letter and goes on with letters, digits, _, - and . (line 1, column 15)",
  ],
  [
    "SELECT * FROM _system",
    "collection names that begin with _ are reserved, and Raven is (line 1, column 15)",
  ],
  [
    'SELECT * FROM ""',
    "a collection name begins with a letter and goes on with letters, digits, _, - and . (line 1, column 15)",
  ],
  ["SELECT * FROM x.1", "found 1 (line 1, column 17); expected the name of a collection"],
]);

check("WHERE", [
  ["SELECT * FROM x WHER a = 1", `found WHER (line 1, column 17); expected ${afterFrom}`],
  ["SELECT * FROM x WHERE", `found the end of the statement (line 1, column 22); expected ${aValue}`],
  ["SELECT * FROM x WHERE a =", `found the end of the statement (line 1, column 26); expected ${aValue}`],
  ["SELECT * FROM x WHERE a = 1 b", `found b (line 1, column 29); expected ${afterWhere}`],
  ["SELECT * FROM x WHERE a == 1", "found == (line 1, column 25); expected one ="],
  ["SELECT * FROM x WHERE a = b = c", `found "=" (line 1, column 29); expected ${afterWhere}`],
  ["SELECT * FROM x WHERE a ! 1", "the character ! (U+0021) has no meaning here (line 1, column 25)"],
  [
    "SELECT * FROM x WHERE (a = 1",
    'found the end of the statement (line 1, column 29); expected AND, OR or ")"',
  ],
  [
    "SELECT * FROM x WHERE (a",
    `found the end of the statement (line 1, column 25); expected ${comparison} or ")"`,
  ],
  [
    "SELECT * FROM x WHERE (a = 1) + 2 > 3",
    'found "+" after a condition (line 1, column 31); expected AND or OR',
  ],
  ["SELECT * FROM x WHERE a = 1)", `found ")" (line 1, column 28); expected ${afterWhere}`],
  ["SELECT * FROM x WHERE a AND b = 1", `found AND (line 1, column 25); expected ${comparison}`],
  ["SELECT * FROM x WHERE a NOT = 1", 'found "=" (line 1, column 29); expected LIKE, IN or BETWEEN'],
  ["SELECT * FROM x WHERE a IS 1", "found 1 (line 1, column 28); expected NULL or NOT NULL"],
  ["SELECT * FROM x WHERE a IS NOT 1", "found 1 (line 1, column 32); expected NULL"],
  ["SELECT * FROM x WHERE a IN 1", 'found 1 (line 1, column 28); expected a list in "(" and ")"'],
  ["SELECT * FROM x WHERE a IN ()", `found ")" (line 1, column 29); expected ${aValue}`],
  [
    "SELECT * FROM x WHERE a IN (1",
    'found the end of the statement (line 1, column 30); expected "," or ")"',
  ],
  ["SELECT * FROM x WHERE a BETWEEN 1", "found the end of the statement (line 1, column 34); expected AND"],
  [
    "SELECT * FROM x WHERE a = 'x",
    "the string that begins here is not closed (line 1, column 27); expected '",
  ],
  [
    'SELECT * FROM x WHERE a = {"b":1}',
    `a JSON object or array stands only after VALUES (line 1, column 27); expected ${aValue}`,
  ],
  [
    "SELECT * FROM x WHERE a = [1]",
    `a JSON object or array stands only after VALUES (line 1, column 27); expected ${aValue}`,
  ],
  [
    "SELECT * FROM x WHERE TRUE",
    `found the end of the statement (line 1, column 27); expected ${comparison}`,
  ],
]);

check("the other clauses", [
  ["SELECT * FROM x WHERE a = 1 GROUP a", "found a (line 1, column 35); expected BY"],
  ["SELECT * FROM x GROUP BY 1", "found 1 (line 1, column 26); expected a path"],
  [
    "SELECT * FROM x GROUP BY a b",
    'found b (line 1, column 28); expected ",", HAVING, ORDER BY, LIMIT, OFFSET or the end',
  ],
  [
    "SELECT * FROM x GROUP BY SUM(a)",
    'found "(" (line 1, column 29); expected ",", HAVING, ORDER BY, LIMIT, OFFSET or the end',
  ],
  [
    "SELECT * FROM x GROUP BY a HAVING b",
    `found the end of the statement (line 1, column 36); expected ${comparison}`,
  ],
  ["SELECT * FROM x ORDER a", "found a (line 1, column 23); expected BY"],
  [
    "SELECT * FROM x ORDER BY 1",
    "ORDER BY a constant sorts nothing (line 1, column 26); expected a path, an aggregate or a function",
  ],
  [
    "SELECT * FROM x ORDER BY a DESC b",
    'found b (line 1, column 33); expected ",", LIMIT, OFFSET or the end',
  ],
  [
    "SELECT * FROM x ORDER BY a NULLS FIRST",
    'NULLS FIRST or LAST is not supported (line 1, column 28); expected an operator, ",", ASC, DESC, LIMIT, OFFSET or the end',
  ],
  [
    "SELECT * FROM x LIMIT",
    "found the end of the statement (line 1, column 22); expected a whole number (0, 1, ...) or a parameter",
  ],
  [
    "SELECT * FROM x LIMIT -1",
    'found "-" (line 1, column 23); expected a whole number (0, 1, ...) or a parameter',
  ],
  [
    "SELECT * FROM x LIMIT 1.5",
    "found 1.5 (line 1, column 23); expected a whole number (0, 1, ...) or a parameter",
  ],
  [
    "SELECT * FROM x LIMIT 9007199254740993",
    "LIMIT 9007199254740993 is too large (line 1, column 23); expected at most 9007199254740991",
  ],
  [
    "SELECT * FROM x LIMIT 1, 2",
    "LIMIT with two numbers is not supported (line 1, column 24); expected LIMIT n OFFSET m",
  ],
  [
    "SELECT * FROM x LIMIT 1 WHERE a = 1",
    `found WHERE after LIMIT (line 1, column 25); expected at most one of each, in the order ${inOrder}`,
  ],
  [
    "SELECT * FROM x WHERE a = 1 WHERE b = 2",
    `found a second WHERE (line 1, column 29); expected at most one of each, in the order ${inOrder}`,
  ],
  [
    "SELECT * FROM x ORDER BY a GROUP BY b",
    `found GROUP BY after ORDER BY (line 1, column 28); expected at most one of each, in the order ${inOrder}`,
  ],
  [
    "SELECT * FROM x OFFSET 1 LIMIT 1",
    `found LIMIT after OFFSET (line 1, column 26); expected at most one of each, in the order ${inOrder}`,
  ],
  ["SELECT * FROM x OFFSET 1 2", "found 2 (line 1, column 26); expected the end"],
]);

check("joins", [
  ["SELECT * FROM x JOIN y", "found the end of the statement (line 1, column 23); expected ON"],
  [
    "SELECT * FROM x JOIN y ON a > b",
    'found ">" (line 1, column 29); expected "=" (a join compares paths with = alone)',
  ],
  ["SELECT * FROM x JOIN y ON a = 1", "found 1 (line 1, column 31); expected a path"],
  ["SELECT * FROM x LEFT y", "found y (line 1, column 22); expected JOIN or OUTER JOIN"],
  ["SELECT * FROM x CROSS JOIN y ON a = b", `found ON (line 1, column 30); expected ${afterFrom}`],
  [
    "SELECT * FROM x FULL OUTER JOIN y ON a = b",
    `FULL JOIN is not supported (line 1, column 17); expected ${afterFrom}`,
  ],
  ["SELECT * FROM x JOIN y USING (a)", "USING is not supported (line 1, column 24); expected ON"],
  ["SELECT * FROM x JOIN y ON a = b OR c = d", `found OR (line 1, column 33); expected AND, ${afterFrom}`],
]);

check("what is not supported", [
  [
    "SELECT * FROM x; SELECT * FROM y",
    "found SELECT after the statement (line 1, column 18); expected the end: one statement at a time",
  ],
  [
    "SELECT * FROM x UNION SELECT * FROM y",
    `UNION is not supported (line 1, column 17); expected ${afterFrom}`,
  ],
  ["SELECT * FROM x WHERE a IN (SELECT b FROM y)", "sub-queries are not supported (line 1, column 29)"],
  [
    "SELECT * FROM (SELECT * FROM y)",
    "sub-queries are not supported (line 1, column 15); expected the name of a collection",
  ],
  ["SELECT (SELECT 1) FROM x", "sub-queries are not supported (line 1, column 9)"],
  ["SELECT * FROM x WHERE (SELECT 1) = 1", "sub-queries are not supported (line 1, column 24)"],
  [
    "SELECT * FROM x WHERE EXISTS (SELECT 1)",
    `the function EXISTS is not supported (line 1, column 23); expected ${oneOf}`,
  ],
  ["WITH y AS (SELECT 1) SELECT * FROM y", `WITH is not supported (line 1, column 1); expected ${statement}`],
  ["EXPLAIN SELECT * FROM x", `EXPLAIN is not supported (line 1, column 1); expected ${statement}`],
  [
    "SELECT CASE WHEN a = 1 THEN 2 END FROM x",
    `CASE is not supported (line 1, column 8); expected ${aValue}`,
  ],
  [
    "SELECT SUM(a) OVER (PARTITION BY b) FROM x",
    `OVER (a window function) is not supported (line 1, column 15); expected ${afterItem}`,
  ],
  ["SELECT COUNT(DISTINCT a) FROM x", "COUNT(DISTINCT ...) is not supported (line 1, column 14)"],
  [
    "SELECT GROUP_CONCAT(a) FROM x",
    `the function GROUP_CONCAT is not supported (line 1, column 8); expected ${oneOf}`,
  ],
  [
    "SELECT CAST(a AS INT) FROM x",
    `the function CAST is not supported (line 1, column 8); expected ${oneOf}`,
  ],
  [
    "SELECT * FROM x WHERE a LIKE 'x' ESCAPE '!'",
    `ESCAPE is not supported (line 1, column 34); expected ${afterWhere}`,
  ],
  ["SELECT a || b FROM x", "the character | (U+007C) has no meaning here (line 1, column 10)"],
  ["SELECT * FROM x FETCH FIRST 1 ROWS", `FETCH is not supported (line 1, column 17); expected ${afterFrom}`],
]);

check("functions", [
  ["SELECT FOO(a) FROM x", `there is no function FOO (line 1, column 8); expected ${oneOf}`],
  ["SELECT LOWER() FROM x", "LOWER takes 1 argument, not 0 (line 1, column 8)"],
  ["SELECT lower(a, b) FROM x", "LOWER takes 1 argument, not 2 (line 1, column 8)"],
  ["SELECT NOW(1) FROM x", "NOW takes no arguments, not 1 (line 1, column 8)"],
  ["SELECT IFNULL(a) FROM x", "IFNULL takes 2 to 100 arguments, not 1 (line 1, column 8)"],
  ["SELECT LOWER(a FROM x", 'found FROM (line 1, column 16); expected an operator, "," or ")"'],
  ["SELECT LOWER(*) FROM x", `found "*" (line 1, column 14); expected ${aValue}`],
  ["SELECT SUM(*) FROM x", 'found "*" (line 1, column 12); expected a path (* stands in COUNT alone)'],
  ["SELECT MIN(a, b) FROM x", 'MIN takes 1 argument (line 1, column 13); expected ")"'],
  ["SELECT COUNT(* FROM x", 'found FROM (line 1, column 16); expected ")"'],
  ["SELECT SUM(MAX(a)) FROM x", "MAX cannot stand inside another aggregate (line 1, column 12)"],
  ["SELECT * FROM x WHERE SUM(a) > 1", "SUM cannot stand in WHERE (line 1, column 23)"],
  ["UPDATE x SET a = COUNT(*)", "COUNT cannot stand in SET (line 1, column 18)"],
  ["INSERT INTO x (a) VALUES (MAX(b))", "MAX cannot stand in VALUES (line 1, column 27)"],
  ["DELETE FROM x WHERE MIN(a) = 1", "MIN cannot stand in WHERE (line 1, column 21)"],
  [
    "SELECT CURRENT_TIMESTAMP FROM x",
    "CURRENT_TIMESTAMP is a function (line 1, column 8); expected CURRENT_TIMESTAMP()",
  ],
]);

check("tokens", [
  ["SELECT 007 FROM x", "the number 007 begins with a needless 0 (line 1, column 8)"],
  ["SELECT 12abc FROM x", "12abc is neither a number nor a name (line 1, column 8)"],
  ["SELECT 1e FROM x", "1e is neither a number nor a name (line 1, column 8)"],
  ["SELECT .5 FROM x", `found "." (line 1, column 8); expected ${aValue}`],
  ["SELECT 1. FROM x", `found "." (line 1, column 9); expected ${afterItem}`],
  [
    "SELECT a.0 FROM x",
    "found 0 (line 1, column 10); expected the name of a member (in double quotes if it begins with a digit)",
  ],
  ["SELECT a[-1] FROM x", 'found "-" (line 1, column 10); expected a position in the array (0, 1, ...) or *'],
  [
    "SELECT a[1.5] FROM x",
    "found 1.5 (line 1, column 10); expected a position in the array (0, 1, ...) or *",
  ],
  [
    "SELECT a['b'] FROM x",
    "found 'b' (line 1, column 10); expected a position in the array (0, 1, ...) or *",
  ],
  ["SELECT a[0 FROM x", 'found FROM (line 1, column 12); expected "]"'],
  ["SELECT a[1234567890] FROM x", "a position in an array has at most 9 digits (line 1, column 10)"],
  ["SELECT a. FROM x", `found x (line 1, column 16); expected ${afterItem}`],
  ['SELECT "a FROM x', 'the quoted name that begins here is not closed (line 1, column 8); expected "'],
  ['SELECT "*each" FROM x', "a member that is called *each cannot be reached (line 1, column 8)"],
  ["SELECT /* a FROM x", "the comment that begins here is not closed (line 1, column 8); expected */"],
  [
    "SELECT $1 FROM x",
    "the character $ (U+0024) has no meaning here; a parameter is written ? or :name, a name with this character in double quotes (line 1, column 8)",
  ],
  ["SELECT : a FROM x", "found : (line 1, column 8); expected the name of a parameter right after it"],
  ["SELECT ?1 FROM x", `found 1 (line 1, column 9); expected ${afterItem}`],
  [
    "SELECT `a` FROM x",
    "the character ` (U+0060) has no meaning here; a name is quoted with double quotes (line 1, column 8)",
  ],
  ["SELECT +1 FROM x", `found "+" (line 1, column 8); expected ${aValue}`],
  ["SELECT a\u00a0FROM x", "the character U+00A0 has no meaning here (line 1, column 9)"],
  ["SELECT a, 'é😀', \u0000 FROM x", "the character U+0000 has no meaning here (line 1, column 17)"],
  ["SELECT a\nFROM x\nWHERE 😀", "the character 😀 (U+1F600) has no meaning here (line 3, column 7)"],
  ["SELECT ?, :a FROM x", "? and :name cannot be used in one statement (line 1, column 11)"],
  ["SELECT '\ud800'", "the statement holds half of a surrogate pair (line 1, column 9)"],
]);

check("INSERT", [
  ["INSERT x", "found x (line 1, column 8); expected INTO"],
  ["INSERT INTO x", 'found the end of the statement (line 1, column 14); expected VALUES or "("'],
  ["INSERT INTO x {}", 'found "{" (line 1, column 15); expected VALUES or "("'],
  ["INSERT INTO x VALUES", 'found the end of the statement (line 1, column 21); expected a JSON object, "{"'],
  ["INSERT INTO x VALUES (1)", 'found "(" (line 1, column 22); expected a JSON object, "{"'],
  ["INSERT INTO x VALUES ?", 'found ? (line 1, column 22); expected a JSON object, "{"'],
  [
    'INSERT INTO x VALUES {"a": {',
    "the JSON object that begins here is not closed (line 1, column 22); expected }",
  ],
  [
    'INSERT INTO x VALUES {"a',
    'the JSON object that begins here is not closed (line 1, column 22); expected "',
  ],
  ["INSERT INTO x VALUES {} {}", 'found "{" (line 1, column 25); expected "," or the end'],
  [
    "INSERT INTO x VALUES {},",
    'found the end of the statement (line 1, column 25); expected a JSON object, "{"',
  ],
  ["INSERT INTO x () VALUES ()", 'found ")" (line 1, column 16); expected a path'],
  ["INSERT INTO x (a) (1)", 'found "(" (line 1, column 19); expected VALUES'],
  ["INSERT INTO x (a) VALUES {}", 'found "{" (line 1, column 26); expected "("'],
  ["INSERT INTO x (a, b) VALUES (1)", "mismatch: 2 in the list of paths, 1 in this row (line 1, column 29)"],
  [
    "INSERT INTO x (a) VALUES (1), (1, 2)",
    "mismatch: 1 in the list of paths, 2 in this row (line 1, column 31)",
  ],
  ["INSERT INTO x SELECT * FROM y", "sub-queries are not supported (line 1, column 15)"],
  ["INSERT OR REPLACE INTO x VALUES {}", "found OR (line 1, column 8); expected INTO"],
  ["REPLACE INTO x VALUES {}", `REPLACE is not supported (line 1, column 1); expected ${statement}`],
  ["INSERT INTO x VALUES {} ON CONFLICT DO NOTHING", 'found ON (line 1, column 25); expected "," or the end'],
  [
    "INSERT INTO x VALUES {} RETURNING a",
    'RETURNING is not supported (line 1, column 25); expected "," or the end',
  ],
  [
    "INSERT INTO x DEFAULT VALUES",
    'DEFAULT VALUES is not supported (line 1, column 15); expected VALUES or "("',
  ],
]);

check("UPDATE and DELETE", [
  ["UPDATE x SET", "found the end of the statement (line 1, column 13); expected a path"],
  ["UPDATE x SET a", 'found the end of the statement (line 1, column 15); expected "="'],
  ["UPDATE x SET a == 1", "found == (line 1, column 16); expected one ="],
  ["UPDATE x SET a = 1 b", 'found b (line 1, column 20); expected an operator, ",", WHERE or the end'],
  ["UPDATE x SET a = b > 1", 'found ">" (line 1, column 20); expected an operator, ",", WHERE or the end'],
  ["UPDATE x SET a = 1 WHERE b = 1 c", "found c (line 1, column 32); expected AND, OR or the end"],
  ["DELETE x", "found x (line 1, column 8); expected FROM"],
  ["DELETE FROM x a", "found a (line 1, column 15); expected WHERE or the end"],
  ["DELETE FROM x WHERE a = 1 LIMIT 1", "found LIMIT (line 1, column 27); expected AND, OR or the end"],
]);

check("indexes", [
  ["CREATE TABLE x (a)", "TABLE is not supported (line 1, column 8); expected INDEX or UNIQUE INDEX"],
  ["CREATE UNIQUE x", "found x (line 1, column 15); expected INDEX"],
  [
    "CREATE INDEX ON x (a)",
    'found ON ("ON" in double quotes is a name) (line 1, column 14); expected a name for the index',
  ],
  ["CREATE INDEX i (a)", 'found "(" (line 1, column 16); expected ON'],
  ["CREATE INDEX i ON x ()", 'found ")" (line 1, column 22); expected a path'],
  ["CREATE INDEX i ON x (a, b, c)", "there are more than 2 paths in one index (line 1, column 28)"],
  ["CREATE INDEX i ON x (LOWER(a))", 'found "(" (line 1, column 27); expected "," or ")"'],
  ["CREATE INDEX i ON x (a) WHERE a = 1", "found WHERE (line 1, column 25); expected the end"],
  ["CREATE INDEX i ON x (a DESC)", 'found DESC (line 1, column 24); expected "," or ")"'],
  [
    "CREATE INDEX IF NOT EXISTS i ON x (a)",
    "IF EXISTS and IF NOT EXISTS are not supported (line 1, column 14)",
  ],
  ['CREATE INDEX "" ON x (a)', "the name of an index is empty (line 1, column 14)"],
  ["DROP TABLE x", "TABLE is not supported (line 1, column 6); expected INDEX"],
  ["DROP INDEX i ON x y", "found y (line 1, column 19); expected the end"],
]);

check("pieces of the text in a message are short and on one line", [
  [
    "SELECT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb FROM x",
    `found bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb… (line 1, column 56); expected ${afterItem}`,
  ],
  ["SELECT a 'x\ny' FROM x", `found 'x y' (line 1, column 10); expected ${afterItem}`],
]);
