import assert from "node:assert/strict";
import { documentIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { putDocument } from "../../src/engine/commands.ts";
import { Feeds } from "../../src/http/feeds.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import { origin } from "../../src/storage/log.ts";
import { positionText } from "../../src/storage/position_text.ts";
import { ChangeFeed } from "../tool/change_feed.ts";
import type { Body, It, NodeOptions, TestNode } from "./http_fixture.ts";
import { refused, waitingForPositions } from "./http_fixture.ts";

const feed = async (node: TestNode, query = "", headers: Record<string, string> = {}): Promise<ChangeFeed> =>
  new ChangeFeed(await node.request("GET", `/changes${query}`, { headers }));

/** All lines up to the present. */
const once = async (node: TestNode, query: string): Promise<Body[]> =>
  await (await feed(node, `?once=true&${query}`)).rest();

async function write(node: TestNode, method: string, path: string, body?: unknown): Promise<string> {
  const answer = await node.request(method, path, {
    headers: { "x-confirm": "true" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  assert.ok(answer.ok, await answer.text());
  return answer.headers.get("x-dfdb-position") ?? "";
}

const put = (node: TestNode, path: string, body: unknown = {}): Promise<string> =>
  write(node, "PUT", `/collections/${path}`, body);

const brief = (
  { op, collection, id, position }: Body,
): unknown[] => [op, collection, id, position !== undefined];

/** Options that keep what the API was given. */
function kept(around: (given: HttpDependencies) => HttpDependencies = (given) => given) {
  const found: { feeds: Feeds | null } = { feeds: null };
  const options: NodeOptions = {
    around(given) {
      const dependencies = around(given);
      found.feeds = dependencies.feeds;
      return dependencies;
    },
  };
  const feeds = (): Feeds => {
    assert.ok(found.feeds !== null);
    return found.feeds;
  };
  return { options, feeds };
}

/** A clock on which a second is a millisecond; `unless` as long as ever: a client that is slow for once is not to be cut off. */
const hasty = (clock: Clock, unless: number | null): Clock => ({
  ...clock,
  monotonic: () => clock.monotonic() * 1000 as ReturnType<Clock["monotonic"]>,
  wall: () => clock.wall(),
  timer: (ms, run) => clock.timer(ms === unless ? ms : ms / 1000, run),
  macrotask: (run) => clock.macrotask(run),
});

const hastyFeeds = (unless: number | null) => (given: HttpDependencies): HttpDependencies => {
  const { storage, engine: { committed }, clock } = given;
  return { ...given, feeds: new Feeds({ storage, committed, clock: hasty(clock, unless) }) };
};

/** Feeds of changes as their clients see them. */
export function changesSuite(it: It): void {
  contentSuite(it);
  positionSuite(it);
  lifeSuite(it);
}

function contentSuite(it: It): void {
  it("/changes tells what happened, entry by entry", async (node) => {
    assert.deepEqual(await once(node, "since=start"), [
      { position: "0.00000000-0" },
      { position: "0.00000000-0", end: true },
    ]);
    await put(node, "Orders/a", { n: 1.50, "ü": "\u2028" });
    const position = await put(node, "orders/a", {});
    await write(node, "POST", "/tx/batch", [
      { op: "insert", collection: "orders", id: "b", doc: { _id: "b" } },
      { op: "delete", collection: "orders", id: "a" },
      { op: "insert", collection: "people", doc: { _id: "p" } },
    ]);
    await write(node, "DELETE", "/collections/orders");
    const [first, ...found] = await once(node, "since=0");
    assert.deepEqual(first, { position: "0.00000000-0" });
    assert.deepEqual(
      found.map(brief),
      [
        ["createCollection", "Orders", undefined, false],
        ["put", "Orders", "a", true],
        ["put", "Orders", "a", true],
        ["put", "Orders", "b", false],
        ["delete", "Orders", "a", false],
        ["createCollection", "people", undefined, false],
        ["put", "people", "p", true],
        ["dropCollection", "Orders", undefined, true],
        [undefined, undefined, undefined, true],
      ],
    );
    const again = found[2] as Body;
    assert.deepEqual(again, {
      position,
      seq: 3,
      op: "put",
      collection: "Orders",
      id: "a",
      etag: position,
      time: again["time"],
      document: { _id: "a", _etag: position },
    });
    assert.ok(Math.abs(Date.parse(again["time"]) - node.clock.wall()) < 600_000);
    assert.deepEqual((found[1] as Body)["document"], {
      _id: "a",
      _etag: positionText(node.storage.log.last, seqOf(2)),
      n: 1.5,
      "ü": "\u2028",
    });
    assert.deepEqual(found.at(-1), { position: (found.at(-2) as Body)["position"], end: true });
    // From the middle on.
    assert.deepEqual(await once(node, `since=${position}`), [{ position }, ...found.slice(3)]);
  });

  it("/changes tells what was written from now on, and headers for proxies", async (node) => {
    await put(node, "orders/before");
    const answer = await node.request("GET", "/changes");
    assert.equal(answer.headers.get("content-type"), "application/x-ndjson");
    assert.match(answer.headers.get("cache-control") ?? "", /no-store.*no-transform/);
    const changes = new ChangeFeed(answer);
    assert.deepEqual(await changes.next(), {
      position: positionText(node.storage.log.last, node.storage.log.last.seq),
    });
    for (let i = 0; i < 3; i++) {
      const position = await put(node, `orders/${i}`, { i });
      const change = await changes.next();
      assert.deepEqual([change?.["position"], change?.["document"]["i"]], [position, i]);
    }
    await changes.hangUp();
    const head = await node.request("HEAD", "/changes");
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });

  it("/changes as server-sent events, which go on after the last id", async (node) => {
    const a = await put(node, "orders/a", { text: "one\ntwo" });
    const ask = async (headers: Record<string, string>, query = "since=start"): Promise<string> => {
      const answer = await node.request("GET", `/changes?once=true&${query}`, {
        headers: { accept: "text/event-stream", ...headers },
      });
      assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "text/event-stream"]);
      return await answer.text();
    };
    const [start, created, put1, end, ...more] = (await ask({})).split("\n\n");
    assert.equal(start, "id: 0.00000000-0");
    assert.match(created ?? "", /^data: \{"seq":2,"op":"createCollection","collection":"orders",[^\n]*\}$/);
    assert.match(put1 ?? "", new RegExp(`^id: ${a}\ndata: \\{"position":"${a}",[^\n]*\\}$`));
    assert.equal(JSON.parse((put1 ?? "").replace(/^[^]*?data: /, ""))["document"]["text"], "one\ntwo");
    assert.equal(end, `id: ${a}\nevent: end\ndata: {"position":"${a}","end":true}`);
    assert.deepEqual(more, [""]);
    // A browser that connects anew asks for the same address, and says how far it came.
    assert.deepEqual((await ask({ "last-event-id": a })).split("\n\n").slice(0, 2), [`id: ${a}`, end]);
  });

  it("/changes of one collection, also one that was made anew", async (node) => {
    await put(node, "orders/a");
    await put(node, "people/x");
    const middle = await write(node, "DELETE", "/collections/orders");
    await put(node, "ORDERS/b");
    await put(node, "people/y");
    const orders = await once(node, "since=start&collection=Orders");
    const last = positionText(node.storage.log.last, node.storage.log.last.seq);
    assert.deepEqual(orders.slice(1).map(brief), [
      ["createCollection", "orders", undefined, false],
      ["put", "orders", "a", true],
      ["dropCollection", "orders", undefined, true],
      ["createCollection", "ORDERS", undefined, false],
      ["put", "ORDERS", "b", true],
      [undefined, undefined, undefined, true],
    ]);
    assert.equal(orders.at(-1)?.["position"], last, "the end of the log, which another collection wrote");
    const later = await once(node, `since=${middle}&collection=people`);
    assert.deepEqual(later.slice(1, -1).map(brief), [["put", "people", "y", true]]);
    assert.deepEqual((await once(node, "since=start&collection=none")).length, 2);
    await refused(node.request("GET", "/changes?collection=_settings"), 400, "bad_request");
    await refused(node.request("GET", "/changes?collection=a/b"), 400, "bad_request");
  });

  it("/changes hides reserved collections", async (node) => {
    const hidden = { id: documentIdOf("orders/ttl"), body: utf8('{"secret":1}') };
    await node.engine.submit(putDocument("_hidden", hidden, () => {}));
    await put(node, "orders/a");
    const text = await (await node.request("GET", "/changes?since=start&once=true")).text();
    assert.doesNotMatch(text, /_hidden|secret/);
    assert.equal(text.split("\n").length, 5);
  });

  it("/changes ends after limit changes, never inside an entry", async (node) => {
    const many = Array.from({ length: 1_200 }, (_, i) => ({ _id: `d${i}`, i }));
    await put(node, "orders/first");
    await write(node, "POST", "/collections/orders/bulk?atomic=true", many);
    await put(node, "orders/last");
    const found = (await (await feed(node, "?since=start&limit=3")).rest()).slice(1);
    assert.deepEqual([found.length, found.at(-1)?.["end"]], [2 + 1_200 + 1, true]);
    assert.deepEqual(found.filter(({ position }) => position !== undefined).length, 3);
    assert.equal(found.at(-1)?.["position"], found.at(-2)?.["position"]);
    assert.deepEqual(
      found.slice(2, -1).map(({ document }) => document["i"]),
      many.map(({ i }) => i),
    );
    for (const query of ["limit=0", "limit=x", "limit=-1", "once=1", "once=true&once=true"]) {
      await refused(node.request("GET", `/changes?${query}`), 400, "bad_request");
    }
  });

  it("/changes of a large entry", async (node) => {
    const text = "x".repeat(300_000);
    await write(
      node,
      "POST",
      "/collections/orders/bulk?atomic=true",
      Array.from({ length: 12 }, (_, i) => ({ _id: `d${i}`, text })),
    );
    const found = (await once(node, "since=start")).slice(2, -1);
    assert.deepEqual(found.map(({ id }) => id), Array.from({ length: 12 }, (_, i) => `d${i}`));
    assert.ok(found.every(({ document }) => document["text"] === text));
    assert.deepEqual(found.map(({ position }) => position !== undefined).indexOf(true), 11);
  });
}

function positionSuite(it: It): void {
  it("/changes refuses a position that it cannot go on from", async (node) => {
    const here = await put(node, "orders/a");
    for (const since of ["yesterday", "1", "-1", "1.abababab", ""]) {
      await refused(node.request("GET", `/changes?since=${since}`), 400, "bad_request");
    }
    const other = here.replace(/\.[0-9a-f]{8}/, ".00c0ffee");
    assert.match(
      (await refused(node.request("GET", `/changes?since=${other}`), 410, "position_lost"))["error"],
      /history/,
    );
    await refused(
      node.request("GET", "/changes", { headers: { "last-event-id": other } }),
      410,
      "position_lost",
    );
  });

  it("/changes waits a moment for a position that may still come", async (node) => {
    const here = await put(node, "orders/a"), next = here.replace(/\d+$/, (seq) => String(Number(seq) + 1));
    const answer = Promise.resolve(node.request("GET", `/changes?since=${next}&once=true`));
    await put(node, "orders/b");
    assert.deepEqual((await new ChangeFeed(await answer).rest()).length, 2);
  }, waitingForPositions(60_000));

  it("/changes does not wait for a position without end", async (node) => {
    const never = (await put(node, "orders/a")).replace(/\d+$/, "4711");
    await refused(node.request("GET", `/changes?since=${never}`), 503, "not_caught_up");
  }, waitingForPositions(1));

  it("/changes says when the log does not reach back", async (node) => {
    const text = "x".repeat(10_000), first = await put(node, "orders/0", { text });
    for (let i = 1; i < 20; i++) await put(node, `orders/${i}`, { text });
    const slow = await feed(node, `?since=${first}&limit=10000`);
    assert.deepEqual(await slow.next(), { position: first });
    while (node.storage.trimLog({ bytesMax: 30_000, age: null }));
    const { first: firstSeq } = node.storage.log;
    assert.ok(firstSeq > 10);
    const lost = await refused(node.request("GET", `/changes?since=${first}`), 410, "position_lost");
    assert.equal(lost["firstSeq"], firstSeq);
    await refused(node.request("GET", "/changes?since=0.00000000-0"), 410, "position_lost");
    const oldest = await once(node, "since=start");
    assert.equal(oldest[0]?.["position"], positionText(node.storage.log.last, seqOf(firstSeq - 1)));
    assert.equal(oldest.length, 2 + node.storage.log.last.seq - firstSeq + 1);
    const edge = await once(node, `since=${oldest[0]?.["position"]}`);
    assert.deepEqual(edge, oldest);
    // One that was open may have had it all on its way, or is told.
    await put(node, "orders/more", { text });
    const rest: Body[] = [];
    for (let line = await slow.next(); line !== null; line = await slow.next()) {
      rest.push(line);
      if (line["id"] === "more" || line["error"] !== undefined) break;
    }
    const { code } = rest.at(-1) as Body;
    if (code === undefined) assert.equal(rest.length, 20);
    else assert.deepEqual([code, await slow.next()], ["position_lost", null]);
    if (code === undefined) await slow.hangUp();
  });

  it("/changes knows names of collections that are gone, as long as the log has them", async (node) => {
    const begin = await put(node, "first/a");
    const middle = await put(node, "orders/a");
    await write(node, "DELETE", "/collections/orders");
    while (node.storage.reclaim());
    const found = await once(node, `since=${middle}`);
    assert.deepEqual(found.slice(1, -1).map(brief), [["dropCollection", "orders", undefined, true]]);
    // Another process: it saw neither.
    const { storage, engine: { committed }, clock } = node;
    const { form, texts } = plainForm();
    const fresh = new Feeds({ storage, committed, clock });
    const from = storage.log.at(seqOf(Number(middle.split("-")[1])));
    assert.ok(typeof from === "object");
    const late = fresh.open({ from, collection: null, once: true, limit: Infinity }, form);
    assert.equal(await texts(late), "at 3;dropCollection orders 4;end 4;");
    // Where the log begins after the collection did, nobody knows.
    while (storage.trimLog({ bytesMax: 1, age: null }));
    assert.equal(storage.log.first, storage.log.last.seq);
    const unknown = new Feeds({ storage, committed, clock });
    const all = unknown.open({ from, collection: null, once: true, limit: Infinity }, form);
    assert.equal(await all.next(), "at 3;");
    await assert.rejects(all.next(), { code: "position_lost" });
    assert.deepEqual([all.over, unknown.count], [true, 0]);
    const first = unknown.open({ from, collection: "first", once: true, limit: Infinity }, form);
    assert.equal(await texts(first), "at 3;end 4;", `${begin}: this one is older than the one that is gone`);
  });
}

/** Says what is told in few words. */
function plainForm() {
  const form = {
    position: (text: string) => `at ${text.split("-")[1]};`,
    change: ({ op, collection, seq }: { op: string; collection: string; seq: number }) =>
      `${op} ${collection} ${seq};`,
    word: ".",
    end: (text: string) => `end ${text.split("-")[1]};`,
  };
  const texts = async (feed: { next(): Promise<string | null> }): Promise<string> => {
    let all = "";
    for (let text = await feed.next(); text !== null; text = await feed.next()) all += text;
    return all;
  };
  return { form, texts };
}

function lifeSuite(it: It): void {
  it("a feed that is cut and goes on again and again misses nothing and repeats nothing", async (node) => {
    const writes = 100, expected = new Map<string, number>();
    const writing = (async () => {
      for (let i = 0; i < writes; i++) {
        const batch = Array.from(
          { length: 1 + i % 7 },
          (_, k) => ({ _id: `d${(i * 31 + k * 7) % 90}-${i}`, i }),
        );
        if (i % 5 === 0) await write(node, "POST", "/collections/orders/bulk?atomic=true", batch);
        else await Promise.all(batch.map((each) => put(node, `orders/${each._id}`, each)));
        for (const { _id } of batch) expected.set(_id, i);
      }
      await put(node, "orders/the-last");
    })();
    const seen = new Map<string, number>();
    let since = "start", seq = 0, cuts = 0;
    for (let open = await feed(node, `?since=${since}`), left = 1;;) {
      const line = await open.next();
      assert.ok(line !== null && line["error"] === undefined, JSON.stringify(line));
      if (line["op"] === "put") {
        // Never backwards, and each entry once.
        assert.ok(line["seq"] >= seq, `${line["seq"]} after ${seq}`);
        seq = line["seq"];
        assert.ok(!seen.has(line["id"]), `${line["id"]} is told twice`);
        seen.set(line["id"], line["document"]["i"]);
      }
      if (line["position"] === undefined) continue;
      since = line["position"];
      if (seen.delete("the-last")) {
        await open.hangUp();
        break;
      }
      if (--left > 0) continue;
      await open.hangUp();
      cuts++;
      left = 2 + cuts % 40;
      open = await feed(node, `?since=${since}`);
    }
    await writing;
    assert.deepEqual([...seen].sort(), [...expected].sort());
    assert.ok(cuts > 5);
  });

  const many = kept();
  it("a client that hangs up leaves its place, and there are not more than so many", async (node) => {
    const feeds = many.feeds();
    const open = await Promise.all([feed(node), feed(node)]);
    for (const each of open) await each.next();
    assert.equal(feeds.count, 2);
    const { form } = plainForm(), request = { from: origin, collection: null, once: false, limit: Infinity };
    const others = Array.from({ length: limits.feedsMax - 2 }, () => feeds.open(request, form));
    const busy = await node.request("GET", "/changes");
    assert.equal(busy.headers.get("retry-after"), "1");
    await refused(busy, 503, "busy");
    for (const each of others) each.end();
    assert.equal(feeds.count, 2);
    for (const each of open) await each.hangUp();
    // Some servers notice it only when they write.
    for (let i = 0; feeds.count > 0; i++) await put(node, `orders/${i}`);
  }, many.options);

  const ending = kept();
  it("a node that stops ends its feeds, and says so", async (node) => {
    const changes = await feed(node);
    await changes.next();
    const waiting = changes.next();
    ending.feeds().close();
    assert.equal((await waiting)?.["code"], "closing");
    assert.equal(await changes.next(), null);
    await refused(node.request("GET", "/changes"), 503, "closing");
    assert.equal(ending.feeds().count, 0);
  }, ending.options);

  const apiKey = "k-0123456789", configured = { authorization: `Bearer ${apiKey}` };
  it("a key that is revoked ends its feeds", async (node) => {
    const answer = await node.request("POST", "/admin/keys", {
      headers: configured,
      body: '{"scopes":["db:default:read"]}',
    });
    const { id, secret } = await answer.json() as Body;
    const mine = await feed(node, "", { authorization: `Bearer ${secret}` });
    const other = await feed(node, "", configured);
    await mine.next();
    await other.next();
    await node.request("PUT", "/collections/orders/a", { headers: configured, body: "{}" });
    assert.deepEqual([(await mine.next())?.["op"], (await mine.next())?.["id"]], ["createCollection", "a"]);
    await node.request("DELETE", `/admin/keys/${id}`, { headers: configured });
    await node.request("PUT", "/collections/orders/b", { headers: configured, body: "{}" });
    assert.deepEqual([(await mine.next())?.["code"], await mine.next()], ["unauthorized", null]);
    const told = [await other.next(), await other.next(), await other.next()];
    assert.deepEqual(told.map((line) => line?.["id"]), [undefined, "a", "b"]);
    await other.hangUp();
  }, { apiKey });

  it("a feed without a key ends when the first key is made", async (node) => {
    const open = await feed(node);
    await open.next();
    await node.request("POST", "/admin/keys", { body: '{"scopes":["*"]}' });
    assert.deepEqual([(await open.next())?.["code"], await open.next()], ["unauthorized", null]);
  });

  const quick = kept(hastyFeeds(limits.feedStalledMs));
  it("a feed that has nothing to tell says a word, and how far it came", async (node) => {
    const changes = await feed(node, "?collection=orders");
    await changes.next();
    assert.equal(await changes.line(), "", "every 15 seconds, which are milliseconds here");
    const position = await put(node, "people/a");
    // It may be on its way through the entry before.
    let come = await changes.next();
    while (come !== null && come["position"] !== position) come = await changes.next();
    assert.deepEqual(come, { position });
    assert.equal(await changes.line(), "");
    await put(node, "orders/a");
    assert.equal((await changes.next())?.["op"], "createCollection");
    await changes.hangUp();
    for (let i = 0; quick.feeds().count > 0; i++) await put(node, `orders/${i}`);
  }, quick.options);

  const dead = kept(hastyFeeds(null));
  it("a feed of which nothing is taken for two minutes ends", async ({ clock }) => {
    const { form } = plainForm();
    const feed = dead.feeds().open({ from: origin, collection: null, once: false, limit: Infinity }, form);
    assert.equal(await feed.next(), "at 0;");
    await new Promise<void>((resolve) => feed.onStalled = resolve);
    assert.deepEqual([feed.over, dead.feeds().count, await feed.next()], [true, 0, null]);
    assert.ok(clock.monotonic() > 0);
  }, dead.options);
}
