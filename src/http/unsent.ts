/** Codes of failures that come before a request is sent: no name, no connection, no trust in the certificate. */
const codes: readonly string[] = [
  "unreachable",
  "certificate_invalid",
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "ERR_TLS_CERT_ALTNAME_INVALID",
];

/**
 * True when a fetch failed with something that is known to happen before anything of the request leaves. The standard
 * does not say; the implementations do, in a code or in words. What is not known here may have been sent.
 */
export function wasNeverSent(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const { code, syscall } = at as { readonly code?: unknown; readonly syscall?: unknown };
    if (typeof code === "string" && codes.includes(code)) return true;
    if (syscall === "connect" || syscall === "getaddrinfo" || at.message.includes("client error (Connect)")) {
      return true;
    }
  }
  return false;
}
