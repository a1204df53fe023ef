/** Clients against the real HTTP API on a real storage, in process. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { TestNode } from "../suites/http_fixture.ts";
import { directTransport, told, withNode } from "../suites/http_fixture.ts";
import { patient } from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { bad, badRequests } from "./bad_requests.ts";
import { told as judged } from "./answers.ts";
import { chance } from "./chance.ts";
import { Client } from "./client.ts";
import type { FakeClientWorld } from "./fake_client_world.ts";
import { fakeClientWorld } from "./fake_client_world.ts";
import type { Answer, Reply } from "./types.ts";
import type { RequestKind, WorkloadOptions } from "./workload.ts";
import { collectionNames, isExtra, requestKinds, usualWorkload, workloadOf } from "./workload.ts";

const runtime = currentRuntime(), transport = directTransport();

async function answerOf(response: Response | Promise<Response>): Promise<Answer> {
  const { status, headers } = await response;
  return { status, headers, text: await (await response).text() };
}

/** A leader `n1`, and `n2` that says it follows it and holds nothing. */
async function pair(
  run: (world: FakeClientWorld, leader: TestNode) => Promise<void>,
  around: (given: HttpDependencies) => HttpDependencies = (given) => given,
  seed = 1,
): Promise<void> {
  await withNode(
    runtime,
    transport,
    { around },
    (leader) =>
      withNode(runtime, transport, {}, async (follower) => {
        follower.state.role = "follower";
        follower.state.leaderHttpUrl = "http://n1:5000";
        const world = fakeClientWorld(async ({ method, path, body, headers }, url): Promise<Reply> => {
          const node = url === "http://n1:5000" ? leader : follower;
          const options = { headers: headers ?? {}, ...(body === undefined ? {} : { body }) };
          return { kind: "answer", answer: await answerOf(node.request(method, path, options)) };
        }, { seed, machines: ["n1", "n2"] });
        await run(world, leader);
      }),
  );
}

async function requests(world: FakeClientWorld, count: number, options: WorkloadOptions): Promise<Client> {
  const client = new Client(world, "c1", options),
    kinds = requestKinds.filter((kind) => options.weights[kind] > 0);
  for (let i = 0; i < count; i++) await client.ask(kinds[i % kinds.length] as RequestKind);
  return client;
}

/** Tag of each document that the node has, by collection and id. */
async function content(node: TestNode, options: WorkloadOptions): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const collection of [...collectionNames(options), "own"]) {
    const { body } = await told(node.request("GET", `/collections/${collection}?limit=10000`));
    for (const { _id, tag } of body["documents"]) found.set(`${collection}/${_id}`, tag);
  }
  return found;
}

/** What the only client of a world was promised comes to. */
function promisedBy(world: FakeClientWorld): Map<string, string> {
  const state = new Map<string, string>();
  for (const { outcome, documents, drops } of world.writes) {
    if (outcome !== "promised") continue;
    for (const key of drops === undefined ? [] : [...state.keys()]) {
      if (key.startsWith(`${drops}/`)) state.delete(key);
    }
    for (const { collection, id, tag } of documents) {
      if (tag === null) state.delete(`${collection}/${id}`);
      else state.set(`${collection}/${id}`, tag);
    }
  }
  return state;
}

test(
  "a client of the real API finds nothing wrong, asks everything, and knows what the database holds",
  patient,
  () =>
    pair(async (world, leader) => {
      const options = { ...usualWorkload, collections: 3, largeRate: 0.05, largeBytes: 100_000 };
      const client = await requests(world, 400, options);
      assert.deepEqual(world.violations.map(String), []);
      assert.ok(
        requestKinds.every((kind) => isExtra(kind) || client.counts.asked[kind] > 10),
        JSON.stringify(client.counts),
      );
      assert.ok(client.counts.outcomes.promised > 150, JSON.stringify(client.counts));
      assert.deepEqual([client.counts.outcomes.unknown, client.counts.outcomes.kept], [0, 0]);
      const sorted = (map: Map<string, string>): unknown => [...map].sort();
      assert.deepEqual(sorted(await content(leader, options)), sorted(promisedBy(world)));
      assert.ok(
        world.reads.some(({ seen }) => seen !== null) && world.reads.some(({ seen }) => seen === null),
      );
      assert.ok(world.writes.some(({ ifMatch, outcome }) => ifMatch !== undefined && outcome === "promised"));
      assert.ok(world.writes.some(({ ifMatch, outcome }) => ifMatch !== undefined && outcome === "refused"));
    }),
);

test("workloads of many seeds run without a violation, with slices of every size", patient, async () => {
  const own = limits as { bulkSliceDocuments: number; sliceOperations: number }, before = { ...limits };
  try {
    for (let seed = 1; seed <= 12; seed++) {
      own.bulkSliceDocuments = [1, 5, 500][seed % 3] as number;
      own.sliceOperations = seed % 2 === 0 ? 2 : 500;
      const options = { ...workloadOf(chance(seed, "workload")), largeBytes: 20_000 };
      await pair(
        async (world) => {
          await requests(world, 60, options);
          assert.deepEqual(world.violations.map((violation) => `${seed}: ${violation}`), []);
        },
        undefined,
        seed,
      );
    }
  } finally {
    Object.assign(own, before);
  }
});

/** Lets some writes fail: before they are made, or after. */
function failing(seed: number): (given: HttpDependencies) => HttpDependencies {
  const draw = chance(seed, "failures");
  return (given) => {
    const submit: HttpDependencies["engine"]["submit"] = async (plan) => {
      if (draw.flip(0.05)) throw new DfdbError(draw.pick(["read_only", "busy", "disk_full"]), "not now");
      const done = await given.engine.submit(plan);
      if (draw.flip(0.05)) throw new DfdbError("outcome_unknown", "nobody knows");
      if (draw.flip(0.9)) return done;
      const details = { seq: done.position.seq, required: 1, achieved: 0 };
      throw new DfdbError("replication_timeout", "not confirmed", { details });
    };
    return { ...given, engine: { ...given.engine, committed: given.engine.committed, submit } };
  };
}

test("every failure of a write is told as what it means", patient, () =>
  pair(
    async (world, leader) => {
      const weights = { ...usualWorkload.weights, drop: 0 }, options = { ...usualWorkload, weights };
      const client = await requests(world, 600, options);
      assert.deepEqual(world.violations.map(String), []);
      const { outcomes } = client.counts;
      assert.ok(Math.min(outcomes.kept, outcomes.unknown, outcomes.refused) > 5, JSON.stringify(outcomes));
      const there = new Set((await content(leader, options)).values());
      for (const { outcome, documents } of world.writes) {
        if (outcome !== "refused") continue;
        for (const { tag } of documents) assert.ok(tag === null || !there.has(tag), `${tag} was refused`);
      }
    },
    failing(1),
  ));

test(
  "each bad request is refused by a leader and by a follower",
  patient,
  () =>
    pair(async (world, leader) => {
      const draw = chance(1, "bad"), content = { tag: "t", text: '{"tag":"t"}' };
      for (let number = 0; number < badRequests; number++) {
        const request = bad({ collection: "orders", id: "a" }, content, draw, number);
        for (const machine of ["n1", "n2"]) {
          const reply = await world.request("test", world.url(machine), request.ask);
          assert.ok(reply.kind === "answer");
          request.judge(judged(reply.answer));
        }
      }
      assert.equal(leader.storage.log.last.seq, 0);
    }),
);
