import assert from "node:assert/strict";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { It, NodeOptions, TestNode } from "./http_fixture.ts";
import { refused, waitingForPositions } from "./http_fixture.ts";
import { beginTerm, testOptions, wall } from "./storage_fixture.ts";

const minPosition = (position: string) => ({ headers: { "x-dfdb-min-position": position } });

/** Routes that read data. */
const reads = ["/collections", "/collections/orders", "/collections/orders/a"];

async function write({ request }: Pick<TestNode, "request">, id: string): Promise<string> {
  const answer = await request("PUT", `/collections/orders/${id}`, { body: "{}" });
  return answer.headers.get("x-dfdb-position") as string;
}

const impatient = waitingForPositions(1), patient = waitingForPositions(60_000);

/** The history of a node goes another way while a statement is read, each time. */
const overtaken: NodeOptions = {
  around: (given) => ({
    ...given,
    queries: {
      async run(sql, options) {
        const { storage, engine } = given, target = storage.stats().path, source = `${target}.other`;
        const answer = await given.queries.run(sql, options);
        const other = await openStorage(testOptions(source));
        if (other.log.last.seq === 0) other.write((tx) => void tx.append([beginTerm(9, "9")], wall));
        other.close();
        await engine.exchange(async () => void await installSnapshot({ source, target }));
        return answer;
      },
    },
  }),
};

/** Reads that wait for what their client has seen; every write tells it. */
export function positionSuite(it: It): void {
  it("every write tells its position", async ({ request, storage }) => {
    const confirmed = { "x-confirm": "true" };
    const writes: readonly (readonly [method: string, path: string, body: string | null])[] = [
      ["PUT", "/collections/orders/a", "{}"],
      ["PUT", "/collections/orders/a", '{"n":1}'],
      ["POST", "/collections/orders", "{}"],
      ["POST", "/collections/orders/bulk", "[{},{}]"],
      ["POST", "/collections/orders/bulk", "[]"],
      ["POST", "/tx/batch", '[{"op":"insert","collection":"orders","doc":{}}]'],
      ["DELETE", "/collections/orders/a", null],
      ["DELETE", "/collections/orders", null],
    ];
    for (const [method, path, body] of writes) {
      const answer = await request(method, path, { headers: confirmed, ...(body === null ? {} : { body }) });
      assert.ok(answer.ok, `${method} ${path}: ${await answer.text()}`);
      assert.equal(
        answer.headers.get("x-dfdb-position"),
        `1.abababab-${storage.log.last.seq}`,
        `${method} ${path}`,
      );
    }
  });

  it("a read of what is here is answered at once", async (node) => {
    const first = await write(node, "a"), second = await write(node, "a");
    for (const position of [first, second, ` ${second} `, "0.00000000-0"]) {
      for (const path of reads) {
        for (const method of ["GET", "HEAD"]) {
          const answer = await node.request(method, path, minPosition(position));
          assert.equal(answer.status, 200, `${method} ${path} ${position}`);
          await answer.text();
        }
      }
    }
  });

  it("a read waits for what is not here yet", async (node) => {
    const { storage: { log } } = node;
    await write(node, "other");
    for (const path of reads) {
      const position = `1.abababab-${log.last.seq + 2}`;
      let answered = false;
      const waiting = node.request("GET", path, minPosition(position)).then((answer) => {
        answered = true;
        return answer;
      });
      await write(node, "b");
      assert.equal((await node.request("GET", "/collections")).status, 200, "others are answered");
      assert.equal(answered, false, "one entry is missing");
      await write(node, "a");
      const answer = await waiting;
      assert.equal(answer.status, 200, path);
      assert.match(await answer.text(), path === "/collections" ? /orders/ : /"_id":"a"/);
    }
  }, patient);

  it("what does not come in time is 503, with where this node is", async (node) => {
    const position = await write(node, "a");
    for (const wanted of [`1.abababab-9`, "2.cdcdcdcd-9", "2.cdcdcdcd-1", "1.cdcdcdcd-9"]) {
      for (const path of reads) {
        const body = await refused(node.request("GET", path, minPosition(wanted)), 503, "not_caught_up");
        assert.equal(body["position"], position);
        assert.ok(body["error"].includes(wanted));
      }
      const head = await node.request("HEAD", reads[2] as string, minPosition(wanted));
      assert.deepEqual([head.status, await head.text()], [503, ""]);
    }
  }, impatient);

  it("what this history has left is 409 at once", async (node) => {
    await write(node, "a");
    for (const wanted of ["1.cdcdcdcd-2", "0.abababab-1", "1.abababab-0", "0.cdcdcdcd-9"]) {
      for (const path of reads) {
        const body = await refused(node.request("GET", path, minPosition(wanted)), 409, "position_lost");
        assert.equal(body["lastInCommon"], null);
      }
    }
  });

  it(
    "what this history has left while a statement was read is 409, also where rows are still to come",
    async (node) => {
      const select = (headers: Readonly<Record<string, string>>): Promise<Response> =>
        node.request("POST", "/query", { headers, body: '{"sql":"SELECT * FROM orders WHERE n >= 0"}' });
      const documents = Array.from({ length: 5_000 }, (_, n) => ({ n, pad: "x".repeat(400) }));
      const written = await node.request("POST", "/collections/orders/bulk?atomic=true", {
        body: JSON.stringify(documents),
      });
      assert.ok(written.ok, await written.text());
      const headers = { accept: "application/x-ndjson", "x-dfdb-min-position": `1.abababab-2` };
      const body = await refused(select(headers), 409, "position_lost");
      assert.equal(body["lastInCommon"], null);
      assert.equal(node.storage.log.last.epoch, 9);
      await refused(select({}), 400, "collection_not_found");
    },
    overtaken,
  );

  it("what is no position is 400", async (node) => {
    const position = await write(node, "a");
    for (
      const wanted of [
        "",
        "1",
        "1.abababab",
        "abababab-1",
        `"${position}"`,
        `${position}, ${position}`,
        `${position}x`,
      ]
    ) {
      await refused(node.request("GET", reads[2] as string, minPosition(wanted)), 400, "bad_request");
    }
    assert.equal((await node.request("GET", "/health", minPosition("nonsense"))).status, 200);
    assert.ok(
      (await node.request("PUT", "/collections/orders/b", { body: "{}", ...minPosition("nonsense") })).ok,
    );
  });
}
