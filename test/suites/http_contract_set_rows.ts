/** The table of endpoints: documents by a field, several at once, and what has changed. */
import * as v from "valibot";
import { offset, one, stale } from "./http_contract_asks.ts";
import {
  count,
  edited,
  exactly,
  hexId,
  inOrder,
  is,
  measured,
  no,
  numbered,
  position,
  text,
  yes,
} from "./http_contract_shapes.ts";
import type { Row, Shape } from "./http_contract_table.ts";

export const setRows: readonly Row[] = [
  {
    route: "GET /collections/:collection/by/:field/:value",
    good: [{
      before: one("by"),
      path: "/collections/by/by/n/1",
      answer: exactly({ collection: is("by"), plan: text, executionTimeMs: measured, document: numbered }),
    }],
    bad: [
      { path: "/collections/by/by/n/7", status: 404, code: "not_found" },
      { path: "/collections/nowhere/by/n/7", status: 404, code: "collection_not_found" },
      { path: "/collections/by/by/n..m/7", status: 400, code: "bad_request" },
    ],
  },
  {
    route: "PUT /collections/:collection/by/:field/:value",
    good: [{
      before: one("putby"),
      path: "/collections/putby/by/n/1",
      body: { n: 2 },
      answer: exactly({
        success: yes,
        id: is("1"),
        collection: is("putby"),
        matchedBy: exactly({ field: is("n"), value: is("1") }),
        plan: text,
      }),
      writes: true,
    }],
    bad: [
      { path: "/collections/putby/by/n/7", body: {}, status: 404, code: "not_found" },
      {
        path: "/collections/putby/by/n/2",
        headers: { "if-match": '"0.00000000-1"' },
        body: {},
        status: 412,
        code: "precondition_failed",
        more: stale,
      },
    ],
  },
  {
    route: "PATCH /collections/:collection/by/:field/:value",
    good: [{
      before: one("patchby"),
      path: "/collections/patchby/by/n/1",
      body: { n: 2 },
      answer: edited,
      writes: true,
    }],
    bad: [
      {
        path: "/collections/patchby/by/n/7",
        body: { n: 1 },
        status: 404,
        code: "not_found",
        more: { success: no },
      },
      {
        path: "/collections/patchby/by/n/2",
        body: { $ops: 1 },
        status: 400,
        code: "bad_request",
        more: { success: no, ...offset },
      },
    ],
  },
  {
    route: "DELETE /collections/:collection/by/:field/:value",
    good: [{
      before: one("deleteby"),
      path: "/collections/deleteby/by/n/1",
      answer: exactly({
        success: yes,
        collection: is("deleteby"),
        deletedCount: is(1),
        plan: text,
        executionTimeMs: measured,
      }),
      writes: true,
    }],
    bad: [{ path: "/collections/nowhere/by/n/1", status: 404, code: "collection_not_found" }],
  },
  {
    route: "POST /tx/batch",
    good: [{
      before: one("tx"),
      body: [
        { op: "insert", collection: "tx", doc: { _id: "2" } },
        { op: "replace", collection: "tx", id: "1", doc: { n: 2 } },
        { op: "delete", collection: "tx", id: "none" },
        { op: "deleteByField", collection: "tx", field: "n", value: 2 },
      ],
      answer: exactly({
        success: yes,
        transactionId: hexId,
        operationCount: is(4),
        results: inOrder(
          exactly({ op: is("insert"), collection: is("tx"), id: is("2") }),
          exactly({ op: is("replace"), collection: is("tx"), id: is("1") }),
          exactly({ op: is("delete"), collection: is("tx"), id: is("none"), deleted: no }),
          exactly({
            op: is("deleteByField"),
            collection: is("tx"),
            field: is("n"),
            value: is(2),
            deleted: is(1),
          }),
        ),
        timeMs: count,
      }),
      writes: true,
    }],
    bad: [
      { body: [{ op: "upsert" }], status: 400, code: "bad_request", more: { failedOpIndex: is(0) } },
      {
        before: one("txtwice"),
        body: [{ op: "insert", collection: "txtwice", doc: { _id: "1" } }],
        status: 409,
        code: "duplicate_key",
        more: {
          success: no,
          transactionId: hexId,
          failedOpIndex: is(0),
          rolledBack: yes,
          timeMs: count,
        },
      },
    ],
  },
  {
    route: "GET /changes",
    good: [
      {
        before: one("changed"),
        path: "/changes?since=start&once=true&collection=changed",
        form: "ndjson",
        answer: changesShape(),
      },
      {
        path: "/changes?since=0&once=true&collection=changed",
        headers: { accept: "text/event-stream" },
        form: "events",
        answer: inOrder(...changeMessages()),
      },
    ],
    bad: [
      {
        path: "/changes?since=1.ffffffff-1",
        status: 410,
        code: "position_lost",
        more: { lastInCommon: v.null() },
      },
      { path: "/changes?since=x", status: 400, code: "bad_request" },
      { path: "/changes?limit=0", status: 400, code: "bad_request", more: { parameter: is("limit") } },
    ],
  },
];

/** A collection made, a document put in it, the end. */
function changeMessages(): readonly Shape[] {
  const change = { seq: count, collection: is("changed"), time: v.string() };
  return [
    exactly({ ...change, op: is("createCollection") }),
    exactly({ ...change, position, op: is("put"), id: is("1"), etag: position, document: numbered }),
    exactly({ position, end: yes }),
  ];
}

function changesShape(): Shape {
  const progress = exactly({ position });
  const any = v.union([progress, ...changeMessages()]);
  return v.pipe(
    v.array(any),
    v.check((found) => found.filter((each) => Object.keys(each as object).length > 1).length === 3, "three"),
  );
}
