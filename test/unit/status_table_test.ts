import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import type { NodeStatus } from "../../src/cli/node_status.ts";
import type { Asked } from "../../src/cli/status_table.ts";
import { statusTable } from "../../src/cli/status_table.ts";
import { cut, duration, number, plain, table } from "../../src/cli/table.ts";
import { byBytes } from "../../src/cli/verify_documents.ts";
import type { CollectionSum, NodeReport } from "../../src/cli/verify_report.ts";
import { verifyJson, verifyText } from "../../src/cli/verify_report.ts";

const wide = { columns: null, colours: false };

function status(more: Partial<NodeStatus>): NodeStatus {
  return {
    node: "alpha",
    nodeId: "a".repeat(32),
    databaseId: "d".repeat(32),
    role: "leader",
    readOnly: false,
    readOnlyReason: null,
    position: "2.9f3c11aa-12345",
    term: { epoch: 2, run: "9f3c11aa".repeat(4) },
    log: { lastSeq: 12_345 },
    leader: { followers: [] },
    follower: { state: null, lagSeq: null, lagMs: null, lastError: null },
    ...more,
  };
}

const asked = (more: Partial<NodeStatus>): Asked => ({
  url: "http://a:5000",
  status: status(more),
  error: null,
});

const follower = {
  nodeName: "beta",
  endpoint: "10.0.0.2:40000",
  state: "streaming",
  ackedSeq: 12_345,
  lagSeq: 0,
  lagMs: 0,
};

const nodes: readonly Asked[] = [
  asked({
    readOnly: true,
    readOnlyReason: "behind_followers",
    leader: {
      followers: [follower, {
        ...follower,
        nodeName: "gamma",
        state: "snapshot",
        ackedSeq: 0,
        lagSeq: 12_345,
        lagMs: 60_000,
        snapshot: { bytes: 300, acked: 100 },
      }],
    },
  }),
  asked({
    node: "beta\u001b[2J",
    role: "follower",
    follower: {
      state: "catching_up",
      lagSeq: 1_000,
      lagMs: 250,
      lastError: {
        code: "timeout",
        message: "the leader was silent for 10000 ms",
        at: "2026-01-02T03:04:05.000Z",
      },
    },
  }),
  asked({ node: "lone", role: "none", term: { epoch: 0, run: "0".repeat(32) }, log: { lastSeq: 0 } }),
  { url: "http://c:5000", status: null, error: "nobody answers at http://c:5000 (refused)" },
];

test("status: leaders with their followers, reasons and errors below, unreachable nodes as such", () => {
  assert.equal(
    statusTable(nodes, wide),
    `NODE           ROLE      STATE          TERM           SEQ     LAG  LAG MS  FOLLOWERS
alpha          LEADER    read-only      2.9f3c11aa  12,345                          2
├ beta                   streaming      acked       12,345       0       0
└ gamma                  snapshot 33 %  acked            0  12,345  60,000
  read-only: behind_followers: this node lacks entries that its followers may hold (dfdb accept-loss gives them up)
beta?[2J       FOLLOWER  catching up    2.9f3c11aa  12,345   1,000     250
  last error at 2026-01-02T03:04:05.000Z: timeout: the leader was silent for 10000 ms
lone           none      read-write     -                0
http://c:5000  -         NO STATUS
  nobody answers at http://c:5000 (refused)
`,
  );
});

/** Fields that older nodes do not tell. */
const more = (fields: object): Asked => asked(fields as Partial<NodeStatus>);

const cluster: readonly Asked[] = [
  more({
    roleOrigin: "failover",
    configuredRole: "follower",
    readOnly: true,
    readOnlyReason: "handover",
    leader: { followers: [{ ...follower, nodeId: "b".repeat(32) }] },
    handover: {
      id: "1",
      step: "catching_up",
      to: { nodeId: "b".repeat(32), nodeName: "beta" },
      finalSeq: 12_345,
      targetSeq: 12_300,
      sinceMs: 1_240,
    },
    nodes: [
      { nodeId: "b".repeat(32), nodeName: "beta", httpUrl: "http://b:5000", candidate: true, seenMs: 1 },
      { nodeId: "c".repeat(32), nodeName: "gamma", httpUrl: "http://c:5000", candidate: true, seenMs: 1e12 },
      { nodeId: "e".repeat(32), nodeName: "eps", httpUrl: null, wireAddress: "e:5500", seenMs: 0 },
    ],
    authority: { kind: "etcd", holds: true },
  }),
  more({
    node: "beta",
    role: "follower",
    follower: { state: "streaming", lagSeq: 0, lagMs: 0, lastError: null },
    roleOrigin: "settings",
    handover: null,
    autoFailover: {
      silenceSeconds: 10,
      newLeaderPort: 5500,
      state: "barred",
      reason: "this node is 20000 entries behind, more than 10000",
      silentMs: 12_300,
    },
    nodes: [],
    authority: { kind: "silence", holds: true },
  }),
  more({
    node: "gamma",
    role: "follower",
    readOnly: true,
    readOnlyReason: "operator",
    follower: { state: "streaming", lagSeq: 0, lagMs: 0, lastError: null },
    roleOrigin: "fenced",
    configuredRole: "leader",
    autoFailover: { silenceSeconds: 0.5, newLeaderPort: null, state: "watching", reason: null, silentMs: 40 },
  }),
];

test("status: handover, failover, how a node came to its role, and nodes that are away", () => {
  const notes = statusTable(cluster, wide).split("\n").filter((line) => line.startsWith("  "));
  assert.deepEqual(notes, [
    "  leader: promoted by auto-failover; configured as follower",
    "  read-only: handover: it hands its leadership over",
    "  handover to beta: catching up, final position 12,345, the target is at 12,300, since 1.2 s",
    "  who leads is decided by etcd; this node",
    "  also knows gamma (auto-failover, http://c:5000, met 2001-09-09T01:46:40Z), eps (e:5500, never met)",
    "  auto-failover after 10s (new port :5500): may not take over: this node is 20000 entries behind, more than 10000, silent for 12.3 s",
    "  follower: another node leads a higher epoch; configured as leader",
    "  read-only, also once it leads: operator: until POST /replication/read-write",
    "  auto-failover after 0.5s: watches the leader, silent for 40 ms",
  ]);
});

test("status: who is ahead of whom, on both sides, and what to do", () => {
  const notes = (status: object): string[] =>
    statusTable([asked(status as object)], wide).trimEnd().split("\n").slice(2);
  const id = "b".repeat(32), advice = "do this";
  const refused = [
    { nodeId: id, nodeName: "beta\u001b", code: "ahead", position: "2.9f3c11aa-12350", advice },
    { nodeId: "c".repeat(32), nodeName: "gamma", code: "corrupt", position: "2.9f3c11aa-7" },
  ];
  assert.deepEqual(notes({ leader: { followers: [], refused } }), [
    `  ahead of this node, which is at 2.9f3c11aa-12345: beta? (${id}), at 2.9f3c11aa-12350`,
    "  do this",
  ]);
  const follows = (leader: object): string[] =>
    notes({
      role: "follower",
      follower: { state: "ahead", lagSeq: null, lagMs: null, lastError: null, ahead: { leader, advice } },
    });
  assert.deepEqual(follows({ nodeId: id, nodeName: "beta", position: "2.9f3c11aa-9" }), [
    `  ahead of its leader beta (${id}), at 2.9f3c11aa-9: this node is at 2.9f3c11aa-12345`,
    "  do this",
  ]);
  assert.deepEqual(
    follows({ nodeId: id, nodeName: null, position: null })[0],
    `  ahead of its leader ${id}: this node is at 2.9f3c11aa-12345`,
  );
});

test("status: conflicts, and other masters that cannot be reached", () => {
  const lastError = { code: "unreachable", message: "nobody answers" };
  const destinations = [
    { url: "http://b:1", failureCount: 0, lastError },
    { url: "http://c:1", failureCount: 1_200, lastError },
  ];
  const notes = (masters: object | null): string[] =>
    statusTable([asked({ masters } as object)], wide).trimEnd().split("\n").slice(2);
  assert.deepEqual(notes({ conflicts: 3, destinations }), [
    "  in conflict: 3",
    "  master http://c:1 failed 1,200 times in a row: unreachable: nobody answers",
  ]);
  assert.deepEqual(notes({ conflicts: 0, destinations: destinations.slice(0, 1) }), notes(null));
});

test("status: whatever a node of another version tells in these fields, or does not, a table comes", () => {
  const names = ["handover", "autoFailover", "nodes", "authority", "roleOrigin", "configuredRole", "leader"];
  const odd = [undefined, null, 0, NaN, "", "x", true, [], {}, [null], [{}], ["x"], [{ nodeName: 7 }], {
    to: 1,
  }, {
    step: 1,
    state: [],
    kind: {},
    followers: "none",
    sinceMs: "long",
  }];
  for (const name of names) {
    for (const value of odd) {
      if (name === "leader" && (typeof value !== "object" || value === null)) continue;
      const text = statusTable([more({ [name]: value }), more({ role: "follower", [name]: value })], wide);
      assert.match(text, /^alpha +LEADER .*read-write/m, `${name}: ${JSON.stringify(value)}`);
      assert.match(text, /^alpha +FOLLOWER /m);
    }
  }
});

test("table: durations", () => {
  assert.deepEqual([0, 999.4, 1_000, 59_940, 59_960, 125_000].map(duration), [
    "0 ms",
    "999 ms",
    "1.0 s",
    "59.9 s",
    "1 min 0 s",
    "2 min 5 s",
  ]);
});

test("status: no line is wider than the terminal, whatever its width, and colours change no text", () => {
  for (let columns = 1; columns <= 120; columns++) {
    const text = statusTable([...nodes, ...cluster], { columns, colours: false });
    for (const line of text.split("\n")) assert.ok(line.length <= columns, `${columns}: ${line}`);
    const coloured = statusTable([...nodes, ...cluster], { columns, colours: true });
    // deno-lint-ignore no-control-regex -- the colours are what is taken out
    assert.equal(coloured.replace(/\u001b\[\d+m/g, ""), text);
    assert.ok(columns < 20 || coloured.length > text.length);
  }
});

test("table: flexible columns give way first, with a mark where text was cut off", () => {
  const columns = [{ title: "NAME", flexible: true }, { title: "N", right: true }];
  const rows = [["a-very-long-name", "1"], ["b", "1,000"]];
  assert.equal(
    table(columns, rows, { columns: 15, colours: false }),
    "NAME          N\na-very-…      1\nb         1,000\n",
  );
  assert.equal(cut("abc", 3) + cut("abc", 2) + cut("abc", 1) + cut("abc", 0), "abca……");
  assert.deepEqual([0, 999, 1_000, 1_234_567, null].map(number), ["0", "999", "1,000", "1,234,567", "-"]);
  assert.equal(plain("a\u001b[31m\nb\u0085ü"), "a?[31m?b?ü");
});

function report(label: string, role: string, collections: Record<string, CollectionSum>): NodeReport {
  const found = new Map(Object.entries(collections));
  const documents = [...found.values()].reduce((sum, { count }) => sum + count, 0);
  const url = `http://${label}:5000`, checksum = documents.toString(16).padStart(16, "0");
  return {
    label,
    url,
    role,
    position: "1.0a1b2c3d-42",
    found: true,
    documents,
    checksum,
    collections: found,
    indexes: { checked: 0, damaged: [], unchecked: [] },
  };
}

const sum = (count: number, digit: string, keptCount = count): CollectionSum => ({
  count,
  keptCount,
  checksum: digit.repeat(16),
  indexes: [],
});

test("verify: equal nodes in two tables and one word", () => {
  const collections = { orders: sum(1_000, "a") };
  const both = [report("alpha", "leader", collections), report("beta", "follower", collections)];
  const found = both.map(() => collections.orders);
  const text = verifyText({
    equal: true,
    position: "1.0a1b2c3d-42",
    reference: "alpha",
    nodes: both,
    collections: [{ collection: "orders", equal: true, found, documents: [], indexes: [] }],
  }, wide);
  assert.equal(
    text,
    `at position 1.0a1b2c3d-42

NODE   ROLE      URL                DOCUMENTS  CHECKSUM          RESULT
alpha  leader    http://alpha:5000      1,000  00000000000003e8  reference
beta   follower  http://beta:5000       1,000  00000000000003e8  equal

COLLECTION  DOCUMENTS  CHECKSUM          RESULT
orders          1,000  aaaaaaaaaaaaaaaa  equal

EQUAL: 1 collection, 1,000 documents, 2 nodes
`,
  );
});

test("verify: what differs is named, and counts that are wrong", () => {
  const mine = { orders: sum(3, "a"), people: sum(2, "b") };
  const nodes = [
    report("alpha", "leader", mine),
    report("beta", "follower", { orders: sum(3, "a", 4) }),
  ];
  const different = {
    equal: false,
    position: "1.0a1b2c3d-42",
    reference: "alpha",
    nodes,
    collections: [
      { collection: "orders", equal: true, found: [mine.orders, sum(3, "a", 4)], documents: [], indexes: [] },
      {
        collection: "people",
        equal: false,
        found: [mine.people, null],
        documents: [{ node: "beta", count: 3, missing: ["x"], extra: ["z"], different: [] }],
        indexes: [],
      },
    ],
  };
  assert.equal(
    verifyText(different, wide),
    `at position 1.0a1b2c3d-42

NODE   ROLE      URL                DOCUMENTS  CHECKSUM          RESULT
alpha  leader    http://alpha:5000          5  0000000000000005  reference
beta   follower  http://beta:5000           3  0000000000000003  DIFFERENT in 1

COLLECTION  DOCUMENTS  CHECKSUM          RESULT
orders              3  aaaaaaaaaaaaaaaa  equal
people              2  bbbbbbbbbbbbbbbb  DIFFERENT
  on beta           -  not there

people: 3 documents of beta differ from alpha
  missing on beta: x
  only on beta: z
  and 1 more (see --limit)

beta counts 4 documents in orders, but has 3

DIFFERENT: 2 collections, 5 documents, 2 nodes
`,
  );
  const told = JSON.parse(verifyJson(different)) as {
    collections: { nodes: unknown[]; differences: unknown[] }[];
  };
  assert.deepEqual(told.collections[1]?.nodes[1], {
    node: "beta",
    count: null,
    keptCount: null,
    checksum: null,
    indexes: null,
  });
  assert.equal(told.collections[1]?.differences.length, 1);
});

test("ids are ordered by their UTF-8 bytes, as the nodes list them", () => {
  const ids = ["a", "b", "aa", "ü", "\ud7ff", "\ue000", "\uffff", "😀", "𐀀", "a😀", "a\uffff", ""];
  const wanted = [...ids].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
  assert.deepEqual([...ids].sort(byBytes), wanted);
});
