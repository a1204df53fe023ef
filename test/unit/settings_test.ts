import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { readSettings } from "../../src/node/read_settings.ts";
import type { SettingRow, Settings } from "../../src/node/settings.ts";
import { defaultSettings, settingsTable } from "../../src/node/settings.ts";

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
  assert.equal(read({}).replicationPort, 5500);
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

test("a setting whose part is to come is refused, its default is not", () => {
  const to_come: Sources[] = [
    { flags: { "replication-mode": "physical" } },
    { flags: { "auto-failover-seconds": "10" } },
    { flags: { "forward-writes": true } },
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
