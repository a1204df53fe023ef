/** What is written by every route is the same on all nodes, of mixed runtimes, indexes included; what is damaged there is found. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "node:test";
import type { Operation } from "../../src/document/operation.ts";
import { defaultDatabase, neededScope } from "../../src/http/needed_scope.ts";
import { decodeEntry } from "../../src/storage/entry_codec.ts";
import { entrySamples } from "../golden/entry_samples.ts";
import { runtimeNames } from "../tool/node_process.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";
import type { Member } from "./cluster.ts";
import { cluster, converged, eventually } from "./cluster.ts";
import { everyWrite, keys, sender, takingRoutes, upkeep, writesNothing } from "./every_write.ts";
import { dfdb } from "./group.ts";

interface Report {
  readonly equal: boolean;
  readonly nodes: readonly {
    readonly node: string;
    readonly indexes: {
      readonly checked: number;
      readonly damaged: readonly Readonly<Record<string, unknown>>[];
      readonly unchecked: readonly unknown[];
    };
  }[];
  readonly collections: readonly {
    readonly collection: string;
    readonly equal: boolean;
    readonly differences: readonly Readonly<Record<string, unknown>>[];
  }[];
}

for (const leader of leaderRuntimes(1)) {
  const followers = runtimeNames.filter((runtime) => runtime !== leader);
  test(`leader on ${leader}: what every route writes is equal on all nodes, and damage is named`, async () => {
    const routes = await takingRoutes();
    const c = await cluster({ leader, followers });
    try {
      const ask = sender(c.leader.url, routes), urls = c.members.map(({ url }) => url);
      await everyWrite(ask);
      await converged(c);
      for (const { url } of c.members) await upkeep(ask.to(url));
      const key = await keys(ask);
      for (const member of c.members) await filled(member, key.secret);
      expectEvery(routes, ask.used, c.leader);

      const equal = await dfdb(leader, ["verify", "--json", "--api-key", key.secret, ...urls]);
      assert.equal(equal.code, 0, equal.output);
      const report = JSON.parse(equal.output) as Report;
      assert.equal(report.equal, true);
      const names = report.collections.map(({ collection }) => collection);
      for (const name of ["_keys", "_settings", "docs", "sql", "flights"]) {
        assert.ok(names.includes(name), name);
      }
      for (const { node, indexes } of report.nodes) {
        assert.deepEqual([indexes.damaged, indexes.unchecked], [[], []], node);
        assert.equal(indexes.checked, report.nodes[0]?.indexes.checked, node);
      }
      assert.ok(Number(report.nodes[0]?.indexes.checked) >= 15, "indexes of all kinds");
      await ask.send("DELETE", `/admin/keys/${key.id}`);
      ask.useKey(null);

      const [first, second] = c.followers as [Member, Member];
      await damaged(first, (db, docs) => {
        const body = `json_set(body, '$.stock', 77)`;
        return db.prepare(`UPDATE docs_${docs} SET body = ${body} WHERE id = 'c'`).run().changes;
      });
      await converged(c);
      const changed = JSON.parse((await dfdb(leader, ["verify", "--json", ...urls])).output) as Report;
      const wrong = changed.collections.filter((each) => !each.equal);
      assert.deepEqual(wrong.map(({ collection, differences }) => [collection, differences]), [
        ["docs", [{ node: first.name, count: 1, missing: [], extra: [], different: ["c"] }]],
      ]);
      assert.deepEqual(changed.nodes.flatMap(({ indexes }) => indexes.damaged), []);

      await damaged(second, (db, docs) => {
        const { number } = db.prepare("SELECT number FROM indexes WHERE collection = ? AND name = 'by_n'")
          .get(docs) as { number: number };
        const row = `(SELECT row FROM docs_${docs} WHERE id = 'c')`;
        return db.prepare(`DELETE FROM index_${number} WHERE row = ${row}`).run().changes;
      });
      await converged(c);
      const found = await dfdb(leader, ["verify", ...urls]);
      assert.equal(found.code, 2, found.output);
      const line = `^${second.name}: index by_n of docs is DAMAGED: 1 document lacks a key in it; POST `;
      assert.match(found.output, new RegExp(line, "m"));
      assert.equal(found.output.match(/DAMAGED:/g)?.length, 1, found.output);
      await ask.to(second.url).send("POST", "/admin/rebuild-index/docs/by_n");
      await filled(second, null);
    } finally {
      await c.stop();
    }
  });
}

/** Written only where versions are kept. */
const bundleOnly: readonly Operation["kind"][] = [
  "activateBundle",
  "learnRuns",
  "setVersions",
  "purgeTombstones",
];

/** Every route that takes something was used, or writes nothing; and the log has every kind of operation. */
function expectEvery(routes: readonly string[], used: ReadonlySet<string>, leader: Member): void {
  const missing = routes.filter((route) => !used.has(route) && writesNothing[route] === undefined);
  assert.deepEqual(missing, [], "a route that writes is not in every_write.ts");
  for (const route of Object.keys(writesNothing)) {
    assert.ok(routes.includes(route), `there is no ${route} any more`);
    const [method = "", path = ""] = route.split(" ");
    const { scope } = neededScope(new Request(`http://host${path}`, { method }), defaultDatabase);
    assert.equal(scope, "admin", `${route} wants the scope ${scope}: it writes`);
  }
  const db = new DatabaseSync(join(leader.dataDir, "data.dfdb"), { readOnly: true });
  const rows = db.prepare("SELECT payload FROM log").all() as { payload: Uint8Array }[];
  db.close();
  const kinds = new Set(rows.flatMap(({ payload }) => decodeEntry(payload).map(({ kind }) => kind)));
  const all = new Set(
    entrySamples.flatMap(({ operations }) => operations.map(({ kind }) => kind))
      .filter((kind) => !bundleOnly.includes(kind)),
  );
  assert.deepEqual([...kinds].sort(), [...all].sort(), "operations of every kind");
}

/** Waits until all indexes of a node are whole; they must be what their documents say. */
async function filled({ name, url }: Member, secret: string | null): Promise<void> {
  const headers = secret === null ? {} : { authorization: `Bearer ${secret}` };
  await eventually(`${name} has filled its indexes`, async () => {
    const text = await (await fetch(`${url}/verify`, { headers, signal: AbortSignal.timeout(30_000) }))
      .text();
    const lines = text.split("\n").filter((line) => line !== "").map((line) =>
      JSON.parse(line) as { done?: true; indexes?: unknown; wrongIndexes?: number }
    );
    const last = lines.at(-1),
      defined = lines.flatMap(({ indexes }) => indexes instanceof Array ? indexes : []);
    if (last?.done !== true) return null;
    assert.equal(last.wrongIndexes, 0, text);
    return last.indexes === defined.length ? true : null;
  });
}

/** Changes the file of a stopped node past all of its code; `change` is given the number of `docs` and answers how many rows it changed. */
async function damaged(
  member: Member,
  change: (db: DatabaseSync, docs: number) => number | bigint,
): Promise<void> {
  assert.equal(await member.stop(), 0);
  const db = new DatabaseSync(join(member.dataDir, "data.dfdb"));
  const { number } = db.prepare("SELECT number FROM collections WHERE name = 'docs'").get() as {
    number: number;
  };
  assert.equal(Number(change(db, number)), 1);
  db.close();
  await member.start();
}
