/** The table of endpoints: what a node says of itself, its data file, settings and keys. */
import * as v from "valibot";
import { index, one, otherMethod } from "./http_contract_asks.ts";
import {
  configShape,
  count,
  exactly,
  flag,
  hexId,
  inOrder,
  is,
  measured,
  moment,
  orNull,
  position,
  some,
  text,
  timed,
  yes,
} from "./http_contract_shapes.ts";
import type { Row } from "./http_contract_table.ts";

export const livenessRows: readonly Row[] = [
  {
    route: "GET /health",
    good: [{
      answer: exactly({
        status: is("ok"),
        node: text,
        version: text,
        readOnly: flag,
        uptimeSeconds: measured,
        health: v.null(),
      }),
    }],
    bad: otherMethod("POST", "GET, HEAD"),
  },
  {
    route: "GET /ready",
    good: [{ path: "/ready?maxLagSeq=5&maxLagMs=5", answer: exactly({ ready: yes }) }],
    bad: [{
      path: "/ready?maxLagSeq=x",
      status: 400,
      code: "bad_request",
      more: { parameter: is("maxLagSeq") },
    }],
  },
  {
    route: "GET /version",
    good: [{
      answer: exactly({
        version: text,
        sha: v.pipe(v.string(), v.minLength(1)),
        builtAt: orNull(text),
        image: orNull(text),
        node: text,
      }),
    }],
    bad: otherMethod("DELETE", "GET, HEAD"),
  },
  {
    route: "GET /stats",
    good: [{
      before: index("counted"),
      answer: exactly({
        filePath: text,
        fileSizeMb: measured,
        pageCount: count,
        cachedPages: count,
        dirtyPages: count,
        collections: some(exactly({
          name: text,
          documentCount: count,
          indexes: v.array(exactly({ name: text, path: text, entries: count, unique: flag })),
        })),
        position,
        logEntries: count,
        logBytes: count,
        collectionsDropped: count,
        stall: exactly({ longestMs: measured, recentMs: measured, over: count }),
      }),
    }],
    bad: otherMethod("POST", "GET, HEAD"),
  },
];

const moved = timed({ pages: count, pagesLeft: count });
const scopes = ["db:default:read"];
const minted = [["POST", "/admin/keys", { scopes, description: "old" }]] as const;
const key = {
  id: hexId,
  scopes: inOrder(is("db:default:read")),
  description: orNull(text),
  createdAt: moment,
};

export const adminRows = (copyPath: string): readonly Row[] => [
  { route: "POST /admin/flush", good: [{ answer: moved }], bad: otherMethod("GET", "POST") },
  { route: "POST /admin/checkpoint", good: [{ answer: moved }], bad: otherMethod("GET", "POST") },
  {
    route: "POST /admin/compact/:collection",
    good: [{
      before: one("compacted"),
      path: "/admin/compact/compacted",
      answer: timed({ collection: is("compacted"), pagesCompacted: count, bytesReclaimed: v.number() }),
    }],
    bad: [{ path: "/admin/compact/nowhere", status: 404, code: "collection_not_found" }],
  },
  {
    route: "POST /admin/snapshot",
    good: [{
      body: { targetPath: copyPath },
      answer: timed({ targetPath: is(copyPath), bytesCopied: count }),
    }],
    bad: [
      { body: { targetPath: "" }, status: 400, code: "bad_request", more: { field: is("targetPath") } },
      { body: { targetPath: "a.dfdb" }, status: 400, code: "bad_request", more: { field: is("targetPath") } },
    ],
  },
  {
    route: "POST /admin/rebuild-indexes/:collection",
    good: [{
      before: index("rebuilt"),
      path: "/admin/rebuild-indexes/rebuilt",
      answer: timed({ collection: is("rebuilt"), indexesRebuilt: is(1) }),
    }],
    bad: [{ path: "/admin/rebuild-indexes/nowhere", status: 404, code: "collection_not_found" }],
  },
  {
    route: "POST /admin/rebuild-index/:collection/:name",
    good: [{
      before: index("refilled"),
      path: "/admin/rebuild-index/refilled/by_n",
      answer: timed({ collection: is("refilled"), indexName: is("by_n") }),
    }],
    bad: [{ before: one("poor"), path: "/admin/rebuild-index/poor/none", status: 404, code: "not_found" }],
  },
  { route: "GET /admin/config", good: [{ answer: configShape }], bad: otherMethod("POST", "GET, HEAD, PUT") },
  {
    route: "PUT /admin/config",
    good: [{
      body: { minSyncReplicas: 0, syncTimeoutSeconds: 4 },
      answer: exactly({
        saved: yes,
        applied: inOrder(is("minSyncReplicas"), is("syncTimeoutSeconds")),
        config: configShape,
      }),
    }],
    bad: [
      { body: { port: 1 }, status: 400, code: "restart_required", more: { field: is("port") } },
      {
        body: { colour: "red" },
        status: 400,
        code: "bad_request",
        more: { liveEditable: inOrder(is("minSyncReplicas"), is("syncTimeoutSeconds")) },
      },
    ],
  },
  {
    route: "GET /admin/keys",
    good: [{ before: minted, answer: exactly({ count, keys: some(exactly(key)) }) }],
    bad: otherMethod("PUT", "GET, HEAD, POST"),
  },
  {
    route: "POST /admin/keys",
    good: [{
      body: { scopes, description: "for reports" },
      status: 201,
      answer: exactly({ ...key, secret: v.pipe(v.string(), v.startsWith("dfdb_")), warning: text }),
      has: { location: /^\/admin\/keys\/[0-9a-f]{32}$/, "cache-control": /^no-store$/ },
      writes: true,
    }],
    bad: [
      { body: { scopes: [] }, status: 400, code: "bad_request", more: { field: is("scopes") } },
      { body: { scopes: ["db"] }, status: 400, code: "bad_request" },
    ],
  },
  {
    route: "DELETE /admin/keys/:id",
    good: [{
      before: minted,
      path: ([made]) => `/admin/keys/${made?.["id"]}`,
      answer: exactly({ id: hexId, revoked: yes }),
      writes: true,
    }],
    bad: [{ path: "/admin/keys/none", status: 404, code: "not_found" }],
  },
];

const checksum = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/));
const summed = { collection: is("summed"), count: is(1), keptCount: is(1), checksum };
const sum = { done: yes, collections: is(1), documents: is(1), checksum, wrongCounts: is(0) };
const definition = { name: is("by_n"), unique: flag, time: flag, ready: flag };

/** Ours alone: comparing what nodes hold. */
export const verifyRows: readonly Row[] = [
  {
    route: "GET /verify",
    good: [{
      before: index("summed"),
      path: "/verify?collection=summed&documents=true",
      form: "ndjson",
      answer: inOrder(
        exactly({ position }),
        exactly({ id: is("1"), seq: count, hash: checksum }),
        exactly({
          ...summed,
          indexes: inOrder(exactly({ ...definition, paths: inOrder(inOrder(is("n"))) })),
        }),
        exactly({
          index: is("by_n"),
          collection: is("summed"),
          entries: is(1),
          keptEntries: orNull(count),
          missing: is(0),
          tooMany: is(0),
        }),
        exactly({ ...sum, indexes: is(1), wrongIndexes: is(0) }),
      ),
    }, {
      path: "/verify?collection=summed&indexes=false&masters=true",
      form: "ndjson",
      answer: inOrder(
        exactly({ position }),
        exactly({ ...summed, indexes: some(v.looseObject({ name: is("by_n") })) }),
        exactly({ ...sum, indexes: v.null(), wrongIndexes: v.null() }),
      ),
    }],
    bad: [{ path: "/verify?documents=true", status: 400, code: "bad_request" }, {
      path: "/verify?masters=maybe",
      status: 400,
      code: "bad_request",
      more: { parameter: is("masters") },
    }],
  },
  {
    route: "GET /verify/log",
    good: [{ answer: exactly({ first: count, last: count, entries: count, bad: v.null() }) }],
    bad: otherMethod("POST", "GET, HEAD"),
  },
  {
    route: "POST /verify/hold",
    good: [{ body: { seconds: 0 }, answer: exactly({ position }) }],
    bad: [{ body: { seconds: 31 }, status: 400, code: "bad_request" }],
  },
  {
    route: "POST /verify/release",
    good: [{ answer: exactly({ released: yes }) }],
    bad: otherMethod("GET", "POST"),
  },
];
