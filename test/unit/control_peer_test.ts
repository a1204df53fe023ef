/** One node asks another what it is: against the real listener, and against peers that misbehave. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { databaseIdOf, nodeIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { askPeer, type AskPeerOptions, type PeerState } from "../../src/replication/control_peer.ts";
import type { Connection } from "../../src/runtime/net.ts";
import { channel } from "../../src/wire/channel.ts";
import type { Message } from "../../src/wire/message.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf, leaderPort, Rig, stateOf, theDatabase } from "../tool/replication_rig.ts";

const id = "6".repeat(32);

interface Asked {
  state: PeerState | null;
  error: DfdbError | null;
  contacts: number;
}

/** Node b asks; what has become of it so far. */
function ask(rig: Rig, changes: Partial<AskPeerOptions> = {}): Asked {
  const asked: Asked = { state: null, error: null, contacts: 0 };
  askPeer({
    runtime: rig.runtime,
    peer: { hostname: "leader", port: leaderPort },
    tls: null,
    secret: null,
    identity: identityOf("b", { wireAddress: ":5501", silenceMs: 9_000 }),
    databaseId: theDatabase,
    log: rig.database(2),
    leads: null,
    leader: null,
    handover: null,
    timeoutMs: 1_000,
    onContact: () => void asked.contacts++,
    ...changes,
  }).then((state) => void (asked.state = state), (error) => void (asked.error = error));
  return asked;
}

async function settled(rig: Rig, asked: Asked): Promise<Asked> {
  await rig.clock.until(() => asked.state !== null || asked.error !== null, "an answer");
  return asked;
}

test("each side hears what the other is", async () => {
  const rig = new Rig(), database = rig.database(3), newer = rig.database(2);
  const wireAddress = ":5500", outcome = { id, outcome: "promoted" } as const;
  const server = await rig.lead(database, {
    secret: "s",
    statement: () => ({ ...stateOf(database), wireAddress, handover: outcome }),
  });
  newer.lead(7, runOf("7"));
  const leads = newer.terms[1] ?? null;
  const { state, contacts } = await settled(rig, ask(rig, { secret: "s", log: newer, leads, handover: id }));
  assert.deepEqual(state, {
    ...stateOf(database),
    nodeId: identityOf("a").nodeId,
    databaseId: theDatabase,
    wireAddress: "leader:5500",
    handover: outcome,
  });
  assert.equal(contacts, 1, "once, at the first byte");
  const [claim] = rig.claims;
  assert.deepEqual([claim?.leads, claim?.newest, claim?.follows], [leads, leads, false]);
  assert.match(claim?.peer.wireAddress ?? "", /^.+:5501$/);
  await rig.clock.settle();
  assert.equal(rig.clock.timers, 0, "nothing is left of it");
  await server.close();
});

test("a node without data asks, whatever database it will become", async () => {
  const rig = new Rig(), server = await rig.lead(rig.database(3));
  const log = new FakeDatabase(), databaseId = databaseIdOf("e".repeat(32));
  assert.equal((await settled(rig, ask(rig, { log, databaseId }))).state?.role, "leader");
  assert.equal(rig.claims[0]?.newest, null);
  await server.close();
});

test("either side refuses, and that is contact", async () => {
  const cases: [code: string, leader: { secret?: string }, asker: Partial<AskPeerOptions>][] = [
    ["bad_secret", { secret: "s" }, {}],
    ["bad_secret", {}, { secret: "s" }],
    ["bad_secret", { secret: "s" }, { secret: "t" }],
    ["wrong_database", {}, { databaseId: databaseIdOf("e".repeat(32)) }],
    ["wrong_database", {}, { identity: identityOf("b", { database: "orders" }) }],
    ["self", {}, { identity: identityOf("a") }],
  ];
  for (const [code, leader, asker] of cases) {
    const rig = new Rig(), server = await rig.lead(rig.database(3), leader);
    const { error, contacts } = await settled(rig, ask(rig, asker));
    assert.deepEqual([error?.code, contacts, rig.claims.length], [code, 1, 0]);
    await server.close();
  }
});

test("a node whose statement fails says why", async () => {
  const rig = new Rig();
  const statement = () => Promise.reject(new DfdbError("closing", "the node stops"));
  const server = await rig.lead(rig.database(3), { statement });
  assert.equal((await settled(rig, ask(rig))).error?.code, "closing");
  await server.close();
});

test("nobody there is unreachable, and no contact", async () => {
  const rig = new Rig(), { error, contacts } = await settled(rig, ask(rig));
  assert.deepEqual([error?.code, contacts], ["unreachable", 0]);
});

/** A listener that does with each connection what the test says. */
async function listen(rig: Rig, serve: (connection: Connection) => unknown): Promise<void> {
  const listener = await rig.net.listen({ hostname: "localhost", port: leaderPort, tls: null });
  void (async () => {
    for await (const connection of listener) serve(connection);
  })();
}

const says = (...messages: Message[]) => async (connection: Connection): Promise<void> => {
  const wire = channel({ connection, bodyBytesMax: limits.frameBytesMax, onBytes: () => {} });
  await wire.receive();
  for (const message of messages) await wire.send(message);
};

test("a peer that accepts and is silent is no contact, and costs the time that was given", async () => {
  const rig = new Rig();
  await listen(rig, () => {});
  const asked = ask(rig);
  await rig.clock.advance(999);
  assert.deepEqual({ ...asked }, { state: null, error: null, contacts: 0 });
  await rig.clock.advance(1);
  assert.deepEqual([asked.error?.code, asked.contacts], ["timeout", 0]);
  assert.equal(rig.clock.timers, 0);
});

test("a peer that says half of it is contact", async () => {
  const rig = new Rig();
  const challenge: Message = {
    type: "challenge",
    version: 2,
    nodeId: nodeIdOf("a".repeat(32)),
    databaseId: theDatabase,
    nonce: new Uint8Array(32),
  };
  await listen(rig, says(challenge));
  const { error, contacts } = await settled(rig, ask(rig));
  assert.deepEqual([error?.code, contacts], ["timeout", 1]);
});

test("nonsense, an early end, and a version that is not spoken", async () => {
  const challenge = { type: "challenge", nodeId: nodeIdOf("a".repeat(32)), databaseId: theDatabase } as const;
  const nonce = new Uint8Array(32);
  const cases: [code: string, serve: (connection: Connection) => unknown][] = [
    ["bad_frame", says({ type: "proof" })],
    ["bad_frame", async ({ writable }) => {
      await writable.getWriter().write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    }],
    ["unreachable", ({ writable }) => writable.close()],
    ["unreachable", (connection) => connection.abort(new Error("cut"))],
    ["version", says({ ...challenge, version: 9, nonce })],
    ["not_leader", says({ type: "refused", code: "not_leader", message: "no", details: {} })],
  ];
  for (const [code, serve] of cases) {
    const rig = new Rig();
    await listen(rig, serve);
    assert.equal((await settled(rig, ask(rig))).error?.code, code);
    await rig.clock.advance(2_000);
    assert.equal(rig.clock.timers, 0, code);
  }
});

test("a question can be given up, before and while it is asked", async () => {
  for (const before of [true, false]) {
    const rig = new Rig(), stop = new AbortController();
    await listen(rig, () => {});
    if (before) stop.abort();
    const asked = ask(rig, { signal: stop.signal });
    await rig.clock.settle();
    stop.abort();
    await rig.clock.settle();
    assert.equal(asked.error?.code, "going_away");
    assert.equal(rig.clock.timers, 0);
  }
});
