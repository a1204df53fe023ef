import assert from "node:assert/strict";
import test from "node:test";
import type { BannerNotes } from "../../src/cli/banner.ts";
import { banner, promotedLine } from "../../src/cli/banner.ts";
import type { RunningNode } from "../../src/node/node.ts";
import { readSettings } from "../../src/node/read_settings.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const none: BannerNotes = { roleNote: null, autoFailover: null, following: null };

/** The replication line, with spaces as the reference's sample shows them. */
function shown(flags: Record<string, string>, role: object, notes?: BannerNotes): string {
  const settings = readSettings({ flags, env: {}, file: null });
  const node = {
    dataDir: "/data",
    httpPort: 5010,
    replicationPort: 5500,
    role: { readOnly: { on: false, reason: null }, ...role },
  } as unknown as RunningNode;
  const real = currentRuntime();
  const runtime = { ...real, process: { ...real.process, stdoutIsTerminal: false } };
  const text = notes === undefined ? banner(runtime, settings, node) : banner(runtime, settings, node, notes);
  return text.split("\n").filter((line) => /^ {2}(replication|read-only):/.test(line)).join("\n")
    .replace(/[ \t]+/g, " ").trim();
}

const following = { "replication-role": "follower", "leader-host": "leader.internal", "leader-port": "5500" };
const leading = { "replication-role": "leader" };

test("banner: a follower says whom it follows, and when it would take over", () => {
  const role = { kind: "follower" };
  assert.equal(shown(following, role), "replication: FOLLOWER following leader.internal:5500");
  assert.equal(
    shown(following, role, { ...none, autoFailover: { silenceMs: 10_000, port: 5500 } }),
    "replication: FOLLOWER following leader.internal:5500 | auto-failover after 10s (new port :5500)",
  );
  assert.equal(
    shown(following, role, { ...none, autoFailover: { silenceMs: 500, port: null } }),
    "replication: FOLLOWER following leader.internal:5500 | auto-failover after 0.5s",
  );
  assert.equal(
    shown(leading, role, { ...none, roleNote: "fenced; configured as leader", following: "b:5501" }),
    "replication: FOLLOWER (fenced; configured as leader) following b:5501",
  );
  assert.equal(shown(leading, role), "replication: FOLLOWER following nobody yet");
});

test("banner: a leader says where it listens, what it wants, and how it came to lead", () => {
  const role = { kind: "leader" };
  assert.equal(shown(leading, role), "replication: LEADER listening on :5500 (loopback)");
  assert.equal(
    shown({ ...leading, "replication-secret": "s", "min-sync-replicas": "1" }, role),
    "replication: LEADER listening on :5500 (all interfaces) (shared-secret required) (semi-sync: 1 replica ack)",
  );
  assert.equal(
    shown(following, role, { ...none, roleNote: "promoted; configured as follower" }),
    "replication: LEADER (promoted; configured as follower) listening on :5500 (loopback)",
  );
  assert.equal(shown({}, { kind: "none" }), "replication: OFF (single node)");
});

test("banner: why a node takes no writes, in words", () => {
  const readOnly = (reason: string) =>
    shown(leading, { kind: "leader", readOnly: { on: true, reason } }).split("\n")[1]?.trim();
  assert.equal(readOnly("operator"), "read-only: operator: until POST /replication/read-write");
  assert.match(readOnly("behind_followers") ?? "", /dfdb accept-loss/);
  assert.match(readOnly("handover_in_doubt") ?? "", /dfdb read-only URL off --force/);
  assert.equal(readOnly("of_a_newer_version"), "read-only: of_a_newer_version");
});

test("banner: the line of an automatic promotion is the reference's", () => {
  assert.equal(promotedLine(5500), "[dfdb] auto-failover: promoted to leader on :5500\n");
});
