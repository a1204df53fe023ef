import type { WallMs } from "../base/ids.ts";

/** Looks into PEM texts before they are used: a server that starts with a wrong key would fail each client instead. */
export interface Certificates {
  /** The first certificate of a PEM text. Throws DfdbError `certificate_invalid`. */
  read(pem: string): Certificate;
}

export interface Certificate {
  /** The names it is valid for, as people read them: `DNS:db.example.org, IP Address:192.0.2.7`; may be empty. */
  readonly names: string;
  readonly validFrom: WallMs;
  readonly validUntil: WallMs;
  /** True when the PEM private key belongs to it. Throws `certificate_invalid`: no PEM key, or an encrypted one. */
  fits(keyPem: string): boolean;
}
