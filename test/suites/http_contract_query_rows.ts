/** The table of endpoints: queries, indexes, and the rules of collections. */
import { index, one, otherMethod } from "./http_contract_asks.ts";
import {
  count,
  exactly,
  flag,
  inOrder,
  is,
  measured,
  numbered,
  orNull,
  queryShape,
  some,
  text,
  yes,
} from "./http_contract_shapes.ts";
import type { Row, Shape } from "./http_contract_table.ts";

const plan = { "x-dfdb-plan": /^[A-Z_]+/ };
const lines = { "x-dfdb-count": /^[0-9]+$/, "x-dfdb-executionms": /^[0-9]+\.[0-9]{2}$/, ...plan };
const rows = inOrder(
  exactly({
    kind: is("meta"),
    count,
    affected: count,
    plan: text,
    executionTimeMs: measured,
    message: orNull(text),
  }),
  numbered,
  exactly({ kind: is("end"), count: is(1), executionTimeMs: measured }),
);
const told = [["POST", "/query", { sql: "INSERT INTO told VALUES {}" }]] as const;
const syntax = { line: count, column: count };

export const queryRows: readonly Row[] = [
  {
    route: "POST /query",
    good: [
      {
        before: one("asked"),
        body: { sql: "SELECT * FROM asked WHERE n = 1" },
        has: plan,
        answer: queryShape(inOrder(numbered)),
      },
      {
        body: { sql: "SELECT COUNT(*) FROM asked WHERE n > ?", params: [0] },
        answer: queryShape(inOrder(exactly({ count: is(1) }))),
      },
      { body: { sql: "INSERT INTO told VALUES {}" }, writes: true, answer: queryShape(inOrder()) },
      { before: told, body: { sql: "UPDATE told SET n = 1" }, writes: true, answer: queryShape(inOrder()) },
      {
        before: told,
        body: { sql: "CREATE INDEX by_n ON told (n)" },
        writes: true,
        answer: queryShape(inOrder()),
      },
      {
        before: index("dropping"),
        body: { sql: "DROP INDEX by_n ON dropping" },
        writes: true,
        answer: queryShape(inOrder()),
      },
      { before: told, body: { sql: "DELETE FROM told" }, writes: true, answer: queryShape(inOrder()) },
      {
        path: "/query?stream=true",
        body: { sql: "SELECT * FROM asked" },
        form: "ndjson",
        has: lines,
        answer: rows,
      },
      {
        headers: { accept: "application/x-ndjson" },
        body: { sql: "SELECT * FROM asked" },
        form: "ndjson",
        has: lines,
        answer: rows,
      },
    ],
    bad: [
      { body: { sql: " " }, status: 400, code: "bad_request" },
      { body: { sql: "SELECT" }, status: 400, code: "bad_request", more: { ...syntax, expected: text } },
      { body: { sql: "SELECT * FROM nowhere" }, status: 400, code: "collection_not_found", more: syntax },
      { body: { sql: "SELECT * FROM asked", params: 1 }, status: 400, code: "bad_request" },
    ],
  },
  {
    route: "GET /indexes/:collection",
    good: [
      {
        before: index("indexed"),
        path: "/indexes/indexed",
        answer: exactly({
          collection: is("indexed"),
          indexes: inOrder(
            exactly({ name: is("by_n"), path: is("n"), unique: flag, entries: count, ready: flag }),
          ),
        }),
      },
      {
        before: [["POST", "/index", { collection: "sharing", path: "n", unique: true }]],
        path: "/indexes/sharing?violations=true",
        answer: exactly({
          collection: is("sharing"),
          indexes: inOrder(
            exactly({
              name: text,
              path: is("n"),
              unique: yes,
              entries: count,
              ready: flag,
              violations: orNull(count),
            }),
          ),
        }),
      },
      { path: "/indexes/unknown", answer: exactly({ collection: is("unknown"), indexes: inOrder() }) },
    ],
    bad: [
      { path: "/indexes/_keys", status: 400, code: "bad_request" },
      {
        path: "/indexes/indexed?violations=1",
        status: 400,
        code: "bad_request",
        more: { parameter: is("violations") },
      },
    ],
  },
  {
    route: "POST /index",
    good: [{
      body: { collection: "made", path: "a.b[0]", unique: true },
      answer: exactly({ success: yes, message: text, name: is("idx_made_a_b_0"), totalIndexes: is(1) }),
      writes: true,
    }, {
      body: { collection: "made", path: "a,b", name: null, unique: null },
      answer: exactly({ success: yes, message: text, name: text, totalIndexes: is(2) }),
      writes: true,
    }],
    bad: [
      { body: { collection: "made" }, status: 400, code: "bad_request" },
      { body: { collection: "made", path: "" }, status: 400, code: "bad_request" },
      {
        before: index("again"),
        body: { collection: "again", path: "n", name: "by_n" },
        status: 409,
        code: "conflict",
      },
    ],
  },
  {
    route: "DELETE /index/:collection/:name",
    good: [{
      before: index("unindexed"),
      path: "/index/unindexed/BY_N",
      answer: exactly({ success: yes, message: text, dropped: is("by_n") }),
      writes: true,
    }],
    bad: [{ before: one("bare"), path: "/index/bare/none", status: 404, code: "not_found" }],
  },
];

const expiring = (collection: string) =>
  [["PUT", `/collections/${collection}/ttl`, { field: "at" }]] as const;
const schema = {
  required: ["n"],
  types: { n: "int" },
  checks: ["n > 0"],
  refs: [{ field: "to", collection: "others" }],
};
const schemaEntries = {
  required: inOrder(is("n")),
  types: exactly({ n: is("int") }),
  checks: inOrder(is("n > 0")),
  refs: inOrder(
    exactly({ field: is("to"), collection: is("others"), targetField: is("_id"), onDelete: is("restrict") }),
  ),
};
const schemaShape = exactly(schemaEntries);
const referring = (collection: string) => [["POST", "/index", { collection, path: "to" }]] as const;
const ruled = (collection: string) =>
  [...referring(collection), ["PUT", `/collections/${collection}/schema`, schema]] as const;
const removed = (collection: string): Shape =>
  exactly({ success: yes, collection: is(collection), removed: yes });

export const ruleRows: readonly Row[] = [
  {
    route: "PUT /collections/:collection/ttl",
    good: [
      {
        path: "/collections/expiring/ttl",
        body: { field: "at", intervalSeconds: null },
        answer: exactly({
          success: yes,
          collection: is("expiring"),
          field: is("at"),
          intervalSeconds: is(60),
        }),
        writes: true,
      },
      {
        path: "/collections/expiring/ttl",
        body: { field: "at.end", intervalSeconds: 0.5 },
        answer: exactly({
          success: yes,
          collection: is("expiring"),
          field: is("at.end"),
          intervalSeconds: is(1),
        }),
        writes: true,
      },
    ],
    bad: [{
      path: "/collections/expiring/ttl",
      body: {},
      status: 400,
      code: "bad_request",
      more: { field: text },
    }],
  },
  {
    route: "DELETE /collections/:collection/ttl",
    good: [{
      before: expiring("staying"),
      path: "/collections/staying/ttl",
      answer: removed("staying"),
      writes: true,
    }],
    bad: [{ path: "/collections/nowhere/ttl", status: 404, code: "not_found" }],
  },
  {
    route: "GET /ttl",
    good: [{
      before: expiring("listed"),
      answer: exactly({ ttls: some(exactly({ collection: text, field: text, intervalSeconds: count })) }),
    }],
    bad: otherMethod("POST", "GET, HEAD"),
  },
  {
    route: "POST /admin/ttl/sweep",
    good: [{
      before: [...expiring("swept"), ["PUT", "/collections/swept/1", { at: 1 }]],
      answer: exactly({ success: yes, deleted: is(1) }),
      writes: true,
    }],
    bad: otherMethod("GET", "POST"),
  },
  {
    route: "PUT /collections/:collection/schema",
    good: [{
      before: referring("ruled"),
      path: "/collections/ruled/schema",
      body: schema,
      answer: exactly({ success: yes, schema: schemaShape }),
      writes: true,
    }],
    bad: [
      {
        path: "/collections/ruled/schema",
        body: { types: { n: "float" } },
        status: 400,
        code: "bad_request",
        more: { field: is("types.n") },
      },
    ],
  },
  {
    route: "GET /collections/:collection/schema",
    good: [
      { before: ruled("shown"), path: "/collections/shown/schema", answer: schemaShape },
      {
        path: "/collections/shown/schema?violations=true",
        answer: exactly({ ...schemaEntries, violations: orNull(count) }),
      },
    ],
    bad: [{ path: "/collections/nowhere/schema", status: 404, code: "not_found" }],
  },
  {
    route: "DELETE /collections/:collection/schema",
    good: [{
      before: ruled("freed"),
      path: "/collections/freed/schema",
      answer: removed("freed"),
      writes: true,
    }],
    bad: [{ path: "/collections/nowhere/schema", status: 404, code: "not_found" }],
  },
  {
    route: "POST /seed",
    good: [{
      body: { orders: 2 },
      answer: exactly({
        success: yes,
        ordersSeeded: is(2),
        flightsSeeded: is(100),
        indexesCreated: is(5),
        timeSeconds: measured,
      }),
      writes: true,
    }],
    bad: [{ body: { orders: -1 }, status: 400, code: "bad_request", more: { field: is("orders") } }],
  },
];
