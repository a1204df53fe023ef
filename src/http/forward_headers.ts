/** What of a request goes on to the leader, and what of the leader's answer comes back. */
import { DfdbError } from "../base/errors.ts";
import { queryOf, routePath } from "./path.ts";

/** Of the one connection only; or set anew by who sends. */
const ownOfConnection: readonly string[] = [
  "accept-encoding",
  "connection",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** The headers of an answer to a write that mean the same here. */
const comeBack: readonly string[] = [
  "allow",
  "content-type",
  "etag",
  "location",
  "retry-after",
  "www-authenticate",
  "x-dfdb-leader",
  "x-dfdb-position",
];

/** The client's headers, and which node passed them on: that one is the last to do so. */
export function passedOn(request: Request, nodeId: string): Headers {
  const headers = new Headers();
  const named = (request.headers.get("connection") ?? "").toLowerCase().split(",").map((name) => name.trim());
  for (const [name, value] of request.headers) {
    if (!ownOfConnection.includes(name) && !named.includes(name)) headers.append(name, value);
  }
  if (request.method === "DELETE") headers.delete("content-length"); // it goes without what it may have carried
  headers.set("x-dfdb-forwarded", nodeId);
  return headers;
}

export function returned(answer: Headers): Headers {
  const headers = new Headers();
  for (const name of comeBack) {
    const value = answer.get(name);
    if (value !== null) headers.set(name, value);
  }
  return headers;
}

/**
 * The URL at the leader for the path and query of `url`, both as they were sent; that of a named database has its `/db/{name}`. Throws `not_leader` when the leader's URL
 * is none, and `bad_request` for a path that another server would take for another path.
 */
export function forwardTarget(leader: string, url: string): string {
  const base = leader.replace(/\/+$/, ""), path = routePath(url), query = queryOf(url);
  if (!/^https?:\/\/./i.test(base) || !URL.canParse(base)) {
    throw new DfdbError("not_leader", "This node follows a leader whose URL it does not know");
  }
  const target = `${base}${path}${query === "" ? "" : `?${query}`}`;
  const prefix = new URL(base).pathname.replace(/\/+$/, "");
  // "." and ".." are resolved by whoever sends: the leader would be asked for something else.
  if (decodeURIComponent(new URL(target).pathname) !== decodeURIComponent(prefix + path)) {
    throw new DfdbError("bad_request", "The path has parts that are not kept on the way to the leader");
  }
  return target;
}
