/** Which scope a request needs, by its method and path. What is in no row needs `admin`, so that a new route is closed until it has one. */
import { DfdbError } from "../base/errors.ts";
import type { Scope } from "../engine/key_scopes.ts";
import { pathOf, queryOf } from "./path.ts";

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
  "docs",
  "health",
  "metrics",
  "openapi.json",
  "ready",
  "stats",
  "verify",
  "version",
]);

export function neededScope(request: Request): Needed {
  const { method, url } = request, path = pathOf(url);
  const [, first = "", name = "", ...rest] = path.split("/");
  if (first === "db" && rest.length > 0) return { scope: scopeOf(method, rest), database: decoded(name) };
  const database = path === "/collections" ? databaseAsked(request) : defaultDatabase;
  return { scope: scopeOf(method, path.split("/").slice(1)), database };
}

function scopeOf(method: string, parts: readonly string[]): Scope {
  const [first = ""] = parts, reads = method === "GET" || method === "HEAD";
  if (data.has(first)) return reads ? "read" : "write";
  if (status.has(first)) return reads ? "read" : "admin";
  if (first === "replication") return reads && parts.length === 2 && parts[1] === "status" ? "read" : "admin";
  // A statement that writes asks for more when it is known to be one.
  if (first === "query" && parts.length === 1) return "read";
  return "admin";
}

/** The list of collections is asked of any database at the flat path. */
function databaseAsked({ url, headers }: Request): string {
  return new URLSearchParams(queryOf(url)).get("database") ?? headers.get("x-database") ?? defaultDatabase;
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch (cause) {
    throw new DfdbError("bad_request", "The path is not valid percent-encoded UTF-8", { cause });
  }
}
