import assert from "node:assert/strict";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const iso = (ms: number): string => new Date(ms).toISOString();

async function put(request: TestNode["request"], id: string, body: object): Promise<void> {
  const answer = await request("PUT", `/collections/sessions/${id}`, { body: JSON.stringify(body) });
  assert.equal(answer.status, 201);
  await answer.body?.cancel();
}

async function ids(request: TestNode["request"]): Promise<string[]> {
  const { body } = await told(request("GET", "/collections/sessions"));
  return body["documents"].map(({ _id }: Body) => _id).sort();
}

const set = (request: TestNode["request"], body: object, collection = "sessions") =>
  told(request("PUT", `/collections/${collection}/ttl`, { body: JSON.stringify(body) }));

const sweep = async (request: TestNode["request"]) => (await told(request("POST", "/admin/ttl/sweep"))).body;

/** Our own indexes of a collection, by their paths. */
const ownIndexes = ({ storage }: Pick<TestNode, "storage">, collection = "sessions"): string[] =>
  storage.read((view) => {
    const info = view.collection(collection);
    if (info === null) return [];
    return view.indexes(info.number).map(({ name, paths, time, ready, entries }) =>
      `${name} ${paths[0]!.join(".")} ${time} ${ready} ${entries}`
    );
  });

/** Expiry of documents. */
export function ttlSuite(it: It): void {
  it("ttl: set, listed, replaced, removed", async (node) => {
    const { request } = node;
    assert.deepEqual((await told(request("GET", "/ttl"))).body, { ttls: [] });
    await put(request, "a", { expiresAt: iso(Date.now() - 1_000), at: { end: 5 } });
    const answer = await request("PUT", "/collections/SESSIONS/ttl", { body: '{"field":"expiresAt"}' });
    assert.match(answer.headers.get("x-dfdb-position") ?? "", /./);
    assert.deepEqual(await told(answer), {
      status: 200,
      body: { success: true, collection: "sessions", field: "expiresAt", intervalSeconds: 60 },
    });
    assert.deepEqual(ownIndexes(node), ["_ttl expiresAt true true 1"]);
    const replaced = await set(request, { field: "at.end", intervalSeconds: 0.2 });
    assert.equal(replaced.body["intervalSeconds"], 1, "one second is the least");
    assert.deepEqual(ownIndexes(node), ["_ttl at.end true true 1"]);
    assert.equal((await set(request, { field: "at.end", intervalSeconds: 3_600 })).status, 200);
    assert.equal((await set(request, { field: "t" }, "Others")).body["collection"], "Others");
    assert.deepEqual((await told(request("GET", "/ttl"))).body["ttls"], [
      { collection: "sessions", field: "at.end", intervalSeconds: 3_600 },
      { collection: "Others", field: "t", intervalSeconds: 60 },
    ]);
    assert.deepEqual((await told(request("GET", "/collections"))).body["collections"].sort(), [
      "Others",
      "sessions",
    ], "it makes the collection, and shows nothing of its own");
    assert.deepEqual(await told(request("DELETE", "/collections/Sessions/ttl")), {
      status: 200,
      body: { success: true, collection: "sessions", removed: true },
    });
    await refused(request("DELETE", "/collections/sessions/ttl"), 404, "not_found");
    assert.deepEqual([ownIndexes(node), (await told(request("GET", "/ttl"))).body["ttls"].length], [[], 1]);
    assert.deepEqual(await sweep(request), { success: true, deleted: 0 });
    assert.deepEqual(await ids(request), ["a"]);
  });

  it("ttl: a sweep deletes what has expired, and nothing else", async ({ request, storage }) => {
    const now = Date.now(), hour = 3_600_000;
    await put(request, "text", { end: iso(now - 1) });
    await put(request, "zone", { end: `${iso(now - 5 * hour).slice(0, 19)}+02:00` });
    await put(request, "number", { end: now - hour });
    await put(request, "later", { end: now + hour });
    await put(request, "later text", { end: iso(now + hour) });
    await put(request, "nothing", { other: now - hour });
    for (const end of ["soon", null, true, [now - hour], { end: now - hour }, ""]) {
      await put(request, `no time ${JSON.stringify(end)}`, { end });
    }
    await set(request, { field: "end", intervalSeconds: 86_400 });
    const before = await ids(request), { seq } = storage.log.last;
    assert.deepEqual(await sweep(request), { success: true, deleted: 3 });
    const gone = ["number", "text", "zone"];
    assert.deepEqual(await ids(request), before.filter((id) => !gone.includes(id)));
    assert.equal(storage.log.last.seq, seq + 1, "one entry for all of them");
    assert.deepEqual(await sweep(request), { success: true, deleted: 0 });
    assert.equal(storage.log.last.seq, seq + 1);
  });

  it("ttl: many in several entries, and what was set before counts too", async ({ request, storage }) => {
    const bulk = Array.from({ length: 450 }, (_, i) => ({ _id: `s${i}`, end: 1_000 + i }));
    await set(request, { field: "end", intervalSeconds: 86_400 });
    await request("POST", "/collections/sessions/bulk", { body: JSON.stringify(bulk) });
    const { seq } = storage.log.last;
    assert.deepEqual(await sweep(request), { success: true, deleted: 450 });
    assert.equal(storage.log.last.seq, seq + 3);
    assert.deepEqual(await ids(request), []);
  });

  it("ttl: a collection that is dropped takes its setting with it", async (node) => {
    const { request } = node;
    await put(request, "a", { end: 1 });
    await set(request, { field: "end" });
    const dropped = await request("DELETE", "/collections/sessions", { headers: { "x-confirm": "true" } });
    assert.equal(dropped.status, 200);
    await put(request, "b", { end: 1 });
    assert.deepEqual((await told(request("GET", "/ttl"))).body["ttls"], []);
    assert.deepEqual(await sweep(request), { success: true, deleted: 0 });
    assert.deepEqual([await ids(request), ownIndexes(node)], [["b"], []]);
  });

  it("ttl: by itself, every interval", async ({ request, storage, engine }) => {
    await put(request, "later", { end: Date.now() + 3_600_000 });
    await put(request, "now", { end: Date.now() - 1 });
    const gone = new Promise<void>((resolve) => {
      engine.committed.subscribe(() => {
        if (storage.read((view) => view.collection("sessions")?.documents) === 1) resolve();
      });
    });
    await set(request, { field: "end", intervalSeconds: 1 });
    await gone;
    assert.deepEqual(await ids(request), ["later"]);
  });

  it("ttl: what is refused changes nothing", async ({ request, state }) => {
    const bad: unknown[] = [
      {},
      { field: "" },
      { field: 5 },
      { field: "a..b" },
      { field: "a[*].b" },
      { field: "a\u0000b" },
      { field: "a", intervalSeconds: "60" },
      { field: "a", intervalSeconds: 1e12 },
      { field: "a", other: 1 },
      [],
    ];
    for (const body of bad) {
      await refused(
        request("PUT", "/collections/sessions/ttl", { body: JSON.stringify(body) }),
        400,
        "bad_request",
      );
    }
    await refused(
      request("PUT", "/collections/_settings/ttl", { body: '{"field":"a"}' }),
      400,
      "bad_request",
    );
    await refused(request("GET", "/collections/sessions/ttl"), 400, "reserved_id");
    await refused(request("DELETE", "/collections/sessions/ttl"), 404, "not_found");
    const writes = async (status: number, code: string) => {
      const body = '{"field":"a"}';
      await refused(request("PUT", "/collections/sessions/ttl", { body }), status, code);
      await refused(request("DELETE", "/collections/sessions/ttl"), status, code);
      await refused(request("POST", "/admin/ttl/sweep"), status, code);
    };
    state.readOnly = true;
    await writes(503, "read_only");
    state.readOnly = false;
    state.role = "follower";
    await writes(421, "not_leader");
    assert.deepEqual((await told(request("GET", "/ttl"))).body, { ttls: [] });
    assert.deepEqual((await told(request("GET", "/collections"))).body["collections"], []);
  });
}
