/** Replication between masters: what they ask of each other, and what an operator asks of one. */
import * as v from "valibot";
import { DfdbError } from "../base/errors.ts";
import { databaseIdOf, isHexId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { json, jsonText, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import type { MasterSender, MasterTarget } from "./master_types.ts";
import { readQuery } from "./query.ts";
import type { Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const text = v.pipe(v.string(), v.maxLength(8_192));
const given = v.optional(text, "");
const targetText = v.optional(v.pipe(text, v.minLength(1)));
const senderQuery = v.object({
  from: given,
  dbid: given,
  filter: given,
  formerly: given,
  seen: targetText,
  relies: targetText,
});

const targetQuery = v.object({ to: targetText, term: targetText, docEtag: targetText });

/** No request is passed on by a follower: senders ask its leader by themselves, once they know which database that is. */
export function masterRoutes(dependencies: HttpDependencies): readonly Route[] {
  const { masters, storage, node } = dependencies;
  const active = (handler: Handler): Handler => (c) => {
    if (masters.active) return handler(c);
    throw new DfdbError("bundle_not_active", "This database was made without the replication bundle");
  };
  const leads = (handler: Handler): Handler =>
    active((c) => {
      if (node.role() !== "follower") return handler(c);
      const { databaseId } = storage;
      const sentence = "This node follows a leader; masters replicate with that one";
      throw new DfdbError("not_leader", sentence, { details: { databaseId } });
    });
  const replicate = leads(async (c) => {
    const sender = senderOf(c.req.raw), target = targetOf(c.req.raw);
    const batch = await readBody(c.req.raw, limits.masterBodyBytesMax);
    return jsonText(await masters.replicate(sender, target, batch));
  });
  return [
    {
      path: "/replication/lastEtag",
      get: leads(async (c) => jsonText(await masters.lastEtag(senderOf(c.req.raw)))),
      put: leads(async (c) => jsonText(await masters.putCursor(senderOf(c.req.raw), targetOf(c.req.raw)))),
    },
    // The name of the seeds, and the one that was shipped.
    { path: "/replication/replicate", post: replicate },
    { path: "/replication/replicateDocs", post: replicate },
    {
      path: "/replication/heartbeat",
      post: leads((c) => {
        masters.heartbeat(senderOf(c.req.raw));
        return json({});
      }),
    },
    { path: "/replication/info", get: active(() => json(masters.info())) },
    {
      path: "/replication/resolve",
      post: leads(async () => {
        const { resolved, open, position } = await masters.resolve();
        return json({ success: true, resolved, open }, 200, positionHeader(position));
      }),
    },
    {
      path: "/replication/peers/:id",
      delete: leads(async (c) => {
        const id = parameter(c, "id");
        if (!isHexId(id)) throw new DfdbError("bad_request", "A database id has 32 hex digits, lower case");
        return json({ success: true }, 200, positionHeader(await masters.forgetPeer(databaseIdOf(id))));
      }),
    },
    {
      path: "/admin/replication/purge-tombstones",
      post: leads(async () => {
        const { purged, kept, position } = await masters.purgeTombstones();
        return json({ success: true, purged, kept }, 200, positionHeader(position));
      }),
    },
  ];
}

function senderOf(request: Request): MasterSender {
  const { from: url, dbid, filter, formerly: copied, seen = null, relies = null } = readQuery(
    request,
    senderQuery,
  );
  const from = url.replace(/\/+$/, "");
  if (from === "") throw missing("from", "the URL of the database that sends");
  if (!isHexId(dbid)) throw missing("dbid", "the id of the database that sends, 32 hex digits");
  const formerly = copied === "" ? [] : copied.split(",");
  if (!formerly.every(isHexId)) throw missing("formerly", "ids of databases, 32 hex digits each");
  return { from, databaseId: databaseIdOf(dbid), filter, formerly: formerly.map(databaseIdOf), seen, relies };
}

function targetOf(request: Request): MasterTarget {
  const { to = null, term = null, docEtag = null } = readQuery(request, targetQuery);
  return { to, term, docEtag };
}

function missing(parameter: string, what: string): DfdbError {
  return new DfdbError("bad_request", `The parameter ${parameter} is ${what}`, { details: { parameter } });
}
