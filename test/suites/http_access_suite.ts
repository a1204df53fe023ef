import assert from "node:assert/strict";
import type { It } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const apiKey = "k-0123456789";

/** Who may do what: keys, roles, read-only, foreign pages, unknown paths. */
export function accessSuite(it: It): void {
  it("a key is asked for on every path but /health", async ({ request }) => {
    for (
      const [method, path] of [["GET", "/stats"], ["GET", "/nothing"], ["PUT", "/collections/a/b"]] as const
    ) {
      const answer = await request(method, path);
      assert.match(answer.headers.get("www-authenticate") ?? "", /^Bearer/);
      await refused(answer, 401, "unauthorized");
    }
    for (const wrong of ["k-012345678", "k-01234567890", "K-0123456789", "", "x"]) {
      const headers = { authorization: `Bearer ${wrong}` };
      await refused(request("GET", "/stats", { headers }), 401, "unauthorized");
    }
    for (const wrong of [apiKey, `Basic ${apiKey}`, `Bearer${apiKey}`]) {
      await refused(request("GET", "/stats", { headers: { authorization: wrong } }), 401, "unauthorized");
    }
    const right = { authorization: `Bearer ${apiKey}` };
    assert.equal((await request("GET", "/stats", { headers: right })).status, 200);
    assert.equal((await request("PUT", "/collections/a/b", { headers: right, body: "{}" })).status, 201);
    assert.equal((await request("GET", "/health")).status, 200);
    assert.equal((await request("GET", "/ready")).status, 200, "this test is on loopback");
    await refused(request("POST", "/health"), 401, "unauthorized");
    const head = await request("HEAD", "/stats");
    assert.deepEqual([head.status, await head.text()], [401, ""]);
  }, { apiKey });

  it("/ready wants the key from other machines", async ({ request }) => {
    await refused(request("GET", "/ready"), 401, "unauthorized");
    assert.equal((await request("GET", "/health")).status, 200);
  }, { apiKey, peer: "192.0.2.7" });

  it("/ready is open on loopback, written as IPv6 too", async ({ request }) => {
    assert.equal((await request("GET", "/ready")).status, 200);
  }, { apiKey, peer: "::ffff:127.0.0.1" });

  it("unknown paths are 404, known ones with another method 405", async ({ request }) => {
    for (
      const path of [
        "/",
        "/x",
        "/collections/",
        "/collections/a/",
        "/collections/a/b/c",
        "/queries",
        "/HEALTH",
      ]
    ) {
      await refused(request("GET", path), 404, "not_found");
    }
    await refused(request("POST", "/queries", { body: "{}" }), 404, "not_found");
    const allowed: [string, string, string][] = [
      ["POST", "/collections", "GET, HEAD"],
      ["PUT", "/collections/a", "DELETE, GET, HEAD, POST"],
      ["POST", "/collections/a/b", "DELETE, GET, HEAD, PATCH, PUT"],
      ["PATCH", "/collections/a", "DELETE, GET, HEAD, POST"],
      ["PATCH", "/collections/a/b/conditional", "POST"],
      ["DELETE", "/health", "GET, HEAD"],
      ["OPTIONS", "/stats", "GET, HEAD"],
    ];
    for (const [method, path, allow] of allowed) {
      const answer = await request(method, path);
      assert.equal(answer.headers.get("allow"), allow);
      await refused(answer, 405, "method_not_allowed");
    }
  });

  it("a follower says where the leader is, before it reads a body", async ({ request, state, storage }) => {
    await request("PUT", "/collections/a/b", { body: "{}" });
    state.role = "follower";
    const { log: { last } } = storage;
    for (const url of [null, "http://leader.example:5000"]) {
      state.leaderHttpUrl = url;
      const writes: [string, string][] = [
        ["PUT", "/collections/a/b"],
        ["POST", "/collections/a"],
        ["POST", "/collections/a/bulk"],
        ["DELETE", "/collections/a/b"],
        ["DELETE", "/collections/a"],
      ];
      for (const [method, path] of writes) {
        const answer = await request(method, path);
        assert.equal(answer.headers.get("x-dfdb-leader"), url);
        assert.equal((await refused(answer, 421, "not_leader"))["leader"], url);
      }
    }
    assert.equal((await request("GET", "/collections/a/b")).status, 200);
    assert.equal(storage.log.last.seq, last.seq);
  });

  it("a node that is read-only refuses every write, and reads on", async ({ request, state }) => {
    await request("PUT", "/collections/a/b", { body: "{}" });
    state.readOnly = true;
    const headers = { "x-confirm": "true" };
    for (
      const answer of [
        request("PUT", "/collections/a/b", { body: "{}" }),
        request("POST", "/collections/a", { body: "{}" }),
        request("POST", "/collections/a/bulk", { body: "[{}]" }),
        request("DELETE", "/collections/a/b"),
        request("DELETE", "/collections/a", { headers }),
      ]
    ) {
      const { error } = await refused(answer, 503, "read_only");
      assert.match(error, /^Database is in read-only mode/);
    }
    assert.equal((await request("GET", "/collections/a/b")).status, 200);
  });

  it("pages of other origins may not write where no key is asked for", async ({ request }) => {
    for (const site of ["cross-site", "same-site"]) {
      const headers = { "sec-fetch-site": site };
      await refused(request("POST", "/collections/a", { headers, body: "{}" }), 403, "forbidden");
      assert.equal((await request("GET", "/health", { headers })).status, 200);
    }
    assert.equal((await request("GET", "/health")).headers.get("access-control-allow-origin"), null);
  }, { peer: "127.0.0.1" });

  it("what nobody foresaw is 500 with an id that is in the log", async ({ request, logged }) => {
    const body = await refused(request("GET", "/stats"), 500, "internal");
    assert.match(body["id"], /^[0-9a-f]{16}$/);
    assert.ok(!JSON.stringify(body).includes("secret"));
    assert.equal(logged[0]?.fields["id"], body["id"]);
    assert.match(String(logged[0]?.fields["error"]), /secret/);
  }, {
    around: (given) => {
      const stats = (): never => {
        throw new Error("a secret of the inside");
      };
      const { storage } = given;
      return { ...given, storage: { ...storage, log: storage.log, read: (run) => storage.read(run), stats } };
    },
  });

  it("errors are told the same way on every path", async ({ request }) => {
    const { body } = await told(request("GET", "/nothing"));
    assert.deepEqual(Object.keys(body), ["error", "code"]);
  });
}
