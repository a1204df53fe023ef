import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { thinningDefault } from "../../src/multimaster/backoff.ts";
import { thinningOf } from "../../src/node/master_sender.ts";
import { readSettings } from "../../src/node/read_settings.ts";
import type { SettingRow, Settings } from "../../src/node/settings.ts";
import { defaultSettings, leadPortOf, settingsTable } from "../../src/node/settings.ts";

type Sources = { flags?: Record<string, string | true>; env?: Record<string, string>; json?: string };

function read({ flags = {}, env = {}, json }: Sources): Settings {
  return readSettings({
    flags,
    env,
    file: json === undefined ? null : { name: "node.json", bytes: utf8(json) },
  });
}

function refusal(sources: Sources): { code: string; message: string } {
  try {
    read(sources);
  } catch (error) {
    assert.ok(error instanceof DfdbError, String(error));
    return { code: error.code, message: error.message };
  }
  assert.fail(`accepted: ${JSON.stringify(sources)}`);
}

test("without sources every setting has its default", () => {
  assert.deepEqual(read({}), defaultSettings());
  assert.equal(read({}).port, 5000);
  assert.equal(read({}).leaderStartMs, 30_000);
  assert.equal(read({}).maxFailoverLagOps, 10_000);
});

test("a flag wins over the environment, the environment over the file, the file over the default", () => {
  const json = `{"port": 7001}`, env = { DFDB_PORT: "7002" }, flags = { port: "7003" };
  assert.equal(read({ json }).port, 7001);
  assert.equal(read({ json, env }).port, 7002);
  assert.equal(read({ json, env, flags }).port, 7003);
});

test("the file's value that equals the default still wins over nothing and loses to the environment", () => {
  assert.equal(read({ json: `{"port": 5000}`, env: { DFDB_PORT: "6000" } }).port, 6000);
});

test("an empty environment variable counts as not set", () => {
  assert.equal(read({ env: { DFDB_API_KEY: "", DFDB_PORT: "" } }).apiKey, null);
});

test("the seeds' node.json is understood, but for the parts that are to come", () => {
  const json = `{
    // a follower
    "nodeName": "replica-1", "port": 5010, "dataDir": "/var/lib/dfdb/replica",
    "security": { "replicationSecret": "repl_shared_xyz" },
    "replication": { "role": "follower", "leaderHost": "leader.internal", "leaderPort": 5500, /* none */ },
  }`;
  const settings = read({ json });
  assert.equal(settings.nodeName, "replica-1");
  assert.equal(settings.replicationSecret, "repl_shared_xyz");
  assert.equal(settings.replicationRole, "follower");
  assert.equal(settings.leaderPort, 5500);
});

test("keys of node.json and choices are matched without regard to case", () => {
  assert.equal(
    read({ json: `{"NODENAME": "x", "Replication": {"ROLE": "Leader"}}` }).replicationRole,
    "leader",
  );
});

test("seconds become milliseconds and may have a fraction", () => {
  assert.equal(read({ flags: { "heartbeat-seconds": "0.25" } }).heartbeatMs, 250);
  assert.equal(read({ json: `{"replication": {"heartbeatSeconds": 1.5}}` }).heartbeatMs, 1500);
});

test("wrong values are refused with the setting's name and what was expected", () => {
  const cases: [Sources, RegExp][] = [
    [{ flags: { port: "eighty" } }, /--port: expected a port, 1 to 65535, not "eighty"/],
    [{ flags: { port: "70000" } }, /--port: expected a port/],
    [{ flags: { port: "0" } }, /--port: expected a port/],
    [{ flags: { port: "5000.5" } }, /--port: expected a port/],
    [
      { env: { DFDB_REPLICATION_ROLE: "boss" } },
      /DFDB_REPLICATION_ROLE: expected one of none, leader, follower/,
    ],
    [{ json: `{"bindAllInterfaces": "perhaps"}` }, /bindAllInterfaces: expected true or false/],
    [{ json: `{"nodeName": 5}` }, /nodeName: expected a text/],
    [{ json: `{"nodeNme": "x"}` }, /node\.json: unknown setting "nodeNme"/],
    [{ json: `{"replication": {"rolle": "leader"}}` }, /unknown setting "replication\.rolle"/],
    [{ json: `{"replication": "leader"}` }, /expected an object at "replication"/],
    [{ json: `{"port": 1` }, /node\.json: not valid JSON/],
    [{ json: `[]` }, /expected an object/],
    [{ flags: { "heartbeat-seconds": "-1" } }, /--heartbeat-seconds: expected/],
  ];
  for (const [sources, message] of cases) {
    const { code, message: got } = refusal(sources);
    assert.equal(code, "setting_invalid", got);
    assert.match(got, message);
  }
});

test("a secret of the wrong type is never shown", () => {
  const { message } = refusal({ json: `{"security": {"apiKey": 12345}}` });
  assert.doesNotMatch(message, /12345/);
});

test("settings that contradict each other are refused", () => {
  const follower = { "replication-role": "follower" };
  assert.match(refusal({ flags: follower }).message, /--leader-host/);
  assert.match(refusal({ flags: { ...follower, "leader-host": "a" } }).message, /--leader-port/);
  assert.match(refusal({ flags: { "bind-all": true } }).message, /--bind-all: wants an --api-key/);
  assert.equal(read({ flags: { "bind-all": true, "insecure-dev-mode": true } }).bindAll, true);
  assert.equal(read({ flags: { "bind-all": true, "api-key": "k" } }).bindAll, true);
  const same = { "replication-role": "leader", port: "5500" };
  assert.match(refusal({ flags: same }).message, /must differ from the HTTP port/);
  assert.match(refusal({ flags: { "public-base-url": "leader:5000" } }).message, /begins with http/);
  const tls = (json: string): Sources => ({ json: `{"security": {"tls": ${json}}}` });
  const noKey = refusal(tls(`{"certPath": "a.pem"}`));
  assert.equal(noKey.code, "setting_invalid");
  assert.equal(noKey.message, "security.tls.keyPath: security.tls.certPath is set, and both belong together");
  assert.match(refusal(tls(`{"keyPath": "a.key"}`)).message, /^security\.tls\.certPath: /);
  assert.equal(read(tls(`{"certPath": "a.pem", "keyPath": "a.key"}`)).tlsKeyPath, "a.key");
  assert.equal(read(tls(`{"caPath": "ca.pem"}`)).tlsCaPath, "ca.pem");
});

test("the seeds' auto-failover is understood, whatever the configured role is", () => {
  const json = `{ "replication": { "role": "follower", "leaderHost": "localhost", "leaderPort": 5500,
    "autoFailover": { "silenceSeconds": 10, "newLeaderPort": 5501, "authority": "etcd=http://localhost:2379" } } }`;
  const settings = read({ json });
  assert.deepEqual([settings.autoFailoverMs, settings.autoFailoverNewPort], [10_000, 5501]);
  for (const role of ["none", "leader"]) {
    assert.equal(
      read({ flags: { "replication-role": role, "auto-failover-seconds": "10" } }).autoFailoverMs,
      10_000,
    );
  }
  assert.equal(read({ json, flags: { "auto-failover-seconds": "0" } }).autoFailoverMs, null, "0: off");
  assert.equal(read({ flags: { "forward-writes": true, "force-role": true } }).forwardWrites, true);
});

test("auto-failover is refused where it could promote a node beside a living leader", () => {
  const message = (flags: Record<string, string>): string => refusal({ flags }).message;
  const seconds = "auto-failover-seconds", authority = "failover-authority";
  assert.match(
    message({ [seconds]: "3.9" }),
    /--auto-failover-seconds: expected at least 2 heartbeats \(4 s\)/,
  );
  assert.match(message({ [seconds]: "1", "heartbeat-seconds": "0.6" }), /2 heartbeats \(1\.2 s\), not 1$/);
  assert.equal(read({ flags: { [seconds]: "1", "heartbeat-seconds": "0.5" } }).autoFailoverMs, 1000);
  const etcd = { [authority]: "etcd=http://a:1,https://b:2", "heartbeat-seconds": "0.1" };
  assert.match(message({ ...etcd, [seconds]: "1" }), /whole seconds, at least 2, with etcd, not 1$/);
  assert.match(message({ ...etcd, [seconds]: "2.5" }), /whole seconds, at least 2, with etcd/);
  assert.equal(read({ flags: { ...etcd, [seconds]: "2" } }).failoverAuthority, etcd[authority]);
  for (const wrong of ["etcd", "etcd=", "etcd=host:2379", "etcd=http://a:1,", "zookeeper", "etcd=ftp://a"]) {
    assert.match(message({ [authority]: wrong }), /^--failover-authority: .*silence, or etcd=/, wrong);
  }
});

test("auto-failover, with etcd too, wants a secret between machines", () => {
  const follower = { "replication-role": "follower", "leader-port": "5500" };
  const failover = { "auto-failover-seconds": "10" }, etcd = { "failover-authority": "etcd=http://a:1" };
  for (const local of ["localhost", "LOCALHOST", "db.localhost", "127.0.0.1", "127.3.2.1", "::1", "[::1]"]) {
    read({ flags: { ...follower, ...failover, ...etcd, "leader-host": local } });
  }
  for (const host of ["leader.internal", "10.0.0.1", "0.0.0.0", "localhost.example", "127.0.0.1.example"]) {
    const flags = { ...follower, "leader-host": host };
    assert.match(
      refusal({ flags: { ...flags, ...failover } }).message,
      /^--auto-failover-seconds: wants a --replication-secret, because \S+ is not on loopback$/,
      host,
    );
    assert.match(refusal({ flags: { ...flags, ...etcd } }).message, /^--failover-authority: wants a --repl/);
    read({ flags: { ...flags, ...failover, ...etcd, "replication-secret": "s" } });
    read({ flags });
  }
  const bound = { "replication-role": "leader", "replication-bind": "0.0.0.0" };
  assert.match(
    refusal({ flags: { ...bound, ...failover } }).message,
    /because 0\.0\.0\.0 is not on loopback/,
  );
});

test("the port on which a node leads, or would lead", () => {
  const port = (flags: Record<string, string>, leader: number | null) => leadPortOf(read({ flags }), leader);
  const [own, next] = [{ "replication-port": "6000" }, { "auto-failover-new-port": "7000" }];
  assert.deepEqual([port({}, null), port(own, null), port(next, null)], [5500, 6000, 5500]);
  assert.deepEqual([port({}, 5800), port(own, 5800), port({ ...own, ...next }, 5800)], [5800, 6000, 7000]);
});

test("a node does not lead on its HTTP port", () => {
  const follower = { "replication-role": "follower", "leader-host": "localhost", "leader-port": "5000" };
  const failover = { "auto-failover-seconds": "10" };
  assert.match(
    refusal({ flags: { "auto-failover-new-port": "5000" } }).message,
    /^--auto-failover-new-port: must differ from the HTTP port 5000/,
  );
  assert.match(
    refusal({ flags: { ...follower, ...failover } }).message,
    /^--auto-failover-new-port: is needed/,
  );
  assert.equal(read({ flags: follower }).leaderPort, 5000);
  read({ flags: { ...follower, ...failover, "auto-failover-new-port": "5501" } });
});

test("the public address of the replication port is host and port", () => {
  const given = (text: string): Sources => ({ flags: { "public-replication-address": text } });
  for (const right of ["db1.internal:5500", "10.0.0.1:1", "[fd00::1]:5500"]) {
    assert.equal(read(given(right)).publicReplicationAddress, right);
  }
  for (const wrong of ["db1", ":5500", "db1:0", "db1:99999", "http://db1:5500", "fd00::1:5500", "a b:1"]) {
    assert.match(
      refusal(given(wrong)).message,
      /--public-replication-address: expected host:port, not/,
      wrong,
    );
  }
});

test("a setting whose part is to come is refused, its default is not", () => {
  const to_come: Sources[] = [
    { flags: { "replication-mode": "physical" } },
    { env: { DFDB_REPLICATION_MODE: "physical" } },
  ];
  for (const sources of to_come) assert.equal(refusal(sources).code, "not_built");
  assert.equal(
    read({ flags: { "replication-mode": "logical", "min-sync-replicas": "2" } }).minSyncReplicas,
    2,
  );
});

test("flags, variables and paths of the table are unique, and every row says what it is", () => {
  const rows = Object.values(settingsTable) as SettingRow[];
  for (const key of ["flag", "env", "json"] as const) {
    const names = rows.map((row) => row[key]?.toLowerCase()).filter((name) => name != null);
    assert.equal(new Set(names).size, names.length, `two rows have the same ${key}`);
  }
  for (const row of rows) assert.ok(row.help.length > 5 && (row.flag ?? row.env ?? row.json) !== null);
});

test("replication between masters", () => {
  const json = `{
    "replication": { "bundle": true, "triedEvery": "2, 5,10" },
    "Raven/Replication/ReplicationRequestTimeout": 700,
  }`;
  const { replicationBundle, adoptExisting, masterRequestMs, masterTriedEvery } = read({ json });
  assert.deepEqual([replicationBundle, adoptExisting, masterRequestMs], [true, false, 700]);
  assert.deepEqual(thinningOf(masterTriedEvery), [
    { above: 10, every: 2 },
    { above: 100, every: 5 },
    { above: 1_000, every: 10 },
  ]);
  assert.deepEqual(thinningOf(read({}).masterTriedEvery), thinningDefault);
  for (const text of ["10,100", "0,1,2", "1,2,x", "1,2,3,4", ","]) {
    const { code, message } = refusal({ env: { DFDB_REPLICATION_TRIED_EVERY: text } });
    assert.equal(code, "setting_invalid", text);
    assert.match(message, /--replication-tried-every: expected three whole numbers/);
  }
});
