import assert from "node:assert/strict";
import test from "node:test";
import { formatWireAddress, parseWireAddress, reachableAddress } from "../../src/replication/wire_address.ts";

test("addresses of a wire are read and written", () => {
  const good = {
    "db-1.example:5500": { hostname: "db-1.example", port: 5500 },
    "127.0.0.1:1": { hostname: "127.0.0.1", port: 1 },
    "[2001:db8::1]:65535": { hostname: "2001:db8::1", port: 65_535 },
    ":5500": { hostname: "", port: 5500 },
  };
  for (const [text, address] of Object.entries(good)) {
    assert.deepEqual(parseWireAddress(text), address, text);
    assert.equal(formatWireAddress(address), text);
  }
});

test("what is no address is none", () => {
  const bad = [
    "",
    "db-1",
    "db-1:",
    "db-1:0",
    "db-1:65536",
    "db-1:5500x",
    "a:b:5500",
    "::1:5500",
    "[db]:1",
    "[]:1",
  ];
  for (const text of [...bad, "a b:1", "http://a:1", "a/b:1"]) {
    assert.equal(parseWireAddress(text), null, text);
  }
});

test("a host that is missing is the other end of the socket", () => {
  assert.equal(reachableAddress(":5500", "192.0.2.7"), "192.0.2.7:5500");
  assert.equal(reachableAddress(":5500", "::ffff:192.0.2.7"), "192.0.2.7:5500");
  assert.equal(reachableAddress(":5500", "fe80::1"), "[fe80::1]:5500");
  assert.equal(reachableAddress("db-1:5500", "192.0.2.7"), "db-1:5500");
  assert.equal(reachableAddress(null, "192.0.2.7"), null);
  assert.equal(reachableAddress("nonsense", "192.0.2.7"), null);
});
