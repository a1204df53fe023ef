/** Which scope a request needs, by its method and path. What is in no row needs `admin`, so that a new route is closed until it has one. */
import { isSystemKey } from "../document/document_key.ts";
import type { Scope } from "../engine/key_scopes.ts";
import { nameIn, pathOf, prefixOf, queryOf } from "./path.ts";

export interface Needed {
  readonly scope: Scope;
  /** On which database; `admin` is for all. */
  readonly database: string;
}

export const defaultDatabase = "default";

/** Reads need `read`, everything else `write`. */
const data: ReadonlySet<string> = new Set(["collections", "index", "indexes", "tx", "seed", "ttl"]);
/** Reads need `read`, everything else `admin`. */
const status: ReadonlySet<string> = new Set([
  "changes",
  "conflicts",
  "health",
  "metrics",
  "openapi.json",
  "ready",
  "stats",
  "verify",
  "version",
]);

/** `own`: the database that the flat paths mean. */
export function neededScope(request: Request, own: string): Needed {
  const { method, url } = request, path = pathOf(url), prefix = prefixOf(path);
  const parts = path.slice(prefix.length).split("/").slice(1);
  if (prefix !== "") return { scope: scopeOf(method, parts), database: nameIn(prefix) };
  return {
    scope: scopeOf(method, parts),
    database: path === "/collections" ? databaseAsked(request, own) : own,
  };
}

function scopeOf(method: string, parts: readonly string[]): Scope {
  const [first = ""] = parts, reads = method === "GET" || method === "HEAD";
  if (first === "docs") return isSystem(parts) ? "admin" : reads ? "read" : "write";
  if (data.has(first)) return reads ? "read" : "write";
  if (status.has(first)) return reads ? "read" : "admin";
  if (first === "replication") return reads && parts.length === 2 && parts[1] === "status" ? "read" : "admin";
  // A statement that writes asks for more when it is known to be one.
  if (first === "query" && parts.length === 1) return "read";
  return "admin";
}

/** `/docs/Raven/…`, which tells where this database sends what, with which keys. */
function isSystem(parts: readonly string[]): boolean {
  try {
    return isSystemKey(decodeURIComponent(parts.slice(1).join("/")));
  } catch {
    return true; // it is no path at all
  }
}

/** The list of collections may be asked of any database at the flat path. */
export function databaseAsked({ url, headers }: Request, own: string): string {
  if (pathOf(url) !== "/collections") return own;
  return new URLSearchParams(queryOf(url)).get("database") ?? headers.get("x-database") ?? own;
}
