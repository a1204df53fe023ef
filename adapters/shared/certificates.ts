import { createPrivateKey, X509Certificate } from "node:crypto";
import { DfdbError, messageOf } from "../../src/base/errors.ts";
import type { WallMs } from "../../src/base/ids.ts";
import type { Certificates } from "../../src/runtime/certificates.ts";

function parsed<Value>(what: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw new DfdbError("certificate_invalid", `not ${what} (${messageOf(error)})`, { cause: error });
  }
}

const time = (text: string): WallMs => new Date(text).getTime() as WallMs;

/** Through node:crypto. */
export const certificates: Certificates = {
  read(pem) {
    const certificate = parsed("a PEM certificate", () => new X509Certificate(pem));
    return {
      names: certificate.subjectAltName ?? "",
      validFrom: time(certificate.validFrom),
      validUntil: time(certificate.validTo),
      fits: (key) =>
        certificate.checkPrivateKey(parsed("an unencrypted PEM key", () => createPrivateKey(key))),
    };
  },
};
