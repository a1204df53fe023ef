/** A master with a follower, and another master: who sends and who takes when the leadership moves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { told } from "../suites/http_fixture.ts";
import type { ServedNode, WholeNodes } from "../suites/whole_nodes.ts";
import { withNodes } from "../suites/whole_nodes.ts";
import { patient } from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
const settings = { replicationBundle: true, masterRequestMs: 30_000 };

async function destination(of: ServedNode, to: ServedNode): Promise<void> {
  const body = JSON.stringify({ Destinations: [{ Url: to.url }] });
  const answer = await told(of.request("PUT", "/docs/Raven/Replication/Destinations", { body }));
  assert.ok(answer.status < 300, JSON.stringify(answer.body));
}

async function written(at: ServedNode, id: string): Promise<void> {
  const answer = await told(at.put(id));
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
}

async function has(nodes: WholeNodes, at: ServedNode, id: string): Promise<void> {
  await nodes.until(async () => {
    const answer = await at.request("GET", `/collections/orders/${id}`);
    await answer.body?.cancel();
    return answer.status === 200;
  });
}

const sends = async (at: ServedNode): Promise<unknown> =>
  (await told(at.request("GET", "/replication/info"))).body["sends"];

test(
  "masters: who sends and who takes follows the leadership",
  patient,
  () =>
    withNodes(runtime, async (nodes) => {
      const url = async (name: string) => ({
        publicBaseUrl: `http://127.0.0.1:${(await nodes.ports(name))[0]}`,
      });
      const a = await nodes.lead("a", { ...settings, ...await url("a") });
      const f = await nodes.follow("f", "a", { ...settings, ...await url("f") });
      const m = await nodes.start("m", { ...settings, ...await url("m") });
      await destination(a, m);
      await destination(m, a);
      await written(a, "of-a");
      await written(m, "of-m");
      await has(nodes, m, "of-a");
      await has(nodes, a, "of-m");
      await has(nodes, f, "of-m");
      assert.deepEqual(await Promise.all([a, f, m].map(sends)), [true, false, true]);
      const bundles = (await told(f.request("GET", "/databases"))).body["databases"][0]["bundles"];
      assert.deepEqual(bundles, ["replication"], "by the log");

      const given = await told(a.post("handover", { to: "f", timeoutSeconds: 20 }));
      assert.equal(given.status, 200, JSON.stringify(given.body));
      await nodes.until(async () => await sends(f) === true);
      assert.deepEqual(await Promise.all([a, f, m].map(sends)), [false, true, true]);
      await written(f, "of-f");
      await has(nodes, m, "of-f");
      // Its destination is the node that follows now, and says who leads.
      await written(m, "of-m-again");
      await has(nodes, f, "of-m-again");
      await has(nodes, a, "of-m-again");
      const [row] = (await told(m.request("GET", "/replication/info"))).body["Stats"];
      assert.deepEqual([row["leaderUrl"], row["FailureCount"]], [f.url, 0]);

      // A master of which nothing was heard until its follower is gone, too.
      await f.stop();
      await written(m, "while-away");
      const again = await nodes.start("f", { ...settings, ...await url("f"), replicationRole: "leader" });
      await nodes.until(async () => (await again.status())["readOnly"] === false);
      await has(nodes, again, "while-away");
      await written(again, "after");
      await has(nodes, m, "after");
    }),
);
