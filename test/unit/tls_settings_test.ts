import assert from "node:assert/strict";
import test from "node:test";
import type { DfdbError } from "../../src/base/errors.ts";
import { tlsOf } from "../../src/node/tls_settings.ts";
import { certificatePath, pem } from "../tool/certificates.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();

const read = (cert: string | null, key: string | null, ca: string | null = null) => {
  const path = (file: string | null): string | null => file === null ? null : certificatePath(file);
  const settings = { tlsCertPath: path(cert), tlsKeyPath: path(key), tlsCaPath: path(ca) };
  return tlsOf(settings, runtime);
};

async function refusal(run: Promise<unknown>): Promise<DfdbError> {
  try {
    await run;
  } catch (error) {
    return error as DfdbError;
  }
  throw new Error("expected a refusal");
}

test("TLS is off without files; certificate and key serve; an authority or a certificate makes a client", async () => {
  assert.deepEqual(await read(null, null), { server: null, client: null, warnings: [] });
  const server = { cert: pem("node.pem"), key: pem("node.key") };
  assert.deepEqual(await read("node.pem", "node.key"), { server, client: { ca: null }, warnings: [] });
  const client = { ca: pem("ca.pem") };
  assert.deepEqual(await read(null, null, "ca.pem"), { server: null, client, warnings: [] });
  assert.deepEqual(await read("node.pem", "node.key", "ca.pem"), { server, client, warnings: [] });
});

test("a certificate that is out of its time is a warning: a node that restarts must still start", async () => {
  const [expired] = (await read("expired.pem", "expired.key")).warnings;
  assert.match(
    expired ?? "",
    /^security\.tls\.certPath: .*expired\.pem has expired on 2021-01-01: peers will/,
  );
  assert.match((await read("early.pem", "early.key")).warnings[0] ?? "", /not valid before 2098-01-01/);
  assert.equal((await read(null, null, "expired.pem")).warnings.length, 1);
});

test("what cannot be used is refused, naming the setting and the file", async () => {
  const cases: [files: Parameters<typeof read>, setting: string, sentence: RegExp][] = [
    [["none.pem", "node.key"], "certPath", /none\.pem does not exist$/],
    [["node.pem", "none.key"], "keyPath", /none\.key does not exist$/],
    [[null, null, "none.pem"], "caPath", /none\.pem does not exist$/],
    [["README.md", "node.key"], "certPath", /README\.md holds no PEM certificate$/],
    [["node.key", "node.key"], "certPath", /node\.key holds no PEM certificate$/],
    [["node.pem", "README.md"], "keyPath", /README\.md is not an unencrypted PEM key/],
    [
      ["node.pem", "unfit.key"],
      "keyPath",
      /unfit\.key is not the key of the certificate in .*node\.pem$/,
    ],
    [[null, null, "unfit.key"], "caPath", /unfit\.key holds no PEM certificate$/],
  ];
  for (const [files, setting, sentence] of cases) {
    const error = await refusal(read(...files));
    assert.equal(error.code, "setting_invalid", error.message);
    assert.equal(error.details["setting"], `security.tls.${setting}`);
    assert.match(error.message, sentence);
    assert.ok(error.message.startsWith(`security.tls.${setting}: `), error.message);
  }
  const folder = await refusal(tlsOf({ tlsCertPath: null, tlsKeyPath: null, tlsCaPath: "/" }, runtime));
  assert.match(folder.message, /^security\.tls\.caPath: \/ cannot be read/);
});

test("a block that is no certificate is refused", async () => {
  const bytes = new TextEncoder().encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  const files = { ...runtime.files, read: () => Promise.resolve(bytes) };
  const { clock, certificates } = runtime;
  const run = tlsOf({ tlsCertPath: null, tlsKeyPath: null, tlsCaPath: "x.pem" }, {
    files,
    clock,
    certificates,
  });
  assert.match((await refusal(run)).message, /^security\.tls\.caPath: x\.pem is not a PEM certificate \(/);
});
