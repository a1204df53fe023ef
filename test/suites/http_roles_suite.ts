/** What nodes of every role answer to changes of it: the table of `src/cluster/DESIGN.md`, over whole nodes. And what clients of a follower see. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { ErrorCode } from "../../src/base/errors.ts";
import { errorStatus } from "../../src/base/errors.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { freePorts } from "../tool/ports.ts";
import { refused } from "./http_fixture.ts";
import { inDoubt } from "./http_leadership_suite.ts";
import type { ServedNode, WholeNodes } from "./whole_nodes.ts";
import { withNodes } from "./whole_nodes.ts";

/** First cell of a row: what the node is. */
type Row = Readonly<Record<string, string>>;

function table(): ReadonlyMap<string, Row> {
  const text = readFileSync(new URL("../../src/cluster/DESIGN.md", import.meta.url), "utf8");
  const part = /<!-- role requests:[^\n]*-->([\s\S]*?)<!-- \/role requests -->/.exec(text)?.[1] ?? "";
  const lines = part.trim().split("\n").map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  const [head = [], , ...rows] = lines;
  return new Map(rows.map(([label = "", ...cells]) => [
    label,
    Object.fromEntries(cells.map((cell, i) => [head[i + 1] ?? "", cell.replace("*", "")])),
  ]));
}

/** Makes a node that is what the label says. */
const states: Readonly<Record<string, (nodes: WholeNodes) => Promise<ServedNode>>> = {
  "none, nothing written in this run": (nodes) => nodes.start("n"),
  "none, wrote": async (nodes) => await wrote(await nodes.start("n")),
  "none, read-only (`operator`)": async (nodes) => await readOnly(await nodes.start("n")),
  "leader": async (nodes) => await wrote(await nodes.lead("n")),
  "leader, nothing written in this run": (nodes) => nodes.lead("n"),
  "leader, read-only (`operator`)": async (nodes) => await readOnly(await nodes.lead("n")),
  async "leader, `behind_followers`"(nodes) {
    await (await wrote(await nodes.lead("n"))).stop();
    writeFileSync(`${nodes.folderOf("n")}/data.dfdb.followerseq`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    return await nodes.lead("n");
  },
  async "leader, `unconfirmed_leadership`"(nodes) {
    const leader = await nodes.lead("n"),
      candidate = await nodes.follow("f", "n", { autoFailoverMs: 60_000 });
    await nodes.until(() => candidate.node.replication.autoFailover?.state === "watching");
    await candidate.stop();
    await leader.stop();
    return await nodes.lead("n", { leaderStartMs: 600_000 });
  },
  async "leader, `handover_in_doubt`"(nodes) {
    const leader = await wrote(await nodes.lead("n")), target = await nodes.follow("f", "n");
    await target.stop();
    await leader.stop();
    await inDoubt(nodes.folderOf("n"), target, target.wirePort);
    return await nodes.lead("n");
  },
  async "follower"(nodes) {
    await nodes.lead("l");
    return await nodes.follow("n", "l");
  },
  async "follower, read-only (`operator`)"(nodes) {
    await nodes.lead("l");
    return await readOnly(await nodes.follow("n", "l"));
  },
  async "follower, auto-failover on"(nodes) {
    await nodes.lead("l");
    return await nodes.follow("n", "l", { autoFailoverMs: 60_000 });
  },
  async "follower of nobody"(nodes) {
    await nodes.lead("l");
    const follower = await nodes.follow("n", "l");
    await follower.node.replication.stop();
    return follower;
  },
};

async function wrote(node: ServedNode): Promise<ServedNode> {
  assert.equal((await node.put("1")).status, 201);
  return node;
}

async function readOnly(node: ServedNode): Promise<ServedNode> {
  assert.equal((await node.post("read-only")).status, 200);
  return node;
}

type Asked = readonly [method: string, path: string, body?: string | undefined];

/** Each request of the table. */
function requestsTo([port, other]: readonly number[]): Readonly<Record<string, Asked>> {
  const post = (name: string, body?: object): Asked => [
    "POST",
    `/replication/${name}`,
    body === undefined ? undefined : JSON.stringify(body),
  ];
  return {
    "start-leader": post("start-leader", { port }),
    "start-follower": post("start-follower", { host: "127.0.0.1", port: other }),
    "read-only": post("read-only"),
    "read-write": post("read-write"),
    "accept-loss": post("accept-loss"),
    resync: post("resync"),
    promote: post("promote", { port }),
    handover: post("handover", { to: "f" }),
    "auto-failover/enable": post("auto-failover/enable", { silenceSeconds: 60 }),
    "auto-failover/disable": post("auto-failover/disable"),
    forget: ["DELETE", `/replication/nodes/${"0".repeat(32)}`],
  };
}

export function httpRolesSuite(runtime: Runtime): void {
  const it = (what: string, run: (nodes: WholeNodes) => Promise<void>): void =>
    void test(`roles over HTTP: ${what}`, () => withNodes(runtime, run));
  const rows = table();

  for (const [label, make] of Object.entries(states)) {
    it(`what is refused by: ${label}`, async (nodes) => {
      const row = rows.get(label), node = await make(nodes);
      assert.ok(row !== undefined, "it is in the table");
      const requests = requestsTo(await freePorts(2));
      assert.deepEqual(Object.keys(requests), Object.keys(row), "every column is asked");
      for (const [name, [method, path, body]] of Object.entries(requests)) {
        const code = row[name] as string,
          answer = () => node.request(method, path, body === undefined ? {} : { body });
        if (code !== "ok") await refused(answer(), errorStatus[code as ErrorCode], code);
        else if (name === "forget") await refused(answer(), 404, "not_found");
        else if (name === "auto-failover/disable" && !label.includes("auto-failover on")) {
          assert.equal((await answer()).status, 200, name);
        }
      }
    });
  }

  it("a follower passes writes on and answers what was read back; a position that is awaited", async (nodes) => {
    const a = await nodes.lead("a"), b = await nodes.follow("b", "a", { forwardWrites: true });
    const plain = await nodes.follow("c", "a");
    const written = await b.put("1");
    assert.deepEqual([written.status, written.headers.get("x-dfdb-applied")], [201, "true"]);
    const position = written.headers.get("x-dfdb-position") as string;
    assert.equal((await b.request("GET", "/collections/orders/1")).status, 200);
    const seen = { headers: { "x-dfdb-min-position": position } };
    assert.equal((await plain.request("GET", "/collections/orders/1", seen)).status, 200);
    const moved = await refused(plain.put("2"), 421, "not_leader");
    assert.equal(moved["leader"], a.node.httpUrl);
    assert.equal((await a.post("handover", { to: "b" })).status, 200);
    // The old leader passes nothing on, and sends clients to the new one.
    await nodes.until(async () => (await a.put("2")).headers.get("x-dfdb-leader") === b.node.httpUrl);
    const next = (await b.put("2")).headers.get("x-dfdb-position") as string;
    assert.match(next, /^2\./);
    assert.equal(
      (await b.request("GET", "/collections/orders/1", seen)).status,
      200,
      "it is in this history",
    );
    const later = { headers: { "x-dfdb-min-position": next } };
    assert.equal((await plain.request("GET", "/collections/orders/2", later)).status, 200);
    const elsewhere = { headers: { "x-dfdb-min-position": next.replace(/\..*-/, ".00000000-") } };
    await refused(plain.request("GET", "/collections/orders/2", elsewhere), 409, "position_lost");
  });

  it("a follower that passes writes on finds the new leader after a handover", async (nodes) => {
    const a = await nodes.lead("a"), b = await nodes.follow("b", "a");
    const c = await nodes.follow("c", "a", { forwardWrites: true });
    assert.equal((await a.post("handover", { to: "b" })).status, 200);
    await nodes.until(async () => (await c.put("1")).status < 300);
    assert.equal((await b.request("GET", "/collections/orders/1")).status, 200);
  });
}
