import { DfdbError } from "../base/errors.ts";

/** The path of an absolute URL as it was sent, still percent-encoded. */
export function pathOf(url: string): string {
  const start = url.indexOf("/", 8);
  if (start < 0) return "/";
  let end = url.indexOf("?", start);
  const hash = url.indexOf("#", start);
  if (hash >= 0 && (end < 0 || hash < end)) end = hash;
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

/** The path that routes are found by: the one that was sent, without the `/db/{name}` of a database's own paths. */
export function routePath(url: string): string {
  const path = pathOf(url);
  return path.startsWith("/db/") ? path.slice(prefixEnd(path)) : path;
}

/** `/db/{name}` of a path as it was sent, "" where there is none or nothing after it. */
export function prefixOf(path: string): string {
  return path.startsWith("/db/") ? path.slice(0, prefixEnd(path)) : "";
}

/** The name in `/db/{name}`. Throws `bad_request`. */
export function nameIn(prefix: string): string {
  try {
    return decodeURIComponent(prefix.slice(4));
  } catch (cause) {
    throw notEncoded(cause);
  }
}

function prefixEnd(path: string): number {
  return Math.max(0, path.indexOf("/", 4));
}

/** The query of an absolute URL without its "?", still percent-encoded. */
export function queryOf(url: string): string {
  const start = url.indexOf("?");
  if (start < 0) return "";
  const hash = url.indexOf("#", start);
  return hash < 0 ? url.slice(start + 1) : url.slice(start + 1, hash);
}

/**
 * Throws `bad_request` when a percent sign of the path begins no UTF-8. After this the router decodes every part
 * exactly; on its own it would keep what it cannot decode, and two paths would name one document.
 */
export function checkPath(url: string): void {
  if (!url.includes("%")) return;
  try {
    decodeURIComponent(pathOf(url));
  } catch (cause) {
    throw notEncoded(cause);
  }
}

function notEncoded(cause: unknown): DfdbError {
  return new DfdbError("bad_request", "The path is not valid percent-encoded UTF-8", { cause });
}
