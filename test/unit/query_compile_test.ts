import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { documentText } from "../../src/document/document_text.ts";
import type { Select } from "../../src/query/ast.ts";
import { placedIn } from "../../src/query/catalog.ts";
import { compileMatches, compileSelect } from "../../src/query/compile.ts";
import { signatureOf } from "../../src/query/compile_constants.ts";
import type { QueryParameters } from "../../src/query/compile_slots.ts";
import { parse } from "../../src/query/parse.ts";
import { jsonPath } from "../../src/query/path_sql.ts";
import { planName } from "../../src/query/plan_name.ts";
import { rowWriter } from "../../src/query/result_rows.ts";
import { indexOn, inputsOf, QueryDatabase } from "../tool/query_database.ts";

const orders = [
  '{"pnr":"A1","city":"Rome","fare":120,"seats":[{"no":1,"row":"a"},{"no":2}],"flight":1,"paid":true}',
  '{"pnr":"B2","city":"Oslo","fare":80.50,"seats":[],"flight":"2","paid":false}',
  '{"pnr":"C3","city":"Rome","fare":99,"seats":[{"no":2},{"no":2}],"flight":3,"paid":1}',
  '{"pnr":"D4","city":null,"fare":"99","flight":1.0,"paid":"TRUE"}',
  '{"pnr":"E5","fare":400,"tags":["x","y"],"flight":9}',
];
const flights = [
  '{"no":1,"to":"Rome","seats":[1,"2"]}',
  '{"no":2,"to":"Oslo"}',
  '{"no":"3","to":"Bern"}',
  '{"to":"Nice"}',
];
const indexes = [
  { ...indexOn("pnr"), unique: true },
  ...[
    indexOn("city"),
    indexOn("fare"),
    indexOn("city", "fare"),
    indexOn("seats.[*].no"),
    indexOn("tags.[*]"),
  ],
];

function database(): QueryDatabase {
  return new QueryDatabase(
    { name: "Orders", documents: orders, indexes },
    { name: "flights", documents: flights },
    { name: "gates", documents: flights, indexes: [indexOn("no")] },
    { name: "my.things", documents: ['{"a":1}'] },
  );
}

function compiled(text: string, db: QueryDatabase, parameters: QueryParameters = []) {
  const made = compileSelect(parse(text) as Select, db.catalog(), parameters);
  assert.ok(made.kind === "rows");
  return made;
}

function refused(text: string, parameters: QueryParameters = []): DfdbError {
  using db = database();
  try {
    db.select(text, parameters);
  } catch (error) {
    assert.ok(error instanceof DfdbError, String(error));
    return error;
  }
  assert.fail(`not refused: ${text}`);
}

test("what a query answers", async (t) => {
  const cases: readonly (readonly [sql: string, ...rows: string[]])[] = [
    ["SELECT * FROM orders WHERE pnr = 'B2'", `{"_id":"2","_etag":"e101",${orders[1]!.slice(1)}`],
    [
      "SELECT fare, city FROM orders WHERE fare < 100 ORDER BY fare",
      '{"_id":"2","fare":80.50,"city":"Oslo"}',
      '{"_id":"3","fare":99,"city":"Rome"}',
    ],
    ["SELECT city FROM orders WHERE pnr = 'D4'", '{"_id":"4"}'],
    ["SELECT _id, _etag FROM orders WHERE _id = '5'", '{"_id":"5","_etag":"e104"}'],
    [
      "SELECT seats[*].row, seats[0].no AS first FROM orders WHERE pnr = 'A1'",
      '{"_id":"1","seats[*].row":["a",null],"first":1}',
    ],
    ["SELECT COUNT(*) FROM orders", '{"count":5}'],
    ["SELECT COUNT(*) FROM orders WHERE city = 'Rome'", '{"count":2}'],
    ["SELECT COUNT(*) AS n FROM orders WHERE city = 'Rome'", '{"n":2}'],
    ["SELECT COUNT(*) FROM nowhere", '{"count":0}'],
    ["SELECT COUNT(*) FROM orders LIMIT 0"],
    [
      "SELECT COUNT(city), SUM(fare), AVG(fare) FROM orders",
      '{"COUNT(city)":3,"SUM(fare)":699.5,"AVG(fare)":174.875}',
    ],
    [
      "SELECT MIN(fare), MAX(fare), MAX(seats), MIN(nothing) FROM orders",
      '{"MIN(fare)":80.5,"MAX(fare)":"99","MAX(seats)":[{"no":2},{"no":2}]}',
    ],
    ["SELECT MIN(paid) FROM orders WHERE paid != 1", '{"MIN(paid)":false}'],
    [
      "SELECT city, COUNT(*) AS n FROM orders GROUP BY city ORDER BY n DESC, city",
      '{"n":2}',
      '{"city":"Rome","n":2}',
      '{"city":"Oslo","n":1}',
    ],
    ["SELECT city FROM orders GROUP BY city HAVING SUM(fare) > 100 ORDER BY city", "{}", '{"city":"Rome"}'],
    ["SELECT flight, COUNT(*) FROM orders GROUP BY flight HAVING COUNT(*) > 1", '{"flight":1,"COUNT(*)":2}'],
    ["SELECT paid, COUNT(*) FROM orders WHERE paid IS NOT NULL GROUP BY paid HAVING COUNT(*) > 1"],
    ["SELECT DISTINCT city FROM orders ORDER BY city DESC LIMIT 2", '{"city":"Rome"}', '{"city":"Oslo"}'],
    [
      "SELECT DISTINCT paid FROM orders WHERE paid IN (1, TRUE)",
      '{"paid":1}',
      '{"paid":true}',
      '{"paid":"TRUE"}',
    ],
    [
      "SELECT fare + 1 AS more, fare / 0 AS none, UPPER(city) FROM orders WHERE pnr = 'B2'",
      '{"_id":"2","more":81.5,"UPPER(city)":"OSLO"}',
    ],
    [
      "SELECT seats[*].no FROM orders WHERE seats[*].no = 2 ORDER BY pnr",
      '{"_id":"1","seats[*].no":[1,2]}',
      '{"_id":"3","seats[*].no":[2,2]}',
    ],
    [
      "SELECT pnr FROM orders WHERE NOT city = 'Rome' ORDER BY pnr",
      '{"_id":"2","pnr":"B2"}',
      '{"_id":"4","pnr":"D4"}',
      '{"_id":"5","pnr":"E5"}',
    ],
    ["SELECT pnr FROM orders WHERE city != 'Rome'", '{"_id":"2","pnr":"B2"}'],
    ["SELECT pnr FROM orders ORDER BY paid DESC, pnr DESC LIMIT 1 OFFSET 1", '{"_id":"3","pnr":"C3"}'],
    ['SELECT a FROM "my.things"', '{"_id":"1","a":1}'],
    [
      "SELECT NOW() AS now FROM orders WHERE NOW() > '2026' LIMIT 1",
      '{"_id":"1","now":"2026-01-02T03:04:05.678Z"}',
    ],
  ];
  using db = database();
  for (const [sql, ...rows] of cases) {
    await t.test(sql, () => {
      assert.deepEqual(db.select(sql).rows, rows);
      if (!/GROUP|DISTINCT/.test(sql)) assert.deepEqual(db.select(sql, [], true).rows, rows, "scan");
    });
  }
});

test("joins, by an index and without one", async (t) => {
  const pairs = (rows: readonly string[]): string =>
    rows.map((row) => {
      const { a, b } = JSON.parse(row) as { a?: string; b?: string };
      return `${a ?? "-"}:${b ?? "-"}`;
    }).sort().join(" ");
  const cases: readonly (readonly [join: string, expected: string])[] = [
    ["orders JOIN % ON orders.flight = %.no", "A1:Rome B2:Oslo C3:Bern D4:Rome"],
    ["orders JOIN % ON %.no = orders.flight WHERE orders.city = 'Rome'", "A1:Rome C3:Bern"],
    ["orders LEFT JOIN % ON orders.flight = %.no", "A1:Rome B2:Oslo C3:Bern D4:Rome E5:-"],
    ["orders LEFT JOIN % ON orders.flight = %.no WHERE %.no IS NULL", "E5:-"],
    ["orders RIGHT JOIN % ON orders.flight = %.no", "-:Nice A1:Rome B2:Oslo C3:Bern D4:Rome"],
    ["orders JOIN % ON orders.flight = %.no AND orders.city = %.to", "A1:Rome B2:Oslo"],
    ["orders LEFT JOIN % ON orders.flight = %.no AND orders.city = %.to", "A1:Rome B2:Oslo C3:- D4:- E5:-"],
    ["orders JOIN % ON orders.seats[*].no = %.no", "A1:Oslo A1:Rome C3:Oslo"],
    ["orders LEFT JOIN % ON orders.seats[*].no = %.seats[*]", "A1:Rome B2:- C3:Rome D4:- E5:-"],
    ["% RIGHT JOIN orders ON orders.flight = %.no WHERE orders.pnr = 'E5'", "E5:-"],
    ["orders CROSS JOIN % WHERE orders.pnr = 'A1' AND %.no = 2", "A1:Oslo"],
  ];
  using db = database();
  for (const [join, expected] of cases) {
    for (const other of ["flights", "gates"]) {
      const sql = `SELECT orders.pnr AS a, ${other}.to AS b FROM ${join.replaceAll("%", other)}`;
      await t.test(sql, () => {
        assert.equal(pairs(db.select(sql).rows), expected);
        assert.equal(pairs(db.select(sql, [], true).rows), expected, "scan");
      });
    }
  }
});

test("whole sides of a join stand under the names of their collections; one that is missing is {}", () => {
  using db = database();
  assert.deepEqual(
    db.select(
      "SELECT * FROM flights LEFT JOIN orders ON orders.flight = flights.no WHERE flights.to IN ('Oslo', 'Nice')",
    ).rows,
    [
      `{"flights":{"_id":"2","_etag":"e101",${flights[1]!.slice(1)},"Orders":{"_id":"2","_etag":"e101",${
        orders[1]!.slice(1)
      }}`,
      `{"flights":{"_id":"4","_etag":"e103",${flights[3]!.slice(1)},"Orders":{}}`,
    ],
  );
  const three =
    "SELECT orders.pnr FROM orders JOIN flights ON orders.flight = flights.no RIGHT JOIN gates ON gates.no = flights.no ORDER BY orders.pnr";
  assert.deepEqual(db.select(three).rows, [
    "{}",
    ...["A1", "B2", "C3", "D4"].map((pnr) => `{"orders.pnr":"${pnr}"}`),
  ]);
});

test("plans say what SQLite does", async (t) => {
  const cases: readonly (readonly [sql: string, plan: string])[] = [
    ["SELECT * FROM orders", "COLLECTION_SCAN"],
    ["SELECT * FROM orders WHERE paid = 1", "COLLECTION_SCAN"],
    ["SELECT * FROM orders WHERE _id = '1'", "INDEX_SCAN(_id)"],
    ["SELECT * FROM orders WHERE pnr = 'A1' AND city = 'Rome'", "INDEX_SCAN(by_pnr)"],
    ["SELECT * FROM orders WHERE city = 'Rome'", "INDEX_SCAN(by_city)"],
    ["SELECT * FROM orders WHERE 'Rome' = city AND paid = 1", "INDEX_SCAN(by_city)"],
    ["SELECT * FROM orders WHERE city IN ('Rome', 'Oslo')", "INDEX_SCAN_MULTI(by_city, 2 keys)"],
    [
      "SELECT * FROM orders WHERE city = 'Rome' OR city = 'Oslo' OR city = 'Bern'",
      "INDEX_SCAN_MULTI(by_city, 3 keys)",
    ],
    ["SELECT * FROM orders WHERE city = 'Rome' OR fare = 1", "COLLECTION_SCAN"],
    [
      "SELECT * FROM orders WHERE city = 'Rome' AND fare = 99 AND paid = 1",
      "INDEX_SCAN_COMPOSITE(by_city_fare)",
    ],
    ["SELECT * FROM orders WHERE city = 'Rome' AND fare > 99", "INDEX_RANGE_SCAN(by_city_fare)"],
    ["SELECT * FROM orders WHERE fare > 99", "INDEX_RANGE_SCAN(by_fare)"],
    ["SELECT * FROM orders WHERE fare BETWEEN 1 AND 2", "INDEX_RANGE_SCAN(by_fare)"],
    ["SELECT * FROM orders ORDER BY fare LIMIT 3", "INDEX_SCAN(by_fare)"],
    ["SELECT * FROM orders WHERE seats[*].no = 2", "INDEX_SCAN(by_seatsno)"],
    ["SELECT * FROM orders WHERE seats[1].no = 2", "COLLECTION_SCAN"],
    ["SELECT COUNT(*) FROM orders", "COLLECTION_COUNT + AGGREGATE"],
    ["SELECT COUNT(*) FROM orders WHERE city = 'Rome'", "INDEX_SCAN(by_city) + AGGREGATE"],
    ["SELECT DISTINCT city FROM orders", "COLLECTION_SCAN + DISTINCT"],
    [
      "SELECT * FROM orders JOIN flights ON orders.flight = flights.no",
      "COLLECTION_SCAN + HASH_JOIN(flights)",
    ],
    [
      "SELECT * FROM orders LEFT JOIN gates ON orders.flight = gates.no AND orders.city = gates.to",
      "COLLECTION_SCAN + HASH_LEFT_JOIN(using idx:by_no, compound:2)",
    ],
    [
      "SELECT * FROM orders RIGHT JOIN flights ON orders.flight = flights.no",
      "COLLECTION_SCAN + HASH_RIGHT_JOIN(flights)",
    ],
    [
      "SELECT * FROM orders JOIN missing ON orders.a = missing.b",
      "COLLECTION_SCAN + HASH_JOIN(missing:missing)",
    ],
    [
      "SELECT orders.a FROM orders CROSS JOIN flights WHERE orders.pnr = 'A1'",
      "INDEX_SCAN(by_pnr) + CROSS_JOIN(flights)",
    ],
  ];
  using db = database();
  for (const [sql, plan] of cases) await t.test(sql, () => assert.equal(db.select(sql).plan, plan));
});

test("a plan that SQLite does not follow is not told", () => {
  using db = database();
  const { plan } = compiled("SELECT * FROM orders WHERE city = 'Rome'", db);
  assert.equal(planName(plan, ["SCAN d"]), "COLLECTION_SCAN");
  assert.equal(planName(plan, ["SEARCH i USING PRIMARY KEY (k1=?)"]), "INDEX_SCAN(by_city)");
});

test("a join without an index finds its partners by keys, not one by one", () => {
  using db = database();
  for (const word of ["", "LEFT ", "RIGHT "]) {
    const made = compiled(`SELECT * FROM orders ${word}JOIN flights ON orders.flight = flights.no`, db);
    const details = db.explain(made.sql, made.values(inputsOf([])));
    assert.ok(
      details.some((detail) => /SEARCH m[0-9]+ USING AUTOMATIC .*\(k=\?\)/.test(detail)),
      details.join("\n"),
    );
  }
});

test("a lookup by a key reads no more than the index's row and the document", () => {
  using db = database();
  const { sql } = compiled("SELECT * FROM orders WHERE pnr = ?", db, ["A1"]);
  assert.equal(
    sql.replace(/_[0-9]+/g, "_N"),
    "SELECT d.id, d.seq, d.body FROM index_N i CROSS JOIN docs_N d ON d.row = i.row WHERE i.k1 = +?1",
  );
  const count = compiled("SELECT COUNT(*) FROM orders WHERE fare BETWEEN 2 AND 50", db);
  assert.doesNotMatch(count.sql, /docs_/);
});

test("no name, path or value of an author is in the text of a statement", () => {
  const hostile = [
    ..."' OR 1=1 --|x') UNION SELECT body FROM meta --|\"; DROP TABLE docs_1; --|?1|$.a|\\\\\"|a.b[0]|\n\t"
      .split("|"),
    ...["\u0001", "é😀", "docs_1", "d.body", "%", "e1", "'", '"', "[*]", "NULL", "--", "/*"],
  ];
  const name = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  const value = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  const statement = (a: string, v: string): string =>
    `SELECT ${name(a)}.x, LOWER(${name(a)}) AS ${name(a)}, COUNT(*) FROM orders WHERE ${name(a)}.y = ${
      value(v)
    } ` +
    `AND ${name(a)}[*].z IN (${value(v)}, 'k') AND ${name(a)} LIKE ${value(v)} AND ${name(a)}.w > ? ` +
    `GROUP BY ${name(a)}.x, ${name(a)} HAVING MIN(${name(a)}.q) < ${value(v)}`;
  const matching = (a: string, v: string): string =>
    `DELETE FROM orders WHERE ${name(a)} = ${value(v)} OR NOT a[0].${name(a)} = ?`;
  using db = database();
  const numbered = (sql: string): string => sql.replace(/\?[0-9]+/g, "?");
  const removing = (value: string): string => {
    const remove = parse(matching("a", value));
    assert.ok(remove.kind === "delete");
    return compileMatches(remove.where, "orders", db.catalog(), [value]).sql;
  };
  for (const text of hostile) {
    const made = compiled(statement(text, text), db, [text]);
    const harmless = text.startsWith("[") ? "[v" : "v"; // a string that could be an array's text is guarded
    assert.equal(numbered(made.sql), numbered(compiled(statement("a", harmless), db, [harmless]).sql), text);
    assert.ok(made.values(inputsOf([text])).includes(text), "it is bound");
    db.run(made.sql, made.values(inputsOf([text])));
    const other = parse(matching(text, text));
    assert.ok(other.kind === "delete");
    assert.equal(compileMatches(other.where, "orders", db.catalog(), [text]).sql, removing(harmless));
  }
});

test("every name of a member can be asked for, but one with U+0000", () => {
  const names = [
    ...[
      "a",
      "",
      " ",
      '"',
      "\\",
      '\\"',
      "a.b",
      "a[0]",
      "$",
      "#",
      "*",
      "'",
      "é",
      "😀",
      "\n",
      "\t",
      "\u0001",
      "\u007f",
      "\\u0041",
      "1",
      "[*]",
    ],
    ...["a/b", "__proto__", "constructor", "\u2028"],
  ];
  const other = JSON.stringify(Object.fromEntries(names.map((name, i) => [`${name}_`, `wrong ${i}`])));
  const escaped = (name: string): string =>
    [...name].map((_, i) => name.charCodeAt(i)).length === 0
      ? ""
      : name.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
  for (const name of names) {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    const documents = [`{"${escaped(name)}":{"in":1}}`, `{${JSON.stringify(name)}:{"in":2}}`, other];
    const path = { name: "by_it", paths: [[name, "in"]] };
    using db = new QueryDatabase({ name: "c", documents, indexes: [path] });
    const found = db.select(
      `SELECT ${quoted}.in AS v FROM c WHERE ${quoted}.in IN (1, 2) ORDER BY ${quoted}.in`,
    );
    assert.deepEqual(found.rows, ['{"_id":"1","v":1}', '{"_id":"2","v":2}'], name);
    assert.match(found.plan, /by_it/, name);
    const scan = db.select(`SELECT ${quoted}.in AS v FROM c WHERE ${quoted}.in > 0`, [], true);
    assert.equal(scan.rows.length, 2, name);
  }
  assert.equal(refused('SELECT "a\u0000b" FROM orders').code, "bad_request");
  assert.equal(jsonPath(["a", 0, 'b"c']), '$."a"[0]."b\\"c"');
});

test("what cannot be is refused, with its place", async (t) => {
  const cases: readonly (readonly [sql: string, message: RegExp, code?: string])[] = [
    [
      "SELECT * FROM nowhere",
      /no collection "nowhere"; there are: Orders, flights, gates, my\.things/,
      "collection_not_found",
    ],
    ["SELECT COUNT(*), MIN(a) FROM nowhere", /no collection/, "collection_not_found"],
    [
      "SELECT pnr FROM orders JOIN flights ON orders.flight = flights.no",
      /write Orders\.pnr or flights\.pnr/,
    ],
    ["SELECT orders FROM orders JOIN flights ON orders.flight = flights.no", /names a collection/],
    ["SELECT * FROM orders JOIN orders ON orders.a = orders.b", /twice/],
    ["SELECT * FROM orders JOIN flights ON orders.a = orders.b", /ON compares a path of flights/],
    ["SELECT city, COUNT(*) FROM orders", /city must stand in GROUP BY/],
    ["SELECT * FROM orders GROUP BY city", /SELECT \* cannot be grouped/],
    ["SELECT 1 AS one FROM orders HAVING 1 = 1", /HAVING asks for GROUP BY/],
    ["SELECT * FROM orders ORDER BY seats[*].no", /\[\*\] can stand in/],
    ["SELECT SUM(seats[*].no) FROM orders", /\[\*\] can stand in/],
    ["SELECT * FROM orders WHERE _etag = 'x'", /_etag can be selected/],
    ["SELECT * FROM orders LIMIT ?", /whole number/],
    ["SELECT * FROM orders WHERE a = ? AND b = ?", /2 or more parameters, 1 are given/],
    ["SELECT * FROM orders WHERE a = :name", /no value for the parameter :name/],
    [`SELECT * FROM orders WHERE a LIKE '${"a".repeat(10_001)}'`, /10000 characters at most/],
  ];
  for (const [sql, message, code = "bad_request"] of cases) {
    await t.test(sql.slice(0, 100), () => {
      const error = refused(sql, sql.includes(":name") ? { other: 1 } : ["x"]);
      assert.match(error.message, message);
      assert.equal(error.code, code);
    });
  }
  const text = "SELECT *\nFROM orders WHERE _etag = 'x'";
  const placed = placedIn(text, refused(text)) as DfdbError;
  assert.match(placed.message, /\(line 2, column 19\)$/);
  assert.deepEqual([placed.details["line"], placed.details["column"], placed.details["at"]], [
    2,
    19,
    undefined,
  ]);
});

test("two conditions on [*] can be met by two elements, a BETWEEN is met by one", () => {
  const documents = ['{"t":[1,10]}', '{"t":[4]}', '{"t":[]}', "{}"];
  using db = new QueryDatabase({ name: "c", documents, indexes: [indexOn("t.[*]")] });
  const both = db.select("SELECT _id FROM c WHERE t[*] > 5 AND t[*] < 3");
  assert.deepEqual([both.rows, both.plan], [['{"_id":"1"}'], "INDEX_RANGE_SCAN(by_t)"]);
  assert.deepEqual(db.select("SELECT _id FROM c WHERE t[*] BETWEEN 3 AND 5").rows, ['{"_id":"2"}']);
  assert.deepEqual(db.select("SELECT _id FROM c WHERE t[*] IN (1, 10, 4) ORDER BY _id").rows, [
    '{"_id":"1"}',
    '{"_id":"2"}',
  ]);
});

test("a compiled statement serves all parameters of its signature", () => {
  const same: readonly (readonly [QueryParameters, QueryParameters])[] = [
    [["A1"], ["Rome"]],
    [[1.5], [400]],
    [[-1], [-2e10]],
    [["12"], ["400"]],
    [[true], [true]],
    [{ a: "x" }, { a: "y" }],
  ];
  for (const [a, b] of same) assert.equal(signatureOf(a), signatureOf(b), JSON.stringify([a, b]));
  const all = ["A", "a", "[", "12", "0", "true", "1e400", 2, 0.5, -1, true, false, null, [], 1e400].map((
    value,
  ) => signatureOf([value]));
  assert.equal(new Set(all).size, all.length);
  using db = database();
  const made = compiled("SELECT pnr FROM orders WHERE city = ? LIMIT ?", db, ["Rome", 1]);
  const rows = db.run(made.sql, made.values(inputsOf(["Oslo", 10])));
  assert.deepEqual(rows, [["2", '"B2"']]);
  assert.throws(() => made.values(inputsOf(["Oslo", -1])), /whole number/);
});

test("a long list and a long chain are no deep expression", () => {
  using db = database();
  const list = Array.from(
    { length: 1500 },
    (_, i) => i % 3 === 0 ? String(i) : i % 3 === 1 ? `'k${i}'` : `'${i}'`,
  );
  const listed = db.select(`SELECT pnr FROM orders WHERE fare IN (${list.join()}) ORDER BY pnr`);
  assert.equal(listed.rows.length, 3);
  assert.match(listed.plan, /MULTI\(by_fare, 1500 keys\)/);
  const chain = (word: string): string => list.map((value) => `paid != ${value}`).join(` ${word} `);
  assert.equal(db.select(`SELECT pnr FROM orders WHERE ${chain("AND")}`).rows.length, 4);
  assert.equal(db.select(`SELECT pnr FROM orders WHERE ${chain("OR")}`).rows.length, 4);
});

test("an expression that doubles with each level is refused before it fills the memory", () => {
  let expression = "fare";
  for (let i = 0; i < 45; i++) expression = `-COALESCE(${expression}, 'a')`;
  assert.match(refused(`SELECT pnr FROM orders WHERE ${expression} = 1`).message, /too large/);
  const short = "COALESCE(COALESCE(COALESCE(COALESCE(nothing, paid), 1), fare), 2)";
  using db = database();
  assert.equal(db.select(`SELECT ${short} AS v FROM orders WHERE ${short} = TRUE`).rows.length, 2);
  assert.match(
    refused(
      `SELECT pnr FROM orders WHERE ${Array.from({ length: 9000 }, () => "NOT a.b.c > '12'").join(" AND ")}`,
    ).message,
    /too many conditions/,
  );
});

test("whole numbers are counted with exactly to 64 bits", () => {
  using db = new QueryDatabase({ name: "c", documents: ['{"n":9007199254740992,"x":7.5}'] });
  const sql =
    "SELECT n + 1 AS a, n * 2 - 1 AS b, n * n AS c, x % 2 AS d, 7 / 2 AS e, -n AS f, n % 10 AS g, 1.0 + 1 AS h FROM c";
  assert.deepEqual(db.select(sql).rows, [
    '{"_id":"1","a":9007199254740993,"b":18014398509481983,"c":8.112963841460668e+31,"d":1.5,"e":3.5,"f":-9007199254740992,"g":2,"h":2}',
  ]);
});

test("rows become JSON text", () => {
  assert.equal(documentText('a"b', "e1", "{}"), '{"_id":"a\\"b","_etag":"e1"}');
  const write = rowWriter({
    kind: "items",
    withId: false,
    items: ["a", 'b"', "c", "d", "e"].map((name) => ({ name, from: name === "e" ? "seq" : "json" })),
  }, (seq) => `"${seq}"`);
  assert.equal(write(["1.0", 6, "null", null, 7]), '{"a":1.0,"b\\"":6,"e":"\\"7\\""}');
  assert.equal(write([Infinity, null, "[1]", "true", null]), '{"c":[1],"d":true}');
});
