/** What a node relies on in etcd's JSON gateway: the same calls to the real one and to the simulated one. */
import assert from "node:assert/strict";
import test from "node:test";

export type Json = Readonly<Record<string, unknown>>;

export interface EtcdUnderTest {
  call(path: string, body: Json): Promise<{ readonly status: number; readonly body: Json }>;
  /** Lets time pass until `condition` holds; fails after `limitMs`. */
  until(condition: () => Promise<boolean>, what: string, limitMs: number): Promise<void>;
  close(): Promise<void>;
}

const b = (text: string): string => btoa(text);

/** The calls of one test, on keys of its own. */
class Calls {
  readonly #etcd: EtcdUnderTest;
  readonly #prefix: string;

  constructor(etcd: EtcdUnderTest, prefix: string) {
    this.#etcd = etcd;
    this.#prefix = prefix;
  }

  key(name: string): string {
    return b(`${this.#prefix}/${name}`);
  }

  raw(path: string, body: Json): Promise<{ readonly status: number; readonly body: Json }> {
    return this.#etcd.call(path, body);
  }

  async ok(path: string, body: Json): Promise<Json> {
    const answer = await this.#etcd.call(path, body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  }

  async refused(path: string, body: Json): Promise<readonly [number, unknown, unknown]> {
    const { status, body: { code, message } } = await this.#etcd.call(path, body);
    return [status, code, message];
  }

  async grant(ttl: number): Promise<string> {
    return String((await this.ok("/v3/lease/grant", { TTL: `${ttl}` }))["ID"]);
  }

  put(name: string, value: string, lease?: string): Promise<Json> {
    const more = lease === undefined ? {} : { lease };
    return this.ok("/v3/kv/put", { key: this.key(name), value: b(value), ...more });
  }

  /** The key without its revisions; null: absent. */
  async get(name: string): Promise<{ value?: unknown; lease?: unknown; version?: unknown } | null> {
    const kv = await this.kv(name);
    if (kv === null) return null;
    const { key, create_revision, mod_revision, ...rest } = kv;
    assert.equal(key, this.key(name));
    assert.ok(BigInt(String(create_revision)) <= BigInt(String(mod_revision)));
    return rest;
  }

  async kv(name: string): Promise<Json | null> {
    const answer = await this.ok("/v3/kv/range", { key: this.key(name) });
    const kvs = answer["kvs"] as Json[] | undefined;
    assert.equal(answer["count"], kvs === undefined ? undefined : "1");
    return kvs?.[0] ?? null;
  }

  /** Whether the comparisons hold. */
  async holds(...compare: Json[]): Promise<boolean> {
    const answer = await this.ok("/v3/kv/txn", { compare });
    assert.equal(answer["responses"], undefined);
    return answer["succeeded"] === true;
  }

  until(condition: () => Promise<boolean>, what: string): Promise<void> {
    return this.#etcd.until(condition, what, 60_000);
  }
}

/** The revision of which an answer speaks. */
function revisionOf(answer: Json): number {
  return Number((answer["header"] as Json)["revision"]);
}

const stories: Readonly<Record<string, (calls: Calls) => Promise<void>>> = {
  "put and read": async (calls) => {
    assert.equal(await calls.kv("a"), null);
    const first = revisionOf(await calls.put("a", "1"));
    assert.deepEqual(await calls.kv("a"), {
      key: calls.key("a"),
      create_revision: `${first}`,
      mod_revision: `${first}`,
      version: "1",
      value: b("1"),
    });
    assert.equal(revisionOf(await calls.put("a", "")), first + 1);
    assert.deepEqual(await calls.get("a"), { version: "2" });
    assert.equal((await calls.kv("a"))?.["mod_revision"], `${first + 1}`);
    const gone = await calls.ok("/v3/kv/deleterange", { key: calls.key("a") });
    assert.deepEqual([gone["deleted"], revisionOf(gone)], ["1", first + 2]);
    const again = await calls.ok("/v3/kv/deleterange", { key: calls.key("a") });
    assert.deepEqual([again["deleted"], revisionOf(again)], [undefined, first + 2]);
    await calls.put("a", "2");
    assert.equal((await calls.kv("a"))?.["create_revision"], `${first + 3}`);
    assert.equal((await calls.get("a"))?.version, "1");
  },

  "what is compared": async (calls) => {
    const key = calls.key("a"), lease = await calls.grant(60);
    const at = revisionOf(await calls.put("a", "1", lease));
    await calls.put("a", "2", lease);
    const holds = (target: string, result: string, field: Json) =>
      calls.holds({ key, target, result, ...field });
    for (
      const [result, lower, same, higher] of [
        ["EQUAL", false, true, false],
        ["NOT_EQUAL", true, false, true],
        ["GREATER", true, false, false],
        ["LESS", false, false, true],
      ] as const
    ) {
      const all = async (target: string, field: string, has: number) => {
        const seen = [];
        for (const by of [-1, 0, 1]) seen.push(await holds(target, result, { [field]: `${has + by}` }));
        assert.deepEqual(seen, [lower, same, higher], `${target} ${result}`);
      };
      await all("VERSION", "version", 2);
      await all("CREATE", "create_revision", at);
      await all("MOD", "mod_revision", at + 1);
    }
    assert.deepEqual(
      [
        await holds("LEASE", "EQUAL", { lease }),
        await holds("LEASE", "EQUAL", { lease: "1" }),
        await holds("LEASE", "NOT_EQUAL", { lease: "1" }),
        await holds("VALUE", "EQUAL", { value: b("2") }),
        await holds("VALUE", "EQUAL", { value: b("1") }),
        await holds("VALUE", "NOT_EQUAL", { value: b("1") }),
      ],
      [true, false, true, true, false, true],
    );
    await calls.put("a", "3");
    assert.ok(await holds("LEASE", "EQUAL", { lease: "0" }), "a put without a lease unbinds");
  },

  "what is compared with a key that is not there": async (calls) => {
    const key = calls.key("none");
    assert.ok(await calls.holds({ key, target: "CREATE", result: "EQUAL", create_revision: "0" }));
    assert.ok(await calls.holds({ key, target: "CREATE", result: "EQUAL" }));
    assert.ok(await calls.holds({ key, target: "MOD", result: "EQUAL", mod_revision: "0" }));
    assert.ok(await calls.holds({ key, target: "LEASE", result: "EQUAL", lease: "0" }));
    assert.ok(await calls.holds({ key, version: "0" }));
    assert.ok(!await calls.holds({ key, target: "VALUE", result: "EQUAL", value: "" }));
    assert.ok(!await calls.holds({ key, target: "VALUE", result: "NOT_EQUAL", value: b("1") }));
  },

  "a transaction": async (calls) => {
    const [a, c, d] = [calls.key("a"), calls.key("c"), calls.key("d")], lease = await calls.grant(60);
    const before = revisionOf(await calls.put("d", "old"));
    const absent = { key: a, target: "CREATE", result: "EQUAL", create_revision: "0" };
    const take = {
      compare: [absent],
      success: [
        { request_put: { key: a, value: b("x"), lease } },
        { request_put: { key: c, value: b("y") } },
        { request_delete_range: { key: d } },
        { request_range: { key: a } },
      ],
      failure: [{ request_range: { key: a } }],
    };
    const revision = `${before + 1}`, header = { revision };
    const kv = {
      key: a,
      create_revision: revision,
      mod_revision: revision,
      version: "1",
      value: b("x"),
      lease,
    };
    const first = await calls.ok("/v3/kv/txn", take);
    assert.deepEqual([first["succeeded"], revisionOf(first)], [true, before + 1]);
    assert.deepEqual(first["responses"], [
      { response_put: { header } },
      { response_put: { header } },
      { response_delete_range: { header, deleted: "1" } },
      { response_range: { header, kvs: [kv], count: "1" } },
    ]);
    const second = await calls.ok("/v3/kv/txn", take);
    assert.deepEqual([second["succeeded"], revisionOf(second)], [undefined, before + 1]);
    assert.deepEqual(second["responses"], [{ response_range: { header, kvs: [kv], count: "1" } }]);
    const idle = { success: [{ request_delete_range: { key: d } }] };
    assert.equal(
      revisionOf(await calls.ok("/v3/kv/txn", idle)),
      before + 1,
      "nothing to delete: no revision",
    );
  },

  "a transaction that is refused changes nothing": async (calls) => {
    const [a, c] = [calls.key("a"), calls.key("c")];
    const twice = { success: [{ request_put: { key: a } }, { request_put: { key: a } }] };
    assert.deepEqual(await calls.refused("/v3/kv/txn", twice), [
      400,
      3,
      "etcdserver: duplicate key given in txn request",
    ]);
    const unbound = {
      success: [{ request_put: { key: c, value: b("1") } }, { request_put: { key: a, lease: "987654321" } }],
    };
    const unknown = [404, 5, "etcdserver: requested lease not found"];
    assert.deepEqual(await calls.refused("/v3/kv/txn", unbound), unknown);
    assert.deepEqual(await calls.refused("/v3/kv/put", { key: a, lease: "987654321" }), unknown);
    assert.deepEqual([await calls.kv("a"), await calls.kv("c")], [null, null]);
    assert.deepEqual(await calls.refused("/v3/kv/range", {}), [400, 3, "etcdserver: key is not provided"]);
    assert.equal((await calls.raw("/v3/nowhere", {})).status, 404);
  },

  "leases: granted, kept alive, revoked with their keys": async (calls) => {
    const granted = await calls.ok("/v3/lease/grant", { TTL: "30" }), id = String(granted["ID"]);
    assert.match(id, /^[1-9]\d*$/);
    assert.equal(granted["TTL"], "30");
    assert.equal((await calls.ok("/v3/lease/grant", { TTL: "1" }))["TTL"], "2", "the least there is");
    const own = { TTL: "30", ID: `${BigInt(id) - 5n}` };
    assert.equal((await calls.ok("/v3/lease/grant", own))["ID"], own.ID);
    assert.deepEqual(await calls.refused("/v3/lease/grant", own), [
      412,
      9,
      "etcdserver: lease already exists",
    ]);
    const kept = (await calls.ok("/v3/lease/keepalive", { ID: id }))["result"] as Json;
    assert.deepEqual([kept["ID"], kept["TTL"]], [id, "30"]);
    await calls.put("a", "1", id);
    await calls.put("c", "1", id);
    await calls.put("d", "1", id);
    const before = revisionOf(await calls.put("d", "2"));
    assert.equal(revisionOf(await calls.ok("/v3/lease/revoke", { ID: id })), before + 1);
    assert.deepEqual([await calls.kv("a"), await calls.kv("c")], [null, null]);
    assert.deepEqual(await calls.get("d"), { value: b("2"), version: "2" });
    const gone = (await calls.ok("/v3/lease/keepalive", { ID: id }))["result"] as Json;
    assert.deepEqual([gone["ID"], gone["TTL"]], [id, undefined]);
    const unknown = [404, 5, "etcdserver: requested lease not found"];
    assert.deepEqual(await calls.refused("/v3/lease/revoke", { ID: id }), unknown);
    const idle = await calls.grant(30);
    assert.equal(revisionOf(await calls.ok("/v3/lease/revoke", { ID: idle })), before + 1);
  },

  "a lease that nobody keeps alive ends with its keys": async (calls) => {
    // Long enough for a machine that stands still between two looks.
    const short = await calls.grant(8), kept = await calls.grant(8);
    await calls.put("short", "1", short);
    const before = revisionOf(await calls.put("kept", "1", kept));
    await calls.until(async () => {
      await calls.ok("/v3/lease/keepalive", { ID: kept });
      return await calls.kv("short") === null;
    }, "the lease has ended");
    assert.deepEqual(await calls.get("kept"), { value: b("1"), version: "1", lease: kept });
    const gone = (await calls.ok("/v3/lease/keepalive", { ID: short }))["result"] as Json;
    assert.equal(gone["TTL"], undefined);
    assert.equal(revisionOf(await calls.ok("/v3/kv/range", { key: calls.key("kept") })), before + 1);
  },
};

/** Defines one test for each story. `open` answers null when there is no etcd, and says so itself. */
export function etcdSuite(name: string, open: () => Promise<EtcdUnderTest | null>): void {
  for (const [story, run] of Object.entries(stories)) {
    test(`${name}: ${story}`, async () => {
      const etcd = await open();
      if (etcd === null) return;
      try {
        await run(new Calls(etcd, `/suite/${story}`));
      } finally {
        await etcd.close();
      }
    });
  }
}
