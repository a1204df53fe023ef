import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, runIdOf } from "../../src/base/ids.ts";
import type { NodeControl } from "../../src/http/types.ts";
import type { It, NodeOptions } from "./http_fixture.ts";
import { refused, told, unusedControl } from "./http_fixture.ts";

const term = { epoch: epochOf(4), run: runIdOf("cd".repeat(16)) };
const nodeId = "0f".repeat(16);
const newLeader = { nodeId, nodeName: "b", httpUrl: "http://b:5000", wireAddress: "b:5500" };

/** What was asked of the node, and what it answers: an error where `fail` is one. */
class RecordedControl implements NodeControl {
  calls: unknown[][] = [];
  fail: DfdbError | null = null;

  #called<Result>(result: Result, ...call: unknown[]): Promise<Result> {
    this.calls.push(call);
    return this.fail === null ? Promise.resolve(result) : Promise.reject(this.fail);
  }

  startLeader = (...given: unknown[]) => this.#called(undefined, "startLeader", ...given);
  startFollower = (...given: unknown[]) => this.#called(undefined, "startFollower", ...given);
  setReadOnly = (...given: unknown[]) => this.#called(undefined, "setReadOnly", ...given);
  acceptLoss = () => this.#called({ ...term, nodeId: "not shown" }, "acceptLoss");
  resync = () => this.#called(undefined, "resync");
  promote = (...given: unknown[]) => this.#called({ port: 5501, term }, "promote", ...given);
  handover = (...given: unknown[]) =>
    this.#called({ finalSeq: 42, epoch: 4, newLeader, pausedMs: 17 }, "handover", ...given);
  abortHandover = () => this.#called(undefined, "abortHandover");
  enableAutoFailover = (silenceMs: number, port: number | undefined) =>
    this.#called({ silenceMs, newLeaderPort: port ?? null }, "enableAutoFailover", silenceMs, port);
  disableAutoFailover = () => this.#called(undefined, "disableAutoFailover");
  forgetNode = (...given: unknown[]) => this.#called(undefined, "forgetNode", ...given);
}

type Case = readonly [
  method: string,
  path: string,
  body: string | null,
  call: readonly unknown[],
  answer: Readonly<Record<string, unknown>>,
];

const success = { success: true };
const promoted = { ...success, newRole: "leader", port: 5501, term };
const handedOver = { ...success, finalSeq: 42, epoch: 4, newLeader, pausedMs: 17 };
const leads = { ...success, role: "leader", port: 5500 };

const taken: readonly Case[] = [
  ["POST", "promote", null, ["promote", undefined, false], promoted],
  ["POST", "promote", "{}", ["promote", undefined, false], promoted],
  ["POST", "promote", '{"port":5501}', ["promote", 5501, false], promoted],
  ["POST", "promote", '{"port":5501,"force":true}', ["promote", 5501, true], promoted],
  ["POST", "handover", '{"to":" b "}', ["handover", "b", 30_000], handedOver],
  ["POST", "handover", '{"to":"b","timeoutSeconds":1.5}', ["handover", "b", 1_500], handedOver],
  ["DELETE", "handover", null, ["abortHandover"], success],
  ["POST", "auto-failover/enable", '{"silenceSeconds":10}', ["enableAutoFailover", 10_000, undefined], {
    ...success,
    silenceSeconds: 10,
    newLeaderPort: null,
  }],
  [
    "POST",
    "auto-failover/enable",
    '{"silenceSeconds":0.5,"newLeaderPort":5501}',
    ["enableAutoFailover", 500, 5501],
    { ...success, silenceSeconds: 0.5, newLeaderPort: 5501 },
  ],
  ["POST", "auto-failover/disable", null, ["disableAutoFailover"], success],
  ["DELETE", `nodes/${nodeId}`, null, ["forgetNode", nodeId], success],
  ["POST", "read-only", null, ["setReadOnly", true], { ...success, readOnly: true }],
  ["POST", "read-write", null, ["setReadOnly", false, false], { ...success, readOnly: false }],
  ["POST", "read-write", '{"force":true}', ["setReadOnly", false, true], { ...success, readOnly: false }],
  ["POST", "start-leader", '{"port":5500}', ["startLeader", 5500, undefined, false], leads],
  ["POST", "start-leader", '{"port":5500,"sharedSecret":"s","force":true}', [
    "startLeader",
    5500,
    "s",
    true,
  ], leads],
  ["POST", "start-follower", '{"host":"a","port":5500}', ["startFollower", "a", 5500, undefined], {
    ...success,
    role: "follower",
    leader: "a:5500",
  }],
  ["POST", "accept-loss", null, ["acceptLoss"], { ...success, readOnly: false, term }],
  ["POST", "resync", null, ["resync"], success],
];

/** Bodies that are refused, with the field that the answer names; null: it names none. */
const wrong: readonly (readonly [path: string, body: string, field: string | null])[] = [
  ["promote", "{", null],
  ["promote", "[]", null],
  ["promote", "null", null],
  ["promote", '"port"', null],
  ["promote", "[5501]", null],
  ["promote", '{"port":"5501"}', "port"],
  ["promote", '{"port":0}', "port"],
  ["promote", '{"port":65536}', "port"],
  ["promote", '{"port":null}', "port"],
  ["promote", '{"force":"yes"}', "force"],
  ["promote", '{"prot":5501}', "prot"],
  ["handover", "", null],
  ["handover", "{}", "to"],
  ["handover", '{"to":""}', "to"],
  ["handover", '{"to":" "}', "to"],
  ["handover", '{"to":7}', "to"],
  ["handover", `{"to":"${"x".repeat(513)}"}`, "to"],
  ["handover", '{"to":"b","timeoutSeconds":0}', "timeoutSeconds"],
  ["handover", '{"to":"b","timeoutSeconds":3601}', "timeoutSeconds"],
  ["handover", '{"to":"b","timeoutSeconds":"30"}', "timeoutSeconds"],
  ["handover", '{"to":"b","force":true}', "force"],
  ["auto-failover/enable", "", null],
  ["auto-failover/enable", "{}", "silenceSeconds"],
  ["auto-failover/enable", '{"silenceSeconds":0}', "silenceSeconds"],
  ["auto-failover/enable", '{"silenceSeconds":86401}', "silenceSeconds"],
  ["auto-failover/enable", '{"silenceSeconds":10,"newLeaderPort":-1}', "newLeaderPort"],
  ["auto-failover/enable", '{"silenceSeconds":10,"newLeaderPort":1.5}', "newLeaderPort"],
  ["auto-failover/enable", '{"silenceSeconds":10,"port":5501}', "port"],
  ["read-write", '{"force":1}', "force"],
  ["read-write", '{"readOnly":false}', "readOnly"],
  ["start-leader", '{"port":5500,"force":"true"}', "force"],
];

const roleChanges = [
  [400, "setting_invalid"],
  [400, "port_in_use"],
  [409, "diverged"],
  [409, "ahead"],
  [409, "second_candidate"],
  [409, "bad_secret"],
  [409, "certificate_invalid"],
  [503, "timeout"],
  [503, "unreachable"],
  [503, "going_away"],
] as const;

/** The routes that change a node's role: what they ask of the node, and what they refuse themselves. */
export function controlSuite(it: It): void {
  const withControl = (control: RecordedControl): NodeOptions => ({
    around: (given) => ({ ...given, control }),
  });
  const asked = new RecordedControl();

  it("changes of the role: what is asked of the node, and what it answers", async ({ request }) => {
    for (const [method, path, body, call, answer] of taken) {
      asked.calls = [];
      const given = await told(request(method, `/replication/${path}`, body === null ? {} : { body }));
      assert.deepEqual(given, { status: 200, body: answer }, `${path} ${body}`);
      assert.deepEqual(asked.calls, [call], `${path} ${body}`);
    }
  }, withControl(asked));

  const failing = new RecordedControl();
  it("changes of the role: what the node refuses is the answer", async ({ request, logged }) => {
    const codes = [
      [409, "leader_active", "leader_active"],
      [409, "stale_epoch", "stale_epoch"],
      [409, "behind_final_position", "behind_final_position"],
      [409, "no_lease", "no_lease"],
      [409, "conflict", "conflict"],
      [404, "not_found", "not_found"],
      [503, "not_caught_up", "not_caught_up"],
      [504, "outcome_unknown", "outcome_unknown"],
    ] as const;
    for (const [status, code, thrown] of codes) {
      failing.fail = new DfdbError(thrown, "Not now", { details: { epoch: 4 } });
      for (const [method, path, body] of taken) {
        const answer = request(method, `/replication/${path}`, body === null ? {} : { body });
        assert.equal((await refused(answer, status, code))["epoch"], 4);
      }
    }
    // What elsewhere names the inside is told here, with its code.
    for (const [status, code] of roleChanges) {
      failing.fail = new DfdbError(code, "As the other node says", { details: { epoch: 4 } });
      for (const [method, path, body] of taken.filter(([method]) => method === "POST")) {
        const answer = request(method, `/replication/${path}`, body === null ? {} : { body });
        const elsewhere = code === "port_in_use" && path === "handover";
        const told = await refused(answer, elsewhere ? 409 : status, code);
        assert.deepEqual([told["error"], told["epoch"]], ["As the other node says", 4], path);
      }
    }
    assert.deepEqual(logged, []);
    failing.fail = new DfdbError("io_error", "/var/lib/x: no such device");
    const answer = await refused(request("POST", "/replication/promote"), 500, "internal");
    assert.doesNotMatch(answer["error"], /device/);
    assert.equal(logged.length, 1);
  }, withControl(failing));

  it("changes of the role: bodies that are refused before the node is asked", async ({ request }) => {
    for (const [path, body, field] of wrong) {
      const answer = await refused(request("POST", `/replication/${path}`, { body }), 400, "bad_request");
      assert.equal(answer["field"] ?? null, field, `${path} ${body.slice(0, 60)}: ${answer["error"]}`);
      if (field !== null && field !== "") {
        assert.ok(answer["error"].startsWith(`${field}: `), answer["error"]);
      }
    }
    for (const id of ["", "x", "0F".repeat(16), `${nodeId}0`, "0".repeat(31)]) {
      const answer = await request("DELETE", `/replication/nodes/${id}`);
      assert.equal(answer.status, id === "" ? 404 : 400, id);
    }
    const large = `{"to":"${"x".repeat(70_000)}"}`;
    await refused(request("POST", "/replication/handover", { body: large }), 413, "payload_too_large");
    for (const path of ["promote", "handover", "auto-failover/enable", `nodes/${nodeId}`]) {
      await refused(request("PUT", `/replication/${path}`, { body: "{}" }), 405, "method_not_allowed");
    }
  });

  it("changes of the role want the API key", async ({ request }) => {
    for (const [method, path, body] of taken) {
      const answer = request(method, `/replication/${path}`, body === null ? {} : { body });
      await refused(answer, 401, "unauthorized");
    }
  }, { apiKey: "k" });

  const begun = Promise.withResolvers<void>(), goOn = Promise.withResolvers<void>();
  let ended = false;
  it("a handover goes on when its client has gone", async ({ url, request }) => {
    const gone = new AbortController();
    const init = { method: "POST", body: '{"to":"b"}', signal: gone.signal };
    const asking = request("POST", "/replication/handover", { body: '{"to":"b"}' }).catch(() => {});
    const leaving = url.endsWith(":5000") ? null : globalThis.fetch(`${url}/replication/handover`, init);
    leaving?.catch(() => {});
    await begun.promise;
    gone.abort();
    goOn.resolve();
    await asking;
    assert.equal(ended, true);
  }, {
    around: (given) => ({
      ...given,
      control: {
        ...unusedControl,
        async handover() {
          begun.resolve();
          await goOn.promise;
          ended = true;
          return { finalSeq: 1, epoch: 2, newLeader, pausedMs: 1 };
        },
      },
    }),
  });
}
