/** Writes that are passed on over real connections to a leader that is not there, or goes away in the middle. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, utf8, utf8Text } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { Connection } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { serverTls } from "../tool/certificates.ts";
import { freePorts } from "../tool/ports.ts";
import type { NodeOptions, TestNode } from "./http_fixture.ts";
import { portTransport, refused, withNode } from "./http_fixture.ts";

const { signal: never } = new AbortController();

/** What becomes of a request that a leader has read: it is answered, its connection is closed or breaks, or nothing. */
type Fate = "answered" | "closed" | "broken" | "silent";

/** A leader that reads requests and does with them what it is told. */
interface RawLeader {
  readonly url: string;
  /** First lines of the requests that came whole. */
  readonly requests: string[];
  fate: Fate;
  /** Connections that the other end has closed. */
  closed: number;
}

async function withRawLeader(runtime: Runtime, run: (leader: RawLeader) => Promise<void>): Promise<void> {
  const listener = await runtime.net.listen({ hostname: "127.0.0.1", port: 0, tls: null });
  const url = `http://127.0.0.1:${listener.port}`;
  const leader: RawLeader = { url, requests: [], fate: "answered", closed: 0 };
  const connections: Connection[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      connections.push(connection);
      serve(leader, connection).catch(() => {}).finally(() => leader.closed++);
    }
  })();
  try {
    await run(leader);
  } finally {
    await listener.close();
    for (const connection of connections) connection.abort(new Error("over"));
    await accepting;
  }
}

async function serve(leader: RawLeader, connection: Connection): Promise<void> {
  const reader = connection.readable.getReader(), writer = connection.writable.getWriter();
  let got: Uint8Array = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    got = concat([got, value]);
    const text = utf8Text(got);
    if (!isWhole(text)) continue;
    got = new Uint8Array();
    leader.requests.push(text.slice(0, text.indexOf(" HTTP/")));
    if (leader.fate === "closed") return await writer.close();
    if (leader.fate === "broken") return connection.abort(new Error("broken"));
    if (leader.fate === "answered") {
      await writer.write(utf8("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    }
  }
}

/** One request with all of its body. */
function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const head = text.slice(0, end), body = text.slice(end + 4);
  if (/^transfer-encoding: *chunked/im.test(head)) return body.endsWith("0\r\n\r\n");
  return body.length >= Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
}

/** A follower that passes writes on, and gives up soon where `soon`. */
function forwarding(runtime: Runtime, soon = false): NodeOptions {
  const around = (given: HttpDependencies): HttpDependencies => {
    const { clock } = given;
    return {
      ...given,
      fetch: runtime.fetch,
      forwardWrites: true,
      clock: {
        monotonic: () => clock.monotonic(),
        wall: () => clock.wall(),
        macrotask: (run) => clock.macrotask(run),
        timer: (ms, run) => clock.timer(soon && ms > limits.forwardedWriteMs ? 300 : ms, run),
      },
    };
  };
  return { around };
}

const writes = [["PUT", "/collections/a/b", "{}"], ["POST", "/collections/a", "{}"], [
  "DELETE",
  "/collections/a/b",
  null,
]] as const;

function send(node: TestNode, [method, path, body]: (typeof writes)[number]): Promise<Response> {
  return node.request(method, path, body === null ? {} : { body });
}

export function forwardNetSuite(runtime: Runtime): void {
  const it = (what: string, run: (follower: TestNode) => Promise<void>, soon = false): void =>
    void test(`forwarded writes, connections of ${runtime.name}: ${what}`, () =>
      withNode(runtime, portTransport(runtime), forwarding(runtime, soon), async (follower) => {
        follower.state.role = "follower";
        await run(follower);
        assert.equal((await follower.request("GET", "/health")).status, 200);
      }));

  it("a connection that breaks before the answer: the request is not sent again", (follower) =>
    withRawLeader(runtime, async (leader) => {
      follower.state.leaderHttpUrl = leader.url;
      for (const write of writes) {
        for (const fate of ["closed", "broken"] as const) {
          leader.fate = "answered";
          assert.equal((await send(follower, write)).status, 200, "its connection may be used again");
          leader.fate = fate;
          leader.requests.length = 0;
          await refused(send(follower, write), 504, "outcome_unknown");
          assert.deepEqual(leader.requests, [`${write[0]} ${write[1]}`], fate);
        }
      }
    }));

  it("nobody listens, or shows a certificate that is not trusted: nothing was sent", async (follower) => {
    const [port] = await freePorts(1) as [number];
    let asked = 0;
    const secure = await runtime.http.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: serverTls(),
      handler: () => new Response(String(asked++)),
      limits: { bodyBytesMax: 0, headersMs: 10_000, requestMs: 60_000, keepAliveMs: 10_000, idleMs: 0 },
    });
    for (const url of [`http://127.0.0.1:${port}`, `https://127.0.0.1:${secure.port}`]) {
      follower.state.leaderHttpUrl = url;
      for (const write of writes) {
        const answer = await send(follower, write);
        assert.equal(answer.headers.get("x-dfdb-leader"), url);
        await refused(answer, 503, "not_ready");
      }
    }
    await secure.close(0);
    assert.equal(asked, 0);
  });

  it(
    "a leader that says nothing is not waited for without end",
    (follower) =>
      withRawLeader(runtime, async (leader) => {
        follower.state.leaderHttpUrl = leader.url;
        leader.fate = "silent";
        await refused(send(follower, writes[0]), 504, "outcome_unknown");
        assert.equal(leader.requests.length, 1);
        while (leader.closed === 0) {
          await new Promise<void>((resolve) => void runtime.clock.timer(5, resolve));
        }
      }),
    true,
  );

  it("a client that breaks off in the middle of its body: the leader never has the whole", (follower) =>
    withRawLeader(runtime, async (leader) => {
      follower.state.leaderHttpUrl = leader.url;
      const { hostname, port } = new URL(follower.url);
      const client = await runtime.net.connect({ hostname, port: Number(port), tls: null, signal: never });
      const head = "PUT /collections/a/b HTTP/1.1\r\nhost: f\r\ncontent-length: 100\r\n\r\n";
      const writer = client.writable.getWriter();
      await writer.write(utf8(`${head}{"a":"`));
      client.abort(new Error("hung up"));
      await client.readable.cancel().catch(() => {});
      assert.equal((await send(follower, writes[0])).status, 200);
      assert.deepEqual(leader.requests, ["PUT /collections/a/b"], "the other one");
    }));
}
