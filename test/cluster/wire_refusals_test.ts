/** What must not replicate does not, says why, and harms nobody: real processes, every runtime as leader. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { NodeProcess, RuntimeName } from "../tool/node_process.ts";
import { startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import { cluster, converged, eventually, json } from "./cluster.ts";
import type { Status } from "./cluster.ts";

const runtimes: readonly RuntimeName[] = ["node", "deno", "bun"];

interface Started {
  readonly url: string;
  readonly node: NodeProcess;
}

/** Starts a node, runs the check, stops the node. */
async function withNode(
  runtime: RuntimeName,
  flags: readonly string[],
  check: (s: Started) => Promise<void>,
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "dfdb-refusal-"));
  const [port] = await freePorts(1), url = `http://127.0.0.1:${port}`;
  const node = startNodeProcess({
    runtime,
    args: ["serve", "--port", String(port), "--data-dir", root, ...flags],
  });
  try {
    await waitForHealth(node, url);
    await check({ url, node });
  } finally {
    await node.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

const following = (port: number, ...more: string[]): string[] => [
  "--replication-role",
  "follower",
  "--leader-host",
  "127.0.0.1",
  "--leader-port",
  String(port),
  ...more,
];

/** Waits until the follower shows the error. */
function shows(url: string, code: string): Promise<Status> {
  return eventually(`lastError ${code}`, async () => {
    const status = await json<Status>(`${url}/replication/status`);
    return status.follower.lastError?.code === code ? status : null;
  });
}

async function put(url: string, id: string): Promise<number> {
  const response = await fetch(`${url}/collections/c/${id}`, { method: "PUT", body: `{"id_":"${id}"}` });
  await response.arrayBuffer();
  return response.status;
}

function socket(port: number): Promise<Socket> {
  const made = connect(port, "127.0.0.1");
  made.on("error", () => {}); // the leader may cut it: that is the point
  return once(made, "connect").then(() => made);
}

for (const runtime of runtimes) {
  const others = runtimes.filter((other) => other !== runtime);

  test(`leader on ${runtime}: a wrong secret, a secret on one side only and the leader itself are refused by name`, async () => {
    const c = await cluster({ leader: runtime, followers: [others[0] as RuntimeName] });
    assert.equal(await put(c.leader.url, "a"), 201);
    await converged(c);
    const wrong = following(c.wirePort, "--replication-secret", "another");
    await withNode(others[1] as RuntimeName, wrong, async ({ url }) => {
      const { follower, position } = await shows(url, "bad_secret");
      assert.match(follower.lastError?.message ?? "", /secret/);
      assert.equal(position, "0.00000000-0", "nothing was applied");
    });
    await withNode(others[1] as RuntimeName, following(c.wirePort), async ({ url }) => {
      await shows(url, "bad_secret");
      assert.equal((await fetch(`${url}/ready`)).status, 503);
      assert.equal((await fetch(`${url}/health`)).status, 200);
    });
    assert.equal(await put(c.leader.url, "b"), 201);
    await converged(c);
    await c.stop();
  });

  test(`leader on ${runtime} without a secret refuses a follower that has one, and one of another database`, async () => {
    const c = await cluster({ leader: runtime, followers: [], flags: ["--replication-role", "leader"] });
    assert.equal(await put(c.leader.url, "a"), 201);
    await withNode(
      others[0] as RuntimeName,
      following(c.wirePort, "--replication-secret", "mine"),
      async ({ url }) => {
        await shows(url, "bad_secret");
      },
    );
    // A database of its own, with a document, then told to follow.
    const root = mkdtempSync(join(tmpdir(), "dfdb-other-"));
    await withNode(others[0] as RuntimeName, ["--data-dir", root], async ({ url }) => {
      assert.equal(await put(url, "mine"), 201);
    });
    await withNode(
      others[0] as RuntimeName,
      ["--data-dir", root, ...following(c.wirePort)],
      async ({ url }) => {
        await shows(url, "wrong_database");
        assert.equal((await fetch(`${url}/collections/c/mine`)).status, 200, "its own data stays");
        assert.equal((await fetch(`${url}/collections/c/a`)).status, 404);
      },
    );
    rmSync(root, { recursive: true, force: true });
    await c.stop();
  });

  test(`leader on ${runtime}: garbage, huge frames, HTTP and 200 silent connections on the wire port harm nobody`, async () => {
    const c = await cluster({ leader: runtime, followers: [others[0] as RuntimeName] });
    const silent = await Promise.all(Array.from({ length: 200 }, () => socket(c.wirePort)));
    const hostile: Uint8Array[] = [
      randomBytes(100_000),
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      Uint8Array.of(0xdf, 0xdb, 0x0d, 0x0a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
      Uint8Array.of(0xdf, 0xdb, 0x0d, 0x0a, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8),
      Uint8Array.of(0xdf, 0xdb),
    ];
    for (const bytes of hostile) {
      const peer = await socket(c.wirePort);
      peer.resume();
      peer.end(bytes);
      await once(peer, "close");
    }
    assert.equal(await put(c.leader.url, "after"), 201);
    await converged(c);
    for (const each of silent) each.destroy();
    assert.ok(c.leader.process.running);
    assert.deepEqual(await c.stop(), [0, 0]);
  });

  test(`a follower on ${runtime} that is pointed at an HTTP port says so, and one at itself is refused`, async () => {
    const [own] = await freePorts(1);
    await withNode(others[0] as RuntimeName, [], async (target) => {
      await withNode(runtime, following(Number(new URL(target.url).port)), async ({ url }) => {
        const { follower } = await shows(url, "bad_frame");
        assert.match(follower.lastError?.message ?? "", /HTTP/);
      });
      assert.equal((await fetch(`${target.url}/health`)).status, 200);
    });
    // A copy of a leader's folder, started as its follower, has the leader's node id.
    const root = mkdtempSync(join(tmpdir(), "dfdb-self-"));
    const leading = ["--replication-role", "leader", "--replication-port", String(own)];
    await withNode(runtime, ["--data-dir", root], async ({ url }) => {
      assert.equal(await put(url, "a"), 201);
    });
    const copy = `${root}-copy`;
    cpSync(root, copy, { recursive: true });
    await withNode(runtime, ["--data-dir", root, ...leading], async () => {
      await withNode(
        others[0] as RuntimeName,
        ["--data-dir", copy, ...following(own as number)],
        async ({ url }) => {
          await shows(url, "self");
        },
      );
    });
    for (const folder of [root, copy]) rmSync(folder, { recursive: true, force: true });
  });
}
