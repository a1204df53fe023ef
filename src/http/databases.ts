/** Several databases behind one port: `/db/{name}/…` goes to the API of that database, flat paths to that of the default one. */
import * as v from "valibot";
import { DfdbError } from "../base/errors.ts";
import type { HttpHandler } from "../runtime/http_host.ts";
import { accessTo } from "./access.ts";
import { json } from "./answers.ts";
import { refusal, router } from "./app.ts";
import { bodyOf } from "./control_body.ts";
import type { Bundle, DatabaseBehind, NodeDatabases } from "./database_types.ts";
import { failures } from "./failures.ts";
import { checkPath, nameIn, pathOf, prefixOf } from "./path.ts";
import { dropQuery, readQuery } from "./query.ts";
import type { Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { DatabasePlace, HttpDependencies } from "./types.ts";

export interface SeveralOptions {
  readonly databases: NodeDatabases;
  /** What failures are described and keys are checked with. */
  readonly dependencies: HttpDependencies & { readonly place: DatabasePlace };
}

const createBody = v.strictObject({
  name: v.string(),
  path: v.nullish(v.pipe(v.string(), v.minLength(1), v.maxLength(4_096))),
  createIfMissing: v.nullish(v.boolean(), true),
  bundles: v.nullish(v.pipe(v.array(v.string()), v.maxLength(16)), []),
  adoptExisting: v.nullish(v.boolean(), false),
});

/** The handler of a node. A flat path costs one look at its first letter more than it would alone. */
export function severalDatabases({ databases, dependencies }: SeveralOptions): HttpHandler {
  const describe = failures(dependencies);
  const { security, place } = dependencies, check = accessTo(place.name, security, place.keys);
  const admin = router(databaseRoutes(databases), describe);
  const own: HttpHandler = (request, peer) => {
    try {
      const caller = check(request, peer);
      checkPath(request.url);
      return admin.fetch(request, caller);
    } catch (error) {
      return refusal(request, describe, error);
    }
  };
  /** Who may not know of a database is told nothing of it: one that is not there, too, is asked for with a key. */
  const find = (name: string, ...asked: Parameters<HttpHandler>): DatabaseBehind => {
    const found = databases.find(name);
    if (found !== null) return found;
    check(...asked);
    return databases.missing(name);
  };
  const named = (path: string, prefix: string, ...asked: Parameters<HttpHandler>): Answer => {
    let found: DatabaseBehind;
    try {
      found = find(nameIn(prefix), ...asked);
    } catch (error) {
      return refusal(asked[0], describe, error);
    }
    const [request] = asked, answer = passed(databases.main, found, path.slice(prefix.length), ...asked);
    if (request.method === "GET" || request.method === "HEAD") return answer;
    return answer instanceof Promise ? answer.then((own) => located(own, prefix)) : located(answer, prefix);
  };
  const flat: HttpHandler = (request, peer) => {
    const { main, byDefault } = databases;
    // Nodes pass on with the name of the database, but for this one, whose paths were always flat.
    if (byDefault === main || request.headers.has("x-dfdb-forwarded")) return main.handler(request, peer);
    const path = pathOf(request.url);
    if (byDefault !== null) return passed(main, byDefault, path, request, peer);
    // The node lives though what it shows first does not.
    if (path === "/health") return main.handler(request, peer);
    try {
      return passed(main, find(databases.defaultName, request, peer), path, request, peer);
    } catch (error) {
      return refusal(request, describe, error);
    }
  };
  return (request, peer) => {
    const { url } = request;
    if (!url.startsWith("/d", url.indexOf("/", 8))) return flat(request, peer);
    const path = pathOf(url), prefix = prefixOf(path);
    if (prefix !== "") return named(path, prefix, request, peer);
    return path === "/databases" || path.startsWith("/databases/") ? own(request, peer) : flat(request, peer);
  };
}

type Answer = Response | Promise<Response>;

/** `path` is what the API of `found` knows. */
function passed(
  main: DatabaseBehind,
  found: DatabaseBehind,
  path: string,
  ...asked: Parameters<HttpHandler>
): Answer {
  // The keys are the node's, and the main one is never dropped.
  if (found === main || path === "/admin/keys" || path.startsWith("/admin/keys/")) {
    return main.handler(...asked);
  }
  const answer = found.handler(...asked);
  if (!(answer instanceof Promise)) return answer;
  const over = found.begun();
  return answer.finally(over);
}

/** What was made is where the client asked for it. */
function located(answer: Response, prefix: string): Response {
  if (answer.status !== 201) return answer;
  const location = answer.headers.get("location");
  if (location === null || !/^\/(collections|docs)\//.test(location)) return answer;
  const headers: Record<string, string> = {};
  for (const [name, value] of answer.headers) headers[name] = value;
  return new Response(answer.body, { status: 201, headers: { ...headers, location: prefix + location } });
}

function databaseRoutes(databases: NodeDatabases): readonly Route[] {
  return [
    {
      path: "/databases",
      get: () => {
        const all = databases.list();
        return json({ default: databases.defaultName, count: all.length, databases: all });
      },
      post: async (c) => {
        const given = await bodyOf(c.req.raw, createBody), { createIfMissing: create, adoptExisting } = given;
        const bundles = checkedBundles(given.bundles), path = given.path ?? null;
        const made = await databases.attach(given.name, { path, create, bundles, adoptExisting });
        const { name, filePath, isDefault, bundles: active } = made;
        return json({ name, filePath, isDefault, bundles: active }, 201, { location: `/databases/${name}` });
      },
    },
    {
      path: "/databases/unattached",
      get: async () => {
        const files = await databases.unattached();
        return json({ count: files.length, files });
      },
    },
    {
      path: "/databases/:name",
      delete: async (c) => {
        const { deleteFiles } = readQuery(c.req.raw, dropQuery);
        const name = await databases.detach(parameter(c, "name"), deleteFiles);
        const action = deleteFiles ? "dropped" : "detached";
        return json({ name, action, defaultAfter: databases.defaultName });
      },
    },
    {
      path: "/databases/:name/set-default",
      post: async (c) => json({ name: await databases.setDefault(parameter(c, "name")), isDefault: true }),
    },
  ];
}

/** Each once. Throws `bad_request` for a bundle that there is not. */
export function checkedBundles(given: readonly string[]): readonly Bundle[] {
  for (const bundle of given) {
    if (bundle === "replication") continue;
    const sentence = `bundles: there is no bundle ${
      JSON.stringify(bundle.slice(0, 80))
    }; there is "replication"`;
    throw new DfdbError("bad_request", sentence, { details: { field: "bundles" } });
  }
  return given.length === 0 ? [] : ["replication"];
}
