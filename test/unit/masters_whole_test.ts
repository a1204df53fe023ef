/** Whole masters: what one wrote while the other was away, what expired on both, and how `dfdb verify` compares them. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { VerifyFlags } from "../../src/cli/verify.ts";
import { verifyNodes } from "../../src/cli/verify.ts";
import type { Body } from "../suites/http_fixture.ts";
import { told } from "../suites/http_fixture.ts";
import { coded, patient } from "../suites/storage_fixture.ts";
import type { ServedNode, WholeNodes } from "../suites/whole_nodes.ts";
import { withNodes } from "../suites/whole_nodes.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
const settings = { replicationBundle: true, masterRequestMs: 30_000 };

async function done(at: ServedNode, method: string, path: string, body?: unknown): Promise<Body> {
  const text = body === undefined ? {} : { body: JSON.stringify(body) };
  const answer = await told(at.request(method, path, text));
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

function start(nodes: WholeNodes, name: string): Promise<ServedNode> {
  return nodes.start(name, settings);
}

async function send(from: ServedNode, to: ServedNode, Disabled = false): Promise<void> {
  await done(from, "PUT", "/docs/Raven/Replication/Destinations", {
    Destinations: [{ Url: to.url, Disabled }],
  });
}

async function bothSend(a: ServedNode, b: ServedNode, Disabled = false): Promise<void> {
  await send(a, b, Disabled);
  await send(b, a, Disabled);
}

/** Waits until `at` answers a GET of the document with `status`, and, where it is there, with this number. */
async function shows(nodes: WholeNodes, at: ServedNode, id: string, status: number, n?: number) {
  await nodes.until(async () => {
    const answer = await told(at.request("GET", `/collections/orders/${id}`));
    return answer.status === status && (n === undefined || answer.body["n"] === n);
  });
}

/** Waits until all of them have sent all that they have. */
async function rest(nodes: WholeNodes, all: readonly ServedNode[]): Promise<void> {
  await nodes.until(async () => {
    const infos = await Promise.all(all.map((each) => done(each, "GET", "/replication/info")));
    return infos.every(({ Stats, MostRecentDocumentEtag: last }) =>
      (Stats as Body[]).every((row) => row["state"] === "idle" && row["LastReplicatedEtag"] === last)
    );
  });
}

/** Of one document, each an entry of its own; 50 share an fsync. */
async function edits(at: ServedNode, method: "PUT" | "PATCH", from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, i) => {
      return done(at, method, "/collections/orders/x", { n: first + i });
    }));
  }
}

const conflicts = async (at: ServedNode): Promise<unknown> =>
  (await done(at, "GET", "/replication/info"))["conflicts"];

async function verified(
  nodes: readonly ServedNode[],
  flags: VerifyFlags = { masters: true },
): Promise<{ code: number; text: string }> {
  let text = "";
  const process = {
    ...runtime.process,
    columns: null,
    stdoutIsTerminal: false,
    stdout: (more: string) => void (text += more),
  };
  const code = await verifyNodes({ ...runtime, process }, nodes.map(({ url }) => url), flags);
  return { code, text };
}

test(
  "masters: a thousand edits of one document while the other is away are no conflict",
  patient,
  () =>
    withNodes(runtime, async (nodes) => {
      const [a, first] = [await start(nodes, "a"), await start(nodes, "b")];
      await bothSend(a, first);
      // The last word before is the other one's.
      await done(first, "PUT", "/collections/orders/x", { n: -1 });
      await shows(nodes, a, "x", 200, -1);
      await first.stop();
      const restarted = await (async () => {
        await edits(a, "PUT", 0, 500);
        await a.stop();
        // Another run of the same history.
        return await start(nodes, "a");
      })();
      await edits(restarted, "PATCH", 500, 1_000);
      await done(restarted, "DELETE", "/collections/orders/x");
      await done(restarted, "PUT", "/collections/orders/x", { n: 1_000 });
      const b = await start(nodes, "b");
      await shows(nodes, b, "x", 200, 1_000);
      await done(b, "PUT", "/collections/orders/x", { n: 1_001 });
      await shows(nodes, restarted, "x", 200, 1_001);
      assert.deepEqual([await conflicts(restarted), await conflicts(b)], [0, 0]);
      const { code, text } = await verified([restarted, b]);
      assert.equal(code, 0, text);
    }),
);

test(
  "masters: what expired on both is no conflict, and what one of them kept alive is",
  patient,
  () =>
    withNodes(runtime, async (nodes) => {
      const [a, b] = [await start(nodes, "a"), await start(nodes, "b")];
      await bothSend(a, b);
      const long = new Date(runtime.clock.wall() + 3_600_000).toISOString();
      const past = new Date(runtime.clock.wall() - 3_600_000).toISOString();
      for (const id of ["x", "y"]) await done(a, "PUT", `/collections/orders/${id}`, { at: past, n: 1 });
      await shows(nodes, b, "x", 200);
      await shows(nodes, b, "y", 200);
      await bothSend(a, b, true);
      await done(b, "PUT", "/collections/orders/y", { at: long, n: 2 });
      for (const each of [a, b]) {
        await done(each, "PUT", "/collections/orders/ttl", { field: "at" });
        await nodes.until(async () => {
          await done(each, "POST", "/admin/ttl/sweep");
          return (await told(each.request("GET", "/collections/orders/x"))).status === 404;
        });
      }
      await shows(nodes, a, "y", 404);
      await shows(nodes, b, "y", 200, 2);
      await bothSend(a, b);
      // That one is edited here and deleted there.
      for (const each of [a, b]) await shows(nodes, each, "y", 409);
      await rest(nodes, [a, b]);
      for (const each of [a, b]) {
        assert.equal(await conflicts(each), 1);
        await shows(nodes, each, "x", 404);
      }
      const { code, text } = await verified([a, b]);
      assert.equal(code, 0, text);
    }),
);

test(
  "dfdb verify --masters: documents and versions, a follower besides; a planted difference is named",
  patient,
  () =>
    withNodes(runtime, async (nodes) => {
      const a = await nodes.lead("a", settings), f = await nodes.follow("f", "a", settings);
      const b = await start(nodes, "b"), all = [a, f, b];
      await bothSend(a, b, true);
      for (const [i, each] of [a, b].entries()) {
        for (const id of ["conflict", `of-${i}`, `gone-${i}`]) {
          await done(each, "PUT", `/collections/orders/${id}`, { n: i });
        }
      }
      // What is each master's own: the case of a name, a collection that is empty, an index.
      await done(b, "PUT", "/collections/People/p", { n: 1 });
      await done(a, "PUT", "/collections/people/q", { n: 1 });
      await done(a, "PUT", "/collections/empty/e", {});
      await done(a, "DELETE", "/collections/empty/e");
      await done(b, "POST", "/index", { collection: "orders", path: "n" });
      await bothSend(a, b);
      await shows(nodes, a, "conflict", 409);
      await shows(nodes, b, "conflict", 409);
      await rest(nodes, [a, b]);
      await done(b, "DELETE", "/collections/orders/gone-0");
      await shows(nodes, a, "gone-0", 404);
      await rest(nodes, [a, b]);
      await assert.rejects(verified(all, {}), coded("wrong_database"));
      const equal = await verified(all);
      assert.equal(equal.code, 0, equal.text);
      assert.match(equal.text, /^EQUAL: 5 collections, 5 documents, .*3 nodes$/m);
      const positions = (JSON.parse((await verified(all, { masters: true, json: true })).text) as {
        nodes: { position: string }[];
      }).nodes.map(({ position }) => position);
      assert.equal(positions[0], positions[1], "the follower at its leader's position");
      assert.notEqual(positions[0], positions[2]);

      const file = new DatabaseSync(`${nodes.folderOf("b")}/data.dfdb`);
      file.prepare("UPDATE versions SET modified_ms = modified_ms + 1 WHERE id = 'of-0'").run();
      const { number } = file.prepare("SELECT number FROM collections WHERE name = 'orders'").get() as Body;
      file.prepare(`UPDATE docs_${number} SET body = '{"n":7}' WHERE id = 'of-1'`).run();
      file.close();
      const found = await verified(all);
      assert.equal(found.code, 2, found.text);
      assert.match(found.text, /^orders: 1 document of b differs from a\n {2}other content: of-1$/m);
      assert.match(
        found.text,
        /^orders \(versions\): 1 document of b differs from a\n {2}other content: of-0$/m,
      );
      assert.doesNotMatch(found.text, /^(people|empty).* DIFFERENT|index/m);
    }),
);
