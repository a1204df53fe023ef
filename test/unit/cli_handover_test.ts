import assert from "node:assert/strict";
import test from "node:test";
import { main } from "../../src/cli/main.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import type { ScriptedAnswer } from "../tool/fake_http_nodes.ts";
import { FakeHttpNodes, nodeStatus, ok, refusal } from "../tool/fake_http_nodes.ts";

const a = "http://a:5000", b = "http://b:5000";
const to = { nodeId: "b".repeat(32), nodeName: "b" };
const done = ok({
  success: true,
  finalSeq: 1_200,
  epoch: 3,
  newLeader: { ...to, httpUrl: b, wireAddress: "b:5500" },
  pausedMs: 420,
});
const leads = nodeStatus({ node: "b", nodeId: to.nodeId });
const follows = {
  role: "follower",
  term: { epoch: 3, run: "b".repeat(32) },
  follower: { state: "streaming", leader: { endpoint: "b:5500", httpEndpoint: b }, lastError: null },
};

/** A leader `a` and what it says of itself; the handover is answered when the test says so. */
class Rig extends FakeHttpNodes {
  answer = Promise.withResolvers<ScriptedAnswer | undefined>();
  told: object | undefined = {};
  stop: () => ScriptedAnswer | undefined = () => refusal("conflict", "It cannot be stopped any more");

  constructor(columns: number | null = null) {
    super(columns);
    this.scripts.set(`GET ${a}/replication/status`, () => this.told && ok(nodeStatus(this.told)));
    this.scripts.set(`GET ${b}/replication/status`, () => ok(leads));
    this.scripts.set(`POST ${a}/replication/handover`, () => this.answer.promise);
    this.scripts.set(`DELETE ${a}/replication/handover`, () => this.stop());
  }

  step(step: string, finalSeq: number | null = null, targetSeq: number | null = null): void {
    this.told = {
      readOnly: true,
      readOnlyReason: "handover",
      handover: { id: "1", step, to, finalSeq, targetSeq, sinceMs: 5 },
    };
  }

  async pass(ms = 200): Promise<void> {
    await this.clock.advance(ms);
  }
}

/** Has asked for it; time stands at the first look. */
async function begun(columns: number | null = null, ...more: string[]) {
  const rig = new Rig(columns), { runtime } = rig;
  const args = ["handover", "--from", "a:5000", "--to", "b", ...more];
  const end = main({ ...runtime, process: { ...runtime.process, args } });
  await rig.clock.settle();
  return { rig, end };
}

test("handover: where nobody looks, one line for each step; then the figures and a look at both nodes", async () => {
  const { rig, end } = await begun(null, "--timeout", "90", "--api-key", "k");
  rig.step("draining");
  await rig.pass();
  rig.step("catching_up", 1_200, 1_000);
  await rig.pass();
  rig.step("catching_up", 1_200, 1_199);
  await rig.pass();
  rig.step("preparing", 1_200, 1_200);
  await rig.pass();
  rig.step("committing", 1_200, 1_200);
  await rig.pass();
  rig.told = { ...follows, follower: { ...follows.follower, state: "connecting" } };
  rig.scripts.set(`GET ${b}/replication/status`, () => ok(nodeStatus({ ...leads, role: "follower" })));
  rig.answer.resolve(done);
  await rig.pass();
  rig.told = follows;
  rig.scripts.set(`GET ${b}/replication/status`, () => ok(leads));
  assert.equal(await rig.ended(end), 0);
  assert.equal(
    rig.out.replaceAll(/\[[\d.]+ m?s\]/g, "[]"),
    `handover from a (${a}) to b
[] draining: no write begins any more, those in progress end
[] catching up: b lacks 200 entries of final position 1,200
[] preparing: b holds everything at 1,200 and gets ready to lead
[] committing: b was told to lead at 1,200
b leads now, in epoch 3
  final position  1,200
  HTTP            ${b}
  replication     b:5500
  writes paused   420 ms
  new leader      b takes writes
  old leader      a follows it
`,
  );
  assert.equal(rig.err, "");
  assert.deepEqual(rig.asked, [`POST ${a}/replication/handover {"to":"b","timeoutSeconds":90}`]);
  assert.equal(rig.interrupt(), 0, "nobody listens for signals any more");
  assert.equal(rig.clock.timers, 0);
});

test("handover: on a terminal one line is rewritten, never wider than the terminal, and it goes at the end", async () => {
  const { rig, end } = await begun(30);
  for (let held = 1_190; held <= 1_200; held++) {
    rig.step("catching_up", 1_200, held);
    await rig.pass(150);
  }
  rig.told = follows;
  rig.answer.resolve(done);
  assert.equal(await rig.ended(end), 0);
  const [head, drawn] = [
    rig.out.slice(0, rig.out.indexOf("\n") + 1),
    rig.out.slice(rig.out.indexOf("\n") + 1),
  ];
  assert.equal(head, `handover from a (${a}) to b\n`);
  const looks = drawn.slice(0, drawn.indexOf("\n")).split("\r").slice(1);
  assert.ok(looks.length >= 12, drawn);
  const end1 = looks.pop();
  assert.equal(end1, "\u001b[Kb leads now, in epoch 3");
  for (const look of looks) {
    assert.ok(look.startsWith("[") && look.endsWith("\u001b[K"), look);
    assert.ok(look.length - 3 < 30, look);
  }
  assert.match(looks[5] as string, /^\[\d+ ms\] catching up: b/);
});

const refusals: readonly (readonly [code: ErrorCode, details: object, told: object, next: RegExp])[] = [
  ["not_leader", { leader: b }, {}, /dfdb handover --from http:\/\/b:5000 --to b/],
  [
    "not_leader",
    { leader: null },
    follows,
    /dfdb status .* whom it follows[^]*a is a follower of http:\/\/b/,
  ],
  ["bad_request", {}, {}, /Connected now: none is\./],
  [
    "not_found",
    {},
    { leader: { followers: [{ nodeName: "c" }, { nodeName: "e" }] } },
    /id, the name .* URL of a connected follower\. Connected now: c, e\./,
  ],
  ["method_not_allowed", {}, { handover: undefined }, /older and knows no handover/],
  ["conflict", {}, {}, /dfdb status http:\/\/a:5000 shows what the node is doing/],
  [
    "read_only",
    {},
    { readOnly: true, readOnlyReason: "fenced" },
    /a is read-only: fenced: another node leads/,
  ],
  ["stale_epoch", {}, {}, /Another node has led since/],
  ["no_lease", {}, {}, /Force does not go round it/],
  ["not_caught_up", {}, {}, /larger --timeout/],
  ["timeout", {}, {}, /larger --timeout/],
  ["unreachable", {}, {}, /Try again when dfdb status .* streaming/],
  ["closing", {}, {}, /stopping/],
  ["unauthorized", {}, {}, /--api-key or DFDB_API_KEY/],
  ["internal", {}, {}, /shows what the node is doing/],
];

for (const [code, details, told, next] of refusals) {
  test(`handover: refused with ${code} ${JSON.stringify(details)}: code, sentence, what to do, whether writes are on`, async () => {
    const { rig, end } = await begun();
    rig.told = told;
    rig.answer.resolve(refusal(code, "Not like this", details));
    assert.equal(await rig.ended(end), 1);
    assert.ok(rig.err.startsWith(`ERROR: ${a}: Not like this (${code})\n  `), rig.err);
    assert.match(rig.err, next);
    if (Object.keys(told).every((field) => field === "leader" || field === "handover")) {
      assert.match(rig.err, /\n {2}writes are on: a leads on, in epoch 2\n$/);
    } else assert.doesNotMatch(rig.err, /writes are on/);
  });
}

test("handover: SIGINT before the commit stops it, whichever answer comes first", async () => {
  for (const refusedFirst of [true, false]) {
    const { rig, end } = await begun();
    rig.step("catching_up", 1_200, 10);
    await rig.pass();
    const cancelled = () => {
      rig.told = {};
      rig.answer.resolve(refusal("conflict", "The handover was cancelled"));
    };
    const stopped = Promise.withResolvers<ScriptedAnswer>();
    rig.scripts.set(`DELETE ${a}/replication/handover`, () => {
      if (refusedFirst) cancelled();
      return stopped.promise;
    });
    assert.equal(rig.interrupt(), 1);
    await rig.clock.settle();
    stopped.resolve(ok({ success: true }));
    await rig.clock.settle();
    cancelled();
    assert.equal(await rig.ended(end), 1);
    assert.match(rig.out, /stopped: nothing was handed over\nwrites are on: a leads on, in epoch 2\n$/);
    assert.equal(rig.err, "");
    assert.deepEqual(rig.asked.slice(1), [`DELETE ${a}/replication/handover`]);
  }
});

test("handover: SIGINT before it has begun is tried again until it is stopped", async () => {
  const { rig, end } = await begun();
  rig.stop = () => refusal("conflict", "There is no handover");
  rig.interrupt();
  await rig.pass(300);
  rig.step("draining");
  rig.stop = () => undefined;
  await rig.pass(300);
  rig.stop = () => {
    rig.told = {};
    return ok({ success: true });
  };
  assert.equal(await rig.ended(end, 2_000), 1, "it ends although the handover itself is not answered");
  assert.match(rig.out, /Not stopped yet: nobody answers[^]*stopped: nothing was handed over\nwrites are on/);
  assert.equal(rig.out.match(/Not stopped yet/g)?.length, 1);
  assert.ok(rig.asked.length >= 5, rig.asked.join("\n"));
});

test("handover: SIGINT after the commit says that it is too late, and waits", async () => {
  const { rig, end } = await begun();
  rig.step("committing", 1_200, 1_200);
  await rig.pass();
  rig.interrupt();
  await rig.pass(1_000);
  assert.equal(rig.asked.length, 1, "nothing was tried");
  assert.equal(rig.out.match(/cannot be stopped any more: b was told to lead/g)?.length, 1, rig.out);
  rig.told = follows;
  rig.answer.resolve(done);
  assert.equal(await rig.ended(end), 0);
  assert.match(rig.out, /b leads now, in epoch 3/);
});

test("handover: a look may be older than the commit: the leader's word counts", async () => {
  const { rig, end } = await begun();
  rig.step("preparing", 1_200, 1_200);
  await rig.pass();
  rig.stop = () => {
    rig.step("committing", 1_200, 1_200);
    return refusal("conflict", "It cannot be stopped any more");
  };
  rig.interrupt();
  await rig.pass(1_000);
  assert.deepEqual(rig.asked.slice(1), [`DELETE ${a}/replication/handover`]);
  assert.match(rig.out, /cannot be stopped any more/);
  rig.told = follows;
  rig.answer.resolve(done);
  assert.equal(await rig.ended(end), 0);
});

test("handover: a second SIGINT leaves it to itself", async () => {
  const { rig, end } = await begun();
  rig.step("in_doubt", 1_200, 1_200);
  rig.interrupt();
  await rig.pass();
  rig.interrupt();
  assert.equal(await rig.ended(end), 1);
  assert.match(rig.out, /Left to itself; dfdb status http:\/\/a:5000 shows/);
  assert.equal(rig.clock.timers, 0, "the process can end");
});

test("handover: a target that stalls is told once, and again when it goes on and stalls anew", async () => {
  const { rig, end } = await begun();
  rig.step("catching_up", 1_200, 500);
  await rig.pass(10_000);
  assert.equal(rig.out.match(/no progress/g)?.length, 1, rig.out);
  assert.match(rig.out, /\[3\.\d s\] catching up: b lacks 700 entries .* \(no progress for 3\.\d s\)/);
  rig.step("catching_up", 1_200, 1_199);
  await rig.pass(5_000);
  assert.equal(rig.out.match(/no progress/g)?.length, 2, rig.out);
  assert.match(rig.out, /b lacks 1 entry of/);
  rig.told = {};
  rig.answer.resolve(
    refusal("not_caught_up", "The target holds entries up to 1199 of 1200, and the time is over"),
  );
  assert.equal(await rig.ended(end), 1);
  assert.match(rig.err, /up to 1199 of 1200[^]*\n {2}writes are on/);
});

test("handover: a leader that does not answer looks is told, with what it said last", async () => {
  const { rig, end } = await begun();
  rig.step("catching_up", 1_200, 500);
  await rig.pass();
  rig.told = undefined;
  await rig.pass(4_000);
  assert.match(rig.out, /catching up: b lacks 700 entries of final position 1,200 \(no answer for 3\.\d s\)/);
  rig.told = follows;
  rig.answer.resolve(done);
  assert.equal(await rig.ended(end), 0);
});

test("handover: in doubt: what to wait for, and how to force", async () => {
  const { rig, end } = await begun();
  rig.step("in_doubt", 1_200, 1_200);
  rig.told = { ...rig.told, readOnlyReason: "handover_in_doubt" };
  await rig.pass();
  rig.answer.resolve(refusal("outcome_unknown", "The target has not answered"));
  assert.equal(await rig.ended(end), 1);
  assert.match(rig.out, /in doubt: b was told to lead at 1,200 and has not answered/);
  assert.match(
    rig.err,
    /^ERROR: .*has not answered \(outcome_unknown\)\n {2}a is read-only: handover_in_doubt:/,
  );
  assert.match(rig.err, /a stays read-only until b has answered; .*\(dfdb status http:\/\/a:5000\)/);
  assert.match(rig.err, /dfdb read-only http:\/\/a:5000 off --force begins a higher epoch/);
});

test("handover: a doubt that was settled meanwhile is told as it was settled", async () => {
  const back = await begun();
  back.rig.answer.resolve(refusal("outcome_unknown", "The target has not answered"));
  assert.equal(await back.rig.ended(back.end), 1);
  assert.match(back.rig.err, /\n {2}writes are on: a leads on/);
  assert.doesNotMatch(back.rig.err, /--force/);
  const over = await begun();
  over.rig.told = follows;
  over.rig.answer.resolve(refusal("outcome_unknown", "The target has not answered"));
  assert.equal(await over.rig.ended(over.end), 0);
  assert.match(over.rig.out, /a follows b now, in epoch 3\n$/);
});

test("handover: when only the answer is lost, the looks tell how it ends", async () => {
  const cut = async (ends: object | undefined) => {
    const { rig, end } = await begun();
    rig.step("preparing", 1_200, 1_200);
    await rig.pass();
    rig.answer.resolve(undefined);
    await rig.pass(2_000);
    rig.told = ends;
    return { rig, code: await rig.ended(end, 120_000) };
  };
  const over = await cut(follows);
  assert.equal(over.code, 0);
  assert.match(over.rig.err, /answer of http:\/\/a:5000 was lost/);
  assert.match(over.rig.out, /a follows b now, in epoch 3\n$/);
  const elsewhere = await cut({
    ...follows,
    follower: { state: "streaming", leader: null, lastError: null },
  });
  assert.equal(elsewhere.code, 1);
  assert.match(
    elsewhere.rig.out,
    /a follows another node now, in epoch 3\nwhether that is b is not confirmed/,
  );
  const back = await cut({});
  assert.equal(back.code, 1);
  assert.match(back.rig.err, /was lost.*\n {2}writes are on: a leads on/);
  const doubt = await cut({
    readOnly: true,
    readOnlyReason: "handover_in_doubt",
    handover: { id: "1", step: "in_doubt", to, finalSeq: 1_200, targetSeq: 1_200, sinceMs: 5 },
  });
  assert.equal(doubt.code, 1);
  assert.match(doubt.rig.err, /a stays read-only until b has answered/);
  const dead = await cut(undefined);
  assert.equal(dead.code, 1);
  assert.match(
    dead.rig.err,
    /nobody answers at http:\/\/a:5000 .*\(unreachable\)\n.*not known whether the handover/,
  );
});

test("handover: the new leader is looked at only where it is that node, and must lead", async () => {
  const look = async (newLeader: object, status: object | null) => {
    const { rig, end } = await begun();
    rig.told = follows;
    if (status === null) rig.scripts.delete(`GET ${b}/replication/status`);
    else rig.scripts.set(`GET ${b}/replication/status`, () => ok(nodeStatus({ ...leads, ...status })));
    rig.answer.resolve(ok({ finalSeq: 1, epoch: 3, newLeader, pausedMs: 1 }));
    const code = await rig.ended(end);
    return { code, line: /new leader +(.*)\n/.exec(rig.out)?.[1] };
  };
  const node = { ...to, httpUrl: b, wireAddress: null };
  assert.deepEqual(await look({ ...node, httpUrl: null }, {}), {
    code: 0,
    line: "not looked at: b tells no HTTP URL",
  });
  assert.deepEqual(await look({ ...node, httpUrl: "ftp://b" }, {}), {
    code: 0,
    line: "could not be asked at ftp://b from here",
  });
  assert.deepEqual(await look(node, null), { code: 0, line: `could not be asked at ${b} from here` });
  assert.deepEqual(await look(node, { node: "x", nodeId: "x" }), {
    code: 0,
    line: `not looked at: from here ${b} is another node, x`,
  });
  assert.deepEqual(await look(node, { role: "follower" }), {
    code: 1,
    line: "b does not lead: its role is follower; look with dfdb status",
  });
  assert.deepEqual(await look(node, { readOnly: true, readOnlyReason: "operator" }), {
    code: 0,
    line: "b is read-only: operator: until POST /replication/read-write",
  });
  assert.equal((await look({}, {})).code, 0, "whatever is missing in the answer");
});

test("handover: what cannot work is said before anything is asked", async () => {
  const rig = new FakeHttpNodes();
  const run = (...args: string[]) =>
    main({ ...rig.runtime, process: { ...rig.runtime.process, args: ["handover", ...args] } });
  for (
    const [args, message] of [
      [["--to", "b"], /--from/],
      [["--from", a], /--to/],
      [["--from", "ftp://a", "--to", "b"], /is not a URL/],
      [["--from", a, "--to", "b", "--timeout", "soon"], /--timeout: expected 0\.1 to 3600/],
      [["--from", a, "--to", "b", "--timeout", ""], /--timeout/],
      [["--from", a, "--to", "b", "c"], /too many arguments/],
      [
        ["--from", a, "--to", "b"],
        /nobody answers at http:\/\/a:5000.*\(unreachable\)\n {2}Is http:\/\/a:5000/,
      ],
    ] as const
  ) {
    rig.err = "";
    assert.equal(await rig.ended(run(...args)), 1);
    assert.match(rig.err, /^ERROR: /);
    assert.match(rig.err, message);
  }
  rig.scripts.set(`GET ${a}/replication/status`, () => ok({ hello: "world" }));
  rig.err = "";
  assert.equal(await rig.ended(run("--from", a, "--to", "b")), 1);
  assert.match(rig.err, /does not answer as a dfdb node does/);
  assert.deepEqual(rig.asked, []);
});
