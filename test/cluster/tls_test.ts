/** TLS on HTTP and on the wire, between real nodes of mixed runtimes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { CertificateName } from "../tool/certificates.ts";
import { certificatePath, pem } from "../tool/certificates.ts";
import type { NodeProcess, RuntimeName } from "../tool/node_process.ts";
import { startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import type { Status } from "./cluster.ts";
import { eventually, json } from "./cluster.ts";

interface Tls {
  readonly certPath?: string;
  readonly keyPath?: string;
  readonly caPath?: string;
}

const served = (name: CertificateName): Tls => ({
  certPath: certificatePath(`${name}.pem`),
  keyPath: certificatePath(`${name}.key`),
});
const trusting = (authority: "ca" | "other_ca"): Tls => ({ caPath: certificatePath(`${authority}.pem`) });

/** One HTTPS request that trusts the tests' authority. */
function ask(
  port: number,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const options = {
      host: "localhost",
      port,
      method,
      path,
      headers,
      ca: pem("ca.pem"),
      agent: false,
    } as const;
    const request = https.request(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => void (text += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Folders, ports and processes of one test, all ended with it. */
async function stage(run: (rig: Rig) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "dfdb-tls-"));
  const [wire, leaderHttp, followerHttp] = await freePorts(3) as [number, number, number];
  const started: NodeProcess[] = [];
  const start = (
    name: string,
    runtime: RuntimeName,
    tls: Tls,
    port: number,
    replication: object,
  ): NodeProcess => {
    const config = join(root, `${name}.json`);
    const security = { replicationSecret: "s3cret", ...(Object.keys(tls).length === 0 ? {} : { tls }) };
    const dataDir = join(root, name);
    writeFileSync(config, JSON.stringify({ nodeName: name, port, dataDir, security, replication }));
    const node = startNodeProcess({ runtime, args: ["serve", "--config", config] });
    started.push(node);
    return node;
  };
  const following = (leaderHost: string) => ({
    role: "follower",
    leaderHost,
    leaderPort: wire,
    heartbeatSeconds: 0.5,
  });
  try {
    await run({
      leaderHttp,
      followerUrl: `http://127.0.0.1:${followerHttp}`,
      async leader(runtime, tls) {
        const leading = { role: "leader", port: wire, heartbeatSeconds: 0.5, bind: "127.0.0.1" };
        const node = start("leader", runtime, tls, leaderHttp, leading);
        await eventually("the leader's banner", () => {
          if (!node.running) throw new Error(node.output());
          return Promise.resolve(node.output().includes("security: ") ? true : null);
        });
        return node;
      },
      async follower(runtime, tls, leaderHost = "127.0.0.1") {
        const node = start("follower", runtime, tls, followerHttp, following(leaderHost));
        await waitForHealth(node, `http://127.0.0.1:${followerHttp}`);
        return node;
      },
    });
  } finally {
    await Promise.all(started.map((node) => node.stop()));
    rmSync(root, { recursive: true, force: true });
  }
}

interface Rig {
  readonly leaderHttp: number;
  readonly followerUrl: string;
  leader(runtime: RuntimeName, tls: Tls): Promise<NodeProcess>;
  follower(runtime: RuntimeName, tls: Tls, leaderHost?: string): Promise<NodeProcess>;
}

/** Waits until the follower's status says `code`, and gives its sentence. */
function says(url: string, code: string): Promise<string> {
  return eventually(`the follower saying ${code}`, async () => {
    const { follower } = await json<Status>(`${url}/replication/status`);
    if (follower.lastError?.code !== code) return null;
    assert.equal(follower.state, code === "certificate_invalid" ? "refused" : "waiting");
    return follower.lastError.message;
  });
}

async function replicates({ leaderHttp, followerUrl }: Rig, id: string): Promise<void> {
  const put = await ask(leaderHttp, "PUT", `/collections/things/${id}`, { id });
  assert.equal(put.status, 201, put.text);
  await eventually(`${id} at the follower`, async () => {
    const response = await fetch(`${followerUrl}/collections/things/${id}`);
    await response.arrayBuffer();
    return response.status === 200 ? true : null;
  });
}

const pairs: readonly (readonly [RuntimeName, RuntimeName])[] = [["node", "deno"], ["deno", "bun"], [
  "bun",
  "node",
]];

for (const [leading, following] of pairs) {
  test(`TLS: a leader on ${leading}, a follower on ${following}, and a certificate that was wrong at first`, () =>
    stage(async (rig) => {
      const first = await rig.leader(leading, served("expired"));
      assert.match(first.output(), /security: +API key OFF \| TLS ON \| replication-secret ON/);
      assert.match(first.output(), /expired\.pem has expired on 2021-01-01: peers will refuse it/);
      await rig.follower(following, trusting("ca"));
      assert.match(await says(rig.followerUrl, "certificate_invalid"), /has expired on 2021-01-01$/);
      await first.stop();
      const second = await rig.leader(leading, served("node"));
      assert.match(second.output(), /listening: +https:\/\/localhost:/);
      await replicates(rig, "a");
      assert.equal(await second.stop(), 0);
      await rig.leader(leading, served("node"));
      await replicates(rig, "b");
      const plain = await fetch(`http://127.0.0.1:${rig.leaderHttp}/health`).then(
        (answer) => answer.status,
        () => 0,
      );
      assert.notEqual(plain, 200, "plain HTTP was answered on the HTTPS port");
    }));
}

test("TLS: a follower names another host or an unknown authority, goes on trying, and is good again with the right file", () =>
  stage(async (rig) => {
    const first = await rig.leader("node", served("other_host"));
    const follower = await rig.follower("bun", trusting("ca"), "localhost");
    assert.match(
      await says(rig.followerUrl, "certificate_invalid"),
      /is for another host: DNS:db\.example\.org/,
    );
    await Promise.all([first.stop(), follower.stop()]);
    await rig.leader("node", served("node"));
    const mistrusting = await rig.follower("deno", trusting("other_ca"), "localhost");
    assert.match(
      await says(rig.followerUrl, "certificate_invalid"),
      /not trusted here \(dfdb test authority\)$/,
    );
    await mistrusting.stop();
    await rig.follower("deno", trusting("ca"), "localhost");
    await replicates(rig, "a");
  }));

for (const [leading, following] of pairs) {
  test(`TLS on one side only is told: leader on ${leading}, follower on ${following}`, () =>
    stage(async (rig) => {
      const encrypted = await rig.leader(leading, served("node"));
      const plain = await rig.follower(following, {});
      const what = await eventually("the follower's sentence", async () => {
        const { follower } = await json<Status>(`${rig.followerUrl}/replication/status`);
        return follower.lastError?.message ?? null;
      });
      assert.match(what, /TLS/);
      await Promise.all([encrypted.stop(), plain.stop()]);
      await rig.leader(leading, {});
      await rig.follower(following, trusting("ca"));
      assert.match(await says(rig.followerUrl, "unreachable"), /; does that port speak TLS\?$/);
    }));
}

test("TLS: a key of another certificate ends the start with a sentence", async () => {
  await assert.rejects(
    stage(async (rig) => {
      const tls = { ...served("node"), keyPath: certificatePath("unfit.key") };
      await rig.follower("node", { ...tls, ...trusting("ca") });
    }),
    /security\.tls\.keyPath: .*unfit\.key is not the key of the certificate in /,
  );
});
