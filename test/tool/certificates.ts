/** The certificates of `test/tool/certificates/`: see its README. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "./runtime_binary.ts";

export const certificateFolder = join(projectFolder, "test", "tool", "certificates");

/** Certificates with a key each, for localhost, 127.0.0.1 and ::1 but for `other_host`. */
export type CertificateName = "node" | "expired" | "early" | "other_host" | "other_authority";

/** Path of one of the files. */
export const certificatePath = (file: string): string => join(certificateFolder, file);

/** PEM text of one of the files. */
export const pem = (file: string): string => readFileSync(certificatePath(file), "utf8");

/** Certificate and key for a server. */
export const serverTls = (name: CertificateName = "node"): { cert: string; key: string } => ({
  cert: pem(`${name}.pem`),
  key: pem(`${name}.key`),
});

/** Trust for a client. */
export const clientTls = (authority: "ca" | "other_ca" = "ca"): { ca: string } => ({
  ca: pem(`${authority}.pem`),
});
