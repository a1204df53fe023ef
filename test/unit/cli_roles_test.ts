/** The short subcommands that change a node: promote, read-only, auto-failover. */
import assert from "node:assert/strict";
import test from "node:test";
import { main } from "../../src/cli/main.ts";
import type { ScriptedAnswer } from "../tool/fake_http_nodes.ts";
import { FakeHttpNodes, nodeStatus, ok, refusal } from "../tool/fake_http_nodes.ts";

const b = "http://b:5010", path = `POST ${b}/replication`;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly asked: readonly string[];
}

/** `answer`: to whatever is posted; undefined: it is lost. */
async function run(
  args: readonly string[],
  answer: ScriptedAnswer | undefined,
  status: object = {},
): Promise<Ran> {
  const nodes = new FakeHttpNodes(), { runtime } = nodes;
  nodes.scripts.set(`GET ${b}/replication/status`, () => ok(nodeStatus(status)));
  for (
    const name of ["promote", "read-only", "read-write", "auto-failover/enable", "auto-failover/disable"]
  ) {
    nodes.scripts.set(`${path}/${name}`, () => answer);
  }
  const code = await nodes.ended(main({ ...runtime, process: { ...runtime.process, args } }));
  assert.equal(nodes.clock.timers, 0);
  return { code, out: nodes.out, err: nodes.err, asked: nodes.asked };
}

const promoted = ok({
  success: true,
  newRole: "leader",
  port: 5501,
  term: { epoch: 4, run: "cd".repeat(16) },
});

test("promote: says the port and the term, and with force what it risked", async () => {
  assert.deepEqual(await run(["promote", "b:5010"], promoted), {
    code: 0,
    out: `${b} leads now on port 5501, term 4.cdcdcdcd\n`,
    err: "",
    asked: [`${path}/promote {}`],
  });
  const forced = await run(["promote", b, "--port", "5501", "--force"], promoted);
  assert.deepEqual(forced.asked, [`${path}/promote {"port":5501,"force":true}`]);
  assert.match(forced.out, /Force risks that two nodes take writes until they meet[^]*rescued\//);
  const old = await run(["promote", b], ok({ success: true, newRole: "leader", port: 5501 }));
  assert.equal(old.out, `${b} leads now on port 5501\n`);
});

test("promote: a refusal says what to do, and what force would risk where it helps", async () => {
  for (
    const [answer, next, risks] of [
      [refusal("leader_active"), /dfdb handover --from LEADER-URL --to http:\/\/b:5010/, true],
      [refusal("behind_final_position"), /Let it catch up/, true],
      [refusal("no_lease"), /Force does not go round it/, false],
      [refusal("stale_epoch"), /Another node has led since/, false],
      [refusal("conflict"), /dfdb status http:\/\/b:5010 shows/, false],
      [refusal("not_found"), /older and cannot be promoted/, false],
      [refusal("outcome_unknown"), /not known whether it was promoted/, false],
      [refusal("bad_request", "port 5500 is in use"), /port 5500 is in use \(bad_request\)\n$/, false],
      [undefined, /nobody answers.*\n {2}Is http:\/\/b:5010 the HTTP address/, false],
    ] as const
  ) {
    const { code, err, out } = await run(["promote", b], answer);
    assert.equal(code, 1);
    assert.equal(out, "");
    assert.match(err, /^ERROR: .* \([a-z_]+\)\n/);
    assert.match(err, next);
    assert.equal(err.includes("Force risks"), risks, err);
  }
  const forced = await run(["promote", b, "--force"], refusal("behind_final_position"));
  assert.doesNotMatch(forced.err, /Force risks/);
});

test("read-only: on, off, and what is still read-only after it", async () => {
  assert.deepEqual(await run(["read-only", b, "on"], ok({ success: true })), {
    code: 0,
    out: `${b} is read-only\n`,
    err: "",
    asked: [`${path}/read-only`],
  });
  const off = await run(["read-only", b, "off", "--force"], ok({ success: true }));
  assert.deepEqual(off.asked, [`${path}/read-write {"force":true}`]);
  assert.equal(off.out, `${b} takes writes, in epoch 2\n`);
  const fenced = await run(["read-only", b, "off"], ok({}), { readOnly: true, readOnlyReason: "fenced" });
  assert.deepEqual(fenced.asked, [`${path}/read-write`]);
  assert.match(fenced.out, /still read-only: fenced: another node leads/);
  const follower = await run(["read-only", b, "off"], ok({}), { role: "follower" });
  assert.match(follower.out, /is a follower, and will not be read-only/);
  const stale = await run(["read-only", b, "off"], refusal("stale_epoch"));
  assert.equal(stale.code, 1);
  assert.match(stale.err, /\(stale_epoch\)\n.*\n {2}Force is for a node whose successor is gone/);
});

test("auto-failover: on with its window, off, and what the node refuses", async () => {
  const enabled = ok({ success: true, silenceSeconds: 10, newLeaderPort: 5500 });
  const on = await run(["auto-failover", b, "on", "--seconds", "10", "--port", "5500"], enabled);
  assert.deepEqual(on.asked, [`${path}/auto-failover/enable {"silenceSeconds":10,"newLeaderPort":5500}`]);
  assert.equal(on.out, `auto-failover of ${b} after 10s (new port :5500)\n`);
  const plain = await run(["auto-failover", b, "on", "--seconds", "0.5"], ok({ newLeaderPort: null }));
  assert.equal(plain.out, `auto-failover of ${b} after 0.5s\n`);
  const off = await run(["auto-failover", b, "off"], ok({ success: true }));
  assert.deepEqual(off.asked, [`${path}/auto-failover/disable`]);
  assert.equal(off.out, `auto-failover of ${b} is off\n`);
  const refused = await run(
    ["auto-failover", b, "on", "--seconds", "10"],
    refusal("bad_request", "It leads"),
  );
  assert.deepEqual([refused.code, refused.err], [1, `ERROR: ${b}: It leads (bad_request)\n`]);
});

test("promote, read-only, auto-failover: what cannot work is said before anything is asked", async () => {
  for (
    const [args, message] of [
      [["promote"], /missing required argument 'url'/],
      [["promote", b, "--port", "0"], /--port: expected a port/],
      [["promote", b, "--port", "x"], /--port/],
      [["promote", "ftp://b"], /not a URL/],
      [["read-only", b], /on\|off/],
      [["read-only", b, "maybe"], /on, off/],
      [["read-only", b, "on", "--force"], /--force goes with off only/],
      [["auto-failover", b, "on"], /on wants --seconds/],
      [["auto-failover", b, "on", "--seconds", "0"], /--seconds: expected/],
      [["auto-failover", b, "on", "--seconds", " "], /--seconds: expected/],
      [["auto-failover", b, "on", "--seconds", "1", "--port", "70000"], /--port/],
      [["auto-failover", b, "off", "--seconds", "1"], /go with on only/],
    ] as const
  ) {
    const { code, err, asked } = await run(args, promoted);
    assert.equal(code, 1, args.join(" "));
    assert.match(err, /^ERROR: /);
    assert.match(err, message);
    assert.deepEqual(asked, []);
  }
});

test("help names every subcommand, and what force risks", async () => {
  const help = await run(["--help"], promoted);
  assert.equal(help.code, 0);
  for (const name of ["handover", "promote", "read-only", "auto-failover", "accept-loss", "status"]) {
    assert.match(help.out, new RegExp(`^ +${name} `, "m"));
  }
  assert.match((await run(["promote", "--help"], promoted)).out, /Force risks/);
  assert.match((await run(["read-only", "--help"], promoted)).out, /Force is for/);
});
