/** What is asked of every request before any route is looked for. */
import { equalConstantTime, utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { pathOf } from "./path.ts";
import type { HttpSecurity } from "./types.ts";

/** Throws `unauthorized` or `forbidden` when the request may not go on. */
export type CheckAccess = (request: Request, peer: { readonly hostname: string }) => void;

const bearer = /^bearer +(.*)$/i;

export function access(security: HttpSecurity): CheckAccess {
  if (security.apiKey === null) return refuseForeignPages;
  const key = utf8(security.apiKey);
  return (request, peer) => {
    const header = request.headers.get("authorization");
    const token = header === null ? null : bearer.exec(header)?.[1] ?? null;
    if (token !== null && equalConstantTime(utf8(token), key)) return;
    if (isOpen(request, peer)) return;
    const error = token === null
      ? 'This server wants an API key: send "Authorization: Bearer <key>"'
      : "The API key is not valid";
    throw new DfdbError("unauthorized", error);
  };
}

function isOpen(request: Request, peer: { readonly hostname: string }): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  const path = pathOf(request.url);
  return path === "/health" || (path === "/ready" && isLoopback(peer.hostname));
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
