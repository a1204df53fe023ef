/** The setting that names the authority. */
import { DfdbError } from "../../base/errors.ts";

export type AuthoritySetting =
  | { readonly kind: "silence" }
  /** Base URLs without a slash at the end. */
  | { readonly kind: "etcd"; readonly endpoints: readonly string[] };

const expected = "silence, or etcd=http://host:2379 (several endpoints of one etcd: separated by commas)";

/** Reads `silence` or `etcd=http://host:2379[,..]`. Throws `setting_invalid`. */
export function parseAuthority(text: string): AuthoritySetting {
  if (text === "silence") return { kind: "silence" };
  if (!text.startsWith("etcd=")) throw invalid(`expected ${expected}`);
  const endpoints = text.slice("etcd=".length).split(",").map((part) => endpointOf(part.trim()));
  return { kind: "etcd", endpoints: [...new Set(endpoints)] };
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const plain = url !== null && ["http:", "https:"].includes(url.protocol) && url.pathname === "/" &&
    url.search === "" && url.hash === "";
  if (!plain) throw invalid(`"${text}" is no address of an etcd; expected ${expected}`);
  if (url.username !== "" || url.password !== "") {
    throw invalid("an address of an etcd has no user and no password in it");
  }
  return url.origin;
}

function invalid(what: string): DfdbError {
  return new DfdbError("setting_invalid", `--failover-authority: ${what}`, {
    details: { setting: "failoverAuthority" },
  });
}
