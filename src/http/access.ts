/** What is asked of every request before any route is looked for. */
import type { Context } from "hono";
import { equalConstantTime, utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { KnownKey } from "../engine/api_keys.ts";
import type { Scope } from "../engine/key_scopes.ts";
import { allows } from "../engine/key_scopes.ts";
import { knownKeys } from "./known_keys.ts";
import type { Needed } from "./needed_scope.ts";
import { defaultDatabase, neededScope } from "./needed_scope.ts";
import { pathOf } from "./path.ts";
import type { HttpDependencies, HttpSecurity, KnownKeys } from "./types.ts";

/** Who asks, as handlers get it in `Context.env`. */
export interface Caller {
  /** Null: may do everything. */
  readonly key: KnownKey | null;
  /** Whose API is asked. */
  readonly database: string;
}

/** Throws `unauthorized` or `forbidden` when the request may not go on. */
export type CheckAccess = (request: Request, peer: { readonly hostname: string }) => Caller;

const bearer = /^bearer +(.*)$/i;

/**
 * The configured key is an administrator's. Without one anybody is, until the first scoped key is there: then everybody needs one, on every
 * node that has it.
 */
export function access(
  dependencies: Pick<HttpDependencies, "security" | "storage" | "engine" | "crypto" | "place">,
): CheckAccess {
  const { place, security } = dependencies;
  return accessTo(place?.name ?? defaultDatabase, security, place?.keys ?? knownKeys(dependencies));
}

/** The same for one database of several; the keys are the node's. */
export function accessTo(database: string, { apiKey }: HttpSecurity, keys: KnownKeys): CheckAccess {
  const anyone: Caller = { key: null, database };
  const key = apiKey === null ? null : utf8(apiKey);
  const anyKey: (...asked: Parameters<CheckAccess>) => boolean = (request, peer) => {
    try {
      return keys.any();
    } catch (error) {
      // A database that cannot be read closes no path that is open to everybody.
      if (isOpen(request, peer)) return false;
      throw error;
    }
  };
  return (request, peer) => {
    if (key === null && !anyKey(request, peer)) {
      refuseForeignPages(request);
      return anyone;
    }
    const header = request.headers.get("authorization");
    const token = header === null ? null : bearer.exec(header)?.[1] ?? null;
    if (token !== null && key !== null && equalConstantTime(utf8(token), key)) return anyone;
    if (isOpen(request, peer)) return anyone;
    const found = token === null ? null : keys.find(token);
    if (found !== null) {
      check(found, neededScope(request, database));
      return { key: found, database };
    }
    const error = token === null
      ? 'This server wants an API key: send "Authorization: Bearer <key>"'
      : "The API key is not valid";
    throw new DfdbError("unauthorized", error);
  };
}

/** For what the path does not tell: throws `forbidden` unless who asks has `scope` on the database of the path. */
export function requireScope(c: Context, scope: Scope): void {
  const { key, database } = c.env as Caller;
  if (key !== null) check(key, { ...neededScope(c.req.raw, database), scope });
}

function check({ id, grants }: KnownKey, { scope, database }: Needed): void {
  if (allows(grants, scope, database)) return;
  const on = scope === "admin" ? "" : ` on the database "${database}"`;
  throw new DfdbError("forbidden", `This API key does not have the scope "${scope}"${on}`, {
    details: { matchedKey: id, needed: scope === "admin" ? "*" : `db:${database}:${scope}` },
  });
}

function isOpen(request: Request, peer: { readonly hostname: string }): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  const path = pathOf(request.url);
  return path === "/health" || ((path === "/ready" || path === "/metrics") && isLoopback(peer.hostname));
}

/** `hostname` is an address, as adapters give it: IPv4, IPv6, or IPv4 written as IPv6. */
export function isLoopback(hostname: string): boolean {
  return /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i.test(hostname) || hostname === "::1";
}

/**
 * Without a key, whoever reaches the port may write. A web page that a person here happens to look at reaches it
 * too, and a browser sends plain POST requests to other origins without asking. It names them, so they are refused.
 */
function refuseForeignPages(request: Request): void {
  if (request.method === "GET" || request.method === "HEAD") return;
  const site = request.headers.get("sec-fetch-site");
  if (site === "cross-site" || site === "same-site") {
    throw new DfdbError("forbidden", "Pages of other origins may not write here");
  }
}
