import { DfdbError, messageOf } from "../../src/base/errors.ts";
import type { CertificateReason } from "../../src/runtime/net.ts";
import { connectError } from "./socket_errors.ts";

/** What a certificate says of itself. */
export interface PeerCertificate {
  readonly names: string;
  readonly issuer: string;
  readonly validFrom: number;
  readonly validUntil: number;
}

/** Codes that say nothing against the certificate itself: nobody trusted here vouches for it. */
const unknownAuthority = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "CERT_UNTRUSTED",
  "CERT_SIGNATURE_FAILURE",
]);

/** The remaining codes of a certificate that was refused (X509_V_ERR_*), as all three runtimes name them. */
const otherwiseInvalid = new Set([
  "CERT_REVOKED",
  "CERT_REJECTED",
  "CERT_CHAIN_TOO_LONG",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  "ERROR_IN_CERT_NOT_AFTER_FIELD",
  "HOSTNAME_MISMATCH",
]);

/** What a code of node:tls says of the peer's certificate; null when the failure was another. */
export function certificateReason(error: unknown): CertificateReason | null {
  const { code } = error as { code?: unknown };
  if (typeof code !== "string") return null;
  if (code === "CERT_HAS_EXPIRED") return "expired";
  if (code === "CERT_NOT_YET_VALID") return "not_yet_valid";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code === "HOSTNAME_MISMATCH") return "wrong_host";
  if (unknownAuthority.has(code)) return "unknown_authority";
  return otherwiseInvalid.has(code) ? "invalid" : null;
}

/** The same, knowing the certificate: Deno reports one that is out of its time like one of an unknown authority. */
function refined(reason: CertificateReason, seen: PeerCertificate | null, nowMs: number): CertificateReason {
  if (seen === null || reason !== "unknown_authority") return reason;
  if (nowMs > seen.validUntil) return "expired";
  return nowMs < seen.validFrom ? "not_yet_valid" : reason;
}

const day = (ms: number): string => Number.isFinite(ms) ? new Date(ms).toISOString().slice(0, 10) : "?";

function sentence(
  reason: CertificateReason,
  peer: string,
  seen: PeerCertificate | null,
  cause: unknown,
): string {
  const subject = `the certificate of ${peer}`;
  switch (reason) {
    case "expired":
      return `${subject} has expired${seen === null ? "" : ` on ${day(seen.validUntil)}`}`;
    case "not_yet_valid":
      return `${subject} is not yet valid${seen === null ? "" : `, but from ${day(seen.validFrom)} on`}`;
    case "wrong_host":
      return `${subject} is for another host${seen === null ? "" : `: ${seen.names || "it names none"}`}`;
    case "unknown_authority":
      return `${subject} is of an authority that is not trusted here${
        seen === null ? "" : ` (${seen.issuer || "unnamed"})`
      }`;
    case "invalid":
      return `${subject} is not valid (${messageOf(cause)})`;
  }
}

/** What `connect` throws when the peer's certificate was not accepted. `seen`: what could be learned of it. */
export function certificateError(
  hostname: string,
  port: number,
  found: CertificateReason,
  seen: PeerCertificate | null,
  cause: unknown,
): DfdbError {
  const reason = refined(found, seen, Date.now());
  const message = sentence(reason, `${hostname}:${port}`, seen, cause);
  return new DfdbError("certificate_invalid", message, { details: { hostname, port, reason }, cause });
}

/** What `connect` throws when TCP was there and the handshake failed for another reason than a certificate. */
export function handshakeError(hostname: string, port: number, cause: unknown): DfdbError {
  const { message, details } = connectError(hostname, port, cause);
  return new DfdbError("unreachable", `${message.trim()}; does that port speak TLS?`, { details, cause });
}
