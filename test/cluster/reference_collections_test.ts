/** Three independent leaders that keep one small collection equal and have the others for themselves: joins stay local. */
import assert from "node:assert/strict";
import test from "node:test";
import { leaderRuntimes } from "../tool/shared_out.ts";
import type { Member } from "./cluster.ts";
import { eventually, json, runtimeAfter } from "./cluster.ts";
import type { Body } from "./master_mesh.ts";
import { differ, done, mesh, sentAll } from "./master_mesh.ts";

const joined =
  "SELECT orders._id AS id, countries.name AS country FROM orders JOIN countries ON orders.country = countries._id " +
  "ORDER BY orders._id";

for (const runtime of leaderRuntimes(0)) {
  test(`countries are on three leaders, the first on ${runtime}, and orders on one each`, async (t) => {
    const second = runtimeAfter(runtime);
    const m = await mesh({
      runtimes: [runtime, second, runtimeAfter(second)],
      destination: { SpecifiedCollections: ["countries"] },
    });
    t.after(() => m.stop());
    const orders = (at: Member) => done(at, "POST", "/query", { sql: joined });
    const names = async (at: Member): Promise<readonly string[]> =>
      ((await orders(at))["documents"] as Body[]).map(({ id, country }) => `${id} ${country}`);
    const everywhere = async (country: string): Promise<void> => {
      for (const [i, shard] of m.masters.entries()) {
        const wanted = [`${i}-1 ${country}`, `${i}-2 Norway`];
        await eventually(`${shard.name} joins ${wanted.join(", ")}`, async () => {
          const found = await names(shard);
          return found.join() === wanted.join() ? true : null;
        }).catch(async (error: unknown) => {
          throw new Error(`${String(error)}\n${JSON.stringify(await orders(shard))}`);
        });
      }
    };
    // Each shard knows another country first.
    const countries = [["de", "Germany"], ["fr", "France"], ["no", "Norway"]] as const;
    for (const [i, shard] of m.masters.entries()) {
      const [code, name] = countries[i] as readonly [string, string];
      await done(shard, "PUT", `/collections/countries/${code}`, { name });
      await done(shard, "PUT", `/collections/orders/${i}-1`, { country: "de" });
      await done(shard, "PUT", `/collections/orders/${i}-2`, { country: "no" });
    }
    await everywhere("Germany");
    await done(m.masters[2] as Member, "PUT", "/collections/countries/de", { name: "Deutschland" });
    await everywhere("Deutschland");
    await sentAll(m.masters);
    for (const shard of m.masters) {
      const { collections } = await json<{ collections: Body[] }>(`${shard.url}/stats`);
      const counts = collections.map(({ name, documentCount }) => `${name} ${documentCount}`).sort();
      assert.deepEqual(counts, ["countries 3", "orders 2"]);
    }
    assert.equal(await differ(m.masters, "countries"), null);
    assert.match(await differ(m.masters) ?? "", /^orders .*DIFFERENT$/m);
    assert.deepEqual(await m.stop(), [0, 0, 0]);
  });
}
