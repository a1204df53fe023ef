/** `dfdb verify` and `dfdb status` against real nodes of mixed runtimes, while they are written to. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "node:test";
import type { RuntimeName } from "../tool/node_process.ts";
import { projectFolder, runtimeBinary } from "../tool/node_process.ts";
import type { Member } from "./cluster.ts";
import { cluster, converged, eventually } from "./cluster.ts";
import { writers } from "./writers.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function dfdb(runtime: RuntimeName, args: readonly string[]): Promise<Ended> {
  const main = join(projectFolder, "adapters", runtime, "main.ts");
  const child = spawn(runtimeBinary(runtime), [...(runtime === "deno" ? ["run", "-A"] : []), main, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 120_000,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output += chunk);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output })));
}

const runtimes: readonly RuntimeName[] = ["node", "deno", "bun"];

for (const leader of leaderRuntimes(0)) {
  const followers = runtimes.filter((runtime) => runtime !== leader);
  test(`leader on ${leader}: nodes are compared under writes, a planted difference is named`, async () => {
    const c = await cluster({ leader, followers });
    try {
      const urls = c.members.map(({ url }) => url);
      const load = writers({ leader: () => c.leader.url, writers: 8, documentsEach: 40, seed: 1 });
      await eventually("300 writes", () => Promise.resolve(load.acknowledged >= 300 ? true : null));
      const equal = await dfdb(leader, ["verify", ...urls]);
      assert.equal(equal.code, 0, equal.output);
      assert.match(equal.output, /^EQUAL: .*3 nodes$/m);
      await load.stop();
      await converged(c);
      const shown = await dfdb(leader, ["status", ...urls]);
      assert.equal(shown.code, 0, shown.output);
      assert.match(shown.output, /^leader +LEADER +read-write/m);
      assert.match(shown.output, /^[├└] follower-1 +streaming +acked/m);
      assert.match(shown.output, /^follower-2 +FOLLOWER +streaming/m);
      const follower = c.followers[1] as Member;
      await follower.stop();
      const changed = plant(join(follower.dataDir, "data.dfdb"));
      await follower.start();
      await converged(c);
      const more = writers({ leader: () => c.leader.url, writers: 2, documentsEach: 10, seed: 2 });
      const other = await dfdb(leader, ["verify", "--json", ...urls]);
      await more.stop();
      assert.equal(other.code, 2, other.output);
      const report = JSON.parse(other.output) as {
        collections: { equal: boolean; differences: { node: string; extra: string[] }[] }[];
      };
      const found = report.collections.flatMap(({ differences }) => differences);
      assert.deepEqual(found.map(({ node, extra }) => [node, extra]), [["follower-2", [changed]]]);
    } finally {
      await c.stop();
    }
  });
}

/** Puts a document into the file of a stopped node that came by no log; its id. */
function plant(path: string): string {
  const db = new DatabaseSync(path), id = "~planted";
  const { number, row } = db.prepare(
    "SELECT number, next_row AS row FROM collections WHERE name IS NOT NULL LIMIT 1",
  )
    .get() as { number: number; row: number };
  db.prepare(
    `INSERT INTO docs_${number} (row, id, seq, created_ms, modified_ms, body) VALUES (?, ?, 1, 0, 0, '{}')`,
  )
    .run(row + 1_000_000, id);
  db.close();
  return id;
}
