import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { DatabaseId } from "../../src/base/ids.ts";
import { databaseIdOf, epochOf, isHexId, nodeIdOf, runIdOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { KnownPeer, NodeState, NotedFailure } from "../../src/storage/storage.ts";
import { coded, inFolder, patient, testOptions } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

const one = databaseIdOf("1".repeat(32)), two = databaseIdOf("2".repeat(32));
const first: NodeState = {
  role: null,
  highestEpoch: 0,
  readOnly: false,
  readOnlyReason: null,
  origin: "settings",
  leadPort: null,
  term: null,
  leaderAddress: null,
  handover: null,
};
const target = {
  nodeId: nodeIdOf("b".repeat(32)),
  nodeName: "b",
  httpUrl: null,
  wireAddress: "b.internal:5501",
};
const second: NodeState = {
  role: "leader",
  highestEpoch: 7,
  readOnly: true,
  readOnlyReason: "operator,in_doubt",
  origin: "failover",
  leadPort: 5501,
  term: { epoch: epochOf(7), run: runIdOf("7".repeat(32)) },
  leaderAddress: "[::1]:5500",
  handover: { id: "f".repeat(32), target },
};
const peer = (number: number, more: Partial<KnownPeer> = {}): KnownPeer => ({
  nodeId: nodeIdOf(number.toString(16).padStart(32, "0")),
  nodeName: `n${number}`,
  httpUrl: `http://n${number}:5000`,
  wireAddress: null,
  candidate: false,
  silenceMs: null,
  seenMs: wallMsOf(1_000 + number),
  ...more,
});

const failure = (number: number): NotedFailure => ({
  url: `http://m${number}:5000`,
  count: number,
  error: { code: "timeout", message: "no answer" },
  atMs: wallMsOf(5_000 + number),
});

/** What belongs to the node. */
export function nodeStoreSuite({ openNodeStore, openStorage }: StorageOpeners): void {
  test(
    "node store: the id is made once; states are kept by database",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "node.dfdb"));
        let store = await openNodeStore(options);
        const { nodeId } = store;
        assert.ok(isHexId(nodeId));
        assert.equal(store.state(one), null);
        store.setState(one, first);
        assert.deepEqual(store.state(one), first);
        store.setState(one, second);
        store.setState(two, first);
        store.close();
        store.close();
        store = await openNodeStore({
          ...options,
          random: { bytes: () => new Uint8Array(16), float: () => 0 },
        });
        assert.equal(store.nodeId, nodeId);
        assert.deepEqual([store.state(one), store.state(two)], [second, first]);
        const lower = { ...second, highestEpoch: 6, term: null };
        assert.throws(() => store.setState(one, lower), { name: "InvariantError" });
        assert.throws(() => store.setState(two, { ...second, highestEpoch: 6 }), { name: "InvariantError" });
        store.close();
      }),
  );

  test(
    "node store: nodes are kept by database, seen latest first, and forgotten",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "node.dfdb"));
        let store = await openNodeStore(options);
        assert.deepEqual(store.peers(one), []);
        const candidate = peer(1, { candidate: true, silenceMs: 10_000, wireAddress: "n1:5500" });
        store.keepPeer(one, peer(1));
        store.keepPeer(one, peer(2));
        store.keepPeer(one, candidate);
        store.keepPeer(two, peer(3));
        store.close();
        store = await openNodeStore(options);
        assert.deepEqual(store.peers(one), [peer(2), candidate]);
        assert.equal(store.forgetPeer(one, candidate.nodeId), true);
        assert.equal(store.forgetPeer(one, peer(3).nodeId), false, "it is of another database");
        assert.deepEqual([store.peers(one), store.peers(two)], [[peer(2)], [peer(3)]]);
        store.close();
      }),
  );

  test(
    "node store: of too many nodes the one seen longest ago goes, a candidate last",
    patient,
    () =>
      inFolder(async (folder) => {
        const store = await openNodeStore(testOptions(join(folder, "node.dfdb"))), max = limits.knownPeersMax;
        store.keepPeer(two, peer(1));
        store.keepPeer(one, peer(1, { candidate: true, silenceMs: 1 }));
        for (let number = 2; number <= max + 2; number++) store.keepPeer(one, peer(number));
        const names = (): string[] => store.peers(one).map(({ nodeName }) => nodeName);
        assert.equal(names().length, max);
        assert.deepEqual([names().at(0), ...names().slice(-2)], [`n${max + 2}`, "n4", "n1"]);
        for (let number = 4; number <= max + 2; number++) {
          store.keepPeer(one, peer(number, { candidate: true }));
        }
        store.keepPeer(one, peer(max + 3));
        assert.deepEqual([names().length, names()[0]], [max, `n${max + 2}`], "all others are candidates");
        assert.equal(store.peers(two).length, 1);
        store.close();
      }),
  );

  test(
    "node store: failures of destinations are kept by database and URL",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "node.dfdb")), max = limits.destinationsMax;
        let store = await openNodeStore(options);
        assert.deepEqual(store.failures(one), []);
        store.keepFailure(one, failure(2));
        store.keepFailure(one, failure(1));
        store.keepFailure(one, { ...failure(2), count: 3 });
        store.keepFailure(two, failure(4));
        store.close();
        store = await openNodeStore(options);
        assert.deepEqual(store.failures(one), [failure(1), { ...failure(2), count: 3 }]);
        assert.deepEqual([store.clearFailure(one, failure(2).url), store.clearFailure(one, failure(4).url)], [
          true,
          false,
        ]);
        assert.deepEqual([store.failures(one), store.failures(two)], [[failure(1)], [failure(4)]]);
        store.close();
        const db = new DatabaseSync(options.path);
        db.prepare("BEGIN").run();
        for (let number = 2; number <= max; number++) {
          const { url, count, error, atMs } = failure(number),
            insert = "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?)";
          db.prepare(insert).run(one, url, count, error.code, error.message, atMs);
        }
        db.prepare("COMMIT").run();
        db.close();
        store = await openNodeStore(options);
        assert.equal(store.failures(one).length, max);
        store.keepFailure(one, failure(max + 1));
        assert.equal(store.failures(one).length, max);
        assert.ok(!store.failures(one).some(({ url }) => url === failure(1).url), "the oldest has gone");
        store.close();
      }),
  );

  test("node store: a file of version 1 is brought up to date", patient, () =>
    inFolder(async (folder) => {
      const options = testOptions(join(folder, "node.dfdb"));
      makeVersion1(options.path, one);
      let store = await openNodeStore(options);
      const state: NodeState = {
        ...first,
        role: "leader",
        highestEpoch: 3,
        readOnly: true,
        readOnlyReason: "operator",
      };
      assert.equal(store.nodeId, "a".repeat(32));
      assert.deepEqual([store.state(one), store.peers(one)], [state, []]);
      store.setState(one, { ...second, highestEpoch: 8 });
      store.keepPeer(one, peer(1));
      store.keepFailure(one, failure(1));
      store.close();
      store = await openNodeStore(options);
      assert.deepEqual([store.state(one), store.peers(one)], [{ ...second, highestEpoch: 8 }, [peer(1)]]);
      assert.deepEqual(store.failures(one), [failure(1)]);
      store.close();
    }));

  test(
    "node store: a handover or a term that cannot be read is said, and can be replaced",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "node.dfdb"));
        const columns = { handover: "the handover in doubt", term_run: "the term of its promotion" };
        for (const [column, what] of Object.entries(columns)) {
          for (const value of ["{", "{}", '{"id":"x","target":null}']) {
            let store = await openNodeStore(options);
            store.setState(one, second);
            store.close();
            const db = new DatabaseSync(options.path);
            db.prepare(`UPDATE states SET ${column} = ?`).run(value);
            db.close();
            store = await openNodeStore(options);
            assert.throws(() => store.state(one), {
              code: "data_corrupt",
              message: new RegExp(`${what} is damaged`),
            });
            store.setState(one, second);
            assert.deepEqual(store.state(one), second);
            store.close();
          }
        }
      }),
  );

  test("node store: locked, and never taken for a data file", patient, () =>
    inFolder(async (folder) => {
      const options = testOptions(join(folder, "node.dfdb")), store = await openNodeStore(options);
      await assert.rejects(openNodeStore(options), coded("data_locked"));
      store.close();
      await assert.rejects(openStorage(options), coded("data_foreign"));
      const data = testOptions(join(folder, "data.dfdb"));
      (await openStorage(data)).close();
      await assert.rejects(openNodeStore(data), coded("data_foreign"));
    }));
}

/** As the first version made it. */
function makeVersion1(path: string, databaseId: DatabaseId): void {
  const db = new DatabaseSync(path);
  for (const setting of ["page_size = 4096", "auto_vacuum = 0", "journal_mode = WAL"]) {
    db.prepare(`PRAGMA ${setting}`).get();
  }
  const statements = [
    "CREATE TABLE node (one INTEGER PRIMARY KEY CHECK (one = 1), node_id TEXT NOT NULL) STRICT",
    `CREATE TABLE states (
      database_id TEXT PRIMARY KEY NOT NULL,
      role TEXT CHECK (role IN ('none', 'leader', 'follower')),
      highest_epoch INTEGER NOT NULL,
      read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),
      read_only_reason TEXT
    ) STRICT`,
    `INSERT INTO node VALUES (1, '${"a".repeat(32)}')`,
    `INSERT INTO states VALUES ('${databaseId}', 'leader', 3, 1, 'operator')`,
    `PRAGMA application_id = ${0x6466646e}`,
    "PRAGMA user_version = 1",
  ];
  for (const statement of statements) db.prepare(statement).run();
  db.close();
}
