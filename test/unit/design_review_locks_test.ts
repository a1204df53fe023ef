/** Whatever this process itself reads of its own data file, a second process is refused afterwards as before. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { nodeIdOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { rescue } from "../../src/node/rescue.ts";
import { snapshotSource } from "../../src/node/snapshots.ts";
import { runTask } from "../../src/node/tasks.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { startWriter } from "../crash/child.ts";
import { inFolder, patient, put, testOptions, wall } from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { database } from "../tool/resync_rig.ts";

const { clock, crashPoint, files, random, workers } = currentRuntime();

test(
  "the lock outlives every reading of the data file by its own process",
  patient,
  () =>
    inFolder(async (folder) => {
      const path = join(folder, "data.dfdb"),
        { storage, collection } = await database(path, { documents: 50 });
      const refused = async (after: string): Promise<void> => {
        const second = await startWriter(folder, "hold").output;
        assert.match(second.text, /^data_locked: /, `${after}: ${second.text} ${second.errors}`);
        storage.write((tx) => tx.append([put(collection, after, 0)], wall));
      };
      await refused("opening");

      const snapshots = await snapshotSource({
        runtime: { clock, files, random, workers },
        storage,
        dataPath: path,
        folder: join(folder, "snapshots"),
        logger: silentLogger,
      });
      const lease = await snapshots.acquire(null, AbortSignal.timeout(60_000));
      assert.ok((await lease.read(0, lease.bytes)).length > 0);
      await refused("a snapshot is made and read");

      const taken = new SharedArrayBuffer(4);
      const sum = await runTask(workers, "sqlite.verifyContent", {
        path,
        collection: null,
        documents: false,
        indexes: true,
        taken,
      });
      assert.equal(sum.documents, 52);
      await refused("checksums");
      assert.equal((await runTask(workers, "sqlite.verifyLog", { path })).bad, null);
      await refused("the log is verified");
      await runTask(workers, "sqlite.quickCheck", { path });
      await refused("quick_check");
      await runTask(workers, "sqlite.checkpoint", { path });
      await refused("a checkpoint by a worker");

      const rescuedFolder = join(folder, "rescued"), nodeId = nodeIdOf("b".repeat(32));
      const options = {
        runtime: { clock, files, workers, crashPoint },
        storage,
        dataPath: path,
        rescuedFolder,
        nodeId,
      };
      await rescue({ ...options, logger: silentLogger }, storage.log.first);
      await rescue({ ...options, logger: silentLogger }, null);
      await refused("rescue");

      const source = join(folder, "incoming.dfdb");
      const order = { path, target: source, logEntriesMax: 10, logBytesMax: 1e6 };
      await runTask(workers, "sqlite.makeSnapshot", order);
      await storage.exchange(async () => {
        await runTask(workers, "sqlite.installSnapshot", { source, target: path });
        const second = await startWriter(folder, "hold").output;
        assert.match(second.text, /^data_locked: /, second.text);
      });
      await refused("a snapshot is installed");

      // Reading the data file itself and closing it again takes every POSIX lock on it away; the lock is not on it.
      assert.ok(readFileSync(path).length > 0);
      copyFileSync(path, join(folder, "copy"));
      await refused("the files are read and copied");

      lease.release();
      await snapshots.close();
      storage.close();
      const next = startWriter(folder, "hold");
      await next.line("held");
      next.kill();
      await next.output;
      assert.ok(existsSync(path));
      (await openStorage(testOptions(path))).close();
    }),
);
