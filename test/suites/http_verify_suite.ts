import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { Seq } from "../../src/base/ids.ts";
import { ContentSum } from "../../src/document/content_hash.ts";
import { positionText } from "../../src/storage/position_text.ts";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

/** Whom the node under test follows: notes what it is told to hold back. */
function fakeFollowing() {
  const holds: (Seq | null)[] = [];
  let wake = (): void => {};
  return {
    holds,
    following: () => ({
      holdAfter(seq: Seq | null) {
        holds.push(seq);
        wake();
      },
    }),
    /** Resolves once the last word is `seq`. */
    async told(seq: number | null): Promise<void> {
      while (holds.at(-1) !== seq) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

async function lines(answer: Response | Promise<Response>): Promise<Body[]> {
  const response = await answer;
  assert.equal(response.status, 200, response.status === 200 ? "" : await response.text());
  assert.equal(response.headers.get("content-type"), "application/x-ndjson");
  return (await response.text()).split("\n").filter((line) => line !== "").map((line) =>
    JSON.parse(line) as Body
  );
}

async function put(node: TestNode, collection: string, id: string, body = "{}"): Promise<void> {
  const answer = await node.request("PUT", `/collections/${collection}/${id}`, { body });
  assert.ok(answer.ok, await answer.text());
}

function here(node: TestNode, further = 0): string {
  const { last } = node.storage.log;
  return positionText(last, (last.seq + further) as Seq);
}

export function verifySuite(it: It): void {
  it("/verify tells position, one line for each collection, and the sum", async (node) => {
    assert.deepEqual(await lines(node.request("GET", "/verify")), [
      { position: "0.00000000-0" },
      {
        done: true,
        collections: 0,
        documents: 0,
        checksum: "0".repeat(16),
        wrongCounts: 0,
        indexes: 0,
        wrongIndexes: 0,
      },
    ]);
    for (const id of ["b", "a"]) await put(node, "orders", id, `{"n":"${id}"}`);
    await put(node, "people", "x");
    const sum = new ContentSum();
    for (const id of ["a", "b"]) sum.add(id, `{"n":"${id}"}`);
    const [first, orders, people, last, ...more] = await lines(node.request("GET", "/verify"));
    assert.deepEqual(first, { position: here(node) });
    assert.deepEqual(orders, {
      collection: "orders",
      count: 2,
      keptCount: 2,
      checksum: sum.checksum,
      indexes: [],
    });
    assert.deepEqual([people?.["collection"], people?.["count"]], ["people", 1]);
    assert.deepEqual({ ...last, checksum: "" }, {
      done: true,
      collections: 2,
      documents: 3,
      checksum: "",
      wrongCounts: 0,
      indexes: 0,
      wrongIndexes: 0,
    });
    assert.deepEqual(more, []);
    const at = await lines(node.request("GET", `/verify?at=${here(node)}&collection=Orders`));
    assert.deepEqual(at.slice(0, 2), [first, orders]);
    assert.equal(at.length, 3);
  });

  it("/verify tells what indexes are, and which are not what their documents say", async (node) => {
    const make = async (collection: string, path: string, unique: boolean): Promise<void> => {
      const body = JSON.stringify({ collection, path, unique, name: `by_${path[0]}` });
      assert.equal((await told(node.request("POST", "/index", { body }))).status, 200);
    };
    await make("orders", "t[*]", false);
    await make("orders", "n", true);
    await make("people", "n, t", false);
    for (let i = 0; i < 9; i++) await put(node, "orders", `o${i}`, `{"n":${i},"t":["x","x",${i}]}`);
    await put(node, "people", "p");
    const tell = async (query = ""): Promise<[definitions: Body[], indexes: Body[], end: Body]> => {
      const all = await lines(node.request("GET", `/verify${query}`)),
        indexes = all.filter((line) => "index" in line);
      const definitions = all.filter((line) => line["indexes"] instanceof Array).flatMap((line) =>
        line["indexes"]
      );
      return [definitions, indexes, all.at(-1) ?? {}];
    };
    const byN = {
      index: "by_n",
      collection: "orders",
      entries: 9,
      keptEntries: null,
      missing: 0,
      tooMany: 0,
    };
    const byT = { ...byN, index: "by_t", entries: 18, keptEntries: 18 };
    const [definitions, whole, end] = await tell();
    assert.deepEqual(definitions, [
      { name: "by_n", unique: true, time: false, paths: [["n"]], ready: true },
      { name: "by_t", unique: false, time: false, paths: [["t", "*each"]], ready: true },
      { name: "by_n", unique: false, time: false, paths: [["n"], ["t"]], ready: true },
    ]);
    assert.deepEqual(whole, [byT, byN, { ...byN, index: "by_n", collection: "people", entries: 1 }]);
    assert.deepEqual([end["indexes"], end["wrongIndexes"]], [3, 0]);
    const db = new DatabaseSync(node.storage.stats().path, { timeout: 5_000 });
    db.exec("UPDATE index_1 SET k1 = 'y' WHERE k1 = 'x' AND row < 4");
    db.exec("DELETE FROM index_2 WHERE k1 > 5; INSERT INTO index_2 VALUES (5, 77)");
    db.exec("UPDATE indexes SET entries = 20 WHERE number = 1");
    db.close();
    const [, damaged, sum] = await tell("?collection=ORDERS");
    assert.deepEqual(damaged, [
      { ...byT, keptEntries: 20, missing: 3, tooMany: 3 },
      { ...byN, entries: 7, missing: 3, tooMany: 1 },
    ]);
    assert.deepEqual([sum["indexes"], sum["wrongIndexes"]], [2, 2]);
    const [known, none, without] = await tell("?indexes=false");
    assert.deepEqual([known, none, without["indexes"], without["wrongIndexes"]], [
      definitions,
      [],
      null,
      null,
    ]);
  });

  it("/verify/log computes the chain again, and names the first damaged entry", async (node) => {
    for (const id of ["a", "b", "c"]) await put(node, "orders", id);
    const log = async (): Promise<unknown> => await (await node.request("GET", "/verify/log")).json();
    assert.deepEqual(await log(), { first: 1, last: 4, entries: 4, bad: null });
    const db = new DatabaseSync(node.storage.stats().path, { timeout: 5_000 });
    db.exec("UPDATE log SET payload = CAST(payload || x'00' AS BLOB) WHERE seq = 3");
    db.close();
    assert.deepEqual(await log(), { first: 1, last: 4, entries: 2, bad: 3 });
  });

  it("/verify?documents=true lists documents in the order of ids", async (node) => {
    for (const id of ["b", "ü", "a"]) await put(node, "orders", id);
    const found = await lines(node.request("GET", "/verify?collection=orders&documents=true"));
    assert.deepEqual(found.slice(1, 4).map(({ id, seq }) => [id, seq]), [["a", 4], ["b", 2], ["ü", 3]]);
    for (const { hash } of found.slice(1, 4)) assert.match(hash, /^[0-9a-f]{16}$/);
    assert.deepEqual(found.slice(4).map(({ collection, done }) => collection ?? done), ["orders", true]);
    const head = await node.request("HEAD", "/verify?collection=orders&documents=true");
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });

  it("/verify refuses what it cannot tell", async (node) => {
    await put(node, "orders", "a");
    await refused(node.request("GET", "/verify?at=yesterday"), 400, "bad_request");
    await refused(node.request("GET", "/verify?documents=true"), 400, "bad_request");
    await refused(node.request("GET", "/verify?documents=perhaps"), 400, "bad_request");
    await refused(node.request("GET", "/verify?indexes="), 400, "bad_request");
    await refused(node.request("GET", "/verify?collection=nothing"), 404, "collection_not_found");
    const before = here(node);
    await put(node, "orders", "b");
    assert.match(
      (await refused(node.request("GET", `/verify?at=${before}`), 409, "position_lost"))["error"],
      /past/,
    );
    const other = here(node).replace(/\.[0-9a-f]{8}/, ".00c0ffee");
    assert.match(
      (await refused(node.request("GET", `/verify?at=${other}`), 409, "position_lost"))["error"],
      /history/,
    );
    await refused(node.request("GET", `/verify?at=${here(node, 1)}`), 503, "not_caught_up");
    for (const body of ["{}", '{"seconds":31}', '{"seconds":"1"}', "soon", '{"seconds":-1}']) {
      await refused(node.request("POST", "/verify/hold", { body }), 400, "bad_request");
    }
  });

  it("on a node that follows nobody, hold only tells the position", async (node) => {
    await put(node, "orders", "a");
    const held = await told(node.request("POST", "/verify/hold", { body: '{"seconds":5}' }));
    assert.deepEqual(held, { status: 200, body: { position: here(node) } });
    await put(node, "orders", "b");
    assert.deepEqual((await told(node.request("POST", "/verify/release"))).body, { released: true });
  });

  const held = fakeFollowing();
  it("a follower is held until it is released, or the time is over", async (node) => {
    await put(node, "orders", "a");
    const { seq } = node.storage.log.last;
    await told(node.request("POST", "/verify/hold", { body: '{"seconds":30}' }));
    assert.deepEqual(held.holds.splice(0), [seq]);
    await told(node.request("POST", "/verify/release"));
    assert.deepEqual(held.holds.splice(0), [null]);
    await told(node.request("POST", "/verify/hold", { body: '{"seconds":0.01}' }));
    await held.told(null);
    assert.deepEqual(held.holds.splice(0), [seq, null]);
  }, { following: held.following });

  const moved = fakeFollowing();
  it("a follower stops at exactly the position asked for, and goes on when it is pinned", async (node) => {
    await put(node, "orders", "a");
    await told(node.request("POST", "/verify/hold", { body: '{"seconds":30}' }));
    const target = node.storage.log.last.seq + 2, at = here(node, 2);
    const answer = Promise.resolve(node.request("GET", `/verify?at=${at}&collection=orders`));
    await moved.told(target);
    assert.deepEqual(moved.holds, [target - 2, target], "the hold that was asked for gives way");
    await put(node, "orders", "b");
    await put(node, "orders", "c");
    const found = await lines(answer);
    assert.deepEqual([found[0]?.["position"], found[1]?.["count"]], [at, 3]);
    assert.equal(moved.holds.at(-1), null);
  }, { following: moved.following });

  const busy = fakeFollowing();
  it("two verifications at once are enough", async (node) => {
    await put(node, "orders", "a");
    const at = here(node, 1);
    const two = [1, 2].map(() => Promise.resolve(node.request("GET", `/verify?at=${at}`)));
    // Both wait once each has said so.
    while (busy.holds.length < 2) await new Promise<void>((resolve) => node.clock.macrotask(resolve));
    await refused(node.request("GET", "/verify"), 503, "busy");
    await put(node, "orders", "b");
    for (const answer of two) assert.equal((await lines(answer)).at(-1)?.["documents"], 2);
    assert.equal((await lines(node.request("GET", "/verify"))).length, 3);
  }, { following: busy.following });

  it("a client that hangs up ends the reading", async (node) => {
    const many = Array.from({ length: 40_000 }, (_, i) => ({ _id: `id-${i}` }));
    await told(node.request("POST", "/collections/orders/bulk", { body: JSON.stringify(many) }));
    for (let i = 0; i < 2; i++) {
      const answer = await node.request("GET", "/verify?collection=orders&documents=true");
      const reader = answer.body?.getReader();
      assert.equal((await reader?.read())?.done, false);
      await reader?.cancel();
    }
    // Both stood still, waiting for their reader: only their end makes room for another.
    for (;;) {
      const answer = await node.request("GET", "/verify");
      if (answer.status === 200) {
        assert.equal((await lines(answer)).at(-1)?.["documents"], 40_000);
        break;
      }
      await refused(answer, 503, "busy");
    }
  });
}
