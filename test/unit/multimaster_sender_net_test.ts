/** A sender on the runtime's own fetch and HTTP: what it tells a receiver, and what it makes of answers that are none. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { runIdOf, seqOf } from "../../src/base/ids.ts";
import { answerText, readHistory } from "../../src/multimaster/batch.ts";
import type { Address, Reply } from "../../src/multimaster/receiver_client.ts";
import { ReceiverClient } from "../../src/multimaster/receiver_client.ts";
import type { Reliance } from "../../src/multimaster/reliance.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { inFolder, patient } from "../suites/storage_fixture.ts";
import { serverTls } from "../tool/certificates.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { freePort } from "../tool/ports.ts";
import { cursorOf, databaseOf, termOf } from "../tool/outgoing_rig.ts";
import { Site } from "../tool/sender_site.ts";

const limits = { bodyBytesMax: 1e8, headersMs: 10_000, requestMs: 60_000, keepAliveMs: 10_000, idleMs: 0 };
const receiver = { databaseId: databaseOf("b"), term: termOf("b", 2) };

type Handler = (request: Request) => Response | Promise<Response>;

/** Runs `run` with the address of a server that answers with `handler`. */
async function served(
  handler: Handler,
  run: (to: Address, runtime: Runtime) => Promise<void>,
): Promise<void> {
  const runtime = currentRuntime();
  const server = await runtime.http.serve({ hostname: "127.0.0.1", port: 0, tls: null, handler, limits });
  try {
    await run({ url: `http://127.0.0.1:${server.port}/db/x`, apiKey: "secret", filter: "only=a,b" }, runtime);
  } finally {
    await server.close(0);
  }
}

const nothing: Reliance = { has: () => false, on: () => null, formerly: [] };

function clientOf(runtime: Runtime, reliance: Reliance = nothing): ReceiverClient {
  return new ReceiverClient({
    fetch: runtime.fetch,
    ownUrl: () => "http://me.test/db/ü?",
    databaseId: databaseOf("a"),
    reliance,
  });
}

const patience = (): AbortSignal => new AbortController().signal;

function failed(reply: Reply) {
  assert.ok("error" in reply, JSON.stringify(reply));
  return { ...reply, code: reply.error.code, message: reply.error.message };
}

test("requests say who sends what to whom, and answers are read", patient, async () => {
  const asked: { method: string; path: string; query: object; key: string | null; body: string }[] = [];
  const answer = { ...receiver, cursor: cursorOf("a", 7) };
  const history = [{ run: termOf("b", 1).run, firstSeq: seqOf(1) }, {
    run: receiver.term.run,
    firstSeq: seqOf(9),
  }];
  await served(async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    asked.push({
      method: request.method,
      path: pathname,
      query: Object.fromEntries(searchParams),
      key: request.headers.get("authorization"),
      body: await request.text(),
    });
    return new Response(pathname.endsWith("heartbeat") ? "{}" : answerText(answer, "x", history));
  }, async (to, runtime) => {
    const client = clientOf(runtime), cursor = cursorOf("a", 12);
    const replies = [
      await client.lastEtag(to, patience()),
      await client.post(to, receiver, cursor, utf8("[1]"), patience()),
      await client.putCursor(to, receiver, cursor, patience()),
    ];
    for (const reply of replies) {
      assert.ok("answer" in reply, JSON.stringify(reply));
      assert.deepEqual([reply.answer, reply.history], [answer, history]);
    }
    assert.equal(await client.heartbeat({ ...to, apiKey: null }, patience()), null);
  });
  const from = { from: "http://me.test/db/ü?", dbid: databaseOf("a") }, filter = "only=a,b";
  const place = `1:${termOf("a").run}:12`;
  const target = { to: databaseOf("b"), term: `2:${receiver.term.run}`, docEtag: `${place}@${place}` };
  const key = "Bearer secret";
  assert.deepEqual(asked, [
    { method: "GET", path: "/db/x/replication/lastEtag", query: { ...from, filter }, key, body: "" },
    {
      ...{ method: "POST", path: "/db/x/replication/replicateDocs", query: { ...from, filter, ...target } },
      ...{ key, body: "[1]" },
    },
    {
      method: "PUT",
      path: "/db/x/replication/lastEtag",
      query: { ...from, filter, ...target },
      key,
      body: "",
    },
    {
      ...{ method: "POST", path: "/db/x/replication/heartbeat", query: { ...from, filter: "" } },
      ...{ key: null, body: "" },
    },
  ]);
});

test("what is no answer is a failure with the peer's code and a sentence", patient, async () => {
  const refusing = (status: number, body: object | string, headers = {}): Response =>
    new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
  const error = "Because",
    answers: readonly (readonly [Response, string, RegExp])[] = [
      [refusing(401, { error, code: "unauthorized" }), "unauthorized", /Because/],
      [refusing(403, "no"), "forbidden", /403/],
      [refusing(404, { error, code: "bundle_not_active" }), "bundle_not_active", /Because/],
      [refusing(404, "<html>"), "not_found", /no database with replication at this URL/],
      [refusing(409, { error, code: "peer_forgotten" }), "peer_forgotten", /Because/],
      [refusing(413, ""), "payload_too_large", /413/],
      [refusing(500, { error, code: "what_a_newer_one_knows" }), "internal", /Because/],
      [refusing(502, "<h1>Bad gateway</h1>"), "bad_frame", /502 and no JSON/],
      [refusing(308, "", { location: "http://127.0.0.1:1/" }), "bad_frame", /308, a redirect/],
      [refusing(200, "Hello"), "bad_frame", /not as a database does/],
      [refusing(200, { LastDocumentEtag: null }), "bad_frame", /lacks/],
      [
        refusing(200, `{"LastDocumentEtag":null,"x":"${"x".repeat(70_000)}"}`),
        "bad_frame",
        /longer than 65536/,
      ],
      [refusing(421, { error, code: "not_leader", leader: null }), "not_leader", /Because/],
    ];
  // A runtime may ask a second time after a 421.
  let now = 0;
  await served(() => (answers[now]?.[0] as Response).clone(), async (to, runtime) => {
    const client = clientOf(runtime);
    for (const [, code, message] of answers) {
      const found = failed(await client.lastEtag(to, patience()));
      assert.equal(found.code, code, found.message);
      assert.match(found.message, message);
      assert.equal(found.leader, undefined);
      now++;
    }
  });
});

test("a follower names its leader", patient, async () => {
  const url = "http://leader.test:1", databaseId = databaseOf("b");
  for (const known of [databaseId, null]) {
    const answer = known === null
      ? Response.json({ code: "not_leader" }, { status: 421, headers: { "x-dfdb-leader": url } })
      : Response.json({ code: "not_leader", leader: url, databaseId }, { status: 421 });
    await served(() => answer.clone(), async (to, runtime) => {
      const { leader } = failed(await clientOf(runtime).lastEtag(to, patience()));
      assert.deepEqual(leader, { url, databaseId: known });
    });
  }
});

test("nobody there, a certificate that is not trusted, and giving up", patient, async () => {
  const runtime = currentRuntime(), client = clientOf(runtime), port = await freePort();
  const to = { url: `http://127.0.0.1:${port}`, apiKey: null, filter: "" };
  const nobody = failed(await client.lastEtag(to, patience()));
  assert.equal(nobody.code, "unreachable", nobody.message);
  assert.match(nobody.message, new RegExp(`^http://127\\.0\\.0\\.1:${port} cannot be reached: .`));
  const secure = await runtime.http.serve({
    ...{ hostname: "127.0.0.1", port: 0, tls: serverTls("other_authority"), limits },
    handler: () => new Response("secret"),
  });
  const refused = failed(
    await client.lastEtag({ ...to, url: `https://localhost:${secure.port}` }, patience()),
  );
  assert.equal(refused.code, "certificate_invalid", refused.message);
  await secure.close(0);
  const abort = new AbortController();
  let asked = (): void => {};
  const begun = new Promise<void>((resolve) => asked = resolve);
  await served(() => new Promise<Response>(() => asked()), async (slow) => {
    const reply = client.lastEtag(slow, abort.signal);
    await begun;
    abort.abort(new Error("enough"));
    assert.equal(failed(await reply).code, "unreachable");
  });
});

test("two masters over HTTP: each has what the other one wrote", patient, () =>
  inFolder(async (folder) => {
    const runtime = currentRuntime();
    const clock = Object.assign(Object.create(runtime.clock) as Runtime["clock"], {
      settle: () => Promise.resolve(),
    });
    const sites: Site[] = [], urls: string[] = [], closing: (() => Promise<void>)[] = [];
    for (const digit of ["a", "b"]) {
      const { fetch } = runtime,
        sending = { ownUrl: () => urls[sites.indexOf(site)] as string, requestMs: 30_000 };
      const site = new Site({ folder, digit, clock, fetch, sending });
      await site.make();
      const server = await runtime.http.serve({
        ...{ hostname: "127.0.0.1", port: 0, tls: null, limits },
        handler: async (request) => {
          const body = request.method === "POST" ? new Uint8Array(await request.arrayBuffer()) : null;
          return await site.answer(request.method, new URL(request.url), body);
        },
      });
      sites.push(site);
      urls.push(`http://127.0.0.1:${server.port}`);
      closing.push(() => server.close(0));
    }
    const [a, b] = sites as [Site, Site], [urlA, urlB] = urls as [string, string];
    await a.write(
      Array.from({ length: 600 }, (_, i) => [`orders/k${i}`, `{"text":"${"ü".repeat(i % 300)}"}`]),
    );
    await b.write([["orders/k7", '{"other":true}'], ["items/x", '{ "kept" : "as it is" }']]);
    const settled = new Promise<void>((resolve) => {
      const look = (): void => {
        if (a.keys.size === 601 && a.lacks(b).length === 0 && b.lacks(a).length === 0) return resolve();
        runtime.clock.timer(100, look);
      };
      look();
    });
    await a.list({ Url: urlB });
    await b.list({ Url: urlA });
    a.start();
    b.start();
    await settled;
    assert.deepEqual([a, b].map(({ keys }) => keys.get("orders/k7")?.shown.kind), ["conflict", "conflict"]);
    assert.deepEqual(a.keys.get("items/x")?.versions, b.keys.get("items/x")?.versions);
    for (const site of sites) await site.close();
    for (const close of closing) await close();
  }));

test("the runs that an answer tells are taken as a whole or not", () => {
  const run = "ab".repeat(16), told = (History: unknown) => readHistory(utf8(JSON.stringify({ History })));
  assert.deepEqual(
    told([`${run}:1`, `${run}:3`]),
    [1, 3].map((seq) => ({ run: runIdOf(run), firstSeq: seqOf(seq) })),
  );
  for (
    const wrong of [undefined, null, 7, "x", [`${run}:3`, `${run}:3`], [`${run}:1`, 4], [`${run}:0`], [run]]
  ) {
    assert.deepEqual(told(wrong), [], JSON.stringify(wrong));
  }
});
