import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import type { It, RequestOptions } from "./http_fixture.ts";
import { refused } from "./http_fixture.ts";

const megabyte = 1024 * 1024;

/** A body whose length nobody announced. */
function chunked(parts: readonly string[]): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      const part = parts[at++];
      if (part === undefined) controller.close();
      else controller.enqueue(utf8(part));
    },
  });
}

/** What must be refused, and what looks odd and is fine. */
export function badInputSuite(it: It): void {
  it("bodies that are no JSON object", async ({ request, storage }) => {
    const bodies: BodyInit[] = [
      "",
      " ",
      "{",
      "}",
      '{"a":}',
      "{'a':1}",
      '{"a":1,}',
      "[]",
      "[{}]",
      "null",
      "true",
      "7",
      '"text"',
      "{} {}",
      '{"a":01}',
      '{"a":NaN}',
      '{"a":"\n"}',
      "\ufeff{}",
      "<html>",
      '{"a":1,"a":2}',
      '{"x":{"a":1,"\\u0061":2}}',
      '{"n":9007199254740993}',
      '{"n":1e400}',
      '{"n":0.1234567890123456789}',
      new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) as Uint8Array<ArrayBuffer>,
      new Uint8Array([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]) as Uint8Array<ArrayBuffer>,
      `{"a":${"[".repeat(100)}${"]".repeat(100)}}`,
      "[".repeat(1_000_000),
      `{"a":`.repeat(100_000),
    ];
    for (const body of bodies) {
      await refused(request("PUT", "/collections/orders/a", { body }), 400, "bad_request");
      await refused(request("POST", "/collections/orders", { body }), 400, "bad_request");
    }
    await refused(request("PUT", "/collections/orders/a"), 400, "bad_request");
    assert.equal(storage.log.last.seq, 0);
  });

  it("bodies that look odd and are data", async ({ request }) => {
    const bodies = [
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"x":1}}}',
      '{"":"","toString":null,"hasOwnProperty":1}',
      '{"n":1.50,"m":-0,"e":1E+2,"z":100000000000000000000}',
      '{"s":"\\ud83d\\ude00 \\u2028 \\u0000"}',
      '{"lone":"\\ud800"}',
      `{"a":${"[".repeat(99)}${"]".repeat(99)}}`,
      `{"long":"${"x".repeat(10 * megabyte)}"}`,
    ];
    for (const body of bodies) {
      const put = await request("PUT", "/collections/orders/a", { body });
      assert.ok(put.ok, `${put.status} for ${body.slice(0, 80)}`);
      const text = await (await request("GET", "/collections/orders/a")).text();
      assert.ok(text.endsWith(body.slice(1)), body.slice(0, 80));
    }
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });

  it("ids that no document may have", async ({ request, storage }) => {
    const paths = [
      // Spelled so that they are no routes.
      "tt%6c",
      "sch%65ma",
      "bulk",
      "a%00b",
      "%0a",
      "%7f",
      "%c2%85",
      "x".repeat(513),
      "%e2%82%ac".repeat(171),
    ];
    for (const id of paths) {
      for (const method of ["GET", "PUT", "DELETE"]) {
        const options: RequestOptions = method === "PUT" ? { body: "{}" } : {};
        const answer = await request(method, `/collections/orders/${id}`, options);
        assert.equal(answer.status, 400, `${method} ${id}: ${await answer.text()}`);
      }
    }
    for (const id of ["%", "%2", "%zz", "%ff", "%ed%a0%80", "a%c3"]) {
      await refused(request("GET", `/collections/orders/${id}`), 400, "bad_request");
      await refused(request("GET", `/collections/${id}`), 400, "bad_request");
    }
    for (const _id of ["", "\u0000", "\ud800", "bulk", "..", ".", "x".repeat(513), 7, null, {}]) {
      const answer = await request("POST", "/collections/orders", { body: JSON.stringify({ _id }) });
      assert.equal(answer.status, 400, `${JSON.stringify(_id).slice(0, 40)}: ${await answer.text()}`);
    }
    assert.equal(storage.log.last.seq, 0);
  });

  it("collection names that are none", async ({ request }) => {
    for (
      const name of [
        "1a",
        "_system",
        "-a",
        ".a",
        "a%2Fb",
        "a%20b",
        "%C3%A4",
        "a'b",
        "a;b",
        "x".repeat(129),
        "a%00",
      ]
    ) {
      await refused(request("GET", `/collections/${name}`), 400, "bad_request");
      await refused(request("PUT", `/collections/${name}/a`, { body: "{}" }), 400, "bad_request");
      await refused(request("POST", `/collections/${name}`, { body: "{}" }), 400, "bad_request");
      await refused(request("POST", `/collections/${name}/bulk`, { body: "[{}]" }), 400, "bad_request");
    }
    assert.equal((await request("GET", `/collections/${"x".repeat(128)}`)).status, 200);
  });

  it("any content type will do, but no compression", async ({ request }) => {
    for (
      const type of ["text/plain", "application/octet-stream", "multipart/form-data; boundary=x", "nonsense"]
    ) {
      const headers = { "content-type": type };
      assert.ok((await request("PUT", "/collections/orders/a", { body: "{}", headers })).ok, type);
    }
    const identity = { "content-encoding": "identity" };
    assert.ok((await request("PUT", "/collections/orders/a", { body: "{}", headers: identity })).ok);
    for (const encoding of ["gzip", "br", "identity, gzip"]) {
      const headers = { "content-encoding": encoding };
      await refused(request("PUT", "/collections/orders/a", { body: "{}", headers }), 400, "bad_request");
    }
  });

  it("bodies over the limit, with and without a length", async ({ request, storage }) => {
    const body = `{"a":"${"x".repeat(2_000)}"}`;
    const large = await refused(request("PUT", "/collections/orders/a", { body }), 413, "payload_too_large");
    assert.equal(large["bytesMax"], 1_000);
    await refused(request("POST", "/collections/orders", { body }), 413, "payload_too_large");
    await refused(
      request("POST", "/collections/orders/bulk", { body: `[${body}]` }),
      413,
      "payload_too_large",
    );
    const parts = Array.from({ length: 100 }, () => "x".repeat(100));
    await refused(
      request("PUT", "/collections/orders/a", { body: chunked(parts) }),
      413,
      "payload_too_large",
    );
    assert.equal(storage.log.last.seq, 0);
    const exact = `{"a":"${"x".repeat(1_000 - 8)}"}`;
    assert.equal((await request("PUT", "/collections/orders/a", { body: exact })).status, 201);
    assert.equal(
      (await request("PUT", "/collections/orders/b", { body: chunked(['{"a"', ":1", "}"]) })).status,
      201,
    );
    await refused(request("PUT", "/collections/orders/c", { body: chunked([]) }), 400, "bad_request");
  }, { limits: { bodyBytesMax: 1_500, documentBytesMax: 1_000 } });

  it("a document over its limit inside a bulk fails alone", async ({ request }) => {
    const large = `{"_id":"l","a":"${"x".repeat(2_000)}"}`;
    const answer = await request("POST", "/collections/orders/bulk", { body: `[{"_id":"s"},${large}]` });
    const body = await answer.json() as { ids: string[]; errors: { index: number; code: string }[] };
    assert.deepEqual([answer.status, body.ids], [200, ["s"]]);
    assert.deepEqual(body.errors.map(({ index, code }) => [index, code]), [[1, "payload_too_large"]]);
  }, { limits: { documentBytesMax: 1_000 } });
}
