/** Clients in a world that answers as the test wants. */
import assert from "node:assert/strict";
import test from "node:test";
import { chance } from "./chance.ts";
import { Client } from "./client.ts";
import { ClientMemory, OwnDocument } from "./client_memory.ts";
import { answered, failed, fakeClientWorld } from "./fake_client_world.ts";
import type { JudgedWrite } from "./requests.ts";
import { type Ask, type Reply, Violation } from "./types.ts";
import { requestKinds, usualWorkload, weighted, workloadOf } from "./workload.ts";

const machines = ["n1", "n2", "n3"];
const busy = (): Reply => failed(503, "busy");
const nothingBut = (kind: (typeof requestKinds)[number]) => ({
  ...usualWorkload,
  wander: 0,
  weights: {
    ...Object.fromEntries(requestKinds.map((name) => [name, 0])),
    [kind]: 1,
  } as typeof usualWorkload.weights,
});

test("no answer leaves a write open, nobody there means that nothing happened, and no tag is used twice", async () => {
  for (const [kind, outcome] of [["lost", "unknown"], ["refused", "refused"]] as const) {
    const world = fakeClientWorld(() => ({ kind }), { machines, required: 2 });
    const client = new Client(world, "c1", usualWorkload);
    for (const name of requestKinds) await client.ask(name);
    assert.deepEqual([world.violations, world.reads], [[], []]);
    const tags = world.writes.flatMap(({ documents }) => documents.map(({ tag }) => tag)).filter((tag) =>
      tag !== null
    );
    assert.equal(new Set(tags).size, tags.length);
    assert.ok(tags.length >= 8 && world.writes.some(({ drops }) => drops !== undefined));
    const bad = await lastWrite(kind);
    assert.equal(bad, "refused", "what is bad is never written");
    for (const write of world.writes.slice(0, 5)) {
      assert.deepEqual([write.outcome, write.required, write.position], [outcome, 2, null]);
      assert.ok(write.knownAt === write.sentAt + 1);
    }
  }
});

/** Outcome of a bad request that carries a document. */
async function lastWrite(kind: "lost" | "refused"): Promise<string | undefined> {
  const world = fakeClientWorld(() => ({ kind }));
  const client = new Client(world, "c1", nothingBut("bad"));
  while (world.writes.length === 0) await client.ask("bad");
  return world.writes.at(-1)?.outcome;
}

test("an answer that cannot be is a violation, and its write stays open", async () => {
  const world = fakeClientWorld(() => failed(500, "internal", { id: "1" }), { machines });
  await new Client(world, "c1", usualWorkload).ask("put");
  assert.match(
    String(world.violations[0]),
    /^Violation: client: .*500.*c1 asked n1 at 1.00: PUT \/collections\//,
  );
  assert.equal(world.writes[0]?.outcome, "unknown");
});

test("a bad request that is taken is a violation", async () => {
  const world = fakeClientWorld(() =>
    answered(200, { success: true }, { "x-dfdb-position": "1.00000001-1" })
  );
  await new Client(world, "c1", usualWorkload).ask("bad");
  assert.equal(world.violations.length, 1);
});

test("a client goes where it is sent, once, and otherwise to the leader that all believe in", async () => {
  const leader = "http://n2:5000";
  const world = fakeClientWorld(
    (_, url) =>
      url === "http://n1:5000"
        ? answered(421, { error: "no", code: "not_leader", leader }, { "x-dfdb-leader": leader })
        : busy(),
    { machines },
  );
  const client = new Client(world, "c1", { ...nothingBut("put"), followHint: 1 });
  for (let i = 0; i < 3; i++) await client.ask("put");
  assert.deepEqual(world.asked.map(({ url }) => url), ["http://n1:5000", leader, "http://n1:5000"]);
  await client.ask("misdirected");
  assert.notEqual(world.asked.at(-1)?.url, "http://n1:5000");
});

test("a client asks by its weights, thinks in between, and stops", async () => {
  const world = fakeClientWorld(busy, { machines });
  const client: Client = new Client(
    {
      ...world,
      get now() {
        return world.now;
      },
      request: (from, url, ask) => {
        if (world.asked.length === 50) client.stop();
        return world.request(from, url, ask);
      },
    },
    "c1",
    nothingBut("create"),
  );
  await client.run();
  assert.deepEqual([client.counts.asked.create, client.counts.outcomes.refused], [51, 51]);
  assert.ok(world.now > 51, "virtual time passed");
});

test("the same seed asks the same, another seed other things", async () => {
  const asks = async (seed: number): Promise<readonly Ask[]> => {
    const world = fakeClientWorld(busy, { machines, seed }), client = new Client(world, "c1", usualWorkload);
    for (let i = 0; i < 30; i++) await client.ask(weighted(usualWorkload.weights, chance(seed, `kind ${i}`)));
    return world.asked.map(({ ask }) => ask);
  };
  assert.deepEqual(await asks(1), await asks(1));
  assert.notDeepEqual(await asks(1), await asks(2));
});

test("every workload writes something, and none has a weight below zero", () => {
  for (let seed = 0; seed < 300; seed++) {
    const { weights, collections, bulkMax, operationsMax } = workloadOf(chance(seed, "workload"));
    const { put, create, own, insert, bulk, transaction } = weights;
    assert.ok(put + create + own + insert + bulk + transaction > 0, `${seed}`);
    assert.ok(
      Math.min(...Object.values(weights)) >= 0 && collections >= 1 && bulkMax >= 2 && operationsMax >= 2,
    );
  }
});

const run = "1.00000001", other = "2.00000002";

function written(seq: number, ifMatch?: string, term = run): JudgedWrite {
  return {
    documents: [{ collection: "orders", id: "a", tag: `t${seq}` }],
    outcome: "promised",
    position: `${term}-${seq}`,
    ...(ifMatch === undefined ? {} : { ifMatch }),
  };
}

test("a client knows which promises contradict each other", () => {
  const learn = (...writes: readonly JudgedWrite[]): void => {
    const memory = new ClientMemory();
    for (const write of writes) {
      memory.learn({ writes: [write], reads: [], end: { position: write.position ?? "", own: true } });
    }
  };
  learn(written(3), written(5, `${run}-3`), written(6, `${run}-5`), written(4, `${run}-3`, other));
  assert.throws(
    () => learn(written(3), written(5), written(6, `${run}-3`)),
    Violation,
    "it was replaced by 5",
  );
  assert.throws(() => learn(written(3, `${run}-9`)), Violation, "an etag to come");
  assert.throws(() => learn(written(5), written(5)), Violation, "one position twice");
  assert.throws(() => learn(written(5), written(4)), Violation, "positions go back");
});

test("a document of a client's own changes by this client only", () => {
  const own = new OwnDocument("c1"), first = own.target;
  assert.equal(own.demand, "absent");
  own.learn({ writes: [written(3)] });
  assert.deepEqual(own.demand, { etag: `${run}-3` });
  const refused = { writes: [{ ...written(0), outcome: "refused", position: null } as const] };
  own.learn(refused); // it was busy
  assert.deepEqual([own.demand, own.target], [{ etag: `${run}-3` }, first]);
  assert.throws(() => own.learn({ ...refused, actual: `${run}-4` }), Violation);
  assert.notDeepEqual(own.target, first);
  assert.throws(
    () => own.learn({ ...refused, actual: `${other}-9` }),
    Violation,
    "it is there before it was written",
  );
  own.learn({ writes: [written(8)] });
  own.learn({ ...refused, actual: `${run}-7` }); // an older leader's history
  own.learn({ writes: [written(9)] });
  own.learn({ ...refused, actual: null });
  assert.equal(own.demand, "absent");
  own.learn({ writes: [{ ...written(0), outcome: "unknown", position: null }] });
  assert.equal(own.demand, "absent", "what may be written late is left alone");
});
