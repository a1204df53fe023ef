/** Reads what `security.tls` names, and checks it before anything is opened with it. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Certificate } from "../runtime/certificates.ts";
import type { TlsClient, TlsServer } from "../runtime/net.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Settings } from "./settings.ts";

/** TLS of this node; null where it is plain. */
export interface NodeTls {
  /** Of its HTTP port and of its replication port. */
  readonly server: TlsServer | null;
  /** Towards its leader. */
  readonly client: TlsClient | null;
  /** What is not wrong enough to refuse the start: sentences for the log. */
  readonly warnings: readonly string[];
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const certPath = "security.tls.certPath", keyPath = "security.tls.keyPath", caPath = "security.tls.caPath";

/** Throws `setting_invalid` naming the setting and its file: missing, not PEM, a key of another certificate. */
export async function tlsOf(
  settings: Pick<Settings, "tlsCertPath" | "tlsKeyPath" | "tlsCaPath">,
  runtime: Pick<Runtime, "files" | "certificates" | "clock">,
): Promise<NodeTls> {
  const { tlsCertPath, tlsKeyPath, tlsCaPath } = settings;
  const warnings: string[] = [];
  const read = (setting: string, path: string): Promise<string> => readText(runtime, setting, path);
  const parse = (setting: string, path: string, text: string): Certificate[] => {
    const blocks = text.match(certificateBlock) ?? [];
    if (blocks.length === 0) wrong(setting, path, "holds no PEM certificate");
    return blocks.map((block) => orWrong(setting, path, () => runtime.certificates.read(block)));
  };
  let server: TlsServer | null = null, ca: string | null = null;
  if (tlsCertPath !== null && tlsKeyPath !== null) {
    const [cert, key] = [await read(certPath, tlsCertPath), await read(keyPath, tlsKeyPath)];
    const own = parse(certPath, tlsCertPath, cert)[0] as Certificate;
    const fits = orWrong(keyPath, tlsKeyPath, () => own.fits(key));
    if (!fits) wrong(keyPath, tlsKeyPath, `is not the key of the certificate in ${tlsCertPath}`);
    warnings.push(...outOfTime(own, `${certPath}: the certificate in ${tlsCertPath}`, runtime.clock.wall()));
    server = { cert, key };
  }
  if (tlsCaPath !== null) {
    ca = await read(caPath, tlsCaPath);
    for (const authority of parse(caPath, tlsCaPath, ca)) {
      warnings.push(
        ...outOfTime(authority, `${caPath}: a certificate in ${tlsCaPath}`, runtime.clock.wall()),
      );
    }
  }
  return { server, client: tlsCaPath === null && tlsCertPath === null ? null : { ca }, warnings };
}

function outOfTime({ validFrom, validUntil }: Certificate, subject: string, now: number): string[] {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  if (now > validUntil) return [`${subject} has expired on ${day(validUntil)}: peers will refuse it`];
  return now < validFrom ? [`${subject} is not valid before ${day(validFrom)}: peers will refuse it`] : [];
}

async function readText({ files }: Pick<Runtime, "files">, setting: string, path: string): Promise<string> {
  let bytes: Uint8Array | null;
  try {
    bytes = await files.read(path);
  } catch (error) {
    return wrong(setting, path, `cannot be read (${messageOf(error)})`);
  }
  return bytes === null ? wrong(setting, path, "does not exist") : utf8Text(bytes);
}

function orWrong<Value>(setting: string, path: string, run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    return wrong(setting, path, `is ${messageOf(error)}`);
  }
}

function wrong(setting: string, path: string, what: string): never {
  throw new DfdbError("setting_invalid", `${setting}: ${path} ${what}`, { details: { setting, path } });
}
