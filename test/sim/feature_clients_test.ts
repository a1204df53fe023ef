/** Clients that use everything, against the real HTTP API on a real storage, with all that they were told held against the log. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { NodeOptions } from "../suites/http_fixture.ts";
import { directTransport, withNode } from "../suites/http_fixture.ts";
import { patient } from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { mine } from "../tool/shared_out.ts";
import { chance } from "./chance.ts";
import { Client } from "./client.ts";
import { checkContent } from "./content_check.ts";
import { DeletionsCheck } from "./deletions_check.ts";
import type { FakeClientWorld } from "./fake_client_world.ts";
import { fakeClientWorld } from "./fake_client_world.ts";
import { allFeatures, type Features, noFeatures } from "./features.ts";
import { History } from "./history.ts";
import { Promises } from "./promises.ts";
import { checkRead, checkState } from "./read_check.ts";
import { Replay } from "./replay.ts";
import { RulesCheck } from "./rules_check.ts";
import type { Observed, Reply } from "./types.ts";
import type { RequestKind } from "./workload.ts";
import { isExtra, requestKinds, usualWorkload, withFeatures } from "./workload.ts";
import { WrittenTags } from "./written_tags.ts";

interface Told {
  readonly world: FakeClientWorld;
  readonly client: Client;
  readonly counts: Readonly<Record<string, number>>;
}

interface Asking {
  readonly seed: number;
  readonly count: number;
  readonly features: Features;
  /** Default: true. */
  readonly drops?: boolean;
  readonly around?: NodeOptions["around"];
  /** Whether the answer gets lost. */
  readonly loses?: () => boolean;
}

/** `count` requests of one client, one after the other, with all checkers. */
async function asked(
  { seed, count, features, drops = true, around, loses = () => false }: Asking,
): Promise<Told> {
  let told: Told | null = null;
  const options = around === undefined ? {} : { around };
  await withNode(currentRuntime(), directTransport(), options, async (node) => {
    const world = fakeClientWorld(async ({ method, path, body, headers }): Promise<Reply> => {
      const sent = { headers: headers ?? {}, ...(body === undefined ? {} : { body }) };
      const response = await node.request(method, path, sent), text = await response.text();
      if (loses()) return { kind: "lost" };
      return { kind: "answer", answer: { status: response.status, headers: response.headers, text } };
    }, { seed });
    const history = new History(() => world.now),
      replay = new Replay(history),
      tags = new WrittenTags(history);
    const rules = new RulesCheck({ history, replay }), deletions = new DeletionsCheck({ history, replay });
    const promises = new Promises({ history, replay, tags, deletions });
    const checked = { history, replay, tags };
    const observed: Observed = {
      machine: "n1",
      process: "n1#0",
      nodeId: "a".repeat(32),
      storage: node.storage,
      followers: () => [],
    };
    const workload = withFeatures({ ...usualWorkload, collections: 3 }, features, chance(seed, "features"));
    const client = new Client(world, "c1", workload), { weights } = workload;
    const kinds = requestKinds.filter((kind) => weights[kind] > 0 && (drops || kind !== "drop"));
    for (let i = 0, writes = 0, reads = 0, states = 0; i < count; i++) {
      await client.ask(kinds[i % kinds.length] as RequestKind);
      history.observe(observed);
      assert.deepEqual(world.violations.map(String), []);
      for (; writes < world.writes.length; writes++) promises.record(world.writes[writes] as never);
      for (; reads < world.reads.length; reads++) checkRead(world.reads[reads] as never, checked);
      for (; states < world.states.length; states++) checkState(world.states[states] as never, checked);
    }
    promises.final({ leader: observed, rescued: [], mayLack: () => false });
    deletions.final();
    checkContent(observed, checked);
    told = { world, client, counts: { ...rules.counts, ...deletions.counts, promised: promises.count } };
  });
  return told as never;
}

test("whoever uses everything finds nothing wrong, and everything is answered", patient, async () => {
  const { client, counts, world } = await asked({ seed: 1, count: 450, features: allFeatures, drops: false });
  const { answers, outcomes } = client.counts;
  const expected = requestKinds.filter(isExtra).map((kind) => `${kind} done`);
  const refused = ["byField not_found", "conditional condition_failed", "patch precondition_failed"];
  for (const name of [...expected, ...refused]) {
    assert.ok((answers[name] ?? 0) > 0, `${name}: ${JSON.stringify(answers)}`);
  }
  assert.ok(Object.keys(answers).some((name) => name.endsWith(" schema_violation")), JSON.stringify(answers));
  assert.ok(outcomes.promised > 150 && outcomes.refused > 30, JSON.stringify(outcomes));
  assert.ok(Math.min(counts["unique"] ?? 0, counts["schema"] ?? 0, counts["remembered"] ?? 0) > 10);
  assert.ok(world.states.length > 50 && world.writes.some(({ repeated }) => repeated === true));
});

test("each feature alone, and none", patient, async () => {
  for (const [i, name] of mine([...Object.keys(noFeatures), "none"]).entries()) {
    const { client } = await asked({ seed: 10 + i, count: 60, features: { ...noFeatures, [name]: true } });
    assert.ok(client.counts.outcomes.promised > 12, name);
  }
});

/** Lets some writes fail, before they are made or after. */
function failing(seed: number): (given: HttpDependencies) => HttpDependencies {
  const draw = chance(seed, "failures");
  return (given) => {
    const submit: HttpDependencies["engine"]["submit"] = async (plan) => {
      if (plan.bytes > 0 && draw.flip(0.05)) throw new DfdbError("busy", "not now");
      const done = await given.engine.submit(plan);
      if (plan.bytes > 0 && draw.flip(0.05)) throw new DfdbError("outcome_unknown", "nobody knows");
      return done;
    };
    return { ...given, engine: { ...given.engine, committed: given.engine.committed, submit } };
  };
}

test("what is sent again after a lost answer is made once", patient, async () => {
  const draw = chance(5, "lost"),
    features = { ...noFeatures, once: true, sql: true, conditional: true, atomic: true };
  const told = await asked({
    seed: 5,
    count: 300,
    features,
    around: failing(5),
    loses: () => draw.flip(0.2),
  });
  const { outcomes, answers } = told.client.counts;
  assert.ok(outcomes.unknown > 10 && (answers["repeat done"] ?? 0) > 2, JSON.stringify(told.client.counts));
  assert.ok((told.counts["remembered"] ?? 0) > 5);
});
