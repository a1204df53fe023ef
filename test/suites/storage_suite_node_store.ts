import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { databaseIdOf, isHexId } from "../../src/base/ids.ts";
import type { NodeState } from "../../src/storage/storage.ts";
import { coded, inFolder, patient, testOptions } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

/** What belongs to the node. */
export function nodeStoreSuite({ openNodeStore, openStorage }: StorageOpeners): void {
  test(
    "node store: the id is made once; states are kept by database",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "node.dfdb")), one = databaseIdOf("1".repeat(32));
        let store = await openNodeStore(options);
        const { nodeId } = store;
        assert.ok(isHexId(nodeId));
        assert.equal(store.state(one), null);
        const first: NodeState = { role: null, highestEpoch: 0, readOnly: false, readOnlyReason: null };
        const second: NodeState = {
          role: "leader",
          highestEpoch: 7,
          readOnly: true,
          readOnlyReason: "operator",
        };
        store.setState(one, first);
        assert.deepEqual(store.state(one), first);
        store.setState(one, second);
        store.setState(databaseIdOf("2".repeat(32)), first);
        store.close();
        store.close();
        store = await openNodeStore({
          ...options,
          random: { bytes: () => new Uint8Array(16), float: () => 0 },
        });
        assert.equal(store.nodeId, nodeId);
        assert.deepEqual(store.state(one), second);
        assert.throws(() => store.setState(one, { ...second, highestEpoch: 6 }), { name: "InvariantError" });
        store.close();
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
