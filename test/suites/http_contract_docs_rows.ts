/** The table of endpoints: documents by key, and what is in conflict. */
import { offset, stale } from "./http_contract_asks.ts";
import {
  exactly,
  hexId,
  inOrder,
  is,
  moment,
  numbered,
  position,
  success,
  text,
  written,
} from "./http_contract_shapes.ts";
import type { Row } from "./http_contract_table.ts";
import { databaseOf, idOf, receive, runOf } from "./version_writes.ts";
import type { TestNode } from "./http_fixture.ts";

const one = (key: string) => [["PUT", `/docs/${key}`, { n: 1 }]] as const;

export const docsRows: readonly Row[] = [
  {
    route: "GET /docs/:key{.+}",
    good: [
      { before: one("read/a/b"), path: "/docs/read/a/b", answer: numbered, has: { etag: /^"[0-9]+\./ } },
      { before: one("alone"), path: "/docs/alone?metadata=true", answer: numbered },
    ],
    bad: [
      { path: "/docs/read/none", status: 404, code: "not_found" },
      { path: "/docs/_keys/x", status: 400, code: "bad_request" },
      { path: "/docs/api", status: 400, code: "reserved_id" },
      { path: "/docs/Raven/Replication/Destinations", status: 404, code: "bundle_not_active" },
    ],
  },
  {
    route: "PUT /docs/:key{.+}",
    good: [
      {
        path: "/docs/put/a%2Fb",
        body: { n: 1 },
        status: 201,
        answer: written,
        has: { location: /^\/docs\/put%2Fa%2Fb$/ },
        writes: true,
      },
      { before: one("put_alone"), path: "/docs/put_alone", body: { n: 2 }, answer: written, writes: true },
    ],
    bad: [
      { path: "/docs/put/1", body: "{", status: 400, code: "bad_request", more: offset },
      {
        before: one("put/stale"),
        path: "/docs/put/stale",
        headers: { "if-match": '"0.00000000-1"' },
        body: {},
        status: 412,
        code: "precondition_failed",
        more: stale,
      },
    ],
  },
  {
    route: "DELETE /docs/:key{.+}",
    good: [{ before: one("deleted/1"), path: "/docs/deleted/1", answer: success, writes: true }],
    bad: [{ path: "/docs/deleted/none", status: 404, code: "not_found" }],
  },
];

/** A key in conflict, for {@linkcode bundleRows}. */
export const conflicted = (node: TestNode): Promise<void> =>
  receive(node, ["conflicted", "1"], [
    { digit: "5", seq: 7, text: '{"n":1}' },
    { digit: "6", seq: 8, text: '{"n":2}' },
  ]);

/** Of a database that has the bundle and one key in conflict. */
export const bundleRows: readonly Row[] = [
  {
    route: "GET /conflicts",
    good: [{
      answer: exactly({
        conflicts: inOrder(exactly({
          key: is("conflicted/1"),
          collection: is("conflicted"),
          id: is("1"),
          etag: position,
          Conflicts: inOrder(is(idOf("5", 7)), is(idOf("6", 8))),
        })),
        count: is(1),
        total: is(1),
      }),
    }, {
      path: "/conflicts?collection=others",
      answer: exactly({ conflicts: inOrder(), count: is(0), total: is(0) }),
    }],
    bad: [
      { path: "/conflicts?collection=_keys", status: 400, code: "bad_request" },
      { path: "/conflicts?after=x", status: 400, code: "bad_request", more: { parameter: is("after") } },
    ],
  },
  {
    route: "GET /collections/:collection/:id/conflicts/:version",
    good: [{
      path: `/collections/conflicted/1/conflicts/${idOf("5", 7)}`,
      answer: exactly({
        _id: is("1"),
        "@metadata": exactly({
          "@id": is("conflicted/1"),
          "Last-Modified": moment,
          "Raven-Replication-Source": is(databaseOf("5")),
          "Raven-Replication-Version": is(7),
          "Raven-Replication-Run": hexId,
          "Raven-Replication-Vector": text,
        }),
        n: is(1),
      }),
      has: { "raven-replication-run": new RegExp(`^${runOf("5")}$`), etag: /^"5{32}-7"$/ },
    }],
    bad: [
      { path: `/collections/conflicted/1/conflicts/${idOf("5", 8)}`, status: 404, code: "not_found" },
    ],
  },
];
