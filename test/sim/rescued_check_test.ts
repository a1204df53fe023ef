import assert from "node:assert/strict";
import { test } from "node:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { nodeIdOf, seqOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { rescue } from "../../src/node/rescue.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  beginTerm,
  inFolder,
  patient,
  plainFiles,
  put,
  remove,
  testOptions,
  wall,
} from "../suites/storage_fixture.ts";
import { database, inlineWorkers, stillClock } from "../tool/resync_rig.ts";
import { History } from "./history.ts";
import { Replay } from "./replay.ts";
import { RescuedCheck } from "./rescued_check.ts";
import { Violation } from "./types.ts";

interface Rig {
  readonly storage: Storage;
  readonly history: History;
  /** A new one, which has read nothing yet. */
  check(): RescuedCheck;
  /** Name of the one file, without its `.json`. */
  rescue(common: number | null): Promise<string>;
  path(name: string): string;
  /** The machine's log is now that of entries 1 to 7, continued by another epoch. */
  giveUp(): Promise<void>;
}

/** n1 has entries 1 to 7 in common with others, and 8 to 12 alone; the last one drops the collection that 10 made. */
function withRig(run: (rig: Rig) => Promise<void>): Promise<void> {
  return inFolder(async (root) => {
    const dataPath = `${root}/data.dfdb`, folder = `${root}/rescued`;
    const { storage, collection } = await database(dataPath, { documents: 5 });
    const next = await openStorage(testOptions(`${root}/next.dfdb`));
    const entries = storage.log.entries(seqOf(0), { bytesMax: 2 ** 30, entriesMax: 1e6 });
    assert.ok(entries !== "compacted");
    next.write((tx) => entries.forEach((entry) => tx.apply(entry)));
    next.write((tx) => tx.append([beginTerm(3, "3")], wall));
    const made = {
      kind: "createIndex",
      collection,
      name: "i",
      unique: true,
      time: false,
      paths: [["a", "b"], ["t"]],
    } as const;
    storage.write((tx) => {
      tx.append([beginTerm(2, "2")], wall); // 8
      tx.append([put(collection, "d0", 3, '{"a":1.0,"t":"x,\\"doc\\":{é\u2028"}'), made], wall);
      const other = tx.newCollectionNumber();
      tx.append([{ kind: "createCollection", collection: other, name: "Later" }], wall);
      const dropped = { kind: "dropIndex", collection, name: "i" } as const;
      tx.append([put(other, "n", 0, "{}"), remove(collection, "d1", 4), dropped], wall); // 11
      tx.append([{ kind: "dropCollection", collection: other }], wall);
    });
    const history = new History(() => 0), replay = new Replay(history);
    const see = (log: Storage["log"]): void =>
      history.observe({ machine: "n1", process: "n1#0", storage: { log } });
    see(storage.log);
    const path = (name: string): string => `${folder}/${name}`;
    const list = (): string[] => plainNames(folder);
    const check = (): RescuedCheck =>
      new RescuedCheck({
        history,
        replay,
        rescued: () =>
          list().map((name) => ({ name, bytes: () => new Uint8Array(readFileSync(path(name))) })),
      });
    const options = {
      runtime: { clock: stillClock(), files: plainFiles, workers: inlineWorkers(), crashPoint: () => {} },
      storage,
      dataPath,
      rescuedFolder: folder,
      nodeId: nodeIdOf("b".repeat(32)),
      logger: silentLogger,
    };
    try {
      await run({
        storage,
        history,
        check,
        path,
        async rescue(common) {
          await rescue(options, common === null ? null : seqOf(common));
          return list()[0] as string;
        },
        giveUp: async () => see(next.log),
      });
    } finally {
      storage.close();
      next.close();
    }
  });
}

function plainNames(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

async function violates(run: () => unknown, message: RegExp): Promise<void> {
  await assert.rejects(async () => await run(), (thrown) => {
    assert.ok(thrown instanceof Violation, `${thrown}`);
    assert.equal(thrown.checker, "rescue");
    assert.match(thrown.message, message);
    return true;
  });
}

test(
  "a tail that was rescued before it was given up",
  patient,
  () =>
    withRig(async ({ rescue, check, giveUp, history }) => {
      const name = await rescue(7), kept = check();
      assert.deepEqual(kept.read(["n1"]), [{ machine: "n1", file: name, from: 8, last: history.tip("n1") }]);
      await giveUp();
      kept.final();
    }),
);

test("a tail that is in no file when it is given up, or at the end", patient, async () => {
  await withRig(async ({ check, giveUp }) => {
    check();
    await violates(
      giveUp,
      /n1#0 gave up 2\.22222222-12 for 3\.33333333-8, and 2\.22222222-8 is in no rescue file/,
    );
  });
  await withRig(async ({ rescue, check, giveUp }) => {
    await rescue(8);
    check();
    await violates(giveUp, /2\.22222222-8 is in no rescue file/);
  });
  await withRig(async ({ rescue, check, giveUp, path, history, storage }) => {
    const name = await rescue(7), kept = check();
    await giveUp();
    rmSync(path(name));
    await violates(() => kept.final(), /2\.22222222-8 is in no rescue file/);
    history.rolledBack("n1", "restored");
    history.observe({ machine: "n1", process: "n1#1", storage: { log: storage.log } });
    kept.final();
  });
});

test(
  "a file that is written over, though with a true one; only another disk excuses",
  patient,
  () =>
    withRig(async ({ rescue, check, path, history, giveUp }) => {
      const name = await rescue(8),
        shorter = readFileSync(path(name)),
        target = path(await rescue(7)),
        kept = check();
      assert.deepEqual(kept.read(["n1"]).map(({ from }) => from), [8, 9]);
      writeFileSync(target, shorter);
      await violates(() => kept.read(["n1"]), /n1: .*-8-12\.jsonl: it was written over/);
      history.rolledBack("n1", "restored");
      await giveUp();
      assert.deepEqual(kept.read(["n1"]).map(({ from }) => from), [9, 9]);
    }),
);

test("a file that is not true", patient, () =>
  withRig(async ({ rescue, check, path }) => {
    const name = path(await rescue(7)), text = readFileSync(name, "utf8");
    const bad = async (message: RegExp, changed: string): Promise<void> => {
      assert.notEqual(changed, text);
      writeFileSync(name, changed);
      await violates(() => check().read(["n1"]), message);
    };
    await bad(/it was cut/, text.slice(0, -1));
    await bad(/it has 8 lines, not 9/, text.replace(/[^\n]+\n$/, ""));
    await bad(/line 3 is .*"a":1,/, text.replace('"a":1.0', '"a":1'));
    await bad(/line 4 is .*"createIndex"/, text.replace('"unique":true', '"unique":false'));
    await bad(/line 8 is .*"dropIndex"/, text.replace('"index":{"name":"i"}', '"index":{"name":"j"}'));
    await bad(/line 6 is .*"put"/, text.replace('"previous":null', '"previous":"1.11111111-3"'));
    await bad(/not the header of a tail/, text.replace('"form":"tail"', '"form":"tale"'));
    await bad(/does not fit entry 2\.22222222-12/, text.replace('"common":7', '"common":6'));
    await bad(/no node ever had its last entry/, text.replace('"seq":12', '"seq":13'));
    await bad(/not JSON/, text.slice(1));
    writeFileSync(name, text.replaceAll('"collection":"Later"', '"collection":null'));
    check().read(["n1"]);
    writeFileSync(name, text.replaceAll('"collection":"orders"', '"collection":null'));
    await violates(() => check().read(["n1"]), /line 3/);
  }));

test(
  "a whole database that was kept",
  patient,
  () =>
    withRig(async ({ rescue, check, giveUp, path, history }) => {
      const name = await rescue(null), last = history.tip("n1"), kept = check();
      assert.match(name, /\.dfdb$/);
      assert.deepEqual(kept.read(["n1"]), [{ machine: "n1", file: name, from: 1, last }]);
      await giveUp();
      const bad = async (message: RegExp, sql: string): Promise<void> => {
        const own = path(name), bytes = readFileSync(own), db = new DatabaseSync(own);
        db.exec(sql);
        db.close();
        await violates(() => check().read(["n1"]), message);
        writeFileSync(own, bytes);
      };
      check().read(["n1"]);
      await bad(/orders\/d2 has body \{\}/, "UPDATE docs_1 SET body = '{}' WHERE id = 'd2'");
      await bad(/orders has 3 documents, not 4/, "DELETE FROM docs_1 WHERE id = 'd2'");
      await bad(/it has 2 collections, not 1/, "UPDATE collections SET name = 'back' WHERE name IS NULL");
      await bad(/collection other is not known/, "UPDATE collections SET name = 'other' WHERE number = 1");
      await bad(/entry 9 of its log is not what it was/, "UPDATE log SET payload = x'00' WHERE seq = 9");
      await bad(/its log ends at 11, not 12/, "DELETE FROM log WHERE seq = 12");
      rmSync(path(`${name}.json`));
      await violates(() => check().read(["n1"]), /nothing tells what it is/);
    }),
);
