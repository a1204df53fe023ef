/** Forwarding of writes: over calls and over ports, and its parts one by one. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { forwardTarget, passedOn } from "../../src/http/forward_headers.ts";
import { outgoingBody } from "../../src/http/outgoing_body.ts";
import { wasNeverSent } from "../../src/http/unsent.ts";
import { forwardSuite } from "../suites/http_forward_suite.ts";
import { directTransport, portTransport } from "../suites/http_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
forwardSuite(runtime, directTransport());
forwardSuite(runtime, portTransport(runtime));

test("the target: path and query as they were sent, below the leader's own path", () => {
  const cases: readonly (readonly [leader: string, url: string, target: string])[] = [
    ["http://l:5000", "http://f/collections/a/b?x=%20&y", "http://l:5000/collections/a/b?x=%20&y"],
    ["http://l:5000/", "http://f:5001/collections/a%2Fb", "http://l:5000/collections/a%2Fb"],
    ["https://l/db/", "http://f/tx/batch?", "https://l/db/tx/batch"],
    ["http://l", "http://f/collections/a/%C3%A4#x", "http://l/collections/a/%C3%A4"],
    ["http://l", "http://f/collections/a/{b}", "http://l/collections/a/{b}"],
  ];
  for (const [leader, url, target] of cases) assert.equal(forwardTarget(leader, url), target);
});

test("the target: a path that would become another one on the way is refused", () => {
  for (
    const path of [
      "/collections/./orders",
      "/collections/a/..",
      "/collections/a/%2e%2e",
      "/collections/%2E/bulk",
    ]
  ) {
    assert.throws(() => forwardTarget("http://l:5000", `http://f${path}`), { code: "bad_request" }, path);
  }
});

test("the headers: what belongs to the connection stays", () => {
  const given = {
    connection: "close, X-Hop",
    "x-hop": "1",
    te: "trailers",
    "x-own": "2",
    "content-length": "2",
  };
  const put = passedOn(new Request("http://f/", { method: "PUT", headers: given, body: "{}" }), "n");
  assert.deepEqual(Object.fromEntries([...put].filter(([name]) => name !== "content-type")), {
    "content-length": "2",
    "x-own": "2",
    "x-dfdb-forwarded": "n",
  });
  const remove = passedOn(new Request("http://f/", { method: "DELETE", headers: given }), "n");
  assert.equal(remove.get("content-length"), null);
});

test("a failure that is known to come before sending, and others", () => {
  const caused = (cause: unknown) => new TypeError("fetch failed", { cause });
  const coded = (code: string, extra = {}) => Object.assign(new Error("x"), { code, ...extra });
  const before = [
    coded("ECONNREFUSED"),
    caused(coded("ENOTFOUND")),
    caused(coded("UNABLE_TO_VERIFY_LEAF_SIGNATURE")),
    caused(coded("EHOSTUNREACH", { syscall: "connect" })),
    caused(new Error("error sending request: client error (Connect): tcp connect error")),
    caused(new DfdbError("unreachable", "x")),
    caused(caused(coded("ECONNREFUSED"))),
  ];
  for (const error of before) assert.equal(wasNeverSent(error), true, String(error.cause ?? error));
  const after = [
    new TypeError("fetch failed"),
    coded("ECONNRESET"),
    caused(coded("EHOSTUNREACH", { syscall: "read" })),
    caused(coded("UND_ERR_SOCKET")),
    caused(new Error("client error (SendRequest): connection closed")),
    null,
    "text",
  ];
  for (const error of after) assert.equal(wasNeverSent(error), false, String(error));
});

test("a body on its way: its steps are told, its failure is kept, the rest is not read", async () => {
  let steps = 0, cancelled = false, pulls = 0;
  const chunks = (last: "close" | "fail" | "never") =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        if (pulls++ < 2 || last === "never") controller.enqueue(new Uint8Array(3));
        else if (last === "close") controller.close();
        else controller.error(new Error("hung up"));
      },
      cancel: () => void (cancelled = true),
    }, { highWaterMark: 0 });
  const whole = outgoingBody(chunks("close"), () => void steps++);
  assert.deepEqual([whole.begun, pulls], [false, 0]);
  assert.equal((await new Response(whole.stream).arrayBuffer()).byteLength, 6);
  assert.deepEqual([whole.begun, whole.failure, steps], [true, null, 3]);
  pulls = 0;
  const failing = outgoingBody(chunks("fail"), () => {});
  await assert.rejects(new Response(failing.stream).arrayBuffer());
  assert.match(String(failing.failure), /hung up/);
  const left = outgoingBody(chunks("never"), () => {});
  await left.stream.getReader().read();
  left.end();
  assert.deepEqual([cancelled, left.failure], [true, null]);
  const waiting = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
  let moved = false;
  const ended = outgoingBody(waiting, () => void (moved = true));
  const read = ended.stream.getReader().read();
  ended.end();
  assert.deepEqual([(await read).done, moved, ended.failure], [true, false, null]);
  const none = outgoingBody(null, () => {});
  assert.equal((await new Response(none.stream).arrayBuffer()).byteLength, 0);
});
