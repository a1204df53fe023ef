import assert from "node:assert/strict";
import test from "node:test";
import { LeaderAddresses, type LeaderAddressesOptions } from "../../src/replication/leader_addresses.ts";
import { formatWireAddress } from "../../src/replication/wire_address.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import { identityOf } from "../tool/replication_rig.ts";

const nodeOf = (digit: string, wireAddress: string | null = `node-${digit}:5500`): KnownNode => {
  const { nodeId, nodeName, httpUrl } = identityOf(digit);
  return { nodeId, nodeName, httpUrl, wireAddress };
};

function make(options: Partial<LeaderAddressesOptions> = {}): LeaderAddresses {
  return new LeaderAddresses({
    configured: { hostname: "leader", port: 5500 },
    last: null,
    known: () => [],
    self: () => identityOf("b"),
    ...options,
  });
}

/** What is tried until the round is over. */
function round(addresses: LeaderAddresses): string[] {
  const tried = [formatWireAddress(addresses.next())];
  while (addresses.more) tried.push(formatWireAddress(addresses.next()));
  return tried;
}

test("one address is a round of its own", () => {
  const addresses = make();
  assert.equal(addresses.more, false, "before the first");
  assert.equal(addresses.current, null);
  for (let i = 0; i < 3; i++) assert.deepEqual(round(addresses), ["leader:5500"]);
});

test("a round: the one that welcomed, the configured one, the others; each once, without this node", () => {
  const known = [
    nodeOf("c"),
    nodeOf("b", "alias:5500"),
    nodeOf("e", "node-b:5500"),
    nodeOf("f", null),
    nodeOf("0", ":5501"),
    nodeOf("1", "leader:5500"),
    nodeOf("2", "[fe80::1]:5501"),
  ];
  const addresses = make({ last: "old:5500", known: () => known });
  const all = ["old:5500", "leader:5500", "node-c:5500", "[fe80::1]:5501"];
  for (let i = 0; i < 3; i++) assert.deepEqual(round(addresses), all);
});

test("nodes that become known join the round that goes on", () => {
  const known: KnownNode[] = [], addresses = make({ known: () => known });
  addresses.next();
  assert.equal(addresses.more, false);
  known.push(nodeOf("c"));
  assert.equal(addresses.more, true);
  assert.equal(addresses.next().hostname, "node-c");
});

test("a configured leader that is this node is left out, unless there is no other", () => {
  const configured = { hostname: "node-b", port: 5500 }, known: KnownNode[] = [];
  const addresses = make({ configured, known: () => known });
  assert.deepEqual(round(addresses), ["node-b:5500"]);
  known.push(nodeOf("c"));
  assert.deepEqual(round(addresses), ["node-c:5500"]);
});

test("the address that welcomed comes first from then on", () => {
  const addresses = make({ last: "old:5500", known: () => [nodeOf("c")] });
  assert.equal(addresses.atLast, false);
  addresses.next();
  assert.equal(addresses.atLast, true);
  addresses.next();
  assert.equal(addresses.next().hostname, "node-c");
  assert.equal(addresses.atLast, false);
  addresses.welcomed();
  assert.equal(addresses.atLast, true);
  assert.equal(addresses.more, false, "the loss of a connection is no failed attempt of a round");
  assert.deepEqual(round(addresses), ["node-c:5500", "leader:5500"]);
});

test("a hint comes next and is no reason to leave out the others", () => {
  const addresses = make({ known: () => [nodeOf("c"), nodeOf("e")] });
  addresses.next();
  addresses.hint(nodeOf("e", null));
  assert.equal(addresses.more, true);
  assert.deepEqual(round(addresses), ["node-e:5500", "node-c:5500"]);
  for (const useless of [nodeOf("f", null), nodeOf("f", ":5501"), nodeOf("b"), nodeOf("f", "nonsense")]) {
    addresses.hint(useless);
    assert.equal(addresses.more, false);
  }
});

test("in one round only three hints are believed, until the stream works", () => {
  const addresses = make(),
    hint = (digit: string): string => {
      addresses.hint(nodeOf(digit));
      return addresses.more ? addresses.next().hostname : "none";
    };
  const hosts = (): string[] => ["c", "e", "c", "e"].map(hint);
  addresses.next();
  assert.deepEqual(hosts(), ["node-c", "node-e", "node-c", "none"]);
  addresses.welcomed();
  assert.equal(hint("e"), "none", "a welcome alone is no progress");
  addresses.progressed();
  assert.deepEqual(hosts(), ["node-c", "node-e", "node-c", "leader"], "the round goes on");
  addresses.next();
  assert.deepEqual(hosts(), ["node-c", "node-e", "node-c", "leader"], "a new round believes again");
});

test("what the program names comes next, however often, and a restart begins a round anew", () => {
  const addresses = make({ known: () => [nodeOf("c")] });
  for (let i = 0; i < 9; i++) {
    addresses.tryFirst({ hostname: "there", port: 1 });
    assert.equal(addresses.more, true);
    assert.equal(addresses.next().hostname, "there");
  }
  assert.deepEqual(round(addresses), ["leader:5500", "node-c:5500"]);
  addresses.restart();
  assert.deepEqual(round(addresses), ["leader:5500", "node-c:5500"]);
});
