import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import type { DfdbError } from "../../src/base/errors.ts";
import type { Connection, Listener, TlsClient, TlsServer } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { CertificateName } from "../tool/certificates.ts";
import { clientTls, pem, serverTls } from "../tool/certificates.ts";
import { tcpListenSuite } from "./runtime_listen_suite.ts";
import { tcpStreamSuite } from "./runtime_tcp_suite.ts";
import { accepted, connectTo, listen, readText, readUntilOver, rejection, within } from "./runtime_tools.ts";

const { signal: never } = new AbortController();

function listenTls(runtime: Runtime, tls: TlsServer = serverTls()): Promise<Listener> {
  return runtime.net.listen({ hostname: "127.0.0.1", port: 0, tls });
}

function connectTls(
  runtime: Runtime,
  port: number,
  options: { tls?: TlsClient; hostname?: string; signal?: AbortSignal } = {},
): Promise<Connection> {
  return runtime.net.connect({ hostname: "127.0.0.1", port, tls: clientTls(), signal: never, ...options });
}

/** A runtime whose plain connections are TLS: the contract of a connection must hold for both. */
function overTls(runtime: Runtime): Runtime {
  const { net } = runtime;
  return {
    ...runtime,
    net: {
      listen: (options) => net.listen({ ...options, tls: serverTls() }),
      connect: (options) => net.connect({ ...options, tls: clientTls() }),
    },
  };
}

/** What {@linkcode runtimeSuite} asks of TLS on connections. */
export function tlsSuite(name: string, makeRuntime: () => Runtime): void {
  tcpListenSuite(`${name}: over TLS`, () => overTls(makeRuntime()));
  tcpStreamSuite(`${name}: over TLS`, () => overTls(makeRuntime()));
  const it = (what: string, run: (runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: tls: ${what}`, () => {
      const runtime = makeRuntime();
      return within(runtime, what, run(runtime));
    });
  certificateTests(it);
  strangerTests(it);
  if (makeRuntime().name !== "deno") hangingUpTests(it);
  readingTests(it);
}

type It = (what: string, run: (runtime: Runtime) => Promise<void>) => void;

function certificateTests(it: It): void {
  const refused: readonly (readonly [
    reason: string,
    certificate: CertificateName,
    client: { tls?: TlsClient; hostname?: string },
    sentence: RegExp,
  ])[] = [
    ["expired", "expired", {}, /certificate of 127\.0\.0\.1:\d+ has expired on 2021-01-01$/],
    ["not_yet_valid", "early", {}, /is not yet valid, but from 2098-01-01 on$/],
    ["wrong_host", "other_host", {}, /is for another host: DNS:db\.example\.org, IP Address:192\.0\.2\.7$/],
    ["wrong_host", "other_host", { hostname: "localhost" }, /localhost:\d+ is for another host: DNS:db\./],
    ["unknown_authority", "other_authority", {}, /that is not trusted here \(dfdb other test authority\)$/],
    ["unknown_authority", "node", { tls: { ca: null } }, /not trusted here \(dfdb test authority\)$/],
  ];
  for (const [reason, certificate, client, sentence] of refused) {
    it(`${certificate} is refused: ${JSON.stringify(client)}`, async (runtime) => {
      const listener = await listenTls(runtime, serverTls(certificate));
      const error = await rejection(connectTls(runtime, listener.port, client)) as DfdbError;
      assert.equal(error.code, "certificate_invalid", error.message);
      assert.equal(error.details["reason"], reason);
      assert.match(error.message, sentence);
      await listener.close();
    });
  }

  it("the host is compared by its name and by its address, with a bundle of authorities", async (runtime) => {
    const listener = await listenTls(runtime);
    const tls = { ca: `${pem("other_ca.pem")}${pem("ca.pem")}` };
    for (const hostname of ["127.0.0.1", "localhost"]) {
      const connecting = connectTls(runtime, listener.port, { tls, hostname });
      const [client, server] = await Promise.all([connecting, accepted(listener)]);
      const writer = server.writable.getWriter();
      await Promise.all([writer.write(utf8("hello")), writer.close()]);
      assert.equal(await readText(client.readable.getReader(), () => false), "hello");
    }
    await listener.close();
  });
}

function strangerTests(it: It): void {
  it("a client that says nothing and one that speaks no TLS hold up nobody", async (runtime) => {
    const listener = await listenTls(runtime);
    const silent = await connectTo(runtime, listener.port);
    const plain = await connectTo(runtime, listener.port);
    await plain.writable.getWriter().write(utf8("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    const [client, server] = await Promise.all([connectTls(runtime, listener.port), accepted(listener)]);
    assert.equal((await readUntilOver(plain.readable)).byteLength < 100, true);
    const writer = client.writable.getWriter();
    await writer.write(utf8("still here"));
    const text = await readText(server.readable.getReader(), (text) => text.length >= 10);
    assert.equal(text, "still here");
    await listener.close();
    silent.abort(new Error("done"));
    client.abort(new Error("done"));
    server.abort(new Error("done"));
  });

  it("a peer without TLS: unreachable, and the sentence asks for it", async (runtime) => {
    const listener = await listen(runtime);
    for (const answer of ["this is no TLS at all", ""]) {
      const answering = accepted(listener).then(async ({ writable }) => {
        const writer = writable.getWriter();
        if (answer !== "") await writer.write(utf8(answer));
        await writer.close().catch(() => {});
      });
      const error = await rejection(connectTls(runtime, listener.port)) as DfdbError;
      assert.equal(error.code, "unreachable");
      assert.match(error.message, /; does that port speak TLS\?$/);
      await answering;
    }
    await listener.close();
  });

  it("a peer that never answers the handshake: connect ends with its signal", async (runtime) => {
    const listener = await listen(runtime);
    const controller = new AbortController();
    const trying = rejection(connectTls(runtime, listener.port, { signal: controller.signal }));
    const server = await accepted(listener);
    controller.abort(new Error("never mind"));
    const error = await trying as DfdbError;
    assert.equal(error.code, "unreachable");
    assert.match(error.message, /never mind$/);
    server.abort(new Error("done"));
    await listener.close();
  });
}

/** Deno forgets whoever is not through its handshake, but has no means to hang up on it (adapters/DESIGN.md). */
function hangingUpTests(it: It): void {
  const not = "(Node and Bun: Deno cannot hang up before a handshake is over)";

  it(`a handshake has its time ${not}`, async (runtime) => {
    const listener = await listenTls(runtime);
    const silent = await connectTo(runtime, listener.port);
    assert.equal((await readUntilOver(silent.readable)).byteLength < 100, true);
    await listener.close();
  });

  it(`a listener takes with it what is not through its handshake ${not}`, async (runtime) => {
    const listener = await listenTls(runtime);
    const silent = await connectTo(runtime, listener.port);
    const [client, server] = await Promise.all([connectTls(runtime, listener.port), accepted(listener)]);
    await listener.close();
    assert.equal((await readUntilOver(silent.readable)).byteLength < 100, true);
    client.abort(new Error("done"));
    server.abort(new Error("done"));
  });

  it(`an attempt that is given up hangs up ${not}`, async (runtime) => {
    const listener = await listen(runtime);
    const controller = new AbortController();
    const trying = rejection(connectTls(runtime, listener.port, { signal: controller.signal }));
    const server = await accepted(listener);
    controller.abort(new Error("never mind"));
    assert.equal((await trying as DfdbError).code, "unreachable");
    await readUntilOver(server.readable);
    await listener.close();
  });
}

function readingTests(it: It): void {
  it("a certificate is read, and knows its key", async ({ certificates }) => {
    const certificate = certificates.read(pem("node.pem"));
    assert.match(certificate.names, /^DNS:localhost, IP Address:127\.0\.0\.1, /);
    assert.equal(new Date(certificate.validFrom).toISOString(), "2020-01-01T00:00:00.000Z");
    assert.equal(new Date(certificate.validUntil).toISOString(), "2099-12-31T00:00:00.000Z");
    assert.equal(certificate.fits(pem("node.key")), true);
    assert.equal(certificate.fits(pem("unfit.key")), false);
    const wrong = { code: "certificate_invalid" };
    assert.throws(() => certificate.fits(pem("node.pem")), wrong);
    assert.throws(() => certificates.read(pem("node.key")), wrong);
    assert.throws(() => certificates.read(""), wrong);
  });
}
