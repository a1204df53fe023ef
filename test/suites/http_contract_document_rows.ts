/** The table of endpoints: collections and single documents. */
import * as v from "valibot";
import { offset, one, stale } from "./http_contract_asks.ts";
import {
  bulkMembers,
  bulkShape,
  count,
  edited,
  exactly,
  hexId,
  inOrder,
  is,
  no,
  numbered,
  position,
  success,
  text,
  written,
  yes,
} from "./http_contract_shapes.ts";
import type { Row, Shape } from "./http_contract_table.ts";

const listed = (documents: Shape, more: Readonly<Record<string, Shape>> = {}): Shape =>
  exactly({ collection: text, count, documents, ...more });

export const documentRows: readonly Row[] = [
  {
    route: "GET /collections",
    good: [
      { before: one("names"), answer: exactly({ database: is("default"), collections: v.array(text) }) },
      {
        path: "/collections?database=default",
        answer: exactly({ database: text, collections: v.array(text) }),
      },
    ],
    bad: [{ path: "/collections?database=none", status: 404, code: "not_found" }],
  },
  {
    route: "POST /collections/:collection",
    good: [{
      path: "/collections/inserted",
      body: { n: 1 },
      status: 201,
      answer: exactly({ success: yes, id: hexId, collection: is("inserted"), etag: position }),
      has: { location: /^\/collections\/inserted\/[0-9a-f]{32}$/ },
      writes: true,
    }, {
      path: "/collections/inserted",
      headers: { "idempotency-key": "a-key" },
      body: { _id: "own id", n: 1 },
      status: 201,
      answer: written,
      has: { location: /^\/collections\/inserted\/own%20id$/ },
      writes: true,
    }],
    bad: [
      { path: "/collections/inserted", status: 400, code: "bad_request" },
      { path: "/collections/inserted", body: "[]", status: 400, code: "bad_request" },
      { path: "/collections/inserted", body: "{", status: 400, code: "bad_request", more: offset },
      { path: "/collections/a%20b", body: {}, status: 400, code: "bad_request" },
      {
        before: one("twice"),
        path: "/collections/twice",
        body: { _id: "1" },
        status: 409,
        code: "duplicate_key",
        more: { id: is("1") },
      },
    ],
  },
  {
    route: "GET /collections/:collection",
    good: [
      { before: one("list"), path: "/collections/list", answer: listed(inOrder(numbered)) },
      { path: "/collections/unknown", answer: listed(inOrder()) },
      {
        before: [["PUT", "/collections/list/2", { n: 2 }]],
        path: "/collections/list?limit=1",
        answer: listed(inOrder(numbered), { next: text }),
      },
    ],
    bad: [
      {
        path: "/collections/list?limit=0",
        status: 400,
        code: "bad_request",
        more: { parameter: is("limit") },
      },
      { path: "/collections/_keys", status: 400, code: "bad_request" },
    ],
  },
  {
    route: "DELETE /collections/:collection",
    good: [{
      before: one("dropped"),
      path: "/collections/dropped",
      headers: { "x-confirm": "true" },
      answer: exactly({ success: yes, dropped: is("dropped") }),
      writes: true,
    }],
    bad: [
      { path: "/collections/kept", status: 400, code: "bad_request" },
      {
        path: "/collections/nowhere",
        headers: { "x-confirm": "true" },
        status: 404,
        code: "not_found",
      },
    ],
  },
  {
    route: "POST /collections/:collection/bulk",
    good: [
      { path: "/collections/bulk/bulk", body: [{ n: 1 }, { n: 2 }], answer: bulkShape(true), writes: true },
      {
        path: "/collections/bulk/bulk?skipIndexes=true",
        body: [{ _id: "b" }, 7],
        answer: bulkShape(false),
        writes: true,
      },
      {
        path: "/collections/bulk/bulk?atomic=true",
        body: [{ n: 1 }],
        answer: bulkShape(true),
        writes: true,
      },
    ],
    bad: [
      { path: "/collections/bulk/bulk", body: {}, status: 400, code: "bad_request", more: offset },
      {
        before: one("atomic"),
        path: "/collections/atomic/bulk?atomic=true",
        body: [{ _id: "2" }, { _id: "1" }],
        status: 409,
        code: "duplicate_key",
        more: bulkMembers(false),
      },
      {
        path: "/collections/bulk/bulk?atomic=yes",
        body: [],
        status: 400,
        code: "bad_request",
        more: { parameter: is("atomic") },
      },
    ],
  },
  {
    route: "GET /collections/:collection/:id",
    good: [{
      before: one("read"),
      path: "/collections/read/1",
      answer: numbered,
      has: { etag: /^"[0-9]+\.[0-9a-f]{8}-[0-9]+"$/ },
    }],
    bad: [
      { path: "/collections/read/none", status: 404, code: "not_found" },
      { path: "/collections/read/%01", status: 400, code: "bad_request" },
      { path: "/collections/read/%ff", status: 400, code: "bad_request" },
    ],
  },
  {
    route: "PUT /collections/:collection/:id",
    good: [
      {
        path: "/collections/put/new",
        body: { n: 1 },
        status: 201,
        answer: written,
        has: { location: /^\/collections\/put\/new$/ },
        writes: true,
      },
      { before: one("put"), path: "/collections/put/1", body: { n: 2 }, answer: written, writes: true },
      {
        before: one("match"),
        path: "/collections/match/1",
        headers: { "if-match": "*" },
        body: { n: 3 },
        answer: written,
        writes: true,
      },
    ],
    bad: [
      { path: "/collections/put/ttl.", body: "{", status: 400, code: "bad_request", more: offset },
      { path: "/collections/put/bulk", body: {}, status: 400, code: "reserved_id" },
      {
        path: "/collections/put/none",
        headers: { "if-match": "*" },
        body: {},
        status: 404,
        code: "not_found",
      },
      {
        before: one("stale"),
        path: "/collections/stale/1",
        headers: { "if-match": '"0.00000000-1"' },
        body: {},
        status: 412,
        code: "precondition_failed",
        more: stale,
      },
      {
        before: one("there"),
        path: "/collections/there/1",
        headers: { "if-none-match": "*" },
        body: {},
        status: 412,
        code: "precondition_failed",
        more: { expected: v.null(), actual: position },
      },
    ],
  },
  {
    route: "PATCH /collections/:collection/:id",
    good: [
      {
        before: one("merged"),
        path: "/collections/merged/1",
        body: { n: 2, gone: null },
        answer: edited,
        has: { etag: /^"/ },
        writes: true,
      },
      {
        before: one("ops"),
        path: "/collections/ops/1",
        body: { $ops: [{ field: "n", op: "inc", value: 2 }, { field: "x", op: "unset" }] },
        headers: { "if-match": "*" },
        answer: edited,
        writes: true,
      },
    ],
    bad: [
      {
        path: "/collections/merged/none",
        body: { n: 2 },
        status: 404,
        code: "not_found",
        more: { success: no },
      },
      {
        before: one("guarded"),
        path: "/collections/guarded/1",
        headers: { "if-match": "0.00000000-1" },
        body: { n: 2 },
        status: 412,
        code: "precondition_failed",
        more: { success: no, ...stale },
      },
      {
        path: "/collections/merged/1",
        body: { _id: "2" },
        status: 400,
        code: "bad_request",
        more: { success: no },
      },
    ],
  },
  {
    route: "DELETE /collections/:collection/:id",
    good: [{ before: one("deleted"), path: "/collections/deleted/1", answer: success, writes: true }],
    bad: [
      { path: "/collections/deleted/none", status: 404, code: "not_found" },
      {
        before: one("undeleted"),
        path: "/collections/undeleted/1",
        headers: { "if-match": 'W/"0.00000000-1"' },
        status: 412,
        code: "precondition_failed",
        more: stale,
      },
    ],
  },
  {
    route: "POST /collections/:collection/:id/conditional",
    good: [{
      before: one("conditional"),
      path: "/collections/conditional/1/conditional",
      body: {
        conditions: [{ field: "n", op: "==", value: 1 }],
        operations: [{ field: "n", op: "inc", value: 1 }],
      },
      answer: edited,
      writes: true,
    }],
    bad: [
      {
        before: one("unmet"),
        path: "/collections/unmet/1/conditional",
        body: {
          conditions: [{ field: "n", op: "gt", value: 1 }],
          operations: [{ field: "n", op: "set", value: 1 }],
        },
        status: 409,
        code: "condition_failed",
        more: { success: no, failedCondition: text, failedConditionIndex: is(0) },
      },
      {
        path: "/collections/unmet/1/conditional",
        body: { conditions: [] },
        status: 400,
        code: "bad_request",
        more: { success: no },
      },
      {
        path: "/collections/unmet/2/conditional",
        body: { operations: [{ field: "n", op: "set", value: 1 }] },
        status: 404,
        code: "not_found",
        more: { success: no },
      },
    ],
  },
];
