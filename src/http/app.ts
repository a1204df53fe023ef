import type { Context } from "hono";
import { Hono } from "hono";
import { DfdbError } from "../base/errors.ts";
import { newDocumentIds } from "../document/new_id.ts";
import type { HttpHandler } from "../runtime/http_host.ts";
import type { Caller } from "./access.ts";
import { access } from "./access.ts";
import { adminRoutes } from "./admin.ts";
import { bulkRoute } from "./bulk.ts";
import { byFieldRoute } from "./by_field.ts";
import { changesRoute } from "./changes.ts";
import { collectionRoutes } from "./collections.ts";
import { configRoute } from "./config.ts";
import { conflictRoutes } from "./conflicts.ts";
import { docsRoute } from "./docs.ts";
import { documentRoute } from "./documents.ts";
import type { DescribeFailure } from "./failures.ts";
import { failureAnswer, failures } from "./failures.ts";
import { writeGate } from "./forward.ts";
import { indexRoutes } from "./indexes.ts";
import { masterRoutes } from "./masters.ts";
import { readGate } from "./min_position.ts";
import { keyRoutes } from "./keys.ts";
import { patchRoutes } from "./patch.ts";
import { checkPath, pathOf, routePath } from "./path.ts";
import { replicationControlRoutes } from "./replication_control.ts";
import type { Route } from "./route.ts";
import { schemaRoute } from "./schema.ts";
import { seedRoute } from "./seed.ts";
import { queryRoute } from "./sql_query.ts";
import { statusRoutes } from "./status.ts";
import { ttlRoutes } from "./ttl.ts";
import { TwoRouters } from "./two_routers.ts";
import { transactionRoute } from "./tx_batch.ts";
import type { HttpDependencies } from "./types.ts";
import { verifyRoutes } from "./verify.ts";

const methods = ["get", "put", "patch", "post", "delete"] as const;

/** The HTTP API of one node. Access and the path's encoding are checked once for all routes, before any of them. */
export function httpApp(dependencies: HttpDependencies): HttpHandler {
  const describe = failures(dependencies), app = httpRouter(dependencies, describe);
  const checkAccess = access(dependencies);
  return (request, peer) => {
    let caller: Caller;
    try {
      caller = checkAccess(request, peer);
      checkPath(request.url);
    } catch (error) {
      return refusal(request, describe, error);
    }
    return app.fetch(request, caller);
  };
}

/** Its routes, without what is checked before any of them. */
export function httpRouter(
  dependencies: HttpDependencies,
  describe: DescribeFailure = failures(dependencies),
): Hono {
  const newId = newDocumentIds(dependencies.random, dependencies.clock);
  const gates = { onRead: readGate(dependencies), onWrite: writeGate(dependencies) };
  const routes: readonly Route[] = [
    ...statusRoutes(dependencies),
    ...replicationControlRoutes(dependencies),
    ...masterRoutes(dependencies),
    ...verifyRoutes(dependencies, describe),
    ...adminRoutes(dependencies),
    configRoute(dependencies),
    ...keyRoutes(dependencies, gates, newId),
    changesRoute(dependencies, describe),
    ...collectionRoutes(dependencies, gates, newId),
    bulkRoute(dependencies, gates, newId, describe),
    transactionRoute(dependencies, gates, newId, describe),
    seedRoute(dependencies, gates),
    queryRoute(dependencies, gates, describe),
    ...indexRoutes(dependencies, gates),
    documentRoute(dependencies, gates),
    docsRoute(dependencies, gates),
    ...conflictRoutes(dependencies, gates),
    // After it: TwoRouters finds them first, and the hot routes stay in its first.
    schemaRoute(dependencies, gates),
    ...ttlRoutes(dependencies, gates),
    ...patchRoutes(dependencies, gates, describe),
    byFieldRoute(dependencies, gates, describe),
  ];
  return router(routes, describe, dependencies.place === undefined ? pathOf : routePath);
}

/** One Hono app of `routes`, found by `pathIn`; every failure is answered as `describe` says. */
export function router(
  routes: readonly Route[],
  describe: DescribeFailure,
  pathIn: (url: string) => string = pathOf,
): Hono {
  // The path stays encoded until a route was found: a slash inside an id must not look like one between parts.
  const app = new Hono({ router: new TwoRouters(), getPath: (request) => pathIn(request.url) });
  for (const route of routes) {
    for (const method of methods) {
      const handler = route[method];
      if (handler !== undefined) app[method](route.path, handler);
    }
  }
  app.notFound((c) => failureAnswer(describe(noRoute(app, c))));
  app.onError((error) => failureAnswer(describe(error)));
  return app;
}

/** `method_not_allowed` when another method is at home at the path, else `not_found`. */
function noRoute(app: Hono, c: Context): DfdbError {
  const allowed: string[] = [];
  for (const method of methods) {
    if (app.router.match(method.toUpperCase(), c.req.path)[0].length === 0) continue;
    allowed.push(method.toUpperCase());
    if (method === "get") allowed.push("HEAD");
  }
  if (allowed.length === 0) return new DfdbError("not_found", "There is nothing at this path");
  const allow = allowed.sort().join(", ");
  return new DfdbError("method_not_allowed", `This path takes ${allow}`, { details: { allow } });
}

/** An answer to HEAD has no body. */
export function refusal(request: Request, describe: DescribeFailure, error: unknown): Response {
  const answer = failureAnswer(describe(error));
  return request.method === "HEAD" ? new Response(null, answer) : answer;
}
